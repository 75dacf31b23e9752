//! A drawn history in a world: steps, restarts, crashes, conflicts and deeds in an order the seed decides, the laws looked at
//! after each; then steps alone, to the end.

use std::collections::BTreeSet;

use sampan_conformance::{Cluster, Moved, World};

/// A transition: from, to, guard.
pub(crate) type Crossed = (&'static str, &'static str, &'static str);

/// How many moves are drawn before everything runs to its end.
const MOVES: usize = 40;
/// Steps to rest, or never.
const STEPS_MAX: usize = 200;

/// Goes one way through a world.
pub(crate) fn walk(world: &World, seed: u64, crossed: &mut BTreeSet<Crossed>) -> Result<(), String> {
    let mut walker = Walker {
        cluster: Cluster::new(world),
        world,
        acted: vec![0; world.actors.len()],
        bits: seed,
        trace: Vec::new(),
    };
    let outcome = walker.go(crossed);
    outcome.map_err(|why| format!("{why}\n  {}", walker.trace.join("\n  ")))
}

struct Walker<'w> {
    cluster: Cluster<'w>,
    world: &'w World,
    acted: Vec<usize>,
    bits: u64,
    trace: Vec<String>,
}

impl Walker<'_> {
    fn go(&mut self, crossed: &mut BTreeSet<Crossed>) -> Result<(), String> {
        for _ in 0..MOVES {
            match self.draw(12) {
                0 => self.restart(),
                1 => self.crash(),
                2 => self.deed(crossed, Meanwhile::Stepping),
                3 | 4 => self.wait(crossed),
                5..=8 => self.deed(crossed, Meanwhile::Nothing),
                _ => drop(self.step(crossed)),
            }
            self.check()?;
        }
        self.finish(crossed)
    }

    /// To rest; then whoever acts without limit acts, until nobody has anything to do.
    fn finish(&mut self, crossed: &mut BTreeSet<Crossed>) -> Result<(), String> {
        for _ in 0..STEPS_MAX {
            self.rest(crossed)?;
            let snapshot = self.cluster.snapshot();
            let unlimited = self.world.actors.iter().filter(|actor| actor.times.is_none());
            let deeds: Vec<_> = unlimited.flat_map(|actor| (actor.deeds)(&snapshot, self.cluster.now)).collect();
            let Some(deed) = deeds.first() else { return self.check_afresh(crossed) };
            self.trace.push(deed.what.clone());
            self.cluster.edit(&deed.edit)?;
            self.check()?;
        }
        Err("the world never comes to its end".to_owned())
    }

    fn rest(&mut self, crossed: &mut BTreeSet<Crossed>) -> Result<(), String> {
        for _ in 0..STEPS_MAX {
            if self.step(crossed) == Moved::AtRest {
                let snapshot = self.cluster.snapshot();
                let mut laws = self.world.at_rest.iter();
                return laws.try_for_each(|(name, law)| {
                    law(&snapshot, self.cluster.now).map_err(|why| format!("at rest, {name}: {why}"))
                });
            }
            self.check()?;
        }
        Err("the operators never come to rest".to_owned())
    }

    /// At the end a driver that starts afresh changes nothing.
    fn check_afresh(&mut self, crossed: &mut BTreeSet<Crossed>) -> Result<(), String> {
        let before = self.cluster.snapshot().revision();
        self.restart();
        self.rest(crossed)?;
        match self.cluster.snapshot().revision() == before {
            true => Ok(()),
            false => Err("started afresh at rest, the operator writes".to_owned()),
        }
    }

    fn step(&mut self, crossed: &mut BTreeSet<Crossed>) -> Moved {
        self.trace.push("step".to_owned());
        let moved = self.cluster.step();
        self.note(crossed);
        moved
    }

    fn restart(&mut self) {
        self.trace.push("restart".to_owned());
        self.cluster.restart();
    }

    fn crash(&mut self) {
        self.trace.push("step, and crash once its commit is durable".to_owned());
        self.cluster.step_and_crash();
    }

    fn wait(&mut self, crossed: &mut BTreeSet<Crossed>) {
        self.cluster.advance();
        self.step(crossed);
    }

    /// A refused deed has not happened.
    fn deed(&mut self, crossed: &mut BTreeSet<Crossed>, meanwhile: Meanwhile) {
        let snapshot = self.cluster.snapshot();
        let may = |index: usize| {
            let times = self.world.actors[index].times;
            times.is_none_or(|times| self.acted[index] < times)
        };
        let of = |index: usize| (self.world.actors[index].deeds)(&snapshot, self.cluster.now);
        let deeds: Vec<_> = (0..self.world.actors.len())
            .filter(|index| may(*index))
            .flat_map(|index| of(index).into_iter().map(move |deed| (index, deed)))
            .collect();
        if deeds.is_empty() {
            return;
        }
        let at = self.draw(deeds.len() as u64) as usize;
        let (actor, deed) = &deeds[at];
        let outcome = match meanwhile {
            Meanwhile::Nothing => self.cluster.edit(&deed.edit),
            Meanwhile::Stepping => {
                let outcome = self.cluster.step_while(&deed.edit).map(drop);
                self.note(crossed);
                outcome
            }
        };
        if outcome.is_ok() {
            self.acted[*actor] += 1;
            self.trace.push(format!("{} ({meanwhile:?})", deed.what));
        }
    }

    fn note(&self, crossed: &mut BTreeSet<Crossed>) {
        let crossings = self.cluster.driver.last_step().into_iter().flat_map(|report| &report.crossings);
        crossed.extend(crossings.map(|it| (it.from, it.to, it.guard)));
    }

    fn check(&self) -> Result<(), String> {
        if let Some(disabled) = self.cluster.driver.disabled().first() {
            return Err(format!("{} panicked: {}", disabled.operator, disabled.reason));
        }
        if let Some(fault) = self.cluster.driver.last_step().and_then(|report| report.fault.as_ref()) {
            return Err(format!("a step was void: {fault}"));
        }
        let snapshot = self.cluster.snapshot();
        let mut laws = self.world.always.iter();
        laws.try_for_each(|(name, law)| law(&snapshot, self.cluster.now).map_err(|why| format!("{name}: {why}")))
    }

    /// A number below `below`, by the seed (splitmix64).
    fn draw(&mut self, below: u64) -> u64 {
        self.bits = self.bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.bits ^ (self.bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}

/// What happens between a step's snapshot and its commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    Nothing,
    Stepping,
}
