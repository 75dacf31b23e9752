//! What is given out once, and what is counted: never twice, never lost, whenever the machine crashes.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use crate::object::{Name, ObjectKey, Uid};
use crate::store::fixture::*;
use crate::store::{
    Change, CommitCondition, Counter, Crash, Excess, IndexKey, MemoryDisk, Precondition, Put, Refusal, Unmet, Write,
};

const NAMES: [&str; 4] = ["default/a", "default/b", "default/c", "default/d"];
const ADDRESSES: [&str; 3] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];
const ADDRESS: &str = "spec.address";
const LIMIT: i64 = 10;

fn quota() -> ObjectKey {
    key(CONFIG_MAPS, "default/quota")
}

fn counter() -> Counter {
    Counter {
        owner: (quota(), Uid("quota".into())),
        of: "weight".into(),
        resource: CONFIG_MAPS,
        namespace: Some("default".into()),
        scope: "".into(),
        measure: Arc::new(|object| object.value().pointer("/data/k").unwrap().as_str().unwrap().parse().unwrap()),
    }
}

fn claim(address: usize) -> IndexKey {
    IndexKey::Field { resource: CONFIG_MAPS, field: ADDRESS, value: ADDRESSES[address].into() }
}

/// A change that gives `name` an address and a weight, or removes it.
fn planned(name: usize, put: Option<(usize, i64)>, exists: bool) -> Change {
    let (key, uid) = (key(CONFIG_MAPS, NAMES[name]), Uid(format!("uid-of-{}", NAMES[name]).into()));
    let precondition = if exists { Precondition::Identity(uid) } else { Precondition::Absent };
    let Some((address, weight)) = put else {
        return Change { key, precondition, put: Put::Nothing, conditions: Vec::new() };
    };
    let fields = vec![(ADDRESS, ADDRESSES[address].to_owned())];
    let body = serde_json::json!({"data": {"k": weight.to_string()}});
    let draft = draft(CONFIG_MAPS, NAMES[name], serde_json::json!({}), body, fields);
    let charge = CommitCondition::Charge { counter: counter(), amount: weight, limit: LIMIT };
    let conditions = vec![CommitCondition::Unique(claim(address)), charge];
    Change { key, precondition, put: Put::Object(Box::new(draft)), conditions }
}

type World = BTreeMap<usize, (usize, i64)>;
/// A request: what becomes of some names.
type Asked = BTreeMap<usize, Option<(usize, i64)>>;

fn request(asked: &Asked, world: &World) -> Write {
    write(asked.iter().map(|(name, put)| planned(*name, *put, world.contains_key(name))).collect())
}

/// The world after a request, by rules too simple to be wrong; `None` where it is refused.
fn after(asked: &Asked, world: &World) -> Option<World> {
    let mut next = world.clone();
    for (name, put) in asked {
        let Some((address, weight)) = put else {
            next.remove(name)?;
            continue;
        };
        let held = next.get(name).map_or(0, |(_, weight)| *weight);
        let sum: i64 = next.values().map(|(_, weight)| weight).sum();
        let is_taken = next.iter().any(|(other, (taken, _))| other != name && taken == address);
        if is_taken || *weight > held && sum - held + weight > LIMIT {
            return None;
        }
        next.insert(*name, (*address, *weight));
    }
    Some(next)
}

