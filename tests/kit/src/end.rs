//! Where a world ends when nobody disturbs it: the operators come to rest, those who help do what they do, timers run out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::SignedDuration;
use sampan_core::object::{Object, ObjectKey};
use sampan_core::store::{Origin, Snapshot};
use sampan_machine::{Chart, UNOBSERVED};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::digest::{Digest, Digester, untouched};
use crate::done::Became;
use crate::property::{Breach, Property, Tally};
use crate::world::World;

/// A world that has not come to its end after so many moves never will.
const MOVES_MAX: usize = 600;
/// What an operator may create on the way to the end of a small world.
const CREATIONS_MAX: usize = 100;
/// A driver that starts afresh on a cluster at rest is at rest again after so many steps, or never.
const STEPS_TO_REST_MAX: usize = 200;
/// The steps of a quiet day: one in fifteen seconds, as often as the slowest retry comes.
const DAY_STEPS_MAX: u64 = 5_760;
/// A timer that comes back after so long will not make more steps in a day than may be.
const QUIET_SECONDS: i64 = 15;

/// Where a world ends.
#[derive(Debug, Clone)]
pub(crate) struct End {
    /// What is seen there.
    pub(crate) look: Digest,
    /// What a deleted subject left behind.
    pub(crate) leftover: Option<String>,
    /// What is seen of all others there, where the subject is gone.
    pub(crate) others: BTreeMap<ObjectKey, String>,
}

impl End {
    /// What somebody else's object still tells of a subject that is gone; `without` is the end of a world it never was in.
    pub(crate) fn mark(&self, without: &Self) -> Option<String> {
        let told = |(key, before): (&ObjectKey, &String)| {
            let after = self.others.get(key).filter(|after| *after != before)?;
            Some(format!("it is gone, and {key} still tells of it:\n      {after}\n    without it:\n      {before}"))
        };
        without.others.iter().find_map(told)
    }
}

/// A property that does not hold some moves further on.
#[derive(Debug, Clone)]
pub(crate) struct Broken {
    pub(crate) breach: Breach,
    /// The moves that led there.
    pub(crate) story: Vec<String>,
}

impl From<Breach> for Broken {
    fn from(breach: Breach) -> Self {
        Self { breach, story: Vec::new() }
    }
}

/// The ends of all states met so far.
pub(crate) struct Ends {
    pub(crate) digester: Digester,
    known: HashMap<Digest, Arc<End>>,
    pictures: HashMap<Digest, Vec<String>>,
    pub(crate) tally: Tally,
}

impl Ends {
    pub(crate) fn new(world: &World) -> Self {
        Self {
            digester: Digester::new(world.ages_seconds, world.incidental, world.alike),
            known: HashMap::new(),
            pictures: HashMap::new(),
            tally: Tally::default(),
        }
    }

    /// Where the world ends from here.
    pub(crate) fn of(&mut self, cluster: &Cluster<'_>) -> Result<Arc<End>, Box<Broken>> {
        let state = self.digester.state(cluster);
        self.of_state(state, cluster)
    }

    /// The same of a cluster whose state is known.
    pub(crate) fn of_state(&mut self, state: Digest, cluster: &Cluster<'_>) -> Result<Arc<End>, Box<Broken>> {
        self.tally.checked(Property::Convergence);
        if let Some(end) = self.known.get(&state) {
            return Ok(end.clone());
        }
        let mut way = Way { cluster: cluster.fork(), path: Vec::new(), story: Vec::new(), created: 0 };
        let outcome = self.follow(state, &mut way);
        let Way { path, story, .. } = way;
        let end = outcome.map_err(|breach| Box::new(Broken { breach, story }))?;
        self.known.extend(path.into_iter().map(|stage| (stage.state, end.clone())));
        Ok(end)
    }

