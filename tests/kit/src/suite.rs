//! An operator under proof: what its author names, and the worlds that follow from it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use sampan_core::object::{Object, ObjectKey, ResourceType};
use sampan_core::operator::{Driver, Operator, WriteVerb};
use sampan_core::resource::ResourceDefinition;
use sampan_core::store::Snapshot;
use sampan_machine::Chart;
use serde_json::Value;

use crate::actors;
use crate::cluster::{Cluster, Crossed, steps_of_this_thread};
use crate::digest::{Alike, Incidental};
use crate::explore::{Report, Thoroughness, explore_with};
use crate::history::{Fault, Histories, draw};
use crate::probe::respecified;
use crate::property::{Breach, Property};
use crate::report::{Failure, Outcome, uncrossed};
use crate::world::{Actor, Deed, Edit, World};

/// Histories one job draws, so that all cores have work and progress shows.
const SEEDS_PER_JOB: u64 = 10;

/// An operator under proof.
///
/// Of its specs the kit makes worlds: one for each, where the user changes to any other and deletes, while the neighbours
/// do their part. Worlds of the author's own come beside them. All are explored to a fixpoint, and histories are drawn in
/// all of them.
#[derive(Clone)]
pub struct Suite {
    /// Its name: the operator's.
    pub name: &'static str,
    /// What `sampan conformance` is asked for it by.
    asked_as: &'static str,
    chart: &'static Chart,
    creates: bool,
    has_effects: bool,
    base: World,
    neighbours: Vec<Actor>,
    own: Vec<World>,
    is_alone: bool,
}

/// How much is tried.
#[derive(Debug, Clone)]
pub struct Plan {
    /// From how many states what costs a whole way to the end is tried.
    pub thoroughness: Thoroughness,
    /// The histories drawn in each world.
    pub seeds: std::ops::Range<u64>,
    /// Only this world, if one is named.
    pub world: Option<String>,
    /// Which worlds are explored; in the others histories are all.
    pub explores: Explores,
}

/// Which worlds are explored to a fixpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Explores {
    /// All.
    All,
    /// Those that take seconds.
    Small,
    /// None.
    None,
}

impl Plan {
    /// What every change is held against: seconds.
    pub fn small() -> Self {
        let thoroughness = Thoroughness { first: 24, then_every: 32 };
        Self { thoroughness, seeds: 0..10, world: None, explores: Explores::Small }
    }

    /// All there is to try from every state, and many histories: minutes.
    pub fn large() -> Self {
        Self { thoroughness: Thoroughness::FULL, seeds: 0..500, explores: Explores::All, ..Self::small() }
    }

    /// A plan with other histories.
    pub fn with_seeds(mut self, seeds: std::ops::Range<u64>) -> Self {
        self.seeds = seeds;
        self
    }

    /// A plan for one world alone.
    pub fn in_world(mut self, world: impl Into<String>) -> Self {
        self.world = Some(world.into());
        self
    }

    fn explores(&self, world: &World) -> bool {
        match self.explores {
            Explores::All => true,
            Explores::Small => !world.is_large,
            Explores::None => false,
        }
    }

    fn takes(&self, world: &World) -> bool {
        self.world.as_ref().is_none_or(|name| *name == world.name)
    }
}

impl Suite {
    /// A suite for an operator.
    pub fn of<O: Operator + Clone + Sync>(operator: O) -> Self {
        let (declaration, chart) = (operator.declaration(), operator.chart());
        let creates = declaration.writes.iter().any(|writes| writes.verb == WriteVerb::Create);
        let has_effects = !declaration.effects.is_empty();
        let tells_status = declaration.primary.is_none_or(|primary| declaration.may(WriteVerb::UpdateStatus, primary));
        let world = World::new(declaration.name, move |driver: &mut Driver| driver.add(operator.clone()));
        Self {
            name: declaration.name,
            asked_as: declaration.name,
            chart,
            creates,
            has_effects,
            base: World { tells_status, ..world },
            neighbours: Vec::new(),
            own: Vec::new(),
            is_alone: false,
        }
    }

    /// Asked for by another word than its name: a plugin's folder.
    pub fn asked_as(mut self, word: &'static str) -> Self {
        self.asked_as = word;
        self
    }

    /// Serving a resource type beside what Sampan always serves.
    pub fn serving(mut self, definition: ResourceDefinition) -> Self {
        self.base.definitions.push(definition);
        self
    }

