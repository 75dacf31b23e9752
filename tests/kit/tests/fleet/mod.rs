//! A small operator with everything an operator can have: children, a finalizer, a status, a timer, a refusal.
//!
//! A fleet (in the clothes of a ReplicationController) keeps `replicas` boats, ConfigMaps named by rank, each drilled for
//! `minReadySeconds` before it counts as available. Before it goes, its boats go.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, ReplicationController, ReplicationControllerStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use sampan_conformance::{Actor, Edit, Suite, actors};
use sampan_core::gateway::DeleteOptions;
use sampan_core::object::ResourceType;
use sampan_core::operator::{Command, Context, Declaration, Kind as _, Mapping, Operator, Wake, WriteVerb};
use sampan_core::resource::{CONFIG_MAPS, ResourceDefinition, ServedVersion, Strategy};
use sampan_machine::{ANY, Chart, Edge, Machine, State, UNOBSERVED};
use serde_json::{Value, json};

pub(crate) const FINALIZER: &str = "example.com/fleet";
const FIRST: &str = "first look";
const WORK: &str = "there is something to do";
const DONE: &str = "nothing is left to do";

static CHART: Chart = Chart {
    name: "fleet",
    states: &[
        State { name: "Registering", meaning: "Its finalizer is missing." },
        State { name: "Building", meaning: "Boats are missing." },
        State { name: "Blocked", meaning: "Boats are missing and may not be built." },
        State { name: "Scrapping", meaning: "Boats are too many." },
        State { name: "Refitting", meaning: "Boats are drilled for another time than they should be." },
        State { name: "Sailing", meaning: "It is as it should be." },
        State { name: "Sinking", meaning: "It is being deleted." },
    ],
    edges: &[
        Edge { from: UNOBSERVED, to: ANY, guard: FIRST },
        Edge { from: ANY, to: ANY, guard: WORK },
        Edge { from: ANY, to: "Sailing", guard: DONE },
    ],
};

/// The fleet's machine, with room for what a machine should not remember.
#[derive(Clone)]
pub(crate) struct FleetMachine {
    pub(crate) state: &'static str,
    pub(crate) memory: bool,
}

impl Default for FleetMachine {
    fn default() -> Self {
        Self { state: UNOBSERVED, memory: false }
    }
}

impl Machine for FleetMachine {
    fn state(&self) -> &'static str {
        self.state
    }
}

/// One look at a fleet.
pub(crate) struct View {
    pub(crate) fleet: Arc<ReplicationController>,
    pub(crate) boats: Vec<Arc<ConfigMap>>,
    pub(crate) refused: Option<String>,
}

impl View {
    pub(crate) fn of(cx: &mut Context<'_>) -> Option<Self> {
        let fleet = cx.primary::<ReplicationController>()?;
        let refused = cx.refusal().map(|refusal| refusal.status.message.clone());
        Some(Self { fleet, boats: cx.owned::<ConfigMap>(), refused })
    }

    fn drill(&self) -> i32 {
        self.fleet.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or_default()
    }

    fn wanted(&self) -> Vec<String> {
        let size = self.fleet.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or_default();
        (0..size).map(|rank| format!("boat-{rank}")).collect()
    }

    pub(crate) fn missing(&self) -> Vec<String> {
        let has = |name: &String| self.boats.iter().any(|boat| boat.metadata.name.as_ref() == Some(name));
        self.wanted().into_iter().filter(|name| !has(name)).collect()
    }

    fn surplus(&self) -> Vec<&Arc<ConfigMap>> {
        let wanted = self.wanted();
        self.boats.iter().filter(|boat| boat.metadata.name.as_ref().is_none_or(|name| !wanted.contains(name))).collect()
    }

    fn unfit(&self) -> Vec<&Arc<ConfigMap>> {
        let drill = self.drill().to_string();
        self.boats.iter().filter(|boat| boat.data.as_ref().and_then(|data| data.get("drill")) != Some(&drill)).collect()
    }

