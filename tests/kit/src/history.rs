//! A drawn history in a world: steps, deeds and faults in an order the seed decides, then the way to the end.
//!
//! What is drawn is a list of numbers. A failure is made shorter by leaving numbers out and looking whether it still
//! fails, so that what is shown is the shortest story found, whatever was drawn first.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use sampan_core::entropy::{Entropy as _, SeededEntropy};
use sampan_core::operator::EffectRun;

use crate::act::{count, deeds};
use crate::beyond::Fate;
use crate::cluster::{Cluster, Crossed, Moment, Moved};
use crate::digest::Digest;
use crate::done::Became;
use crate::end::{Broken, Ends, check_always, check_rest, told};
use crate::probe::respecified;
use crate::property::{Breach, Property, Tally};
use crate::report::Failure;
use crate::world::{Edit, World};

/// How many moves are drawn before everything runs to its end.
const MOVES: usize = 40;
/// Somebody with a limit may act so many times as often as where every order is explored.
const PATIENCE: usize = 8;
/// The clock is set back by so much at once.
const SET_BACK: SignedDuration = SignedDuration::from_secs(5);
/// Operators come to rest within so many steps, or the way to the end has told that they do not.
const STEPS_TO_REST_MAX: usize = 200;
/// The steps that may run before a change is heard of.
const STEPS_UNHEARD_MAX: usize = 3;
/// How often a failure is tried shorter.
const SHRINKS_MAX: usize = 300;

/// Something that interferes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The process ends, a step's commit not durable.
    CrashBefore,
    /// The process ends, a step's commit durable and unheard of.
    CrashAt,
    /// The process ends, a step's commit heard of.
    CrashAfter,
    /// The store is read back from the disk.
    PowerCut,
    /// Somebody writes between a step's snapshot and its commit.
    Conflict,
    /// Changes are heard of late and twice.
    LateWakeUps,
    /// Every machine is woken again, in another order.
    RepeatedWakeUps,
    /// Every creation of a step is refused.
    RefusedCreation,
    /// The process ends while an effect is run.
    CrashInEffect,
    /// An act of an effect does not happen.
    FailedEffect,
    /// An act of an effect happens, and nobody answers.
    UnansweredEffect,
    /// An effect takes its time.
    SlowEffect,
    /// The clock jumps forward.
    ClockForward,
    /// The clock is set back a little.
    ClockBack,
    /// The next timer goes off.
    Timer,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::CrashBefore,
        Self::CrashAt,
        Self::CrashAfter,
        Self::PowerCut,
        Self::Conflict,
        Self::LateWakeUps,
        Self::RepeatedWakeUps,
        Self::RefusedCreation,
        Self::CrashInEffect,
        Self::FailedEffect,
        Self::UnansweredEffect,
        Self::SlowEffect,
        Self::ClockForward,
        Self::ClockBack,
        Self::Timer,
    ];

    fn ends_the_process(self) -> bool {
        matches!(self, Self::CrashBefore | Self::CrashAt | Self::CrashAfter | Self::PowerCut | Self::CrashInEffect)
    }

    /// The fault in a few words.
    pub fn name(self) -> &'static str {
        match self {
            Self::CrashBefore => "crash before a commit",
            Self::CrashAt => "crash at a commit",
            Self::CrashAfter => "crash after a commit",
            Self::PowerCut => "power cut",
            Self::Conflict => "conflict",
            Self::LateWakeUps => "late wake-ups",
            Self::RepeatedWakeUps => "repeated wake-ups",
            Self::RefusedCreation => "refused creation",
            Self::CrashInEffect => "crash in an effect",
            Self::FailedEffect => "failed effect",
            Self::UnansweredEffect => "unanswered effect",
            Self::SlowEffect => "slow effect",
            Self::ClockForward => "clock forward",
            Self::ClockBack => "clock back",
            Self::Timer => "timer",
        }
    }
}

/// What histories came to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histories {
    pub(crate) drawn: u64,
    pub(crate) fired: BTreeMap<Fault, u64>,
    pub(crate) crossed: BTreeSet<Crossed>,
    pub(crate) tally: Tally,
    /// Whether an effect acted on the world beyond the store.
    pub(crate) acts_beyond: bool,
}