    /// With a manifest of the operator's primary. All manifests name the same object.
    pub fn spec(mut self, name: &'static str, manifest: Value) -> Self {
        self.base.specs.push((name, manifest));
        self
    }

    /// With an object that every world made of a spec starts with.
    pub fn beside(mut self, object: Value) -> Self {
        self.base.initial.push(object);
        self
    }

    /// With somebody who acts in every world made of a spec.
    pub fn neighbour(mut self, actor: Actor) -> Self {
        self.neighbours.push(actor);
        self
    }

    /// Exploring whose worlds takes minutes: a small budget only draws histories in them.
    pub fn large(mut self) -> Self {
        self.base.is_large = true;
        self
    }

    /// Without the stand-in for the garbage collector, which all worlds have.
    pub fn alone(mut self) -> Self {
        self.is_alone = true;
        self
    }

    /// With a law for every revision of every world.
    pub fn always(
        mut self,
        name: &'static str,
        law: impl Fn(&Snapshot, Timestamp) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.base = self.base.always(name, law);
        self
    }

    /// With a law for rest in every world.
    pub fn at_rest(
        mut self,
        name: &'static str,
        law: impl Fn(&Snapshot, Timestamp) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.base = self.base.at_rest(name, law);
        self
    }

    /// What of an object tells its history, or is drawn by lot, and does not count when two ends are compared. It is
    /// taken out of the value; `false` takes the object out as a whole.
    pub fn incidental(mut self, incidental: Incidental) -> Self {
        self.base.incidental = incidental;
        self
    }

    /// What of an object tells states apart that go on alike, such as names made of the time: it is taken out of the value.
    /// Without it a world that goes by the calendar has no end of states.
    pub fn alike(mut self, alike: Alike) -> Self {
        self.base.alike = alike;
        self
    }

    /// What of the status is remembered rather than observed, as JSON pointers below `/status`.
    pub fn remembering(mut self, pointers: &'static [&'static str]) -> Self {
        self.base.remembered = pointers;
        self
    }

    /// Whose changes may come between a step and its commit, because what it writes is derived of them as a status is.
    pub fn lagging_behind(mut self, resources: &'static [ResourceType]) -> Self {
        self.base.lags_behind = resources;
        self
    }

    /// What the operator may change although it does not own it, for the sake of a primary.
    pub fn touching(mut self, may_touch: fn(&Object, &ObjectKey) -> bool) -> Self {
        self.base.may_touch = may_touch;
        self
    }

    /// Which objects that were created for a primary are its no longer, and outlive it.
    pub fn letting_go(mut self, is_let_go: fn(&Object) -> bool) -> Self {
        self.base.is_let_go = is_let_go;
        self
    }

    /// Which objects it changes for a primary, and does not own, stay changed when the primary goes. All others must be as they
    /// would be had the primary never been: an entry in a list that others share is taken out again.
    pub fn leaving_changed(mut self, stays_changed: fn(&Object) -> bool) -> Self {
        self.base.stays_changed = stays_changed;
        self
    }

    /// With a world beyond the store that is not empty at first: what effects find by [`beyond::act`](crate::beyond::act).
    pub fn beyond(mut self, world: Value) -> Self {
        self.base.beyond = world;
        self
    }

    /// Leaving beyond the store what its effects did there when its primary goes: a letter that was sent stays sent.
    pub fn leaving_beyond(mut self) -> Self {
        self.base.leaves_beyond = true;
        self
    }

    /// Timestamps are told apart up to so many seconds of age: what the operator's longest timer needs.
    pub fn ages_seconds(mut self, seconds: i64) -> Self {
        self.base.ages_seconds = seconds;
        self
    }

    /// With a world of the author's own. It gets the suite's operator, definitions and laws, and its subject.
    pub fn world(mut self, world: impl FnOnce(World) -> World) -> Self {
        let base = World { specs: Vec::new(), initial: Vec::new(), ..self.base.clone() };
        self.own.push(world(base));
        self
    }

    /// All worlds: those of the specs, and the author's own.
    pub fn worlds(&self) -> Vec<World> {
        let subject = self.subject();
        let mut worlds: Vec<World> = (0..self.base.specs.len()).map(|at| self.world_of(at)).collect();
        worlds.extend(self.own.iter().cloned());
        for world in &mut worlds {
            world.subject = world.subject.take().or_else(|| subject.clone());
            if !self.is_alone {
                world.actors.push(actors::collector());
            }
        }
        worlds
    }

    fn subject(&self) -> Option<ObjectKey> {
        let (_, manifest) = self.base.specs.first()?;
        let bare = World { specs: Vec::new(), initial: Vec::new(), ..self.base.clone() };
        Cluster::new(&bare).key(manifest).ok()
    }

    /// The world that starts with a spec: the user changes to any other, and deletes.
    fn world_of(&self, at: usize) -> World {
        let mut world = self.base.clone();
        let Some((name, manifest)) = world.specs.get(at).cloned() else { return world };
        world.name = format!("spec {name}");
        world.initial.push(manifest);
        world.actors.clone_from(&self.neighbours);
        let (subject, specs) = (self.subject(), world.specs.clone());
        world.with(actors::rare(1, "user", move |snapshot, _| {
            match subject.as_ref().and_then(|key| snapshot.get(key)) {
                Some(object) => user_deeds(object, &specs),
                None => creations(&specs),
            }
        }))
    }
}

