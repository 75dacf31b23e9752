//! A quota, and what is used of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ResourceQuota, ResourceQuotaStatus};
use sampan_core::gateway::Quota;
use sampan_core::object::Quantity;

use crate::status;

/// One look at a quota.
pub struct View {
    quota: Arc<ResourceQuota>,
    wanted: ResourceQuotaStatus,
    /// Of what everything is used that may be: the name, and how much.
    pub(crate) exhausted: Vec<(String, Quantity)>,
}

impl View {
    pub(crate) fn new(quota: Arc<ResourceQuota>, counted: &Quota, used: BTreeMap<String, Quantity>) -> Self {
        let is_spent = |(of, used): &(&String, &Quantity)| counted.hard().get(*of).is_some_and(|hard| *used >= hard);
        let exhausted = used.iter().filter(is_spent).map(|(of, used)| (of.clone(), used.clone())).collect();
        let wanted = status::status(&quota, used);
        Self { quota, wanted, exhausted }
    }

    /// Whether the status already says what is.
    pub(crate) fn is_told(&self) -> bool {
        self.quota.status.as_ref().is_some_and(|told| status::is_same(told, &self.wanted))
    }

    /// The quota with the status it should have.
    pub(crate) fn with_status(&self) -> ResourceQuota {
        ResourceQuota { status: Some(self.wanted.clone()), ..(*self.quota).clone() }
    }
}
