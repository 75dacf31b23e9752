//! The sequencer against a model that is too simple to be wrong.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::object::Revision;
use crate::store::fixture::*;
use crate::store::{
    Change, Crash, MemoryDisk, Precondition, Put, ReadKey, Refusal, Sequencer, Ticket, WatchChange, WatchScope, Write,
};

const NAMES: [&str; 4] = ["default/a", "default/b", "default/c", "other/a"];

#[derive(Debug, Clone)]
enum Step {
    Submit { changes: Vec<Planned>, guard: Option<(u64, usize)> },
    Commit,
    Crash(bool),
}

#[derive(Debug, Clone)]
struct Planned {
    name: usize,
    /// How many revisions ago the writer looked; `None` takes the object to be absent.
    seen: Option<u64>,
    removes: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let planned = (0..NAMES.len(), prop::option::weighted(0.7, 0_u64..2), prop::bool::weighted(0.3));
    let planned = planned.prop_map(|(name, seen, removes)| Planned { name, seen, removes: removes && seen.is_some() });
    let submit = (prop::collection::vec(planned, 1..3), prop::option::of((0_u64..4, 0..NAMES.len())));
    prop_oneof![
        6 => submit.prop_map(|(changes, guard)| Step::Submit { changes, guard }),
        3 => Just(Step::Commit),
        1 => any::<bool>().prop_map(Step::Crash),
    ]
}

/// Every change in order, and the world after it.
#[derive(Default, Clone)]
struct Model {
    world: BTreeMap<usize, u64>,
    history: Vec<(usize, bool)>,
}

impl Model {
    fn head(&self) -> u64 {
        self.history.len() as u64
    }

    fn try_apply(&self, request: &Request) -> Option<Self> {
        if let Some((at, name)) = request.guard {
            let changed = self.history.iter().enumerate().skip(at as usize).any(|(_, (changed, _))| *changed == name);
            if changed {
                return None;
            }
        }
        let mut next = self.clone();
        for (name, expected, removes) in &request.changes {
            let fits = match expected {
                None => !next.world.contains_key(name),
                Some(revision) => next.world.get(name) == Some(revision),
            };
            if !fits {
                return None;
            }
            next.history.push((*name, *removes));
            let revision = next.head();
            if *removes {
                next.world.remove(name)
            } else {
                next.world.insert(*name, revision)
            };
        }
        Some(next)
    }
}

#[derive(Debug, Clone)]
struct Request {
    changes: Vec<(usize, Option<u64>, bool)>,
    guard: Option<(u64, usize)>,
}

fn real(request: &Request) -> Write {
    let changes = request.changes.iter().map(|(name, expected, removes)| {
        let precondition =
            expected.map_or(Precondition::Absent, |revision| Precondition::Unchanged(Revision(revision)));
        let put = if *removes { Put::Nothing } else { Put::Object(Box::new(config_map(NAMES[*name], "x"))) };
        Change { key: key(CONFIG_MAPS, NAMES[*name]), precondition, put, conditions: Vec::new() }
    });
    let write = write(changes.collect());
    match request.guard {
        Some((at, name)) => guarded(write, Revision(at), vec![ReadKey::Object(key(CONFIG_MAPS, NAMES[name]))]),
        None => write,
    }
}

fn is_of_the_request(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Exists(_) | Refusal::Missing(_) | Refusal::Changed { .. } | Refusal::Guard { .. })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_requests_groups_and_crashes_ends_as_the_model_says(steps in prop::collection::vec(step(), 1..60)) {
        let disk = MemoryDisk::default();
        let mut sequencer = open(&disk);
        let mut started_at = 0;
        let mut model = Model::default();
        let mut waiting: Vec<Request> = Vec::new();
        for step in steps {
            match step {
                Step::Submit { changes, guard } => {
                    let changes: Vec<_> = changes.into_iter().map(|Planned { name, seen, removes }| {
                        let known = model.world.get(&name).copied().unwrap_or(1);
                        (name, seen.map(|ago| known.saturating_sub(ago)), removes)
                    }).collect();
                    // A request that changes an object twice needs a precondition no client can know.
                    if changes.len() == 2 && changes[0].0 == changes[1].0 {
                        continue;
                    }
                    let guard = guard.map(|(ago, name)| (model.head().saturating_sub(ago).max(started_at), name));
                    let request = Request { changes, guard };
                    sequencer.submit(real(&request), Ticket(waiting.len() as u64));
                    waiting.push(request);
                }
                Step::Commit => {
                    let answers = sequencer.commit_group(at(0));
                    prop_assert_eq!(answers.len(), waiting.len());
                    for ((_, answer), request) in answers.into_iter().zip(waiting.drain(..)) {
                        match model.try_apply(&request) {
                            Some(next) => {
                                model = next;
                                prop_assert_eq!(answer.unwrap().revision.0, model.head());
                            }
                            None => prop_assert!(answer.is_err_and(|refusal| is_of_the_request(&refusal))),
                        }
                    }
                }
                Step::Crash(after) => {
                    disk.crash_next(if after { Crash::AfterDurable } else { Crash::BeforeDurable });
                    sequencer.commit_group(at(0));
                    for request in waiting.drain(..).filter(|_| after) {
                        model = model.try_apply(&request).unwrap_or(model);
                    }
                    sequencer = Sequencer::open(disk.restart(), settings()).unwrap();
                    started_at = model.head();
                }
            }
            check(&sequencer, &model)?;
        }
    }
}

fn check<B: crate::store::Backend>(sequencer: &Sequencer<B>, model: &Model) -> Result<(), TestCaseError> {
    let snapshot = sequencer.snapshot();
    prop_assert_eq!(snapshot.revision().0, model.head());
    let world: BTreeMap<usize, u64> = snapshot
        .list(CONFIG_MAPS, None, None)
        .map(|object| {
            let at = format!("{}/{}", object.key().namespace.as_deref().unwrap(), object.key().name);
            (NAMES.iter().position(|name| *name == at).unwrap(), object.revision().0)
        })
        .collect();
    prop_assert_eq!(&world, &model.world);
    let mut told = Vec::new();
    let mut watch = sequencer.reader().watch(WatchScope::all(CONFIG_MAPS), Revision(0));
    loop {
        let events = watch.poll(7).unwrap();
        if events.is_empty() {
            break;
        }
        told.extend(events.iter().map(|event| (event.revision.0, matches!(event.change, WatchChange::Removed(_)))));
    }
    let expected: Vec<_> =
        model.history.iter().enumerate().map(|(at, (_, removed))| (at as u64 + 1, *removed)).collect();
    prop_assert_eq!(told, expected);
    Ok(())
}
