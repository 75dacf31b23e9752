//! Outputs that are read on, killed, left behind and given up on.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::limits::Limits;
use crate::line::{Line, Stream};
use crate::tail::{Batch, Position};

fn run(id: &str, namespace: &str) -> Run {
    let [pod, uid, container, node] = ["web-0", "u", "main", "here"].map(str::to_owned);
    let (id, namespace) = (id.to_owned(), namespace.to_owned());
    Run { id, namespace, pod, uid, container, attempt: 0, node, labels: BTreeMap::new() }
}

/// A store in a folder of its own, with a clock that counts lines.
struct World {
    folder: tempfile::TempDir,
    limits: Limits,
    store: Store,
    clock_ns: i64,
}

impl World {
    fn new() -> Self {
        Self::within(Limits::default())
    }

    fn within(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), limits).unwrap();
        Self { folder, limits, store, clock_ns: 0 }
    }

    fn say(&mut self, id: &str, texts: &[&str]) {
        self.store.begin(run(id, "shop"));
        let mut batch = Batch::default();
        for text in texts {
            self.clock_ns += 1;
            batch.lines.push(Line { time_ns: self.clock_ns, stream: Stream::Stdout, text: text.as_bytes().to_vec() });
        }
        let position = Position { file: 1, offset: self.clock_ns as u64, skip: 0 };
        self.store.take(id, &batch, position).unwrap();
    }

    fn kill(&mut self) {
        self.store = Store::open(self.folder.path(), self.limits).unwrap();
    }
}

/// Everything that is to be sent by now.
fn pump(outlet: &mut Outlet, store: &Store) -> Chunk {
    let mut passage = outlet.survey(store).unwrap();
    outlet.fill(&mut passage, Instant::now()).unwrap();
    outlet.seal()
}

fn texts(chunk: &Chunk) -> Vec<String> {
    chunk.records.iter().map(|joined| String::from_utf8(joined.text.clone()).unwrap()).collect()
}

fn deliver(outlet: &mut Outlet, store: &Store) -> Vec<String> {
    let chunk = pump(outlet, store);
    let texts = texts(&chunk);
    outlet.acknowledge(chunk, store);
    texts
}

#[test]
fn what_is_selected_is_sent_once_and_what_comes_later_follows() {
    let mut world = World::new();
    world.say("1", &["a", "b"]);
    world.store.begin(run("2", "other"));
    let other =
        Batch { lines: vec![Line { time_ns: 1, stream: Stream::Stdout, text: b"x".to_vec() }], ..Batch::default() };
    world.store.take("2", &other, Position::default()).unwrap();
    let selection = Selection { namespaces: vec!["shop".to_owned()], ..Selection::default() };
    let mut outlet = Outlet::new(Plan { selection, ..Plan::default() }, None, &world.store);
    assert_eq!(outlet.waiting(&world.store), 2);
    assert_eq!(deliver(&mut outlet, &world.store), ["a", "b"]);
    assert!(pump(&mut outlet, &world.store).is_empty());
    world.store.flush_all().unwrap();
    world.say("1", &["c"]);
    assert_eq!(deliver(&mut outlet, &world.store), ["c"]);
    assert_eq!((outlet.waiting(&world.store), outlet.cursor().delivered, outlet.cursor().dropped), (0, 3, 0));
}

#[test]
fn what_was_not_acknowledged_is_sent_again_after_a_kill() {
    let mut world = World::new();
    world.say("1", &["a", "b"]);
    let mut outlet = Outlet::new(Plan::default(), None, &world.store);
    assert_eq!(deliver(&mut outlet, &world.store), ["a", "b"]);
    world.say("1", &["c"]);
    world.store.flush_all().unwrap();
    let lost = pump(&mut outlet, &world.store);
    assert_eq!(texts(&lost), ["c"]);
    let kept = outlet.cursor().clone();
    world.kill();
    let mut outlet = Outlet::new(Plan::default(), Some(kept), &world.store);
    assert_eq!(deliver(&mut outlet, &world.store), ["c"]);
}

#[test]
fn lines_sent_before_they_were_on_disk_are_not_sent_again_when_they_are_collected_again() {
    let mut world = World::new();
    world.say("1", &["a"]);
    world.store.flush_all().unwrap();
    world.say("1", &["b", "c"]);
    let mut outlet = Outlet::new(Plan::default(), None, &world.store);
    assert_eq!(deliver(&mut outlet, &world.store), ["a", "b", "c"]);
    let kept = outlet.cursor().clone();
    world.kill();
    world.clock_ns = 1;
    world.say("1", &["b"]);
    let mut outlet = Outlet::new(Plan::default(), Some(kept), &world.store);
    assert_eq!(deliver(&mut outlet, &world.store), [""; 0], "the line before our place is not collected again yet");
    world.say("1", &["c", "d"]);
    assert_eq!(deliver(&mut outlet, &world.store), ["d"]);
}

