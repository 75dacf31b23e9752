//! Every order of deeds, steps, restarts, crashes and conflicts, to a fixpoint.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use sampan_machine::Chart;

use crate::cluster::{Cluster, Crossed, Moved};
use crate::digest::digest;
use crate::world::{Deed, World};

/// A driver that starts afresh on a cluster at rest is at rest again after so many steps, or never.
const STEPS_TO_REST_MAX: usize = 200;

/// What was explored.
#[derive(Debug, Clone)]
pub struct Report {
    /// The world.
    pub world: &'static str,
    /// Distinct states reached.
    pub states: usize,
    /// Moves from one to another that were tried.
    pub moves: usize,
    /// States where nothing is left to do.
    pub rests: usize,
    /// How often a step's commit met somebody else's write.
    pub conflicts: usize,
    /// Transitions the machines took.
    crossed: BTreeSet<Crossed>,
}

/// What went wrong, and how to get there.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The world.
    pub world: &'static str,
    /// What went wrong.
    pub problem: String,
    /// The shortest way there.
    pub trace: Vec<String>,
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "world {}: {}", self.world, self.problem)?;
        self.trace.iter().enumerate().try_for_each(|(at, step)| writeln!(formatter, "  {:>2}. {step}", at + 1))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { world, states, moves, rests, conflicts, crossed } = self;
        let edges = crossed.len();
        write!(
            formatter,
            "world {world}: {states} states, {moves} moves, {rests} at rest, {conflicts} conflicts, {edges} transitions taken"
        )
    }
}

impl Report {
    /// The edges a chart declares that no machine took, in any of the reports.
    pub fn uncrossed(reports: &[Report], chart: &Chart) -> Vec<String> {
        let taken: Vec<_> = reports.iter().flat_map(|report| &report.crossed).filter(|it| it.0 == chart.name).collect();
        let is_taken = |edge: &&sampan_machine::Edge| {
            taken.iter().any(|(_, from, to, guard)| {
                let fits = |declared: &str, seen: &str| declared == sampan_machine::ANY || declared == seen;
                edge.guard == *guard && fits(edge.from, from) && fits(edge.to, to)
            })
        };
        let uncrossed = chart.edges.iter().filter(|edge| !is_taken(edge));
        uncrossed.map(|edge| format!("{} → {} ({})", edge.from, edge.to, edge.guard)).collect()
    }
}

/// One way to go on.
enum Act {
    Step,
    Restart,
    Crash,
    Wait,
    Deed(usize, Deed),
    StepWhile(usize, Deed),
}

impl fmt::Display for Act {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step => formatter.write_str("step"),
            Self::Restart => formatter.write_str("restart"),
            Self::Crash => formatter.write_str("step, and crash once its commit is durable"),
            Self::Wait => formatter.write_str("wait for the next timer"),
            Self::Deed(_, deed) => formatter.write_str(&deed.what),
            Self::StepWhile(_, deed) => write!(formatter, "step, and before its commit: {}", deed.what),
        }
    }
}

/// Explores a world.
///
/// # Errors
/// The first thing found wrong.
pub fn explore(world: &World) -> Result<Report, Box<Failure>> {
    let mut explorer = Explorer::new(world);
    explorer.run()?;
    explorer.check_convergence()?;
    Ok(explorer.report)
}

struct Explorer<'w> {
    world: &'w World,
    known: BTreeMap<String, usize>,
    /// How each state was first reached: from which, by what.
    reached: Vec<Option<(usize, String)>>,
    /// Where a step alone leads.
    stepped: Vec<Option<usize>>,
    frontier: VecDeque<(usize, Cluster<'w>)>,
    report: Report,
}

impl<'w> Explorer<'w> {
    fn new(world: &'w World) -> Self {
        let report =
            Report { world: world.name, states: 0, moves: 0, rests: 0, conflicts: 0, crossed: BTreeSet::new() };
        let (known, reached, stepped) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { world, known, reached, stepped, frontier: VecDeque::new(), report }
    }

