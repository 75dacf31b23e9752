//! An honest operator of convoys, and what can be wrong with it: each bug is a few lines that a tired engineer would write.
//!
//! A convoy registers in its namespace's harbour, a ConfigMap it shares with others, and leaves it before it goes: a finalizer
//! sees to that. Its ships are made and broken up at once, and get another cargo one by one, a minute apart.

mod kind;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use sampan_core::gateway::DeleteOptions;
use sampan_core::object::{Object, ObjectKey};
use sampan_core::operator::{Context, Declaration, Kind as _, Mapping, Operator, Wake, WriteVerb};
use sampan_core::store::Snapshot;
use sampan_machine::{ANY, Chart, Edge, Machine, State, UNOBSERVED};

use kind::Status;
pub(crate) use kind::{Convoy, convoy, kind};

/// Takes the convoy out of the harbour before it goes.
pub(crate) const FINALIZER: &str = "example.com/harbour";
/// How long after a reloading the next may begin.
pub(crate) const LAYOVER_SECONDS: i64 = 60;

/// The operator: honest, or with one bug.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Convoys(pub Option<Bug>);

/// What a tired engineer would ship.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Registers in the harbour first and puts the finalizer on later: a convoy deleted in between stays in the book.
    FinalizerLast,
    /// Arms the timer of the layover only on entering the state, and is woken early by something else.
    TimerOnEntry,
    /// Compares how many ships there are, not which: after a loss and a smaller spec, the wrong ones stay.
    CountsShips,
    /// Finds its ships by their names and never asks whose they are: a stranger's ConfigMap is reloaded.
    TakesByName,
    /// Wakes whom the harbour's book names: who waits for the harbour stands in no book, and sleeps on.
    DeafToTheHarbour,
}

const FIRST: &str = "first observation";
const CHANGED: &str = "something else is to be done";

static CHART: Chart = Chart {
    name: "convoys",
    states: &[
        State { name: "Free", meaning: "It is not held by its finalizer yet." },
        State { name: "Unregistered", meaning: "The harbour's book does not have it right." },
        State { name: "Gathering", meaning: "Ships are missing, or too many." },
        State { name: "Reloading", meaning: "A ship has another cargo." },
        State { name: "LayingOver", meaning: "A ship has another cargo, and another was reloaded a moment ago." },
        State { name: "Laden", meaning: "Every ship carries the cargo." },
        State { name: "Leaving", meaning: "It is being deleted." },
    ],
    edges: &[Edge { from: UNOBSERVED, to: ANY, guard: FIRST }, Edge { from: ANY, to: ANY, guard: CHANGED }],
};

/// The machine: the state, as it was looked at last.
#[derive(Debug, Clone)]
pub(crate) struct ConvoyMachine(&'static str);

impl Machine for ConvoyMachine {
    fn state(&self) -> &'static str {
        self.0
    }
}

impl Operator for Convoys {
    type Machine = ConvoyMachine;

    fn chart(&self) -> &'static Chart {
        &CHART
    }

    fn machine(&self) -> ConvoyMachine {
        ConvoyMachine(UNOBSERVED)
    }

    fn declaration(&self) -> Declaration {
        let concerned = if self.has(Bug::DeafToTheHarbour) { in_the_book } else { beside };
        Declaration::of::<Convoy>("convoys")
            .watching::<ConfigMap>(Mapping::Owner)
            .watching::<ConfigMap>(Mapping::function(concerned))
            .writing::<ConfigMap>(WriteVerb::Create)
            .writing::<ConfigMap>(WriteVerb::Update)
            .writing::<ConfigMap>(WriteVerb::Delete)
            .writing::<Convoy>(WriteVerb::Update)
            .writing::<Convoy>(WriteVerb::UpdateStatus)
    }

    fn step(&self, machine: &mut ConvoyMachine, _wake: &Wake, cx: &mut Context<'_>) {
        let Some(convoy) = cx.primary::<Convoy>() else { return };
        let harbour = cx.get::<ConfigMap>(&harbour_of(&convoy));
        let ships = self.ships(&convoy, cx);
        let laden = ships.values().filter(|ship| carries(ship, &convoy)).count();
        let mut status = Status { laden, ..convoy.status.clone() };
        let look = Look { bug: self.0, convoy, harbour, ships, rests: rests(&status, cx) };
        let state = look.state();
        let entered = machine.0 != state;
        if entered {
            cx.trace().because(if machine.0 == UNOBSERVED { FIRST } else { CHANGED });
            cx.trace().crossed(machine.0, state);
            machine.0 = state;
        }
        match state {
            "Free" => cx.update(&look.held()),
            "Unregistered" => look.register(cx),
            "Gathering" => look.gather(cx),
            "Reloading" => {
                look.reload(cx);
                status.reloaded = Some(cx.now().as_second());
            }
            "LayingOver" if !self.has(Bug::TimerOnEntry) || entered => cx.wake_after(Duration::from_secs(look.rests)),
            "Leaving" => look.leave(cx),
            _ => {}
        }
        if state != "Leaving" {
            cx.update_status(&Convoy { status, ..(*look.convoy).clone() });
        }
    }
}