#[test]
fn lines_that_took_the_numbers_of_others_are_sent() {
    let mut world = World::new();
    world.say("1", &["a"]);
    world.store.flush_all().unwrap();
    world.say("1", &["b", "c"]);
    let mut outlet = Outlet::new(Plan::default(), None, &world.store);
    deliver(&mut outlet, &world.store);
    let kept = outlet.cursor().clone();
    world.kill();
    world.clock_ns = 100;
    world.say("1", &["x", "y", "z"]);
    let mut again = Outlet::new(Plan::default(), Some(kept.clone()), &world.store);
    assert_eq!(
        deliver(&mut again, &world.store),
        ["x", "y", "z"],
        "b and c were rotated away before they were on disk"
    );
    world.kill();
    world.say("1", &["x"]);
    world.store.end("1").unwrap();
    let mut again = Outlet::new(Plan::default(), Some(kept), &world.store);
    assert_eq!(deliver(&mut again, &world.store), ["x"], "the run has ended: what it has is all there will be");
}

#[test]
fn what_limits_take_away_before_it_was_sent_is_counted() {
    let mut world = World::within(Limits { bytes: 1 << 30, age_seconds: 1 });
    world.say("1", &["a", "b", "c"]);
    let mut outlet = Outlet::new(Plan::default(), None, &world.store);
    deliver(&mut outlet, &world.store);
    world.say("1", &["d", "e"]);
    world.say("2", &["never", "seen"]);
    for id in ["1", "2"] {
        world.store.end(id).unwrap();
    }
    world.store.expire(i64::MAX);
    assert!(pump(&mut outlet, &world.store).is_empty());
    assert_eq!((outlet.cursor().delivered, outlet.cursor().dropped), (3, 4));
    assert_eq!(outlet.waiting(&world.store), 0);
}

#[test]
fn an_output_may_lag_behind_so_far_and_no_farther() {
    let mut world = World::within(Limits { bytes: 1 << 20, age_seconds: 1000 });
    let mut outlet = Outlet::new(Plan { waiting_bytes_max: Some(20 << 10), ..Plan::default() }, None, &world.store);
    // Blocks of 4 KiB that do not compress, so that segments are cut.
    let noise = |seed: u64| -> String {
        let mut state = seed + 1;
        let mut letter = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'!' + (state >> 58) as u8)
        };
        (0..64 << 10).map(|_| letter()).collect()
    };
    for number in 0..6 {
        world.say("1", &[&noise(number)]);
        world.store.flush_all().unwrap();
    }
    world.say("1", &["last"]);
    let sent = deliver(&mut outlet, &world.store);
    assert_eq!(sent.last().map(String::as_str), Some("last"));
    let (delivered, dropped) = (outlet.cursor().delivered, outlet.cursor().dropped);
    assert!(dropped > 0 && delivered + dropped == 7, "{delivered} delivered, {dropped} dropped");
}

#[test]
fn an_output_begins_when_it_was_made() {
    let mut world = World::new();
    world.say("1", &["old", "older segment"]);
    world.store.flush_all().unwrap();
    world.say("1", &["old as well", "new"]);
    let plan = Plan { since_ns: Some(4), ..Plan::default() };
    let mut outlet = Outlet::new(plan.clone(), None, &world.store);
    assert_eq!(deliver(&mut outlet, &world.store), ["new"]);
    assert_eq!((outlet.waiting(&world.store), outlet.cursor().dropped), (0, 0));
    let mut late = Outlet::new(Plan { since_ns: Some(100), ..plan.clone() }, None, &world.store);
    assert_eq!(late.waiting(&world.store), 0, "what is passed over is behind it as well");

    // It is changed to a run it did not select, and sends of that what came since it was made.
    let nothing = Selection { namespaces: vec!["other".to_owned()], ..Selection::default() };
    let before = Outlet::new(Plan { selection: nothing, ..plan.clone() }, None, &world.store);
    let mut changed = Outlet::new(plan, Some(before.cursor().clone()), &world.store);
    assert_eq!(deliver(&mut changed, &world.store), ["new"]);
    assert!(pump(&mut late, &world.store).is_empty());
}

#[test]
fn a_clock_that_is_set_back_or_ahead_costs_no_line() {
    let mut world = World::new();
    world.clock_ns = 1000;
    world.say("1", &["before it was made"]);
    let plan = Plan { since_ns: Some(1002), ..Plan::default() };
    let mut outlet = Outlet::new(plan.clone(), None, &world.store);
    world.clock_ns = -5;
    world.say("1", &["set back"]);
    world.say("2", &["a new run", "and more of it"]);
    assert_eq!(deliver(&mut outlet, &world.store), ["set back", "a new run", "and more of it"]);
    world.clock_ns = i64::MAX - 10;
    world.say("1", &["far ahead"]);
    world.store.flush_all().unwrap();
    world.clock_ns = 0;
    world.say("1", &["and back again"]);
    world.say("3", &["another"]);
    let mut again = Outlet::new(plan, Some(outlet.cursor().clone()), &world.store);
    assert_eq!(deliver(&mut again, &world.store), ["far ahead", "another", "and back again"]);
    assert_eq!((again.waiting(&world.store), again.cursor().delivered, again.cursor().dropped), (0, 6, 0));
}

