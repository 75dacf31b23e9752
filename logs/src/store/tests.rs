//! Stores that are written, torn, searched and full.

use super::*;

fn run(id: &str, app: &str) -> Run {
    Run {
        id: id.to_owned(),
        namespace: "shop".to_owned(),
        pod: format!("{app}-0"),
        uid: format!("uid-{id}"),
        container: "main".to_owned(),
        attempt: 0,
        node: "here".to_owned(),
        labels: BTreeMap::from([("app".to_owned(), app.to_owned())]),
    }
}

fn batch(lines: &[(i64, &str)]) -> Batch {
    let line = |(time_ns, text): &(i64, &str)| Line {
        time_ns: *time_ns,
        stream: Stream::Stdout,
        text: text.as_bytes().to_vec(),
    };
    Batch { lines: lines.iter().map(line).collect(), ..Batch::default() }
}

fn at(offset: u64) -> Position {
    Position { file: 1, offset, skip: 0 }
}

fn found(store: &Store, query: Query) -> Vec<String> {
    store.search(&query).unwrap().map(|found| String::from_utf8(found.unwrap().text).unwrap()).collect()
}

#[test]
fn lines_of_many_runs_come_by_time_before_and_after_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path(), Limits::default()).unwrap();
    assert_eq!(store.begin(run("1", "web")), Position::default());
    store.begin(run("2", "api"));
    store.take("1", &batch(&[(1, "a"), (3, "c"), (2, "set back"), (7, "g")]), at(1)).unwrap();
    store.take("2", &batch(&[(2, "b"), (4, "d")]), at(2)).unwrap();
    let expect = ["a", "b", "c", "set back", "d", "g"];
    assert_eq!(found(&store, Query::default()), expect);
    store.flush_all().unwrap();
    assert_eq!(found(&store, Query::default()), expect);
    store.take("2", &batch(&[(5, "e")]), at(3)).unwrap();
    let api = serde_json::from_str(r#"{"labels":[{"key":"app","operator":"In","values":["api"]}]}"#).unwrap();
    assert_eq!(found(&store, api), ["b", "d", "e"]);
}

#[test]
fn whoever_is_killed_goes_on_where_the_last_whole_block_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path(), Limits::default()).unwrap();
    store.begin(run("1", "web"));
    store.take("1", &batch(&[(1, "a")]), at(10)).unwrap();
    store.flush("1").unwrap();
    store.take("1", &batch(&[(2, "b")]), at(20)).unwrap();
    store.flush("1").unwrap();
    store.take("1", &batch(&[(3, "only in memory")]), at(30)).unwrap();
    drop(store);
    let segment = folder.path().join("1").join(format!("{:020}", 0));
    let whole = std::fs::read(&segment).unwrap();
    let first = Segment::open(segment.clone()).unwrap().0.bytes / 2;
    for cut in first as usize..=whole.len() {
        std::fs::write(&segment, &whole[..cut]).unwrap();
        let mut store = Store::open(folder.path(), Limits::default()).unwrap();
        let (position, lines) = if cut == whole.len() { (at(20), vec!["a", "b"]) } else { (at(10), vec!["a"]) };
        assert_eq!(store.begin(run("1", "web")), position, "cut at {cut}");
        assert_eq!(found(&store, Query::default()), lines);
    }
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    std::fs::write(&segment, &flipped).unwrap();
    let mut store = Store::open(folder.path(), Limits::default()).unwrap();
    assert_eq!(store.begin(run("1", "web")), at(10));
    assert!(store.counts().torn_bytes > 0);
    store.take("1", &batch(&[(2, "b"), (3, "c")]), at(30)).unwrap();
    store.flush("1").unwrap();
    let sequences: Vec<u64> = store.search(&Query::default()).unwrap().map(|found| found.unwrap().sequence).collect();
    assert_eq!(sequences, [0, 1, 2]);
}

