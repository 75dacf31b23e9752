//! The operators this binary carries.

use std::sync::Arc;

use sampan_core::entropy::SeededEntropy;
use sampan_core::gateway::{Gateway, SystemAuthorizer};
use sampan_core::operator::Driver;
use sampan_core::resource::{Registry, ResourceDefinition};
use sampan_machine::Chart;

/// Adds every operator to the driver. `root_certificate` is what every namespace gets to know the API server by.
pub(crate) fn install(driver: &mut Driver, root_certificate: &str) {
    driver.add(sampan_clusterroleaggregation::ClusterRoleAggregation);
    driver.add(sampan_customresourcedefinition::CustomResourceDefinitionOperator);
    driver.add(sampan_deployment::DeploymentOperator);
    driver.add(sampan_garbagecollector::GarbageCollector);
    driver.add(sampan_namespace::NamespaceOperator::new(root_certificate));
    driver.add(sampan_replicaset::ReplicaSetOperator);
    driver.add(sampan_scheduler::Scheduler);
}

/// The resource types whose operators are here.
pub(crate) fn definitions() -> [ResourceDefinition; 3] {
    [
        sampan_customresourcedefinition::definition(),
        sampan_deployment::definition(),
        sampan_replicaset::resource::definition(),
    ]
}

/// The charts of all operators, by name. Nothing runs for it.
pub(crate) fn charts() -> Vec<&'static Chart> {
    let gateway = Gateway::new(Registry::default(), Box::new(SystemAuthorizer), Vec::new());
    let mut driver = Driver::new(Arc::new(gateway), Box::new(SeededEntropy::new(0)));
    install(&mut driver, "");
    let mut charts: Vec<&'static Chart> = driver.charts().collect();
    charts.sort_by_key(|chart| chart.name);
    charts
}