impl Convoys {
    fn has(self, bug: Bug) -> bool {
        self.0 == Some(bug)
    }

    /// Its ships by their names.
    fn ships(self, convoy: &Convoy, cx: &mut Context<'_>) -> BTreeMap<String, Arc<ConfigMap>> {
        let mut ships = cx.owned::<ConfigMap>();
        if self.has(Bug::TakesByName) {
            ships.extend(names(convoy).filter_map(|name| cx.get::<ConfigMap>(&beside_it(convoy, &name))));
        }
        ships.into_iter().map(|ship| (ship.metadata.name.clone().unwrap_or_default(), ship)).collect()
    }
}

/// One look at a convoy.
struct Look {
    bug: Option<Bug>,
    convoy: Arc<Convoy>,
    harbour: Option<Arc<ConfigMap>>,
    ships: BTreeMap<String, Arc<ConfigMap>>,
    /// Seconds until a ship may be reloaded.
    rests: u64,
}

impl Look {
    fn state(&self) -> &'static str {
        let reloads = self.ships.values().any(|ship| !carries(ship, &self.convoy));
        match () {
            () if self.convoy.metadata.deletion_timestamp.is_some() => "Leaving",
            () if !self.is_held() && self.bug != Some(Bug::FinalizerLast) => "Free",
            () if !self.is_registered() => "Unregistered",
            () if !self.is_held() => "Free",
            () if self.lacks_or_exceeds() => "Gathering",
            () if reloads && self.rests > 0 => "LayingOver",
            () if reloads => "Reloading",
            () => "Laden",
        }
    }

    fn is_held(&self) -> bool {
        self.convoy.metadata.finalizers.iter().flatten().any(|it| it == FINALIZER)
    }

    fn held(&self) -> Convoy {
        let mut held = (*self.convoy).clone();
        held.metadata.finalizers.get_or_insert_default().push(FINALIZER.to_owned());
        held
    }

    fn is_registered(&self) -> bool {
        let book = self.harbour.as_ref().and_then(|harbour| harbour.data.as_ref());
        book.and_then(|book| book.get(&name(&self.convoy))) == Some(&self.convoy.spec.ships.to_string())
    }

    fn register(&self, cx: &mut Context<'_>) {
        match &self.harbour {
            Some(harbour) => {
                let mut harbour = (**harbour).clone();
                let book = harbour.data.get_or_insert_default();
                book.insert(name(&self.convoy), self.convoy.spec.ships.to_string());
                cx.update(&harbour);
            }
            None => cx.trace().waiting_for("there is a harbour", harbour_of(&self.convoy).to_string(), None),
        }
    }

    fn lacks_or_exceeds(&self) -> bool {
        if self.bug == Some(Bug::CountsShips) {
            return self.ships.len() != self.convoy.spec.ships;
        }
        !self.ships.keys().eq(&names(&self.convoy).collect::<BTreeSet<_>>())
    }

    /// Makes the ships that are missing, and breaks up those there should not be.
    fn gather(&self, cx: &mut Context<'_>) {
        if let Some(refused) = cx.refusal().map(|it| it.status.message.clone()) {
            return cx.trace().waiting_for("its ships can be made", refused, None);
        }
        let missing = names(&self.convoy).filter(|name| !self.ships.contains_key(name));
        missing.for_each(|name| cx.create(&ship(&self.convoy, name)));
        let wanted: BTreeSet<String> = names(&self.convoy).collect();
        let surplus = self.ships.iter().filter(|(name, _)| !wanted.contains(*name));
        surplus.for_each(|(_, ship)| cx.delete(&**ship, DeleteOptions::default()));
    }

    /// Gives the first ship that has another cargo the right one.
    fn reload(&self, cx: &mut Context<'_>) {
        let other = self.ships.values().find(|ship| !carries(ship, &self.convoy));
        if let Some(other) = other {
            cx.update(&ConfigMap { data: Some(hold(&self.convoy)), ..(**other).clone() });
        }
    }

    /// Leaves the harbour, and then lets the convoy go.
    fn leave(&self, cx: &mut Context<'_>) {
        if let Some(harbour) = &self.harbour {
            let mut without = (**harbour).clone();
            if without.data.as_mut().is_some_and(|book| book.remove(&name(&self.convoy)).is_some()) {
                return cx.update(&without);
            }
        }
        let mut free = (*self.convoy).clone();
        free.metadata.finalizers.get_or_insert_default().retain(|it| it != FINALIZER);
        cx.update(&free);
    }
}