/// Draws the histories of these seeds.
pub(crate) fn draw(world: &World, seeds: impl Iterator<Item = u64>) -> Result<Histories, Box<Failure>> {
    let mut drawn = Histories::default();
    let mut ends = Ends::new(world);
    let fresh = crate::explore::fresh_ends(world, &mut ends);
    let fresh = fresh.map_err(|broken| Box::new(Failure::new(&world.name, broken.breach, broken.story, None)))?;
    let start = Cluster::new(world);
    for (nth, seed) in seeds.enumerate() {
        let mut tale = Tale::new(&start, Numbers::drawn(seed));
        if let Err(broken) = tale.go(&mut ends, &fresh) {
            return Err(shortest(&start, &mut ends, &fresh, tale.numbers.taken, *broken, seed));
        }
        if nth == 0 {
            check_repeats(&start, &mut ends, &fresh, &tale, seed)?;
            drawn.tally.checked(Property::Determinism);
        }
        drawn.drawn += 1;
        drawn.acts_beyond |= tale.acts_beyond;
        for (fault, times) in tale.fired {
            *drawn.fired.entry(fault).or_default() += times;
        }
        drawn.crossed.extend(tale.cluster.crossed.iter().copied());
    }
    drawn.tally.add(&ends.tally);
    Ok(drawn)
}

/// The same numbers once more: the same story, to the last name.
fn check_repeats(
    start: &Cluster<'_>,
    ends: &mut Ends,
    fresh: &[Digest],
    first: &Tale<'_>,
    seed: u64,
) -> Result<(), Box<Failure>> {
    let anew = Cluster::new(start.world());
    let mut again = Tale::new(&anew, Numbers::again(first.numbers.taken.clone()));
    let _ = again.go(ends, fresh);
    let differing = first.story.iter().zip(&again.story).position(|(one, other)| one != other);
    let Some(at) = differing else { return Ok(()) };
    let problem = format!(
        "the second time it went another way:\n    first:  {}\n    second: {}",
        first.story.get(at).map_or("", String::as_str),
        again.story.get(at).map_or("", String::as_str)
    );
    let trace = first.story.iter().take(at).cloned().collect();
    Err(Box::new(Failure::new(&start.world().name, Breach::of(Property::Determinism, problem), trace, Some(seed))))
}

/// Leaves out what the failure does not need: halves first, then single numbers.
fn shortest(
    start: &Cluster<'_>,
    ends: &mut Ends,
    fresh: &[Digest],
    mut numbers: Vec<u64>,
    mut broken: Broken,
    seed: u64,
) -> Box<Failure> {
    let (mut tried, mut width) = (0, numbers.len().div_ceil(2).max(1));
    while tried < SHRINKS_MAX {
        let mut at = 0;
        while at < numbers.len() && tried < SHRINKS_MAX {
            let fewer: Vec<u64> = numbers
                .iter()
                .enumerate()
                .filter(|(index, _)| !(at..at + width).contains(index))
                .map(|(_, it)| *it)
                .collect();
            let mut tale = Tale::new(start, Numbers::again(fewer.clone()));
            tried += 1;
            match tale.go(ends, fresh) {
                Err(shorter) if shorter.breach.property == broken.breach.property => {
                    (numbers, broken) = (fewer, *shorter)
                }
                _ => at += width,
            }
        }
        if width == 1 {
            break;
        }
        width /= 2;
    }
    Box::new(Failure::new(&start.world().name, broken.breach, broken.story, Some(seed)))
}

/// The numbers a history is made of: drawn, or given and then at their end.
struct Numbers {
    entropy: Option<SeededEntropy>,
    given: std::vec::IntoIter<u64>,
    taken: Vec<u64>,
}

impl Numbers {
    fn drawn(seed: u64) -> Self {
        Self { entropy: Some(SeededEntropy::new(seed)), given: Vec::new().into_iter(), taken: Vec::new() }
    }

    fn again(numbers: Vec<u64>) -> Self {
        Self { entropy: None, given: numbers.into_iter(), taken: Vec::new() }
    }

    fn next(&mut self) -> Option<u64> {
        let number = match &mut self.entropy {
            Some(entropy) if self.taken.len() < MOVES => Some(entropy.next_u64()),
            Some(_) => None,
            None => self.given.next(),
        };
        self.taken.extend(number);
        number
    }
}

/// A history under way.
struct Tale<'w> {
    cluster: Cluster<'w>,
    numbers: Numbers,
    story: Vec<String>,
    fired: BTreeMap<Fault, u64>,
    /// Effects that have begun and not ended.
    begun: Vec<EffectRun>,
    acts_beyond: bool,
}

