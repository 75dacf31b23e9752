//! A program under proof: steps wait for its answers, because there a step is a function.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sampan_core::object::ObjectKey;
use sampan_core::operator::{EffectRequest, Telling};
use sampan_core::plugin::{Answer, Failure, PluginSpec, Program, Question};
use serde_json::Value;

use crate::folder::Folders;
use crate::launch::{Place, prepare};
use crate::source::{self, SourceError};
use crate::supervisor::{Start, Supervisor};

/// Every so many times that an answer is known already it is asked for all the same, and must be the same.
const ASKED_AGAIN_EVERY: usize = 20;

/// Why a program cannot be proved.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// Its files are not to be had.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Its folder cannot be made, or the system gives no threads.
    #[error("failed to start it: {0}")]
    Start(#[from] std::io::Error),
}

/// What effects give under proof: the result of each key, or where that says nothing, of each effect.
#[derive(Debug, Clone, Default)]
pub struct Given(pub Vec<(String, String, Value)>);

impl Given {
    fn result_of(&self, request: &EffectRequest) -> Option<Value> {
        let of_effect = || self.0.iter().filter(|(effect, ..)| effect == request.name);
        let found = of_effect().find(|(_, key, _)| *key == request.key).or_else(|| of_effect().next());
        found.map(|(.., result)| result.clone())
    }
}

/// A program under proof: as many processes as there are cores to step on, each in a folder of its own.
pub struct Proof {
    supervisors: Vec<Supervisor>,
    next: AtomicUsize,
    known: Mutex<BTreeMap<String, Answer>>,
    hits: AtomicUsize,
    folders: Folders,
    given: Given,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Proof {
    /// Starts a plugin's program with its files from `source`, confined by `binary` as in a cluster. Its effects give what
    /// is said here: worlds that are tried in every way have no world around them.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        name: &str,
        spec: &PluginSpec,
        source: &Path,
        binary: &Path,
        given: Given,
    ) -> Result<Self, ProofError> {
        let files = source::gather(spec, source)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let folders = Folders::of(&format!("proof-{}", std::process::id()));
        let mut place =
            Place { folders: &folders, binary, taken: BTreeSet::default(), group: None, words: Arc::default() };
        let entered = runtime.enter();
        let deadline = Duration::from_secs(spec.deadline_seconds.into());
        let mut supervisors = Vec::new();
        for core in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            let launch = prepare(name, &format!("{name}-{core}"), spec, &files, &place)?;
            place.taken.extend(launch.user);
            supervisors.push(Supervisor::start(launch, Start::AtOnce, deadline, spec.concurrency));
        }
        drop(entered);
        let (next, hits) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Ok(Self { supervisors, next, known: Mutex::default(), hits, folders, given, runtime: Some(runtime) })
    }

    fn ask(&self, key: &ObjectKey, question: &Question) -> Result<Answer, Failure> {
        let chosen = self.next.fetch_add(1, Ordering::Relaxed) % self.supervisors.len();
        let supervisor = self.supervisors.get(chosen).ok_or_else(|| failure("the plugin is gone"))?;
        let (tell, told) = channel();
        supervisor.line().ask(key.clone(), question.clone(), Box::new(move |answer| drop(tell.send(answer))));
        let answered = told.recv().map_err(|_| failure("the plugin is gone"))?;
        // Under proof a program must answer: that it would be asked again is what its author has to hear of.
        answered.map(|answer| Answer { id: 0, ..answer }).map_err(|failed| Failure { retry_after: None, ..failed })
    }

    /// An answer that is known, or why it is no good: asked again it was another.
    fn known(&self, key: &ObjectKey, question: &Question, line: &str) -> Option<Result<Answer, Failure>> {
        let known = locked(&self.known).get(line).cloned()?;
        if !self.hits.fetch_add(1, Ordering::Relaxed).is_multiple_of(ASKED_AGAIN_EVERY) {
            return Some(Ok(known));
        }
        Some(match self.ask(key, question) {
            Ok(again) if again != known => {
                let what =
                    "the plugin answers the same question in two ways: its answer must follow from the question alone";
                Err(failure(what))
            }
            answered => answered,
        })
    }
}

impl Program for Proof {
    fn answer(&self, key: &ObjectKey, question: &Question) -> Option<Result<Answer, Failure>> {
        let line = question.line(0);
        if let Some(known) = self.known(key, question, &line) {
            return Some(known);
        }
        let answered = self.ask(key, question);
        if let Ok(answer) = &answered {
            locked(&self.known).insert(line, answer.clone());
        }
        Some(answered)
    }

    fn perform(&self, request: &EffectRequest, _tell: Telling<'_>) -> Result<Value, String> {
        self.given.result_of(request).ok_or_else(|| format!("no sample says what `{}` gives", request.name))
    }

    fn complain(&self, _key: &ObjectKey, _why: &str) {}

    fn forget(&self, _key: &ObjectKey) {}
}

impl Drop for Proof {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            for supervisor in self.supervisors.drain(..) {
                runtime.block_on(supervisor.stop());
            }
        }
        self.folders.remove_all();
    }
}

fn failure(what: &str) -> Failure {
    Failure { what: what.to_owned(), retry_after: None }
}

fn locked<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
