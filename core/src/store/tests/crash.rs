//! What is left after a crash, and what is refused as damaged.

use sampan_machine::{CommandRecord, Decision};

use crate::object::Revision;
use crate::store::backend::{Backend as _, Keyspace};
use crate::store::fixture::*;
use crate::store::{
    Crash, DECISIONS_PER_OBJECT, MemoryDisk, OpenError, Precondition, Refusal, Sequencer, Ticket, Write,
};

fn map(at: &str) -> crate::object::Draft {
    config_map(at, "x")
}

#[test]
fn a_group_is_there_after_a_crash_whole_or_not_at_all() {
    for (crash, expected) in [(Crash::BeforeDurable, 1), (Crash::AfterDurable, 4)] {
        let disk = MemoryDisk::default();
        let mut sequencer = open(&disk);
        must(&mut sequencer, create(map("default/a")));
        disk.crash_next(crash);
        let writes = ["default/b", "default/c", "default/d"].map(|at| create(map(at))).into();
        let answers = commit(&mut sequencer, writes, 0);
        assert!(answers.iter().all(|(_, answer)| matches!(answer, Err(Refusal::Unavailable(_)))), "{crash:?}");
        assert_eq!(sequencer.snapshot().count(CONFIG_MAPS), 1, "reads go on as before");
        let later = commit(&mut sequencer, vec![create(map("default/e"))], 0);
        assert!(matches!(later[0].1, Err(Refusal::Unavailable(_))), "no write is taken any more");
        let mut sequencer = open(&disk);
        assert_eq!(sequencer.snapshot().count(CONFIG_MAPS), expected, "{crash:?}");
        assert_eq!(must(&mut sequencer, create(map("default/e"))).0, expected as u64 + 1);
    }
}

#[test]
fn damage_is_refused_by_name() {
    type Damage = fn(&MemoryDisk);
    type Named = fn(&OpenError) -> bool;
    let cases: [(&str, Damage, Named); 6] = [
        (
            "a log record",
            |disk| disk.damage(Keyspace::Log, &2_u64.to_be_bytes(), |bytes| bytes[20] ^= 1),
            |error| matches!(error, OpenError::Record { keyspace: "log", .. }),
        ),
        (
            "an object",
            |disk| disk.damage(Keyspace::Objects, b"configmaps/default/a", |bytes| bytes[20] ^= 1),
            |error| matches!(error, OpenError::Record { keyspace: "objects", .. }),
        ),
        (
            "a hole in the log",
            |disk| disk.lose(Keyspace::Log, &2_u64.to_be_bytes()),
            |error| matches!(error, OpenError::LogGap { missing: Revision(2) }),
        ),
        (
            "the end of the log",
            |disk| disk.lose(Keyspace::Log, &3_u64.to_be_bytes()),
            |error| matches!(error, OpenError::LostWrites { recovered: Revision(2), acknowledged: Revision(3) }),
        ),
        (
            "an object lost",
            |disk| disk.lose(Keyspace::Objects, b"configmaps/default/b"),
            |error| matches!(error, OpenError::Inconsistent { revision: Revision(2), .. }),
        ),
        (
            "another format",
            |disk| disk.damage(Keyspace::Meta, b"format", |bytes| bytes[0] = 99),
            |error| matches!(error, OpenError::Format { found: 99 }),
        ),
    ];
    for (name, damage, is_named) in cases {
        let disk = MemoryDisk::default();
        let mut sequencer = open(&disk);
        for at in ["default/a", "default/b", "default/c"] {
            must(&mut sequencer, create(map(at)));
        }
        sequencer.settle();
        assert!(Sequencer::open(disk.restart(), settings()).is_ok());
        damage(&disk);
        let error = Sequencer::open(disk.restart(), settings()).err().unwrap_or_else(|| panic!("{name} was not seen"));
        assert!(is_named(&error), "{name}: {error:?}");
    }
}

#[test]
fn the_high_water_mark_lags_behind_by_milliseconds_at_most() {
    let disk = MemoryDisk::default();
    let mut sequencer = open(&disk);
    let writes = [("default/a", 0), ("default/b", 4), ("default/c", 5), ("default/d", 9), ("default/e", 10)];
    let marked = writes.map(|(name, ms)| {
        commit(&mut sequencer, vec![create(map(name))], ms);
        disk.restart().acknowledged().0
    });
    assert_eq!(marked, [0, 0, 2, 2, 4]);
    commit(&mut sequencer, vec![create(map("default/e"))], 19);
    assert!(!sequencer.is_mark_late(at(19)) && sequencer.is_mark_late(at(20)), "what is refused moves nothing");
    sequencer.settle();
    assert!(!sequencer.is_mark_late(at(20)));
    assert_eq!(disk.restart().acknowledged(), Revision(5));
}