impl<'w> Tale<'w> {
    fn new(start: &Cluster<'w>, numbers: Numbers) -> Self {
        Self {
            cluster: start.fork(),
            numbers,
            story: Vec::new(),
            fired: BTreeMap::new(),
            begun: Vec::new(),
            acts_beyond: false,
        }
    }

    fn go(&mut self, ends: &mut Ends, fresh: &[Digest]) -> Result<(), Box<Broken>> {
        let mut last = 0;
        while let Some(number) = self.numbers.next() {
            last = number;
            self.make_move(number);
            check_always(&self.cluster, &mut ends.tally).map_err(|breach| self.broken(breach.into()))?;
        }
        self.finish_last();
        let end = ends.of(&self.cluster).map_err(|broken| self.broken(*broken))?;
        ends.tally.checked(Property::Deletion);
        if let Some(leftover) = &end.leftover {
            return Err(self.broken(Breach::of(Property::Deletion, leftover.clone()).into()));
        }
        self.check_specs(ends, fresh, last)?;
        self.check_end(ends)
    }

    /// Whatever has happened: the spec it has leads where a fresh deploy of it leads, and so does a new one.
    fn check_specs(&mut self, ends: &mut Ends, fresh: &[Digest], number: u64) -> Result<(), Box<Broken>> {
        let specs = &self.cluster.world().specs;
        let chosen = (number >> 32) as usize % specs.len().max(1);
        for (at, ((name, spec), expected)) in specs.iter().zip(fresh).enumerate() {
            let Some(subject) = self.cluster.subject().filter(|it| !it.metadata().is_terminating()) else { break };
            let mut changed = self.cluster.fork();
            let is_accepted = changed.edit(&Edit::Update(respecified(&subject, spec))).is_ok();
            let is_own = changed.snapshot().revision() == self.cluster.snapshot().revision();
            if is_accepted && (is_own || at == chosen) {
                self.check_spec(ends, name, &changed, *expected)?;
            }
        }
        Ok(())
    }

    fn check_spec(
        &mut self,
        ends: &mut Ends,
        name: &str,
        changed: &Cluster<'_>,
        expected: Digest,
    ) -> Result<(), Box<Broken>> {
        self.story.push(format!("the spec becomes `{name}`"));
        let found = ends.of(changed).map_err(|broken| self.broken(*broken))?.look;
        ends.tally.checked(Property::NewSpec);
        if found == expected {
            self.story.pop();
            return Ok(());
        }
        let problem = format!("the world ends differently:{}", ends.difference(expected, found));
        Err(self.broken(Breach::of(Property::NewSpec, problem).into()))
    }

    /// At rest, once the time that was set back has passed again.
    fn check_end(&mut self, ends: &mut Ends) -> Result<(), Box<Broken>> {
        self.cluster.run_to_rest(STEPS_TO_REST_MAX);
        self.cluster.jump(SET_BACK * i32::try_from(MOVES).unwrap_or(i32::MAX));
        self.cluster.wake_everything();
        self.cluster.run_to_rest(STEPS_TO_REST_MAX);
        self.tell("everything comes to rest");
        check_rest(&self.cluster, &mut ends.tally).map_err(|breach| self.broken(breach.into()))
    }

    fn broken(&self, broken: Broken) -> Box<Broken> {
        let story = self.story.iter().cloned().chain(broken.story).collect();
        Box::new(Broken { breach: broken.breach, story })
    }

    /// One move: the low digits choose what kind, the high ones which.
    fn make_move(&mut self, number: u64) {
        let which = (number >> 16) as usize;
        let moved = match number % 24 {
            kind @ 11..19 if self.cluster.next_effect().is_some() => self.effect(kind, which),
            0 => self.fault(Fault::CrashBefore, |it| _ = it.step_and_crash(Moment::Before)),
            1 => self.fault(Fault::CrashAt, |it| _ = it.step_and_crash(Moment::At)),
            2 => self.fault(Fault::CrashAfter, |it| _ = it.step_and_crash(Moment::After)),
            3 if which.is_multiple_of(4) => self.fault(Fault::PowerCut, Cluster::power_cut),
            4 => self.fault(Fault::RepeatedWakeUps, |it| {
                it.wake_everything();
                it.driver.postpone();
            }),
            5 => self.refuse(),
            6 => {
                self.fault(Fault::ClockForward, |it| it.jump(SignedDuration::from_secs(100 + (which % 10_000) as i64)))
            }
            7 => self.fault(Fault::ClockBack, |it| it.jump(-SET_BACK)),
            8 | 9 => self.timer(),
            10..=12 => self.deed(which, Fault::Conflict),
            13 => self.deed(which, Fault::LateWakeUps),
            14..=18 => self.deed(which, Fault::Timer),
            19 => self.finish(),
            _ => None,
        };
        if moved.is_none() {
            self.cluster.step();
            self.tell("step");
        }
    }