    /// Boats still drilling end after so long.
    fn drilling(&self, cx: &Context<'_>) -> Vec<Duration> {
        let left = |boat: &Arc<ConfigMap>| {
            let built = boat.metadata.creation_timestamp.as_ref()?.0;
            let left = i64::from(self.drill()) - (cx.now().as_second() - built.as_second());
            u64::try_from(left).ok().filter(|left| *left > 0).map(Duration::from_secs)
        };
        self.boats.iter().filter_map(left).collect()
    }

    pub(crate) fn is_registered(&self) -> bool {
        self.fleet.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER)
    }

    pub(crate) fn classify(&self) -> &'static str {
        match () {
            () if self.fleet.metadata.deletion_timestamp.is_some() => "Sinking",
            () if !self.is_registered() => "Registering",
            () if !self.missing().is_empty() && self.refused.is_some() => "Blocked",
            () if !self.missing().is_empty() => "Building",
            () if !self.surplus().is_empty() => "Scrapping",
            () if !self.unfit().is_empty() => "Refitting",
            () => "Sailing",
        }
    }
}

/// One step of a fleet.
pub(crate) fn step(machine: &mut FleetMachine, _wake: &Wake, cx: &mut Context<'_>) {
    let Some(view) = View::of(cx) else { return };
    go_to(machine, view.classify(), cx);
    enter(machine.state, &view, cx);
}

pub(crate) fn go_to(machine: &mut FleetMachine, state: &'static str, cx: &mut Context<'_>) {
    let guard = match (machine.state, state) {
        (UNOBSERVED, _) => FIRST,
        (from, to) if from == to => return,
        (_, "Sailing") => DONE,
        _ => WORK,
    };
    cx.trace().because(guard);
    cx.trace().crossed(machine.state, state);
    machine.state = state;
}

/// What is to be done in a state: a function of the view.
pub(crate) fn enter(state: &'static str, view: &View, cx: &mut Context<'_>) {
    match state {
        "Registering" => set_finalizers(view, vec![FINALIZER.to_owned()], cx),
        "Building" => view.missing().iter().for_each(|name| cx.create(&boat(view, name))),
        "Blocked" => {
            let why = view.refused.clone().unwrap_or_default();
            cx.trace().waiting_for("boats may be built", why, None);
        }
        "Scrapping" => view.surplus().into_iter().for_each(|boat| cx.delete(&**boat, DeleteOptions::default())),
        "Refitting" => {
            for old in view.unfit() {
                let mut refitted = ConfigMap::clone(old);
                refitted.data = boat(view, "").data;
                cx.update(&refitted);
            }
        }
        "Sinking" if view.boats.is_empty() => set_finalizers(view, Vec::new(), cx),
        "Sinking" => view.boats.iter().for_each(|boat| cx.delete(&**boat, DeleteOptions::default())),
        _ => report(view, cx),
    }
}

fn set_finalizers(view: &View, finalizers: Vec<String>, cx: &mut Context<'_>) {
    let mut fleet = ReplicationController::clone(&view.fleet);
    fleet.metadata.finalizers = Some(finalizers);
    cx.update(&fleet);
}

fn boat(view: &View, name: &str) -> ConfigMap {
    let owner = OwnerReference {
        api_version: ReplicationController::API_VERSION.to_owned(),
        kind: ReplicationController::KIND.to_owned(),
        name: view.fleet.metadata.name.clone().unwrap_or_default(),
        uid: view.fleet.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    };
    let metadata = ObjectMeta { owner_references: Some(vec![owner]), ..named(name) };
    ConfigMap { metadata, data: Some([("drill".to_owned(), view.drill().to_string())].into()), ..ConfigMap::default() }
}

pub(crate) fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), namespace: Some("default".to_owned()), ..ObjectMeta::default() }
}

