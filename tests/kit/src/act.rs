//! What can happen next in a world.

use crate::beyond::Fate;
use crate::cluster::{Cluster, Moment, Moved};
use crate::world::Deed;

/// What can happen next.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Step,
    Restart,
    Crash,
    Wait,
    Effect(Fate),
    Deed(usize, Deed),
    StepWhile(usize, Deed),
}

impl std::fmt::Display for Act {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Step => formatter.write_str("step"),
            Self::Restart => formatter.write_str("restart"),
            Self::Crash => formatter.write_str("step, and crash once its commit is durable"),
            Self::Wait => formatter.write_str("wait for the next timer"),
            Self::Effect(fate) => write!(formatter, "{fate}"),
            Self::Deed(_, deed) => formatter.write_str(&deed.what),
            Self::StepWhile(_, deed) => write!(formatter, "step, and before its commit: {}", deed.what),
        }
    }
}

/// All ways to go on; the step comes first.
pub(crate) fn acts(cluster: &Cluster<'_>) -> Vec<Act> {
    let is_ready = cluster.driver.is_ready();
    let mut acts = Vec::new();
    if is_ready {
        acts.push(Act::Step);
        match cluster.fates() {
            // A crash that meets an effect has moments of its own.
            fates if fates.is_empty() => acts.push(Act::Crash),
            fates => acts.extend(fates.into_iter().map(Act::Effect)),
        }
    }
    acts.push(Act::Restart);
    if cluster.driver.next_deadline().is_some() {
        acts.push(Act::Wait);
    }
    for (actor, deed) in deeds(cluster, 1) {
        acts.push(Act::Deed(actor, deed.clone()));
        if is_ready {
            acts.push(Act::StepWhile(actor, deed));
        }
    }
    acts
}

/// What everybody could do, those with limits so many times as often as they may.
pub(crate) fn deeds(cluster: &Cluster<'_>, patience: usize) -> Vec<(usize, Deed)> {
    let snapshot = cluster.snapshot();
    let actors = cluster.world().actors.iter().zip(&cluster.acted).enumerate();
    let may = actors.filter(|(_, (actor, acted))| actor.times.is_none_or(|times| **acted < times * patience));
    may.flat_map(|(index, (actor, _))| (actor.deeds)(&snapshot, cluster.now).into_iter().map(move |deed| (index, deed)))
        .collect()
}

/// Goes one way. An error says that the way is closed: the deed was refused.
pub(crate) fn perform(cluster: &mut Cluster<'_>, act: &Act) -> Result<Moved, String> {
    match act {
        Act::Step => Ok(cluster.step()),
        Act::Restart => {
            cluster.restart();
            Ok(Moved::Stepped)
        }
        Act::Crash => Ok(cluster.step_and_crash(Moment::At)),
        Act::Wait => {
            cluster.advance();
            Ok(cluster.step())
        }
        Act::Effect(fate) => Ok(cluster.step_fated(*fate)),
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
pub(crate) fn count(cluster: &mut Cluster<'_>, actor: usize) {
    let is_limited = cluster.world().actors.get(actor).is_some_and(|actor| actor.times.is_some());
    if let Some(acted) = cluster.acted.get_mut(actor).filter(|_| is_limited) {
        *acted += 1;
    }
}
