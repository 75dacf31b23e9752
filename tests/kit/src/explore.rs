//! Every order of deeds, steps, restarts, crashes, interruptions and conflicts, to a fixpoint.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::act::{Act, acts, perform};
use crate::cluster::{Cluster, Crossed, Moved, steps_of_this_thread};
use crate::digest::Digest;
use crate::end::{Broken, End, Ends, check_always, check_rest, told};
use crate::probe::{Probed, of_crashes, stale};
use crate::property::{Breach, Property, Tally};
use crate::report::Failure;
use crate::world::{Deed, Edit, World};

/// What was explored.
#[derive(Debug, Clone)]
pub struct Report {
    /// The world.
    pub world: String,
    /// Distinct states reached.
    pub states: usize,
    /// Moves from one to another that were tried.
    pub moves: usize,
    /// States where nothing is left to do.
    pub rests: usize,
    /// How often a step's commit met somebody else's write.
    pub conflicts: usize,
    /// How often each property was checked.
    pub tally: Tally,
    /// Steps run: every call of an operator's step, also those of what was only tried.
    pub steps: u64,
    /// Seconds a suite took for it.
    pub busy_seconds: f64,
    /// Transitions the machines took.
    pub(crate) crossed: BTreeSet<Crossed>,
}

impl std::fmt::Display for Report {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { world, states, moves, rests, conflicts, crossed, busy_seconds, .. } = self;
        let edges = crossed.len();
        write!(
            formatter,
            "world {world}: {states} states, {moves} moves, {rests} at rest, {conflicts} conflicts, {edges} transitions taken, \
             {busy_seconds:.1} s"
        )
    }
}

/// From how many states what costs a whole way to the end is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thoroughness {
    /// From so many of the first states, which are the nearest to the start.
    pub first: usize,
    /// And from one in so many of the others.
    pub then_every: usize,
}

impl Thoroughness {
    /// From all.
    pub const FULL: Self = Self { first: usize::MAX, then_every: 1 };

    fn takes(self, state: usize) -> bool {
        state < self.first || state.is_multiple_of(self.then_every)
    }
}

/// Explores a world, thoroughly.
///
/// # Errors
/// The first thing found wrong.
pub fn explore(world: &World) -> Result<Report, Box<Failure>> {
    explore_with(world, Thoroughness::FULL)
}

pub(crate) fn explore_with(world: &World, thoroughness: Thoroughness) -> Result<Report, Box<Failure>> {
    let before = steps_of_this_thread();
    let mut explorer = Explorer::new(world, thoroughness);
    explorer.run()?;
    let Explorer { mut report, ends, .. } = explorer;
    report.tally.add(&ends.tally);
    report.steps = steps_of_this_thread() - before;
    Ok(report)
}

struct Explorer<'w> {
    world: &'w World,
    thoroughness: Thoroughness,
    ends: Ends,
    known: BTreeSet<Digest>,
    /// How each state was first reached: from which, by what.
    reached: Vec<Option<(usize, String)>>,
    frontier: VecDeque<(usize, Digest, Cluster<'w>)>,
    /// The ends of fresh deploys of the world's specs.
    fresh: Vec<Digest>,
    /// The end of the world without its subject.
    without: Option<Arc<End>>,
    report: Report,
}

/// Where an act led.
struct Gone<'w> {
    next: Cluster<'w>,
    state: Digest,
    moved: Moved,
}

impl<'w> Explorer<'w> {
    fn new(world: &'w World, thoroughness: Thoroughness) -> Self {
        let report = Report {
            world: world.name.clone(),
            states: 0,
            moves: 0,
            rests: 0,
            conflicts: 0,
            tally: Tally::default(),
            steps: 0,
            busy_seconds: 0.0,
            crossed: BTreeSet::new(),
        };
        let (known, reached) = (BTreeSet::new(), Vec::new());
        let (frontier, fresh, ends) = (VecDeque::new(), Vec::new(), Ends::new(world));
        Self { world, thoroughness, ends, known, reached, frontier, fresh, without: None, report }
    }