    fn fault(&mut self, fault: Fault, interfere: impl FnOnce(&mut Cluster<'w>)) -> Option<()> {
        interfere(&mut self.cluster);
        if fault.ends_the_process() {
            self.begun.clear();
        }
        self.note(fault);
        self.tell(fault.name());
        Some(())
    }

    fn refuse(&mut self) -> Option<()> {
        let mut accepted = self.cluster.fork();
        accepted.step();
        let creates = |done: &crate::done::Done| done.lasting().any(|written| written.became == Became::Created);
        accepted.done.iter().any(creates).then(|| self.fault(Fault::RefusedCreation, |it| _ = it.step_refused()))?
    }

    /// The effect that is run next is interrupted, or takes its time.
    fn effect(&mut self, kind: u64, which: usize) -> Option<()> {
        let (_, acts) = self.cluster.next_effect()?;
        self.acts_beyond |= acts > 0;
        let (fault, fate) = match kind % 4 {
            0 => (Fault::CrashInEffect, Fate::DiesAfter(which % (acts + 1))),
            1 => (Fault::FailedEffect, Fate::FailsAfter(which.checked_rem(acts)?)),
            2 => (Fault::UnansweredEffect, Fate::UnansweredAfter(which.checked_rem(acts)?)),
            _ => return self.begin_slowly(),
        };
        self.fault(fault, |it| _ = it.step_fated(fate))
    }

    fn begin_slowly(&mut self) -> Option<()> {
        let begun = self.cluster.step_slow();
        self.begun.extend(begun);
        self.note(Fault::SlowEffect);
        self.tell("an effect begins");
        Some(())
    }

    /// What began slowly ends.
    fn finish(&mut self) -> Option<()> {
        let begun = std::mem::take(&mut self.begun);
        (!begun.is_empty()).then(|| {
            self.cluster.finish(begun);
            self.tell("what began has ended");
        })
    }

    /// What began slowly ends when everything else is done.
    fn finish_last(&mut self) {
        if !self.begun.is_empty() {
            self.cluster.run_to_rest(STEPS_TO_REST_MAX);
            self.tell("everything else comes to rest");
            self.finish();
        }
    }

    fn timer(&mut self) -> Option<()> {
        self.cluster.driver.next_deadline()?;
        self.fault(Fault::Timer, |it| {
            it.advance();
            it.step();
        })
    }

    /// Somebody acts: meanwhile a step runs, the driver hears of it late, or nothing of the kind.
    fn deed(&mut self, which: usize, how: Fault) -> Option<()> {
        let all = deeds(&self.cluster, PATIENCE);
        let (actor, deed) = all.get(which % all.len().max(1))?.clone();
        // A deed that is refused has not happened, nor has the step it came between.
        let mut tried = self.cluster.fork();
        tried.done.append(&mut self.cluster.done);
        let is_ready = tried.driver.is_ready();
        let (met, told) = match how {
            Fault::Conflict if is_ready => {
                let moved = tried.step_while(&deed.edit).ok()?;
                ((moved == Moved::Refused).then_some(Fault::Conflict), "step, and before its commit: ")
            }
            Fault::LateWakeUps => {
                tried.edit_unheard(&deed.edit).ok()?;
                let _ = (0..STEPS_UNHEARD_MAX).any(|_| tried.step_unheard() == Moved::AtRest);
                tried.hear();
                tried.hear_again(self.cluster.snapshot().revision());
                (Some(Fault::LateWakeUps), "heard of late: ")
            }
            _ => {
                tried.edit(&deed.edit).ok()?;
                (None, "")
            }
        };
        count(&mut tried, actor);
        tried.crossed.append(&mut self.cluster.crossed);
        self.cluster = tried;
        met.into_iter().for_each(|fault| self.note(fault));
        self.tell(&format!("{told}{}", deed.what));
        Some(())
    }

    fn note(&mut self, fault: Fault) {
        *self.fired.entry(fault).or_default() += 1;
    }

    fn tell(&mut self, what: &str) {
        self.story.push(told(what, &std::mem::take(&mut self.cluster.done)));
    }
}