    fn follow(&mut self, mut state: Digest, way: &mut Way<'_>) -> Result<Arc<End>, Breach> {
        for _ in 0..MOVES_MAX {
            if let Some(end) = self.known.get(&state) {
                return Ok(end.clone());
            }
            let again = way.path.iter().position(|before| before.state == state);
            way.path.push(Stage::of(state, &way.cluster));
            if let Some(again) = again {
                return if self.is_still(way, again) { self.arrive(way) } else { Err(circle()) };
            }
            if !way.go_on() {
                return self.arrive(way);
            }
            self.check(way)?;
            state = self.digester.state(&way.cluster);
        }
        Err(Breach::of(Property::Convergence, format!("the operators do not come to rest within {MOVES_MAX} moves")))
    }

    /// Whether one sees nothing change from a stage on: what goes round there is timers, and the world has come to its end.
    fn is_still(&mut self, way: &Way<'_>, from: usize) -> bool {
        let looks = way.path.iter().skip(from).map(|stage| self.digester.look(&stage.snapshot, &stage.beyond));
        let looks: BTreeSet<Digest> = looks.collect();
        looks.len() == 1
    }

    fn check(&mut self, way: &Way<'_>) -> Result<(), Breach> {
        self.tally.checked(Property::BoundedCreation);
        check_always(&way.cluster, &mut self.tally)?;
        match way.created > CREATIONS_MAX {
            true => Err(Breach::of(
                Property::BoundedCreation,
                format!("{} objects were created and no end is near", way.created),
            )),
            false => Ok(()),
        }
    }

    fn arrive(&mut self, way: &Way<'_>) -> Result<Arc<End>, Breach> {
        let cluster = &way.cluster;
        let look = self.digester.look(&cluster.snapshot(), cluster.beyond());
        check_laws_of_rest(cluster, &mut self.tally)?;
        self.check_day(cluster)?;
        let picture = self.digester.picture(cluster);
        self.pictures.entry(look).or_insert(picture);
        let subject = cluster.world().subject.as_ref();
        let is_gone = subject.is_some_and(|subject| cluster.snapshot().get(subject).is_none());
        let others = if is_gone { untouched(cluster) } else { BTreeMap::new() };
        Ok(Arc::new(End { look, leftover: leftover(cluster), others }))
    }

    /// A day at the end of a world: timers may go off, but nothing is written.
    fn check_day(&mut self, cluster: &Cluster<'_>) -> Result<(), Breach> {
        self.tally.checked(Property::QuietDay);
        let mut day = cluster.fork();
        let until = day.now.checked_add(SignedDuration::from_hours(24)).unwrap_or(day.now);
        let mut last = day.now;
        while day.driver.next_deadline().is_some_and(|next| next < until) {
            day.advance();
            let _ = day.run_to_rest(STEPS_TO_REST_MAX);
            if let Some(done) = day.done.iter().find(|done| done.lasting().next().is_some()) {
                return Err(Breach::of(Property::QuietDay, format!("nothing happens, and still: {}", done.story())));
            }
            if day.steps > DAY_STEPS_MAX {
                let problem = format!("{} steps in the {} of a day", day.steps, day.now.duration_since(cluster.now));
                return Err(Breach::of(Property::QuietDay, problem));
            }
            if day.now.duration_since(last).as_secs() >= QUIET_SECONDS {
                break;
            }
            last = day.now;
        }
        Ok(())
    }

    /// What one end has that the other has not.
    pub(crate) fn difference(&self, expected: Digest, found: Digest) -> String {
        let nothing = Vec::new();
        let lines = |look: Digest| self.pictures.get(&look).unwrap_or(&nothing);
        let only = |one: &[String], other: &[String]| {
            one.iter().filter(|line| !other.contains(line)).cloned().collect::<Vec<_>>().join("\n      ")
        };
        let (expected, found) = (lines(expected), lines(found));
        format!(
            "\n    expected and missing:\n      {}\n    found instead:\n      {}",
            only(expected, found),
            only(found, expected)
        )
    }
}

fn circle() -> Breach {
    Breach::of(Property::Convergence, "the operators never come to rest: they go in a circle")
}

