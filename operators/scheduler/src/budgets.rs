//! What disruption budgets have left for pods that are to give way.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use sampan_core::object::selector::Selector;
use sampan_core::resource::POD_DISRUPTION_BUDGETS;
use sampan_core::store::Snapshot;

use crate::term::namespace;

/// The disruption budgets there are.
pub(crate) struct Budgets(Vec<Budget>);

struct Budget {
    namespace: String,
    selector: Selector,
    allowed: i32,
    /// Pods that are spent for already.
    disrupted: Vec<String>,
}

impl Budgets {
    /// All budgets there are.
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let budgets = snapshot.list(POD_DISRUPTION_BUDGETS, None, None);
        Self(budgets.filter_map(|budget| Budget::of(&*budget.decode().ok()?)).collect())
    }

    /// Those whose going breaks a budget, and those whose does not: budgets are spent in the order of the pods.
    pub(crate) fn divide(&self, pods: Vec<Arc<Pod>>) -> (Vec<Arc<Pod>>, Vec<Arc<Pod>>) {
        let mut left: Vec<i32> = self.0.iter().map(|budget| budget.allowed).collect();
        pods.into_iter().partition(|pod| {
            let mut breaks = false;
            for (_, left) in self.0.iter().zip(&mut left).filter(|(budget, _)| budget.covers(pod)) {
                *left -= 1;
                breaks |= *left < 0;
            }
            breaks
        })
    }
}

impl Budget {
    /// One that selects nothing in particular protects nobody here, as in Kubernetes.
    fn of(budget: &PodDisruptionBudget) -> Option<Self> {
        let selector = Selector::try_from(budget.spec.as_ref()?.selector.as_ref()?).ok()?;
        let status = budget.status.as_ref();
        let disrupted = status.and_then(|status| status.disrupted_pods.as_ref());
        (!selector.requirements.is_empty()).then(|| Self {
            namespace: budget.metadata.namespace.clone().unwrap_or_default(),
            selector,
            allowed: status.map_or(0, |status| status.disruptions_allowed),
            disrupted: disrupted.into_iter().flat_map(|pods| pods.keys().cloned()).collect(),
        })
    }

    fn covers(&self, pod: &Pod) -> bool {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        self.namespace == namespace(pod)
            && self.selector.selects(pod.metadata.labels.as_ref())
            && !self.disrupted.iter().any(|disrupted| disrupted == name)
    }
}
