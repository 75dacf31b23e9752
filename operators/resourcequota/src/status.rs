//! The status of a quota.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ResourceQuota, ResourceQuotaStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Amount;
use sampan_core::object::Quantity;

/// What it says: the limits, and what is used of each.
pub(crate) fn status(quota: &ResourceQuota, used: BTreeMap<String, Quantity>) -> ResourceQuotaStatus {
    let hard = quota.spec.as_ref().and_then(|spec| spec.hard.clone());
    let used = used.into_iter().map(|(of, used)| (of, Amount(used.to_string()))).collect();
    ResourceQuotaStatus { hard, used: Some(used) }
}

/// Whether two statuses say the same: a list that is missing and one that is empty do.
pub(crate) fn is_same(one: &ResourceQuotaStatus, other: &ResourceQuotaStatus) -> bool {
    let amounts = |list: &Option<BTreeMap<String, Amount>>| list.clone().unwrap_or_default();
    amounts(&one.hard) == amounts(&other.hard) && amounts(&one.used) == amounts(&other.used)
}
