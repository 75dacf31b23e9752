//! ResourceQuotas: what of each is used, written down for people.
//!
//! What fits into a quota is decided at the commit, on the objects alone; nothing rests on the status this operator writes. See
//! <https://kubernetes.io/docs/concepts/policy/resource-quotas/>.

#[cfg(feature = "conformance")]
pub mod conformance;
mod machine;
mod plan;
mod status;

use k8s_openapi::api::core::v1::ResourceQuota;
use sampan_core::gateway::Quota;
use sampan_core::object::{Object, ObjectKey};
use sampan_core::operator::{Context, Declaration, Mapping, Operator, Wake, WriteVerb};
use sampan_core::resource::RESOURCE_QUOTAS;
use sampan_core::store::Snapshot;
use sampan_machine::Chart;

use machine::Intent;
pub use machine::QuotaMachine;
use plan::View;

/// The operator of resource quotas.
#[derive(Debug, Clone, Copy, Default)]
pub struct QuotaOperator;

impl Operator for QuotaOperator {
    type Machine = QuotaMachine;

    fn chart(&self) -> &'static Chart {
        QuotaMachine::chart()
    }

    fn machine(&self) -> QuotaMachine {
        QuotaMachine::default()
    }

    fn declaration(&self) -> Declaration {
        let mut declaration = Declaration::of::<ResourceQuota>("resourcequota")
            .watching_everything(Mapping::function(counting))
            .writing::<ResourceQuota>(WriteVerb::UpdateStatus);
        declaration.event_source = Some("resourcequota-controller");
        declaration
    }

    fn step(&self, machine: &mut QuotaMachine, _wake: &Wake, cx: &mut Context<'_>) {
        let Some(view) = look(cx) else { return };
        let (view, intents) = cx.observe(machine, view);
        view.wait(cx.trace());
        for Intent::WriteStatus in intents {
            cx.update_status(&view.with_status());
        }
    }
}

fn look(cx: &mut Context<'_>) -> Option<View> {
    let quota = cx.primary::<ResourceQuota>()?;
    let counted = Quota::of(&*cx.primary_object()?);
    let namespace = cx.key().namespace.clone();
    let used = counted.used(|group, plural| {
        let registry = cx.registry();
        let is_it = |resource: &sampan_core::object::ResourceType| (resource.group, resource.plural) == (group, plural);
        let resource = registry.definitions().map(|definition| definition.resource).find(is_it);
        resource.map(|resource| cx.objects(resource, namespace.as_deref())).unwrap_or_default()
    });
    Some(View::new(quota, &counted, used))
}

/// The quotas an object counts for.
fn counting(object: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    let Some(namespace) = object.key().namespace.as_deref() else { return Vec::new() };
    let beside = snapshot.list(RESOURCE_QUOTAS, Some(namespace), None);
    let counting = beside.filter(|quota| Quota::of(quota).counts(object.key().resource));
    counting.map(|quota| quota.key().clone()).collect()
}