/// How many seconds are left of the layover.
fn rests(status: &Status, cx: &Context<'_>) -> u64 {
    let since = status.reloaded.map_or(LAYOVER_SECONDS, |reloaded| cx.now().as_second() - reloaded);
    u64::try_from(LAYOVER_SECONDS - since).unwrap_or(0)
}

fn name(convoy: &Convoy) -> String {
    convoy.metadata.name.clone().unwrap_or_default()
}

fn names(convoy: &Convoy) -> impl Iterator<Item = String> {
    let name = name(convoy);
    (0..convoy.spec.ships).map(move |number| format!("{name}-{number}"))
}

fn beside_it(convoy: &Convoy, name: &str) -> ObjectKey {
    ObjectKey::namespaced(ConfigMap::RESOURCE, convoy.metadata.namespace.as_deref().unwrap_or_default(), name)
}

fn harbour_of(convoy: &Convoy) -> ObjectKey {
    beside_it(convoy, "harbour")
}

fn hold(convoy: &Convoy) -> BTreeMap<String, String> {
    [("cargo".to_owned(), convoy.spec.cargo.clone())].into()
}

fn carries(ship: &ConfigMap, convoy: &Convoy) -> bool {
    ship.data.as_ref() == Some(&hold(convoy))
}

fn ship(convoy: &Convoy, name: String) -> ConfigMap {
    let owner = OwnerReference {
        api_version: Convoy::API_VERSION.to_owned(),
        kind: Convoy::KIND.to_owned(),
        name: self::name(convoy),
        uid: convoy.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    };
    let metadata = ObjectMeta {
        name: Some(name),
        namespace: convoy.metadata.namespace.clone(),
        owner_references: Some(vec![owner]),
        ..ObjectMeta::default()
    };
    ConfigMap { metadata, data: Some(hold(convoy)), ..ConfigMap::default() }
}

/// The convoys of a harbour's namespace.
fn beside(map: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    if &*map.key().name != "harbour" {
        return Vec::new();
    }
    let convoys = snapshot.list(Convoy::RESOURCE, map.key().namespace.as_deref(), None);
    convoys.map(|convoy| convoy.key().clone()).collect()
}

/// The convoys a harbour's book names.
fn in_the_book(map: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    let book = map.decode::<ConfigMap>().ok().and_then(|map| map.data.clone()).unwrap_or_default();
    beside(map, snapshot).into_iter().filter(|convoy| book.contains_key(&*convoy.name)).collect()
}
