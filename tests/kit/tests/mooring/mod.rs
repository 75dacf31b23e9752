//! A small operator whose work lies beyond the store: a ship (in the clothes of a ConfigMap) lies at the port its data name.
//!
//! A harbour gives ships berths, and keeps a rope for each that lies there. The ship notes the port before it makes for it, so
//! that whoever looks later knows where it may lie; it leaves one before it makes for another, and before it goes.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use sampan_conformance::{Suite, beyond};
use sampan_core::operator::{Context, Declaration, EffectRequest, EffectState, Operator, Wake, WriteVerb};
use sampan_machine::{ANY, Chart, Edge, Machine, State, UNOBSERVED};
use serde_json::{Value, json};

const FINALIZER: &str = "example.com/mooring";
/// Where the port is noted that the ship lies at or makes for.
const NOTED: &str = "example.com/port";
/// Noted once it leaves: casting off cannot be called back, whatever is wanted meanwhile.
const LEAVING: &str = "example.com/leaving";
pub(crate) const MOOR: &str = "moor";
pub(crate) const CAST_OFF: &str = "cast-off";
const FIRST: &str = "first look";
const CHANGED: &str = "it looks otherwise";

static CHART: Chart = Chart {
    name: "mooring",
    states: &[
        State { name: "Setting out", meaning: "It has noted no port." },
        State { name: "Mooring", meaning: "It makes for its port." },
        State { name: "Moored", meaning: "It lies at its port." },
        State { name: "Turning", meaning: "It lies, or may lie, where it should not." },
        State { name: "Leaving", meaning: "It casts off." },
        State { name: "Scrapped", meaning: "It lies nowhere, and goes." },
    ],
    edges: &[Edge { from: UNOBSERVED, to: ANY, guard: FIRST }, Edge { from: ANY, to: ANY, guard: CHANGED }],
};

#[derive(Clone)]
pub(crate) struct MooringMachine(&'static str);

impl Machine for MooringMachine {
    fn state(&self) -> &'static str {
        self.0
    }
}

/// An effect: what it does to the harbour.
pub(crate) type Errand = fn(&EffectRequest) -> Result<Value, String>;

/// The operator, or one that differs in a few lines.
#[derive(Clone, Copy)]
pub(crate) struct Mooring {
    pub(crate) moor: Errand,
    pub(crate) cast_off: Errand,
    pub(crate) enter: fn(&'static str, &Ship, &mut Context<'_>),
}

/// As it should be.
pub(crate) const SOUND: Mooring = Mooring { moor, cast_off, enter };

/// One look at a ship.
pub(crate) struct Ship {
    pub(crate) map: Arc<ConfigMap>,
}

impl Ship {
    fn wanted(&self) -> String {
        self.map.data.as_ref().and_then(|data| data.get("port")).cloned().unwrap_or_default()
    }

    pub(crate) fn noted(&self) -> Option<&String> {
        self.map.metadata.annotations.as_ref().and_then(|annotations| annotations.get(NOTED))
    }

    fn is_leaving(&self) -> bool {
        self.map.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(LEAVING))
    }

    fn is_going(&self) -> bool {
        self.map.metadata.deletion_timestamp.is_some()
    }
}

/// Asks for an effect, and tells what the harbour gave once it is done.
pub(crate) fn ask(ship: &Ship, effect: &'static str, port: &str, cx: &mut Context<'_>) -> Option<Value> {
    let input = json!({"ship": ship.map.metadata.name, "port": port});
    match cx.effect(effect, port, input) {
        EffectState::Done(given) => Some(given),
        EffectState::Asked | EffectState::Pending { .. } => None,
    }
}