#[test]
fn searches_look_at_text_expression_time_and_what_stands_beside() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path(), Limits::default()).unwrap();
    store.begin(run("1", "web"));
    for (number, text) in ["start", "Error: one", "detail", "more", "quiet", "error: two", "end"].iter().enumerate() {
        store.take("1", &batch(&[(number as i64, text)]), at(number as u64)).unwrap();
        if number % 2 == 0 {
            store.flush("1").unwrap();
        }
    }
    let cases: [(&str, &[&str]); 9] = [
        (r#"{"text":"error"}"#, &["error: two"]),
        (r#"{"text":"error","ignoreCase":true}"#, &["Error: one", "error: two"]),
        (r#"{"regex":"^(more|e.d)$"}"#, &["more", "end"]),
        (r#"{"text":"e","regex":"t$"}"#, &["quiet"]),
        (r#"{"text":"Error","before":5,"after":1}"#, &["start", "Error: one", "detail"]),
        (r#"{"text":"two","before":2}"#, &["more", "quiet", "error: two"]),
        (r#"{"sinceNs":2,"untilNs":4}"#, &["detail", "more"]),
        (r#"{"tail":2}"#, &["error: two", "end"]),
        (r#"{"tail":1,"text":"error","ignoreCase":true}"#, &["error: two"]),
    ];
    for (query, expect) in cases {
        assert_eq!(found(&store, serde_json::from_str(query).unwrap()), expect, "{query}");
    }
    assert!(store.search(&serde_json::from_str(r#"{"regex":"("}"#).unwrap()).is_err());
}

#[test]
fn who_logs_without_end_loses_its_own_past_and_nobody_elses() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { bytes: 256 << 10, age_seconds: 100 };
    let mut store = Store::open(folder.path(), limits).unwrap();
    store.begin(run("quiet", "quiet"));
    store.take("quiet", &batch(&[(1, "said once")]), at(1)).unwrap();
    store.end("quiet").unwrap();
    store.begin(run("loud", "loud"));
    let (mut seed, mut taken) = (1_u64, 0);
    for round in 0..400 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let words = (0..200).map(|word| seed.rotate_left(word * 7 % 64) ^ u64::from(word));
        let noise = words.fold(String::new(), |noise, word| noise + &format!("{word:x}"));
        store.take("loud", &batch(&[(round, &noise)]), at(round.cast_unsigned())).unwrap();
        store.flush("loud").unwrap();
        taken += 1;
    }
    let counts = store.counts();
    assert!(counts.kept_bytes <= limits.bytes, "{counts:?}");
    let kept = found(&store, serde_json::from_str(r#"{"pod":"loud-0"}"#).unwrap()).len() as u64;
    assert_eq!(kept + counts.removed_lines, taken, "what is not kept is counted");
    assert!(kept > 0 && counts.removed_lines > 0);
    assert_eq!(found(&store, serde_json::from_str(r#"{"pod":"quiet-0"}"#).unwrap()), ["said once"]);

    store.end("loud").unwrap();
    store.expire(1_000_000_000_000);
    assert!(found(&store, Query::default()).is_empty());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_clock_that_jumps_brings_nothing_out_of_order_and_hides_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let day_ns = 24 * 3_600_000_000_000;
    let mut store = Store::open(folder.path(), Limits { bytes: 1 << 20, age_seconds: 3600 }).unwrap();
    store.begin(run("1", "web"));
    let (now, ahead, back) = (10 * day_ns, 11 * day_ns, 9 * day_ns);
    for (number, (time_ns, text)) in [(now, "a"), (ahead, "b"), (back, "c"), (now + 1, "d")].iter().enumerate() {
        store.take("1", &batch(&[(*time_ns, text)]), at(number as u64)).unwrap();
        store.flush("1").unwrap();
    }
    assert_eq!(found(&store, Query::default()), ["a", "b", "c", "d"]);
    let since = |since_ns: i64| Query { since_ns: Some(since_ns), ..Query::default() };
    assert_eq!(found(&store, since(now)), ["a", "b", "d"]);
    assert_eq!(found(&store, since(ahead)), ["b"]);
    assert_eq!(found(&store, Query { tail: Some(2), ..Query::default() }), ["c", "d"]);
    store.expire(back);
    store.expire(i64::MIN);
    assert_eq!(store.counts().removed_lines, 0, "nothing is too old for a clock that was set back");
    store.end("1").unwrap();
    store.expire(i64::MAX);
    assert_eq!((found(&store, Query::default()).len(), store.counts().removed_lines), (0, 4), "what goes is counted");
}

#[test]
fn lines_the_disk_refuses_wait_and_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path(), Limits::default()).unwrap();
    // A file where the run's folder should be: a refusal also for root.
    std::fs::write(folder.path().join("1"), b"").unwrap();
    store.begin(run("1", "web"));
    let long = "x".repeat(BLOCK_BYTES);
    assert!(store.take("1", &batch(&[(1, &long)]), at(1)).is_err());
    assert!(!store.is_full("1"));
    (2..20).for_each(|number| drop(store.take("1", &batch(&[(number, &long)]), at(1))));
    assert!(store.is_full("1") && store.counts().failed_writes == 19);
    std::fs::remove_file(folder.path().join("1")).unwrap();
    store.flush("1").unwrap();
    assert!(!store.is_full("1"));
    drop(store);
    let store = Store::open(folder.path(), Limits::default()).unwrap();
    assert_eq!(found(&store, Query::default()).len(), 19);
}

#[test]
fn a_gap_is_told_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path(), Limits::default()).unwrap();
    store.begin(run("1", "web"));
    let lost = Batch { gaps: 1, ..batch(&[(2, "b")]) };
    store.take("1", &batch(&[(1, "a")]), at(1)).unwrap();
    store.take("1", &lost, at(2)).unwrap();
    assert_eq!(found(&store, Query::default()), ["a", GAP, "b"]);
    assert_eq!(store.counts().gaps, 1);
}

#[test]
fn who_follows_sees_each_line_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path(), Limits::default()).unwrap();
    store.begin(run("1", "web"));
    store.take("1", &batch(&[(1, "a"), (2, "b")]), at(1)).unwrap();
    let query = Query::default();
    let ends = store.ends(&query);
    store.take("1", &batch(&[(3, "c")]), at(2)).unwrap();
    store.flush("1").unwrap();
    store.take("1", &batch(&[(4, "d")]), at(3)).unwrap();
    let news = store.search_from(&query, &ends).unwrap();
    let texts: Vec<_> = news.map(|found| String::from_utf8(found.unwrap().text).unwrap()).collect();
    assert_eq!(texts, ["c", "d"]);
}