#[test]
fn an_object_newer_than_the_log_is_seen_though_nobody_was_told_of_it() {
    let disk = MemoryDisk::default();
    let mut sequencer = open(&disk);
    must(&mut sequencer, create(map("default/a")));
    must(&mut sequencer, create(map("default/b")));
    disk.lose(Keyspace::Log, &2_u64.to_be_bytes());
    let error = Sequencer::open(disk.restart(), settings()).err().unwrap();
    assert!(matches!(error, OpenError::LogGap { missing: Revision(2) }), "{error:?}");
}

fn decided(object: &str, number: u64) -> Decision {
    let create = |verb: &str, object: &str| CommandRecord {
        verb: verb.to_owned(),
        object: object.to_owned(),
        revision: None,
        detail: String::new(),
    };
    Decision {
        operator: "test".to_owned(),
        object: object.to_owned(),
        time: at(0),
        wake: Vec::new(),
        snapshot: number,
        from: "Steady".to_owned(),
        to: "Steady".to_owned(),
        guards: Vec::new(),
        unmet: Vec::new(),
        commands: vec![create("delete", "pods/default/never"), create("create", "configmaps/default/a")],
        reads: Vec::new(),
    }
}

fn deciding(mut write: Write, decision: Decision) -> Write {
    write.decision = Some(decision);
    write
}

#[test]
fn a_decision_tells_the_revisions_its_commands_became_and_survives_its_object() {
    let disk = MemoryDisk::default();
    let mut sequencer = open(&disk);
    must(&mut sequencer, create(map("default/other")));
    let created = must(&mut sequencer, deciding(create(map("default/a")), decided("configmaps/default/a", 0)));
    let refused = deciding(create(map("default/a")), decided("configmaps/default/a", 1));
    assert!(commit(&mut sequencer, vec![refused], 0)[0].1.is_err());
    must(&mut sequencer, remove(key(CONFIG_MAPS, "default/a"), created));
    for sequencer in [sequencer, open(&disk)] {
        let kept = sequencer.reader().decisions(&key(CONFIG_MAPS, "default/a")).unwrap();
        assert_eq!(kept.len(), 1, "what was refused was not decided");
        let revisions: Vec<_> = kept[0].commands.iter().map(|command| command.revision).collect();
        assert_eq!(revisions, [None, Some(2)]);
        assert!(sequencer.reader().decisions(&key(CONFIG_MAPS, "default")).unwrap().is_empty());
    }
}

/// A decision alone is not waited for; what is trimmed meanwhile must not be missed when the power goes.
#[test]
fn the_log_is_not_trimmed_by_what_is_not_durable() {
    let disk = MemoryDisk::default();
    let mut sequencer = open(&disk);
    must(&mut sequencer, create(map("default/a")));
    must(&mut sequencer, create(map("default/b")));
    for day in 1..3 {
        let decision = deciding(write(Vec::new()), decided("configmaps/default/a", 2));
        assert!(commit(&mut sequencer, vec![decision], day * 24 * 3_600_000)[0].1.is_ok());
    }
    drop(sequencer);
    let sequencer = open(&disk);
    assert_eq!(sequencer.snapshot().count(CONFIG_MAPS), 2);
}

#[test]
fn the_last_decisions_of_each_object_are_kept_newest_last() {
    let disk = MemoryDisk::default();
    let mut sequencer = open(&disk);
    let keep = DECISIONS_PER_OBJECT as u64;
    let writes = (0..3 * keep).map(|number| {
        let object = if number % 3 == 0 { "nodes//quiet" } else { "nodes//busy" };
        deciding(write(Vec::new()), decided(object, number))
    });
    for (number, write) in writes.enumerate() {
        sequencer.submit(write, Ticket(number as u64));
        if number % 50 == 0 {
            sequencer.commit_group(at(0));
        }
    }
    sequencer.commit_group(at(0));
    assert_eq!(sequencer.snapshot().revision(), Revision(0), "a decision takes no revision");
    must(&mut sequencer, write(vec![change(map("default/a"), Precondition::Absent)]));
    for sequencer in [sequencer, open(&disk)] {
        let snapshots = |name: &str| -> Vec<u64> {
            let kept = sequencer.reader().decisions(&key(NODES, name)).unwrap();
            kept.iter().map(|decision| decision.snapshot).collect()
        };
        let busy: Vec<u64> = (0..3 * keep).filter(|number| number % 3 != 0).skip(keep as usize).collect();
        assert_eq!(snapshots("busy"), busy);
        assert_eq!(snapshots("quiet").len(), DECISIONS_PER_OBJECT);
    }
}