/// The way to an end.
struct Way<'w> {
    cluster: Cluster<'w>,
    path: Vec<Stage>,
    story: Vec<String>,
    created: usize,
}

/// A state on the way, and what is seen of it: looked at only where the way comes back to it.
struct Stage {
    state: Digest,
    snapshot: Snapshot,
    beyond: Value,
}

impl Stage {
    fn of(state: Digest, cluster: &Cluster<'_>) -> Self {
        Self { state, snapshot: cluster.snapshot(), beyond: cluster.beyond().clone() }
    }
}

impl Way<'_> {
    /// One move on: a step, else a helper's deed, else the next timer. `false` at the end.
    fn go_on(&mut self) -> bool {
        if self.cluster.driver.is_ready() {
            self.cluster.step();
            self.tell("step");
            return true;
        }
        if self.is_helped() {
            return true;
        }
        let goes_on = self.cluster.advance();
        if goes_on {
            self.cluster.step();
            self.tell("the next timer");
        }
        goes_on
    }

    /// One of those who help does the first thing it can.
    fn is_helped(&mut self) -> bool {
        for helper in self.cluster.world().actors.iter().filter(|actor| actor.helps) {
            for deed in (helper.deeds)(&self.cluster.snapshot(), self.cluster.now) {
                if self.cluster.edit(&deed.edit).is_ok() {
                    self.story.push(deed.what);
                    return true;
                }
            }
        }
        false
    }

    fn tell(&mut self, what: &str) {
        let done = std::mem::take(&mut self.cluster.done);
        let created = |written: &&crate::done::Written| written.became == Became::Created;
        self.created += done.iter().flat_map(|done| done.lasting().filter(created)).count();
        self.story.push(told(what, &done));
    }
}

/// A move, and what it led to.
pub(crate) fn told(what: &str, done: &[crate::done::Done]) -> String {
    let stories: Vec<String> = done.iter().map(crate::done::Done::story).collect();
    if stories.is_empty() { what.to_owned() } else { format!("{what} ({})", stories.join("; ")) }
}

/// What holds at every revision.
pub(crate) fn check_always(cluster: &Cluster<'_>, tally: &mut Tally) -> Result<(), Breach> {
    [Property::Soundness, Property::Declared, Property::Ownership, Property::DeclaredEdges, Property::BoundedCommits]
        .into_iter()
        .for_each(|property| tally.checked(property));
    if let Some(breach) = &cluster.breach {
        return Err(breach.clone());
    }
    // A law looks at nothing but these two: where neither has changed it says what it has said.
    let looked_at = (cluster.snapshot().revision(), cluster.now);
    if cluster.lawful_at.get() == Some(looked_at) {
        return Ok(());
    }
    laws(&cluster.world().always, cluster, tally, "")?;
    cluster.lawful_at.set(Some(looked_at));
    Ok(())
}

/// What holds wherever the operators have nothing left to do.
pub(crate) fn check_laws_of_rest(cluster: &Cluster<'_>, tally: &mut Tally) -> Result<(), Breach> {
    laws(&cluster.world().at_rest, cluster, tally, "at rest, ")
}