fn asked() -> impl Strategy<Value = Asked> {
    let put = prop::option::weighted(0.75, (0..ADDRESSES.len(), 0_i64..8));
    prop::collection::btree_map(0..NAMES.len(), put, 1..3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn nothing_is_given_twice_and_nothing_is_lost_at_whatever_commit_the_machine_crashes(
        groups in prop::collection::vec((prop::collection::vec(asked(), 1..4), 0..6_u8), 1..12)
    ) {
        let disk = MemoryDisk::default();
        let mut sequencer = open(&disk);
        let mut world = World::new();
        for (requests, fate) in groups {
            let crash = match fate {
                0 => Some(Crash::BeforeDurable),
                1 => Some(Crash::AfterDurable),
                _ => None,
            };
            let (mut next, mut expected, mut writes) = (world.clone(), Vec::new(), Vec::new());
            for asked in &requests {
                writes.push(request(asked, &next));
                let decided = after(asked, &next);
                expected.push(decided.is_some());
                next = decided.unwrap_or(next);
            }
            let changes = next != world || expected.contains(&true);
            if let Some(crash) = crash.filter(|_| changes) {
                disk.crash_next(crash);
                commit(&mut sequencer, writes, 0);
                sequencer = open(&disk);
                world = if matches!(crash, Crash::AfterDurable) { next } else { world };
            } else {
                let answers = commit(&mut sequencer, writes, 0);
                let accepted: Vec<bool> = answers.iter().map(|(_, answer)| answer.is_ok()).collect();
                prop_assert_eq!(accepted, expected);
                world = next;
            }
            let found: World = sequencer
                .snapshot()
                .list(CONFIG_MAPS, None, None)
                .map(|object| {
                    let name = NAMES.iter().position(|name| name.ends_with(&*object.key().name)).unwrap();
                    let address = ADDRESSES.iter().position(|it| object.field(ADDRESS) == Some(it)).unwrap();
                    (name, (address, (counter().measure)(object)))
                })
                .collect();
            prop_assert_eq!(&found, &world);
        }
    }
}

#[test]
fn a_refusal_names_the_change_and_what_it_lacks() {
    let mut sequencer = open(&MemoryDisk::default());
    must(&mut sequencer, write(vec![planned(0, Some((0, 7)), false)]));
    let refused = |sequencer: &mut _, changes| match commit(sequencer, vec![write(changes)], 0).remove(0).1 {
        Err(Refusal::Unmet { change, unmet }) => (change, unmet),
        other => panic!("{other:?}"),
    };
    let taken = refused(&mut sequencer, vec![planned(1, Some((1, 1)), false), planned(2, Some((0, 1)), false)]);
    assert_eq!(taken, (1, Unmet::Taken { index: Box::new(claim(0)), by: key(CONFIG_MAPS, NAMES[0]) }));
    let within = refused(&mut sequencer, vec![planned(1, Some((1, 1)), false), planned(2, Some((1, 1)), false)]);
    assert_eq!(within, (1, Unmet::Taken { index: Box::new(claim(1)), by: key(CONFIG_MAPS, NAMES[1]) }));
    let exceeded = refused(&mut sequencer, vec![planned(1, Some((1, 2)), false), planned(2, Some((2, 2)), false)]);
    let excess = Excess { of: Name::from("weight"), used: 9, requested: 2, limit: LIMIT };
    assert_eq!(exceeded, (1, Unmet::Exceeded { owner: quota(), excesses: vec![excess] }));
    assert_eq!(sequencer.snapshot().count(CONFIG_MAPS), 1, "nothing of what is refused happens");
}

#[test]
fn what_shrinks_is_never_refused_for_a_limit_that_was_lowered() {
    let mut sequencer = open(&MemoryDisk::default());
    must(&mut sequencer, write(vec![planned(0, Some((0, 8)), false)]));
    let lowered = |weight: i64| {
        let mut change = planned(0, Some((0, weight)), true);
        change.conditions = vec![CommitCondition::Charge { counter: counter(), amount: weight, limit: 1 }];
        write(vec![change])
    };
    assert!(commit(&mut sequencer, vec![lowered(9)], 0).remove(0).1.is_err());
    must(&mut sequencer, lowered(8));
    must(&mut sequencer, lowered(5));
}

#[test]
fn amounts_that_fit_no_sum_are_counted_all_the_same() {
    let mut sequencer = open(&MemoryDisk::default());
    // They were there before anybody set a limit.
    for name in 0..2 {
        let unlimited = Change { conditions: Vec::new(), ..planned(name, Some((name, i64::MAX)), false) };
        must(&mut sequencer, write(vec![unlimited]));
    }
    let is_accepted = |sequencer: &mut _, change| commit(sequencer, vec![write(vec![change])], 0).remove(0).1.is_ok();
    let one_more = || planned(2, Some((2, 1)), false);
    for name in 0..2 {
        assert!(!is_accepted(&mut sequencer, one_more()), "{} are left", 2 - name);
        must(&mut sequencer, write(vec![planned(name, None, true)]));
    }
    assert!(is_accepted(&mut sequencer, one_more()));
}
