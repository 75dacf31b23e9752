//! The suites of the operators this binary carries.

use sampan_conformance::Suite;

/// All suites, by name.
pub(crate) fn all() -> Vec<Suite> {
    vec![
        sampan_clusterroleaggregation::conformance::suite(),
        sampan_customresourcedefinition::conformance::suite(),
        sampan_daemonset::conformance::suite(),
        sampan_job::conformance::suite(),
        sampan_cronjob::conformance::suite(),
        sampan_deployment::conformance::suite(),
        sampan_evictor::conformance::suite(),
        sampan_garbagecollector::conformance::suite(),
        sampan_namespace::conformance::suite(),
        sampan_node::conformance::suite(),
        sampan_persistentvolume::conformance::suite(),
        sampan_persistentvolumeclaim::conformance::suite(),
        sampan_podcollector::conformance::suite(),
        sampan_poddisruptionbudget::conformance::suite(),
        sampan_replicaset::conformance::suite(),
        sampan_replicationcontroller::conformance::suite(),
        sampan_resourcequota::conformance::suite(),
        sampan_scheduler::conformance::suite(),
        sampan_service::conformance::suite(),
        sampan_statefulset::conformance::suite(),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::operators::Carried;

    #[test]
    fn every_operator_has_a_suite_that_bears_its_name() {
        let operators: BTreeSet<&str> = Carried::default().charts().iter().map(|chart| chart.name).collect();
        let suites: BTreeSet<&str> = super::all().iter().map(|suite| suite.name).collect();
        assert_eq!(suites, operators);
    }
}