    fn run(&mut self) -> Result<(), Box<Failure>> {
        let start = Cluster::new(self.world);
        self.arrive(start, None)?;
        while let Some((id, cluster)) = self.frontier.pop_front() {
            let mut is_at_rest = true;
            for act in acts(self.world, &cluster) {
                is_at_rest &= !matches!(act, Act::Step);
                self.go(id, &cluster, &act)?;
            }
            if is_at_rest {
                self.report.rests += 1;
                self.check_rest(id, &cluster)?;
            }
        }
        Ok(())
    }

    fn go(&mut self, from: usize, cluster: &Cluster<'w>, act: &Act) -> Result<(), Box<Failure>> {
        let mut next = cluster.fork();
        self.report.moves += 1;
        let outcome = perform(&mut next, act);
        let Ok(moved) = outcome else { return Ok(()) };
        self.report.conflicts += usize::from(moved == Moved::Refused);
        let to = self.arrive(next, Some((from, act.to_string())))?;
        if matches!(act, Act::Step)
            && let Some(stepped) = self.stepped.get_mut(from)
        {
            *stepped = Some(to);
        }
        Ok(())
    }

    fn arrive(&mut self, cluster: Cluster<'w>, way: Option<(usize, String)>) -> Result<usize, Box<Failure>> {
        self.report.crossed.extend(cluster.crossed.iter().copied());
        if let Err(problem) = self.check_always(&cluster) {
            return Err(self.failure(way, problem));
        }
        let digest = digest(&cluster, self.world.ages_seconds);
        if let Some(id) = self.known.get(&digest) {
            return Ok(*id);
        }
        let id = self.reached.len();
        if id >= self.world.states_max {
            return Err(self.failure(way, format!("no fixpoint within {} states", self.world.states_max)));
        }
        self.known.insert(digest, id);
        self.reached.push(way);
        self.stepped.push(None);
        self.report.states += 1;
        self.frontier.push_back((id, cluster));
        Ok(id)
    }

    fn check_always(&self, cluster: &Cluster<'_>) -> Result<(), String> {
        if let Some(fault) = &cluster.fault {
            return Err(fault.clone());
        }
        let snapshot = cluster.snapshot();
        for (name, law) in &self.world.always {
            law(&snapshot, cluster.now).map_err(|why| format!("{name}: {why}"))?;
        }
        let charts: Vec<&Chart> = cluster.driver.charts().collect();
        for (machine, from, to, guard) in &cluster.crossed {
            let chart = charts.iter().find(|chart| chart.name == *machine);
            if chart.is_none_or(|chart| chart.edge(from, to, guard).is_none()) {
                return Err(format!("{machine}: {from} → {to} ({guard:?}) was taken and is not declared"));
            }
        }
        Ok(())
    }