fn creations(specs: &[(&'static str, Value)]) -> Vec<Deed> {
    let create = |(name, spec): &(&'static str, Value)| Deed {
        what: format!("it is created as `{name}`"),
        edit: Edit::Create(spec.clone()),
    };
    specs.iter().map(create).collect()
}

fn user_deeds(object: &Object, specs: &[(&'static str, Value)]) -> Vec<Deed> {
    if object.metadata().is_terminating() {
        return Vec::new();
    }
    let changes = specs.iter().map(|(name, spec)| Deed {
        what: format!("the spec becomes `{name}`"),
        edit: Edit::Update(respecified(object, spec)),
    });
    changes.chain([actors::deed(object, "is deleted", Edit::Delete(object.key().clone()))]).collect()
}

/// Running.
impl Suite {
    /// Proves the operator, telling `progress` of jobs done and jobs in all.
    pub fn run(&self, plan: &Plan, progress: &(dyn Fn(usize, usize) + Sync)) -> Outcome {
        let worlds: Vec<World> = self.worlds().into_iter().filter(|world| plan.takes(world)).collect();
        let jobs = jobs(&worlds, plan);
        let all = jobs.len();
        let (jobs, results) = (Mutex::new(jobs), Mutex::new(Vec::new()));
        let failed: Mutex<BTreeSet<&str>> = Mutex::default();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..cores {
                scope.spawn(|| {
                    while let Some(job) = locked(&jobs).pop_front() {
                        let drawn_in = job.drawn_in();
                        // One failure a world is told: each is made short first, which takes longer than all that holds.
                        let is_done = drawn_in.is_some_and(|world| locked(&failed).contains(world));
                        let done = (!is_done).then(|| job.run(plan));
                        if done.as_ref().is_some_and(|done| done.result.is_err()) {
                            locked(&failed).extend(drawn_in);
                        }
                        locked(&results).push(done);
                        progress(locked(&results).len(), all);
                    }
                });
            }
        });
        let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.gather(plan, results.into_iter().flatten())
    }

    /// Proves the operator as `cargo test` does, and prints what was checked.
    ///
    /// # Panics
    /// When a property does not hold.
    pub fn test(&self) {
        let outcome = self.run(&Plan::small(), &|_, _| ());
        println!("{outcome}");
        let failures: Vec<String> = outcome.failures.iter().map(ToString::to_string).collect();
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }

    /// What is found wrong first with an operator that must not get through, in one world explored to its end.
    ///
    /// # Panics
    /// When nothing is.
    pub fn failure_in(&self, world: &str) -> Failure {
        let plan = Plan { explores: Explores::All, ..Plan::small().with_seeds(0..0) }.in_world(world);
        self.run(&plan, &|_, _| ()).failures.into_iter().next().expect("the mutant gets through")
    }

    fn gather(&self, plan: &Plan, results: impl Iterator<Item = Done>) -> Outcome {
        let mut outcome = Outcome { suite: self.name.to_owned(), ..Outcome::default() };
        let mut crossed: BTreeSet<Crossed> = BTreeSet::new();
        let mut acts_beyond = false;
        for Done { result, steps, busy_seconds } in results {
            outcome.steps += steps;
            outcome.busy_seconds += busy_seconds;
            match result {
                Ok(Came::Explored(report)) => {
                    outcome.tally.add(&report.tally);
                    crossed.extend(&report.crossed);
                    outcome.reports.push(*report);
                }
                Ok(Came::Drawn(histories)) => {
                    outcome.tally.add(&histories.tally);
                    outcome.histories += histories.drawn;
                    acts_beyond |= histories.acts_beyond;
                    outcome.drawing_seconds += busy_seconds;
                    crossed.extend(&histories.crossed);
                    for (fault, times) in &histories.fired {
                        *outcome.faults.entry(*fault).or_default() += times;
                    }
                }
                Err(failure) => outcome.failures.push(failure.of_suite(self.asked_as)),
            }
        }
        outcome.reports.sort_by(|one, other| one.world.cmp(&other.world));
        let never = uncrossed(&crossed, self.chart);
        outcome.edges = (self.chart.edges.len() - never.len(), self.chart.edges.len());
        if plan.world.is_none() && outcome.failures.is_empty() {
            self.check_coverage(&mut outcome, &never, acts_beyond);
        }
        outcome
    }

    /// What was never met was never proved.
    fn check_coverage(&self, outcome: &mut Outcome, never: &[String], acts_beyond: bool) {
        outcome.tally.checked(Property::CrossedEdges);
        if !never.is_empty() {
            let breach = Breach::of(Property::CrossedEdges, format!("never taken: {}", never.join(", ")));
            outcome.failures.push(Failure::new("all", breach, Vec::new(), None).of_suite(self.asked_as));
        }
        if outcome.histories == 0 {
            return;
        }
        outcome.tally.checked(Property::Faults);
        let applies = |fault: &&Fault| match fault {
            Fault::RefusedCreation => self.creates,
            Fault::CrashInEffect | Fault::SlowEffect => self.has_effects,
            Fault::FailedEffect | Fault::UnansweredEffect => acts_beyond,
            Fault::Timer => outcome.faults.contains_key(&Fault::RefusedCreation),
            _ => true,
        };
        let unmet: Vec<&str> = Fault::ALL
            .iter()
            .filter(applies)
            .filter(|fault| !outcome.faults.contains_key(fault))
            .map(|fault| fault.name())
            .collect();
        if !unmet.is_empty() {
            let breach = Breach::of(Property::Faults, format!("never met: {}; draw more histories", unmet.join(", ")));
            outcome.failures.push(Failure::new("all", breach, Vec::new(), None).of_suite(self.asked_as));
        }
    }
}

/// One piece of work.
enum Job<'w> {
    Explore(&'w World),
    Draw(&'w World, std::ops::Range<u64>),
}

/// What came of it.
enum Came {
    Explored(Box<Report>),
    Drawn(Box<Histories>),
}

struct Done {
    result: Result<Came, Box<Failure>>,
    steps: u64,
    busy_seconds: f64,
}

fn jobs<'w>(worlds: &'w [World], plan: &Plan) -> VecDeque<Job<'w>> {
    let explorations = worlds.iter().filter(|world| plan.explores(world)).map(Job::Explore);
    let batches = |world| {
        let starts = plan.seeds.clone().step_by(SEEDS_PER_JOB as usize);
        let end = plan.seeds.end;
        starts.map(move |start| Job::Draw(world, start..end.min(start + SEEDS_PER_JOB)))
    };
    explorations.chain(worlds.iter().flat_map(batches)).collect()
}

impl<'w> Job<'w> {
    /// The world it draws histories in, where it does.
    fn drawn_in(&self) -> Option<&'w str> {
        match self {
            Self::Explore(_) => None,
            Self::Draw(world, _) => Some(&world.name),
        }
    }

    fn run(self, plan: &Plan) -> Done {
        let (begun, before) = (Instant::now(), steps_of_this_thread());
        let mut result = match self {
            Self::Explore(world) => explore_with(world, plan.thoroughness).map(|it| Came::Explored(Box::new(it))),
            Self::Draw(world, seeds) => draw(world, seeds).map(|it| Came::Drawn(Box::new(it))),
        };
        let busy_seconds = begun.elapsed().as_secs_f64();
        if let Ok(Came::Explored(report)) = &mut result {
            report.busy_seconds = busy_seconds;
        }
        Done { result, steps: steps_of_this_thread() - before, busy_seconds }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
