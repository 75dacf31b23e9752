//! The world beyond the store, where operators' effects act: a value, so that it forks with its cluster and its ends can be
//! compared.
//!
//! An effect under proof does to this value, by [`act`], what it would do to a cloud or a registrar. Each act is a point where
//! the run can be interrupted: the process ends, the act fails, or it happens and nobody answers. Whatever interfered, the
//! effect is run again, and the world must end the same.

use std::cell::RefCell;
use std::panic::resume_unwind;

use sampan_core::operator::EffectRun;
use sampan_core::resource::EFFECTS;
use serde_json::Value;

use crate::cluster::{Cluster, Moved};

thread_local! {
    /// Where the effect that runs on this thread acts.
    static SCENE: RefCell<Option<Scene>> = const { RefCell::new(None) };
}

/// What becomes of a run of an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing interferes.
    Undisturbed,
    /// The process ends when so many acts are done.
    DiesAfter(usize),
    /// So many acts are done, the next one is not, and says so.
    FailsAfter(usize),
    /// So many acts are done, and the next one as well, though it says that it failed.
    UnansweredAfter(usize),
}

impl std::fmt::Display for Fate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Undisturbed => formatter.write_str("the effect is run"),
            Self::DiesAfter(done) => write!(formatter, "the effect is run, and crash when {done} of its acts are done"),
            Self::FailsAfter(done) => write!(formatter, "the effect is run, and its act {} fails", done + 1),
            Self::UnansweredAfter(done) => {
                write!(formatter, "the effect is run, and its act {} is done but not answered", done + 1)
            }
        }
    }
}

/// The world an effect acts on, while it runs.
struct Scene {
    world: Value,
    acts: usize,
    fate: Fate,
}

/// Does something to the world beyond the store of the proof this thread is at, and gives what comes of it. What an effect
/// asks of that world is an act as well.
///
/// # Errors
/// Where the world does not answer, which an effect passes on; and where no proof is under way.
pub fn act<T>(act: impl FnOnce(&mut Value) -> T) -> Result<T, String> {
    SCENE.with_borrow_mut(|scene| match scene {
        Some(scene) => scene.act(act),
        None => Err("nothing is beyond: no effect is being proved on this thread".to_owned()),
    })
}

impl Scene {
    fn act<T>(&mut self, act: impl FnOnce(&mut Value) -> T) -> Result<T, String> {
        let nth = self.acts;
        if self.fate == Fate::DiesAfter(nth) {
            resume_unwind(Box::new("the process ends"));
        }
        self.acts += 1;
        if self.fate == Fate::FailsAfter(nth) {
            return Err("it cannot be reached".to_owned());
        }
        let given = act(&mut self.world);
        if self.fate == Fate::UnansweredAfter(nth) { Err("no answer came".to_owned()) } else { Ok(given) }
    }
}

/// Runs an effect on a world. Tells its outcome, and how many acts it came to.
fn run(effect: &EffectRun, world: &mut Value, fate: Fate) -> (Result<Value, String>, usize) {
    SCENE.set(Some(Scene { world: world.take(), acts: 0, fate }));
    let outcome = effect.perform();
    let scene = SCENE.take().expect("nobody else takes the scene of this thread");
    *world = scene.world;
    (outcome, scene.acts)
}

/// Effects.
impl Cluster<'_> {
    /// The world beyond its store.
    pub fn beyond(&self) -> &Value {
        &self.beyond
    }

    /// One turn, in which effects meet their fate.
    pub(crate) fn step_fated(&mut self, fate: Fate) -> Moved {
        let (_, _, effects) = self.turn_with(|driver, dock| driver.turn(dock));
        for effect in effects {
            let (outcome, _) = run(&effect, &mut self.beyond, fate);
            if matches!(fate, Fate::DiesAfter(_)) {
                self.restart();
                return Moved::Stepped;
            }
            self.driver.effect_done(effect.ticket, outcome);
        }
        Moved::Stepped
    }

    /// One turn whose effects take their time: [`finish`](Self::finish) ends them.
    pub(crate) fn step_slow(&mut self) -> Vec<EffectRun> {
        self.turn_with(|driver, dock| driver.turn(dock)).2
    }

    /// Runs effects to their end.
    pub(crate) fn finish(&mut self, effects: Vec<EffectRun>) {
        for effect in effects {
            let (outcome, _) = run(&effect, &mut self.beyond, Fate::Undisturbed);
            self.driver.effect_done(effect.ticket, outcome);
        }
    }

    /// How often the effect the next turn runs was tried, and to how many acts it comes; `None` where it runs none.
    pub(crate) fn next_effect(&self) -> Option<(u32, usize)> {
        if self.snapshot().count(EFFECTS) == 0 || !self.driver.is_ready() {
            return None;
        }
        let mut tried = self.fork();
        let effect = tried.step_slow().into_iter().next()?;
        let (_, acts) = run(&effect, &mut tried.beyond, Fate::Undisturbed);
        Some((effect.request.tries, acts))
    }

    /// Every fate of the effect the next turn runs. What fails is tried again for ever, so only the first try may fail: else
    /// there were no end of states.
    pub(crate) fn fates(&self) -> Vec<Fate> {
        let Some((tries, acts)) = self.next_effect() else { return Vec::new() };
        let mut fates: Vec<Fate> = (0..=acts).map(Fate::DiesAfter).collect();
        if tries == 0 {
            fates.extend((0..acts).flat_map(|done| [Fate::FailsAfter(done), Fate::UnansweredAfter(done)]));
        }
        fates
    }
}
