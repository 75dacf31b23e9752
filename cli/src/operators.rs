//! The operators a binary carries: those of Sampan, and those its author adds.

use std::sync::Arc;

use sampan_conformance::Suite;
use sampan_core::entropy::SeededEntropy;
use sampan_core::gateway::{Gateway, SystemAuthorizer};
use sampan_core::operator::{Driver, Operator};
use sampan_core::resource::{Registry, ResourceDefinition};
use sampan_machine::Chart;
use sampan_podcollector::{KEPT_BY_DEFAULT, PodCollector};

use crate::suites;

type Adds = Box<dyn Fn(&mut Driver)>;

/// What a binary carries beside Sampan's own.
#[derive(Default)]
pub(crate) struct Carried {
    operators: Vec<Adds>,
    definitions: Vec<ResourceDefinition>,
    suites: Vec<Suite>,
}

impl Carried {
    pub(crate) fn add_operator(&mut self, operator: impl Operator + Clone) {
        self.operators.push(Box::new(move |driver| driver.add(operator.clone())));
    }

    pub(crate) fn add_definition(&mut self, definition: ResourceDefinition) {
        self.definitions.push(definition);
    }

    pub(crate) fn add_suite(&mut self, suite: Suite) {
        self.suites.push(suite);
    }

    /// What is proved of what it carries, its author's operators last.
    pub(crate) fn suites(&self) -> Vec<Suite> {
        suites::all().into_iter().chain(self.suites.iter().cloned()).collect()
    }

    /// Adds every operator to the driver.
    pub(crate) fn install(&self, driver: &mut Driver, terms: &Terms<'_>) {
        install(driver, terms);
        self.operators.iter().for_each(|add| add(driver));
    }

    /// Every resource type served from the start.
    pub(crate) fn registry(&self) -> Registry {
        let mut registry = Registry::default();
        let builtin = sampan_core::resource::builtin().into_iter().chain(definitions());
        builtin.chain(self.definitions.iter().cloned()).for_each(|definition| registry.register(definition));
        registry
    }

    /// The charts of all operators, by name. Nothing runs for it.
    pub(crate) fn charts(&self) -> Vec<&'static Chart> {
        let gateway = Gateway::new(Registry::default(), Box::new(SystemAuthorizer), Vec::new());
        let mut driver = Driver::new(Arc::new(gateway), Box::new(SeededEntropy::new(0)));
        self.install(
            &mut driver,
            &Terms { root_certificate: "", pod_collector: PodCollector::keeping(KEPT_BY_DEFAULT) },
        );
        let mut charts: Vec<&'static Chart> = driver.charts().collect();
        charts.sort_by_key(|chart| chart.name);
        charts
    }
}

/// What operators are told once, when they are made.
pub(crate) struct Terms<'a> {
    /// What every namespace gets to know the API server by.
    pub(crate) root_certificate: &'a str,
    /// Who keeps so many pods that have ended, and no more.
    pub(crate) pod_collector: PodCollector,
}

/// Adds Sampan's own operators to a driver.
pub(crate) fn install(driver: &mut Driver, terms: &Terms<'_>) {
    driver.add(sampan_clusterroleaggregation::ClusterRoleAggregation);
    driver.add(sampan_customresourcedefinition::CustomResourceDefinitionOperator);
    driver.add(sampan_daemonset::DaemonSetOperator);
    driver.add(sampan_job::JobOperator);
    driver.add(sampan_cronjob::CronJobOperator);
    driver.add(sampan_deployment::DeploymentOperator);
    driver.add(sampan_evictor::Evictor);
    driver.add(sampan_garbagecollector::GarbageCollector);
    driver.add(sampan_namespace::NamespaceOperator::new(terms.root_certificate));
    driver.add(sampan_node::NodeOperator);
    driver.add(sampan_persistentvolume::VolumeOperator);
    driver.add(sampan_persistentvolumeclaim::ClaimOperator);
    driver.add(terms.pod_collector);
    driver.add(sampan_poddisruptionbudget::BudgetOperator);
    driver.add(sampan_replicaset::ReplicaSetOperator);
    driver.add(sampan_replicationcontroller::ReplicationControllerOperator);
    driver.add(sampan_resourcequota::QuotaOperator);
    driver.add(sampan_scheduler::Scheduler::default());
    driver.add(sampan_service::ServiceOperator);
    driver.add(sampan_statefulset::StatefulSetOperator);
}

/// The resource types whose operators are Sampan's own.
pub(crate) fn definitions() -> [ResourceDefinition; 3] {
    [
        sampan_customresourcedefinition::definition(),
        sampan_deployment::definition(),
        sampan_replicaset::resource::definition(),
    ]
}