#[test]
fn a_record_that_may_go_on_is_not_behind_us() {
    let mut world = World::new();
    let multiline = Multiline::new("^[^ ]", Duration::from_secs(60)).unwrap();
    let plan = Plan { multiline: Some(multiline), ..Plan::default() };
    world.say("1", &["a", "trace", " at x"]);
    world.store.flush_all().unwrap();
    let mut outlet = Outlet::new(plan.clone(), None, &world.store);
    assert_eq!(deliver(&mut outlet, &world.store), ["a"]);
    assert_eq!(outlet.waiting(&world.store), 2);
    let mut again = Outlet::new(plan, Some(outlet.cursor().clone()), &world.store);
    world.say("1", &[" at y", "next"]);
    assert_eq!(deliver(&mut again, &world.store), ["trace\n at x\n at y"]);
    again.expire(again.due().unwrap());
    let last = again.seal();
    assert_eq!(texts(&last), ["next"]);
    again.acknowledge(last, &world.store);
    assert_eq!((again.waiting(&world.store), again.cursor().delivered), (0, 5));
}

/// What may happen to an output.
#[derive(Debug, Clone)]
enum Happening {
    Say(u8, u8),
    Flush,
    Send,
    SendUnheard,
    Kill,
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let happening = prop_oneof![
        4 => (0..3_u8, 1..5_u8).prop_map(|(run, lines)| Happening::Say(run, lines)),
        1 => Just(Happening::Flush),
        3 => Just(Happening::Send),
        1 => Just(Happening::SendUnheard),
        1 => Just(Happening::Kill),
    ];
    prop::collection::vec(happening, 0..40)
}

/// What the containers wrote, which outlives kills, and what a collector has by id.
#[derive(Default)]
struct Truth {
    written: BTreeMap<String, Vec<(i64, String)>>,
    received: BTreeMap<(String, u64, i64), String>,
}

impl Truth {
    fn receive(&mut self, chunk: &Chunk) {
        for joined in &chunk.records {
            let text = String::from_utf8(joined.text.clone()).unwrap();
            let id = (joined.run.id.clone(), joined.first, joined.time_ns);
            let before = self.received.insert(id, text.clone());
            assert!(before.is_none_or(|before| before == text), "one id, two lines");
        }
    }

    /// Has the store collect what it does not have, as the collector does after a kill.
    fn collect(&self, store: &mut Store) {
        for (id, written) in &self.written {
            store.begin(run(id, "shop"));
            let (_, end) = store.ends_of(id).unwrap();
            let line = |(time_ns, text): &(i64, String)| Line {
                time_ns: *time_ns,
                stream: Stream::Stdout,
                text: text.clone().into_bytes(),
            };
            let batch = Batch { lines: written.iter().skip(end as usize).map(line).collect(), ..Batch::default() };
            store.take(id, &batch, Position::default()).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_line_arrives_and_by_its_id_once(happenings in happenings()) {
        let (mut world, mut truth) = (World::new(), Truth::default());
        let mut outlet = Outlet::new(Plan::default(), None, &world.store);
        let mut kept = outlet.cursor().clone();
        for happening in happenings {
            match happening {
                Happening::Say(of, lines) => {
                    let written = truth.written.entry(of.to_string()).or_default();
                    for _ in 0..lines {
                        world.clock_ns += 1;
                        written.push((world.clock_ns, format!("line {}", world.clock_ns)));
                    }
                    truth.collect(&mut world.store);
                }
                Happening::Flush => world.store.flush_all().unwrap(),
                Happening::Send => {
                    let chunk = pump(&mut outlet, &world.store);
                    truth.receive(&chunk);
                    outlet.acknowledge(chunk, &world.store);
                    kept = outlet.cursor().clone();
                }
                Happening::SendUnheard => {
                    let chunk = pump(&mut outlet, &world.store);
                    truth.receive(&chunk);
                    world.kill();
                    outlet = Outlet::new(Plan::default(), Some(kept.clone()), &world.store);
                    truth.collect(&mut world.store);
                }
                Happening::Kill => {
                    world.kill();
                    truth.collect(&mut world.store);
                    outlet = Outlet::new(Plan::default(), Some(kept.clone()), &world.store);
                }
            }
        }
        let chunk = pump(&mut outlet, &world.store);
        truth.receive(&chunk);
        let mut arrived: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
        for ((id, _, time_ns), text) in truth.received {
            arrived.entry(id).or_default().push((time_ns, text));
        }
        prop_assert_eq!(arrived, truth.written);
        prop_assert_eq!(outlet.cursor().dropped, 0);
    }
}