fn report(view: &View, cx: &mut Context<'_>) {
    let drilling = view.drilling(cx);
    let boats = i32::try_from(view.boats.len()).unwrap_or(i32::MAX);
    let mut fleet = ReplicationController::clone(&view.fleet);
    fleet.status = Some(ReplicationControllerStatus {
        replicas: boats,
        available_replicas: Some(boats - i32::try_from(drilling.len()).unwrap_or_default()),
        observed_generation: view.fleet.metadata.generation,
        ..ReplicationControllerStatus::default()
    });
    cx.update_status(&fleet);
    drilling.into_iter().for_each(|left| cx.wake_after(left));
}

/// The operator, or one that differs in a few lines.
#[derive(Clone, Copy)]
pub(crate) struct Fleet {
    pub(crate) declare: fn(&mut Declaration),
    pub(crate) step: fn(&mut FleetMachine, &Wake, &mut Context<'_>),
}

/// As it should be.
pub(crate) const SOUND: Fleet = Fleet { declare: |_| (), step };

impl Operator for Fleet {
    type Machine = FleetMachine;

    fn chart(&self) -> &'static Chart {
        &CHART
    }

    fn machine(&self) -> FleetMachine {
        FleetMachine::default()
    }

    fn declaration(&self) -> Declaration {
        let mut declaration = Declaration::of::<ReplicationController>("fleet")
            .watching::<ConfigMap>(Mapping::Owner)
            .writing::<ConfigMap>(WriteVerb::Create)
            .writing::<ConfigMap>(WriteVerb::Update)
            .writing::<ConfigMap>(WriteVerb::Delete)
            .writing::<ReplicationController>(WriteVerb::Update)
            .writing::<ReplicationController>(WriteVerb::UpdateStatus);
        (self.declare)(&mut declaration);
        declaration
    }

    fn step(&self, machine: &mut FleetMachine, wake: &Wake, cx: &mut Context<'_>) {
        (self.step)(machine, wake, cx);
    }
}

struct Plain;

impl Strategy for Plain {}

fn definition() -> ResourceDefinition {
    let resource = ResourceType::new("", "replicationcontrollers");
    let version = ServedVersion::stored("", "v1", "io.k8s.api.core.v1.ReplicationController");
    ResourceDefinition {
        has_status: true,
        has_generation: true,
        ..ResourceDefinition::plain(resource, "ReplicationController", "replicationcontroller", version, Plain)
    }
}

fn fleet(replicas: i32, drill: i32) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "fleet", "namespace": "default"},
        "spec": {"replicas": replicas, "minReadySeconds": drill},
    })
}

/// Somebody takes a boat away.
fn pirate() -> Actor {
    actors::rare(1, "pirate", |snapshot, _| {
        let boats = snapshot.list(CONFIG_MAPS, None, None).filter(|map| map.key().name.starts_with("boat"));
        boats.map(|boat| actors::deed(boat, "is taken", Edit::Delete(boat.key().clone()))).collect()
    })
}

/// The suite of a fleet: the operator named, its specs, its neighbours, and one law.
pub(crate) fn suite(operator: Fleet) -> Suite {
    Suite::of(operator)
        .serving(definition())
        .spec("two boats", fleet(2, 0))
        .spec("one boat, drilled", fleet(1, 10))
        .beside(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "stranger", "namespace": "default"}}),
        )
        .neighbour(pirate())
        .ages_seconds(11)
        .at_rest("as many boats as wanted, unless it sinks", |snapshot, _| {
            let fleets = snapshot.list(ResourceType::new("", "replicationcontrollers"), None, None);
            for fleet in fleets.filter(|fleet| !fleet.metadata().is_terminating()) {
                let boats = snapshot.list(CONFIG_MAPS, None, None).filter(|map| map.key().name.starts_with("boat"));
                let (found, wanted) = (boats.count(), fleet.value()["spec"]["replicas"].as_u64().unwrap_or_default());
                if found as u64 != wanted {
                    return Err(format!("{found} boats, wanted {wanted}"));
                }
            }
            Ok(())
        })
}

/// Only for those who look at commands.
pub(crate) fn is_status(command: &Command) -> bool {
    matches!(command, Command::UpdateStatus { .. })
}