    fn run(&mut self) -> Result<(), Box<Failure>> {
        self.fresh = fresh_ends(self.world, &mut self.ends).map_err(|broken| self.failure(None, *broken))?;
        self.without = end_without_subject(self.world, &mut self.ends).map_err(|broken| self.failure(None, *broken))?;
        self.arrive(&Cluster::new(self.world), None)?;
        while let Some((id, state, cluster)) = self.frontier.pop_front() {
            let end = self.ends.of_state(state, &cluster).map_err(|broken| self.failure_at(id, *broken))?;
            if !cluster.driver.is_ready() {
                self.report.rests += 1;
                check_rest(&cluster, &mut self.report.tally).map_err(|breach| self.failure_at(id, breach.into()))?;
            }
            self.go_everywhere(id, &cluster, &end)?;
            if self.thoroughness.takes(id) {
                self.probe(id, &cluster, &end)?;
            }
        }
        Ok(())
    }

    fn go_everywhere(&mut self, id: usize, cluster: &Cluster<'w>, end: &Arc<End>) -> Result<(), Box<Failure>> {
        // Where the world ends had nothing interfered: after the step, and after the deed looked at last.
        let (mut stepped, mut after_deed) = (end.clone(), None);
        for act in acts(cluster) {
            let Some(Gone { next, state, moved }) = self.go(id, cluster, &act)? else { continue };
            let found = self.ends.of_state(state, &next).map_err(|broken| self.failure_by(id, &act, *broken))?;
            match &act {
                Act::Step => stepped = found,
                Act::Deed(..) => after_deed = Some(found),
                Act::Wait => {}
                Act::Restart => self.compare(id, &act, of_crashes(cluster), end, &found)?,
                Act::Crash => self.compare(id, &act, Property::Crashes, &stepped, &found)?,
                Act::Effect(_) => self.compare(id, &act, Property::Effects, &stepped, &found)?,
                Act::StepWhile(actor, deed) => {
                    let rules = self.world.actors.get(*actor).is_some_and(|actor| actor.rules);
                    let expected = match (rules, moved) {
                        (true, Moved::Committed) => self.end_of_step_then(id, cluster, deed)?,
                        _ => after_deed.clone().unwrap_or_else(|| found.clone()),
                    };
                    self.compare(id, &act, Property::Conflicts, &expected, &found)?;
                    if moved == Moved::Committed && !rules {
                        self.report.tally.checked(Property::StaleSnapshots);
                        let verdict = stale(cluster, deed, &next);
                        verdict.map_err(|breach| self.failure_by(id, &act, breach.into()))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Where the world ends when the step comes first.
    fn end_of_step_then(&mut self, id: usize, cluster: &Cluster<'_>, deed: &Deed) -> Result<Arc<End>, Box<Failure>> {
        let mut other = cluster.fork();
        other.step();
        let _ = other.edit(&deed.edit);
        self.ends.of(&other).map_err(|broken| self.failure_at(id, *broken))
    }

    fn go(&mut self, from: usize, cluster: &Cluster<'w>, act: &Act) -> Result<Option<Gone<'w>>, Box<Failure>> {
        let mut next = cluster.fork();
        self.report.moves += 1;
        let Ok(moved) = perform(&mut next, act) else { return Ok(None) };
        self.report.conflicts += usize::from(moved == Moved::Refused);
        let what = told(&act.to_string(), &next.done);
        let state = self.arrive(&next, Some((from, what)))?;
        Ok(Some(Gone { next, state, moved }))
    }

    fn probe(&mut self, id: usize, cluster: &Cluster<'w>, end: &End) -> Result<(), Box<Failure>> {
        for Probed { property, what, cluster, expected } in crate::probe::probes(cluster, &self.fresh, end) {
            let verdict = match (cluster, expected) {
                (Err(breach), _) => Err(Box::new(Broken::from(breach))),
                (Ok(cluster), None) => self.ends.of(&cluster).and_then(|end| {
                    match end.leftover.clone().or_else(|| self.mark(&cluster, &end)) {
                        Some(leftover) => Err(Box::new(Breach::of(property, leftover).into())),
                        None => Ok(()),
                    }
                }),
                (Ok(cluster), Some(expected)) => {
                    let expected = match expected {
                        crate::probe::Expected::Look(look) => look,
                        crate::probe::Expected::EndOf(other) => {
                            self.ends.of(&other).map_err(|broken| self.failure_at(id, *broken))?.look
                        }
                    };
                    self.ends.of(&cluster).and_then(|found| self.same(property, expected, found.look))
                }
            };
            self.report.tally.checked(property);
            verdict.map_err(|mut broken| {
                broken.story.insert(0, what);
                self.failure_at(id, *broken)
            })?;
        }
        Ok(())
    }

    /// What a deleted subject left behind in what belongs to others, where nobody but the operator can have written that.
    fn mark(&self, cluster: &Cluster<'_>, end: &End) -> Option<String> {
        let is_undisturbed = cluster.acted.iter().all(|times| *times == 0)
            && self.world.actors.iter().all(|actor| actor.helps || actor.times.is_some());
        self.without.as_ref().filter(|_| is_undisturbed).and_then(|without| end.mark(without))
    }

    fn compare(
        &mut self,
        id: usize,
        act: &Act,
        property: Property,
        expected: &End,
        found: &End,
    ) -> Result<(), Box<Failure>> {
        self.report.tally.checked(property);
        self.same(property, expected.look, found.look).map_err(|broken| self.failure_by(id, act, *broken))
    }

    fn same(&self, property: Property, expected: Digest, found: Digest) -> Result<(), Box<Broken>> {
        if expected == found {
            return Ok(());
        }
        let difference = self.ends.difference(expected, found);
        Err(Box::new(Breach::of(property, format!("the world ends differently:{difference}")).into()))
    }

    fn arrive(&mut self, cluster: &Cluster<'w>, way: Option<(usize, String)>) -> Result<Digest, Box<Failure>> {
        self.report.crossed.extend(cluster.crossed.iter().copied());
        if let Err(breach) = check_always(cluster, &mut self.report.tally) {
            return Err(self.failure(way, breach.into()));
        }
        let state = self.ends.digester.state(cluster);
        if !self.known.insert(state) {
            return Ok(state);
        }
        let id = self.reached.len();
        if id >= self.world.states_max {
            let breach =
                Breach::of(Property::Convergence, format!("no fixpoint within {} states", self.world.states_max));
            return Err(self.failure(way, breach.into()));
        }
        self.reached.push(way);
        self.report.states += 1;
        self.frontier.push_back((id, state, cluster.fork()));
        Ok(state)
    }

    fn failure_by(&self, id: usize, act: &Act, mut broken: Broken) -> Box<Failure> {
        broken.story.insert(0, act.to_string());
        self.failure_at(id, broken)
    }

    fn failure_at(&self, id: usize, broken: Broken) -> Box<Failure> {
        self.failure(self.reached.get(id).cloned().flatten(), broken)
    }

    fn failure(&self, mut way: Option<(usize, String)>, broken: Broken) -> Box<Failure> {
        let mut trace = Vec::new();
        while let Some((from, act)) = way {
            trace.push(act);
            way = self.reached.get(from).cloned().flatten();
        }
        trace.reverse();
        trace.extend(broken.story);
        Box::new(Failure::new(&self.world.name, broken.breach, trace, None))
    }
}

/// Where a fresh deploy of each of the world's specs ends.
pub(crate) fn fresh_ends(world: &World, ends: &mut Ends) -> Result<Vec<Digest>, Box<Broken>> {
    let mut looks = Vec::new();
    for (_, spec) in &world.specs {
        let mut other = world.clone();
        for object in &mut other.initial {
            if object.get("kind") == spec.get("kind")
                && object.pointer("/metadata/name") == spec.pointer("/metadata/name")
            {
                *object = spec.clone();
            }
        }
        looks.push(ends.of(&Cluster::new(&other))?.look);
    }
    Ok(looks)
}

/// Where a world ends whose subject is gone before anybody has seen it.
fn end_without_subject(world: &World, ends: &mut Ends) -> Result<Option<Arc<End>>, Box<Broken>> {
    let mut cluster = Cluster::new(world);
    match world.subject.clone().map(Edit::Remove).map(|removal| cluster.edit(&removal)) {
        Some(Ok(())) => ends.of(&cluster).map(Some),
        _ => Ok(None),
    }
}