    /// At rest the laws of rest hold, and a driver that starts afresh changes nothing and sees the same.
    fn check_rest(&self, id: usize, cluster: &Cluster<'w>) -> Result<(), Box<Failure>> {
        let snapshot = cluster.snapshot();
        for (name, law) in &self.world.at_rest {
            law(&snapshot, cluster.now).map_err(|why| self.failure_at(id, format!("at rest, {name}: {why}")))?;
        }
        if cluster.driver.next_deadline().is_some() {
            // What a timer will do, a driver that starts afresh may do at once.
            return Ok(());
        }
        let mut fresh = cluster.fork();
        fresh.restart();
        if !fresh.run_to_rest(STEPS_TO_REST_MAX) {
            return Err(self.failure_at(id, "started afresh at rest, the operators do not come to rest".to_owned()));
        }
        if fresh.snapshot().revision() != snapshot.revision() {
            return Err(self.failure_at(id, "started afresh at rest, the operators write".to_owned()));
        }
        let states = |cluster: &Cluster<'_>| -> Vec<(String, Option<&'static str>)> {
            let resources: Vec<_> = snapshot.resources().collect();
            let keys = resources.into_iter().flat_map(|it| snapshot.list(it, None, None)).map(|object| object.key());
            let charts: Vec<&Chart> = cluster.driver.charts().collect();
            keys.flat_map(|key| {
                charts.iter().map(move |chart| (format!("{} {key}", chart.name), cluster.driver.state(chart.name, key)))
            })
            .collect()
        };
        let (live, anew) = (states(cluster), states(&fresh));
        // A machine nothing has woken yet has not classified anything.
        let differs = |(one, other): &(&(String, Option<&str>), &(String, Option<&str>))| {
            one != other && ![one.1, other.1].contains(&Some(sampan_machine::UNOBSERVED))
        };
        match live.iter().zip(&anew).find(differs) {
            Some((one, other)) => {
                Err(self
                    .failure_at(id, format!("{one:?} is {other:?} when classified afresh: the state is not derived")))
            }
            None => Ok(()),
        }
    }

    /// From every state, steps alone lead to rest.
    fn check_convergence(&self) -> Result<(), Box<Failure>> {
        for start in 0..self.reached.len() {
            let mut seen = BTreeSet::from([start]);
            let mut at = start;
            while let Some(next) = self.stepped.get(at).copied().flatten() {
                if !seen.insert(next) {
                    return Err(
                        self.failure_at(start, "the operators never come to rest: they go in a circle".to_owned())
                    );
                }
                at = next;
            }
        }
        Ok(())
    }

    fn failure_at(&self, id: usize, problem: String) -> Box<Failure> {
        self.failure(self.reached.get(id).cloned().flatten(), problem)
    }

    fn failure(&self, mut way: Option<(usize, String)>, problem: String) -> Box<Failure> {
        let mut trace = Vec::new();
        while let Some((from, act)) = way {
            trace.push(act);
            way = self.reached.get(from).cloned().flatten();
        }
        trace.reverse();
        Box::new(Failure { world: self.world.name, problem, trace })
    }
}

/// All ways to go on.
fn acts(world: &World, cluster: &Cluster<'_>) -> Vec<Act> {
    let snapshot = cluster.snapshot();
    let is_ready = cluster.driver.is_ready();
    let mut acts = vec![Act::Restart];
    if is_ready {
        acts.extend([Act::Step, Act::Crash]);
    }
    if cluster.driver.next_deadline().is_some() {
        acts.push(Act::Wait);
    }
    for (index, (actor, acted)) in world.actors.iter().zip(&cluster.acted).enumerate() {
        if actor.times.is_some_and(|times| *acted >= times) {
            continue;
        }
        for deed in (actor.deeds)(&snapshot, cluster.now) {
            if is_ready {
                acts.push(Act::StepWhile(index, deed.clone()));
            }
            acts.push(Act::Deed(index, deed));
        }
    }
    acts
}

/// Goes one way. An error says that the way is closed: the deed was refused.
fn perform(cluster: &mut Cluster<'_>, act: &Act) -> Result<Moved, String> {
    match act {
        Act::Step => Ok(cluster.step()),
        Act::Restart => {
            cluster.restart();
            Ok(Moved::Stepped)
        }
        Act::Crash => {
            cluster.step_and_crash();
            Ok(Moved::Stepped)
        }
        Act::Wait => {
            cluster.advance();
            Ok(cluster.step())
        }
        Act::Deed(actor, deed) => {
            cluster.edit(&deed.edit)?;
            count(cluster, *actor);
            Ok(Moved::Stepped)
        }
        Act::StepWhile(actor, deed) => {
            let moved = cluster.step_while(&deed.edit)?;
            count(cluster, *actor);
            Ok(moved)
        }
    }
}

/// Only those who may act a limited number of times are counted: else every deed would be a new state.
fn count(cluster: &mut Cluster<'_>, actor: usize) {
    if cluster.is_limited(actor)
        && let Some(acted) = cluster.acted.get_mut(actor)
    {
        *acted += 1;
    }
}
