//! Reviews: questions about who somebody is and what they may do. None is kept.

mod access;
mod identity;
mod rules;

use std::sync::Arc;

use serde_json::Value;

use super::{Question, ResourceDefinition, Scope, ServedVersion, Strategy, Verb};
use crate::object::ResourceType;

pub(super) use identity::TokenQuestion;

const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";

/// A review is as it is sent.
struct ReviewStrategy;

impl Strategy for ReviewStrategy {}

/// What reviews there are.
pub(super) fn definitions() -> Vec<ResourceDefinition> {
    let (own, any, local) = (access::AccessQuestion::Own, access::AccessQuestion::Any, access::AccessQuestion::Local);
    vec![
        review(
            ResourceType::new(AUTHENTICATION, "tokenreviews"),
            ["TokenReview", "tokenreview", "io.k8s.api.authentication.v1.TokenReview"],
            identity::TokenReviewQuestion,
        ),
        review(
            ResourceType::new(AUTHENTICATION, "selfsubjectreviews"),
            ["SelfSubjectReview", "selfsubjectreview", "io.k8s.api.authentication.v1.SelfSubjectReview"],
            identity::SelfQuestion,
        ),
        review(
            ResourceType::new(AUTHORIZATION, "subjectaccessreviews"),
            ["SubjectAccessReview", "subjectaccessreview", "io.k8s.api.authorization.v1.SubjectAccessReview"],
            any,
        ),
        review(
            ResourceType::new(AUTHORIZATION, "selfsubjectaccessreviews"),
            [
                "SelfSubjectAccessReview",
                "selfsubjectaccessreview",
                "io.k8s.api.authorization.v1.SelfSubjectAccessReview",
            ],
            own,
        ),
        ResourceDefinition {
            scope: Scope::Namespaced,
            ..review(
                ResourceType::new(AUTHORIZATION, "localsubjectaccessreviews"),
                [
                    "LocalSubjectAccessReview",
                    "localsubjectaccessreview",
                    "io.k8s.api.authorization.v1.LocalSubjectAccessReview",
                ],
                local,
            )
        },
        review(
            ResourceType::new(AUTHORIZATION, "selfsubjectrulesreviews"),
            ["SelfSubjectRulesReview", "selfsubjectrulesreview", "io.k8s.api.authorization.v1.SelfSubjectRulesReview"],
            rules::RulesQuestion,
        ),
    ]
}

fn review(
    resource: ResourceType,
    [kind, singular, schema]: [&'static str; 3],
    question: impl Question + 'static,
) -> ResourceDefinition {
    let version = ServedVersion::stored(resource.group, "v1", schema);
    ResourceDefinition {
        scope: Scope::Cluster,
        verbs: &[Verb::Create],
        questions: vec![("", Arc::new(question))],
        ..ResourceDefinition::plain(resource, kind, singular, version, ReviewStrategy)
    }
}

/// Writes the answer.
fn set_status(review: &mut Value, status: Value) {
    if let Some(fields) = review.as_object_mut() {
        fields.entry("metadata").or_insert_with(|| serde_json::json!({}));
        fields.insert("status".to_owned(), status);
    }
}