fn classify(ship: &Ship, cx: &mut Context<'_>) -> &'static str {
    match ship.noted() {
        None if ship.is_going() => "Scrapped",
        None => "Setting out",
        Some(_) if ship.is_leaving() => "Leaving",
        Some(port) if ship.is_going() || *port != ship.wanted() => "Turning",
        Some(port) if ask(ship, MOOR, port, cx).is_some() => "Moored",
        Some(_) => "Mooring",
    }
}

/// What is to be done in a state. A ship that leaves has moored first: what is under way cannot be called back.
pub(crate) fn enter(state: &'static str, ship: &Ship, cx: &mut Context<'_>) {
    match (state, ship.noted()) {
        ("Setting out", _) => note(ship, &[(NOTED, ship.wanted())], cx),
        ("Turning", Some(port)) => note(ship, &[(NOTED, port.clone()), (LEAVING, "yes".to_owned())], cx),
        ("Scrapped", _) => note(ship, &[], cx),
        ("Leaving", Some(port)) if ask(ship, MOOR, port, cx).is_some() => {
            if ask(ship, CAST_OFF, port, cx).is_some() {
                note(ship, &[], cx);
                cx.forget_effect(MOOR, port);
                cx.forget_effect(CAST_OFF, port);
            }
        }
        _ => {}
    }
}

/// Writes down where it lies and whether it leaves. While it lies nowhere and goes, nothing holds it.
pub(crate) fn note(ship: &Ship, notes: &[(&str, String)], cx: &mut Context<'_>) {
    let mut map = ConfigMap::clone(&ship.map);
    let is_held = !notes.is_empty() || ship.noted().is_some();
    map.metadata.finalizers = is_held.then(|| vec![FINALIZER.to_owned()]);
    let annotations = map.metadata.annotations.get_or_insert_default();
    annotations.retain(|name, _| name != NOTED && name != LEAVING);
    annotations.extend(notes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    cx.update(&map);
}

pub(crate) fn named(request: &EffectRequest) -> (String, String) {
    let text = |name: &str| request.input.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    (text("ship"), text("port"))
}

/// Takes a berth, unless the ship has one, and puts out a rope: two acts, each of which may be done already.
fn moor(request: &EffectRequest) -> Result<Value, String> {
    let (ship, port) = named(request);
    beyond::act(|harbour| harbour["berths"][&ship] = json!(port))?;
    beyond::act(|harbour| harbour["ropes"][&ship] = json!(port))?;
    Ok(json!(null))
}

fn cast_off(request: &EffectRequest) -> Result<Value, String> {
    let (ship, _) = named(request);
    for kept in ["ropes", "berths"] {
        beyond::act(|harbour| harbour[kept].as_object_mut().and_then(|there| there.remove(&ship)))?;
    }
    Ok(json!(null))
}

impl Operator for Mooring {
    type Machine = MooringMachine;

    fn chart(&self) -> &'static Chart {
        &CHART
    }

    fn machine(&self) -> MooringMachine {
        MooringMachine(UNOBSERVED)
    }

    fn declaration(&self) -> Declaration {
        Declaration::of::<ConfigMap>("mooring")
            .writing::<ConfigMap>(WriteVerb::Update)
            .effecting(MOOR, self.moor)
            .effecting(CAST_OFF, self.cast_off)
    }

    fn step(&self, machine: &mut MooringMachine, _: &Wake, cx: &mut Context<'_>) {
        let Some(ship) = cx.primary::<ConfigMap>().map(|map| Ship { map }) else { return };
        let state = classify(&ship, cx);
        if machine.0 != state {
            cx.trace().because(if machine.0 == UNOBSERVED { FIRST } else { CHANGED });
            cx.trace().crossed(machine.0, state);
            machine.0 = state;
        }
        (self.enter)(state, &ship, cx);
    }
}

fn ship(port: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ship", "namespace": "default"},
        "data": {"port": port}})
}

/// The suite of a mooring: ships that make for one port and for another, and a harbour that is empty at first.
pub(crate) fn suite(operator: Mooring) -> Suite {
    Suite::of(operator)
        .spec("to the north", ship("north"))
        .spec("to the south", ship("south"))
        .beyond(json!({"berths": {}, "ropes": {}}))
}