fn laws(
    laws: &[(&'static str, crate::world::Law)],
    cluster: &Cluster<'_>,
    tally: &mut Tally,
    when: &str,
) -> Result<(), Breach> {
    let snapshot = cluster.snapshot();
    for (name, law) in laws {
        tally.checked(Property::Laws);
        law(&snapshot, cluster.now).map_err(|why| Breach::of(Property::Laws, format!("{when}{name}: {why}")))?;
    }
    Ok(())
}

/// A driver that starts afresh at rest changes nothing and sees the same.
pub(crate) fn check_rest(cluster: &Cluster<'_>, tally: &mut Tally) -> Result<(), Breach> {
    check_laws_of_rest(cluster, tally)?;
    if cluster.driver.next_deadline().is_some() {
        // What a timer will do, a driver that starts afresh may do at once.
        return Ok(());
    }
    tally.checked(Property::Rest);
    let mut fresh = cluster.fork();
    fresh.restart();
    if !fresh.run_to_rest(STEPS_TO_REST_MAX) {
        return Err(Breach::of(Property::Rest, "started afresh at rest, the operators do not come to rest"));
    }
    if let Some(done) = fresh.done.iter().find(|done| !done.written.is_empty()) {
        return Err(Breach::of(
            Property::Rest,
            format!("started afresh at rest, the operators write: {}", done.story()),
        ));
    }
    tally.checked(Property::DerivedState);
    // A machine nothing has woken yet has not classified anything.
    let differs =
        |(one, other): &(&Classified, &Classified)| one != other && ![one.1, other.1].contains(&Some(UNOBSERVED));
    let (live, anew) = (classified(cluster), classified(&fresh));
    match live.iter().zip(&anew).find(differs) {
        Some((live, anew)) => {
            let problem = format!("{live:?} is {anew:?} when classified afresh: the state is not derived");
            Err(Breach::of(Property::DerivedState, problem))
        }
        None => Ok(()),
    }
}

type Classified = (String, Option<&'static str>);

fn classified(cluster: &Cluster<'_>) -> Vec<Classified> {
    let snapshot = cluster.snapshot();
    let keys = snapshot.resources().flat_map(|it| snapshot.list(it, None, None)).map(|object| object.key());
    let charts: Vec<&Chart> = cluster.driver.charts().collect();
    let state = |chart: &&Chart, key| (format!("{} {key}", chart.name), cluster.driver.state(chart.name, key));
    keys.flat_map(|key| charts.iter().map(move |chart| state(chart, key))).collect()
}

/// What is left of a subject that was deleted: itself, held by a finalizer of the operator's, or what was created for it.
fn leftover(cluster: &Cluster<'_>) -> Option<String> {
    let key = cluster.world().subject.as_ref()?;
    let snapshot = cluster.snapshot();
    match snapshot.get(key) {
        Some(subject) if subject.metadata().is_terminating() => stuck(cluster.world(), subject),
        Some(_) => None,
        None => orphan(cluster.world(), &snapshot, &key.to_string()).or_else(|| stranded(cluster)),
    }
}

/// What a subject that is gone left beyond the cluster.
fn stranded(cluster: &Cluster<'_>) -> Option<String> {
    let World { beyond, leaves_beyond, .. } = cluster.world();
    let is_as_before = *leaves_beyond || cluster.beyond() == beyond;
    (!is_as_before).then(|| format!("it is gone, and beyond the cluster there is {}, not {beyond}", cluster.beyond()))
}

fn stuck(world: &World, subject: &Object) -> Option<String> {
    let manifests = world.initial.iter().chain(world.specs.iter().map(|(_, spec)| spec));
    let given: Vec<&str> = manifests
        .filter_map(|manifest| manifest.pointer("/metadata/finalizers")?.as_array())
        .flatten()
        .filter_map(|finalizer| finalizer.as_str())
        .collect();
    let finalizers = &subject.metadata().finalizers;
    let is_foreign = finalizers.iter().any(|finalizer| given.contains(&&**finalizer));
    (!is_foreign).then(|| format!("{} is deleted and stays, held by {finalizers:?}", subject.key()))
}

fn orphan(world: &World, snapshot: &Snapshot, deleted: &str) -> Option<String> {
    let objects = snapshot.resources().flat_map(|resource| snapshot.list(resource, None, None));
    let created_for = |object: &Object| {
        let origins = snapshot.origins(object.key())?;
        match &*origins.created {
            Origin::Decision { object, .. } => Some(object == deleted),
            _ => None,
        }
    };
    let lasting = objects.filter(|object| object.key().resource != sampan_core::resource::EVENTS);
    let mut left = lasting.filter(|object| created_for(object) == Some(true) && !(world.is_let_go)(object));
    left.next().map(|object| format!("{deleted} is gone, and {} which was created for it is left", object.key()))
}
