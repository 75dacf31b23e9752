//! ServiceAccounts: who pods are.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::read::size;
use super::review::TokenQuestion;
use super::{
    Cell, Column, ResourceDefinition, ServedVersion, SpokenKind, Strategy, SubresourceDefinition, SubresourceHandler,
    Verb, table,
};
use crate::object::ResourceType;

/// The resource type.
pub const SERVICE_ACCOUNTS: ResourceType = ResourceType::new("", "serviceaccounts");

const TOKEN: SubresourceDefinition = SubresourceDefinition {
    name: "token",
    spoken: Some(SpokenKind {
        group: "authentication.k8s.io",
        version: "v1",
        kind: "TokenRequest",
        schema: Some("io.k8s.api.authentication.v1.TokenRequest"),
    }),
    verbs: &[Verb::Create],
    handler: SubresourceHandler::Question,
};

struct ServiceAccountStrategy;

/// What a ServiceAccount is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("", "v1", "io.k8s.api.core.v1.ServiceAccount");
    ResourceDefinition {
        short_names: &["sa"],
        subresources: &[TOKEN],
        questions: vec![("token", Arc::new(TokenQuestion))],
        ..ResourceDefinition::plain(
            SERVICE_ACCOUNTS,
            "ServiceAccount",
            "serviceaccount",
            version,
            ServiceAccountStrategy,
        )
    }
}

impl Strategy for ServiceAccountStrategy {
    fn columns(&self) -> Vec<Column> {
        vec![Column::text("Secrets", "The number of secrets its pods may use."), Column::age()]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        vec![size(object, "/secrets").to_string().into(), table::age(object, now)]
    }
}
