//! PersistentVolumes: free, held by a claim, left over, reclaimed.
//!
//! A volume follows its claim: it is `Bound` while the claim names it and `Released` once that is gone. Then a volume made by
//! `sampan.dev/local-path` whose policy is `Delete` is deleted; its node removes the data and lets the object go. Volumes
//! are bound to claims by the operator of claims; this one never gives a volume to anybody.

#[cfg(feature = "conformance")]
pub mod conformance;
mod machine;
mod plan;
mod status;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use sampan_core::gateway::DeleteOptions;
use sampan_core::object::{Object, ObjectKey};
use sampan_core::operator::{Context, Declaration, EventKind, Mapping, Operator, Wake, WriteVerb};
use sampan_core::resource::{PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES};
use sampan_core::store::{IndexKey, Snapshot};
use sampan_machine::Chart;
use sampan_storage::bound_volume;

use machine::Intent;
pub use machine::VolumeMachine;
use plan::View;

/// The operator of volumes.
#[derive(Debug, Clone, Copy, Default)]
pub struct VolumeOperator;

impl Operator for VolumeOperator {
    type Machine = VolumeMachine;

    fn chart(&self) -> &'static Chart {
        VolumeMachine::chart()
    }

    fn machine(&self) -> VolumeMachine {
        VolumeMachine::default()
    }

    fn declaration(&self) -> Declaration {
        let mut declaration = Declaration::of::<PersistentVolume>("persistentvolume")
            .watching::<PersistentVolumeClaim>(Mapping::function(held_by))
            .writing::<PersistentVolume>(WriteVerb::Update)
            .writing::<PersistentVolume>(WriteVerb::UpdateStatus)
            .writing::<PersistentVolume>(WriteVerb::Delete);
        declaration.event_source = Some("persistentvolume-controller");
        declaration
    }

    fn step(&self, machine: &mut VolumeMachine, _wake: &Wake, cx: &mut Context<'_>) {
        let Some(volume) = cx.primary::<PersistentVolume>() else { return };
        let claim = plan::holder(&volume).and_then(|key| cx.get::<PersistentVolumeClaim>(&key));
        let (view, intents) = cx.observe(machine, View { volume, claim, now: cx.now() });
        view.wait(cx.trace());
        for intent in intents {
            carry_out(intent, &view, cx);
        }
    }
}

fn carry_out(intent: Intent, view: &View, cx: &mut Context<'_>) {
    match intent {
        Intent::Amend(volume) => cx.update(&*volume),
        Intent::Delete => cx.delete(&*view.volume, DeleteOptions::default()),
        Intent::WriteStatus => {
            let mut volume = (*view.volume).clone();
            volume.status = Some(status::status(view));
            cx.update_status(&volume);
        }
        Intent::Warn(reason, message) => cx.event(EventKind::Warning, reason, message),
    }
}

/// The volumes a claim names or holds.
fn held_by(claim: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    debug_assert_eq!(claim.key().resource, PERSISTENT_VOLUME_CLAIMS);
    let uid = claim.metadata().uid.as_str().into();
    let held = IndexKey::Field { resource: PERSISTENT_VOLUMES, field: "spec.claimRef.uid", value: uid };
    let mut volumes: Vec<ObjectKey> = snapshot.index(&held).map(|volume| volume.key().clone()).collect();
    let typed = claim.decode::<PersistentVolumeClaim>().ok();
    let named = typed.as_ref().and_then(|claim| bound_volume(claim));
    volumes.extend(named.map(|name| ObjectKey::cluster(PERSISTENT_VOLUMES, name)));
    volumes.sort();
    volumes.dedup();
    volumes
}
