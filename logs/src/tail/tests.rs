//! Tails of logs that are written and rotated as Docker does.

use std::fs;
use std::io::Write as _;

use super::*;

const LOT: usize = usize::MAX;

struct Log {
    folder: tempfile::TempDir,
    written: u64,
}

impl Log {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), written: 0 }
    }

    fn path(&self, suffix: &str) -> PathBuf {
        self.folder.path().join(format!("x{suffix}"))
    }

    fn tail(&self, position: Position) -> Tail {
        Tail::new(self.path(""), position)
    }

    fn raw(&self, bytes: &[u8]) {
        fs::OpenOptions::new().create(true).append(true).open(self.path("")).unwrap().write_all(bytes).unwrap();
    }

    /// Writes an entry as Docker does: one write.
    fn write(&mut self, stream: &str, text: &str) {
        self.written += 1;
        let time = format!("2026-01-01T00:00:00.{:09}Z", self.written);
        self.write_at(&time, stream, text);
    }

    fn write_at(&self, time: &str, stream: &str, text: &str) {
        let entry = serde_json::json!({"log": text, "stream": stream, "time": time}).to_string();
        self.raw(format!("{entry}\n").as_bytes());
    }

    fn lines(&mut self, texts: &[&str]) {
        texts.iter().for_each(|text| self.write("stdout", &format!("{text}\n")));
    }

    fn rotate(&self, keep: u32) {
        let _ = fs::remove_file(self.path(&format!(".{keep}")));
        for number in (1..keep).rev() {
            let _ = fs::rename(self.path(&format!(".{number}")), self.path(&format!(".{}", number + 1)));
        }
        fs::rename(self.path(""), self.path(".1")).unwrap();
    }
}

fn read(tail: &mut Tail) -> Vec<String> {
    let batch = tail.read(LOT).unwrap();
    assert!(batch.at_end && batch.damaged == 0 && batch.gaps == 0, "{batch:?}");
    batch.lines.into_iter().map(|line| String::from_utf8(line.text).unwrap()).collect()
}

#[test]
fn a_log_that_is_not_there_yet_is_read_once_it_is() {
    let mut log = Log::new();
    let mut tail = log.tail(Position::default());
    assert!(read(&mut tail).is_empty());
    log.lines(&["a", "", "b"]);
    assert_eq!(read(&mut tail), ["a", "", "b"]);
    assert!(read(&mut tail).is_empty());
}

#[test]
fn a_log_whose_newest_file_is_gone_is_not_read_once_more() {
    let mut log = Log::new();
    log.lines(&["a"]);
    log.rotate(3);
    log.lines(&["b"]);
    let mut tail = log.tail(Position::default());
    assert_eq!(read(&mut tail), ["a", "b"]);
    fs::remove_file(log.path("")).unwrap();
    let mut again = log.tail(tail.position());
    assert!(read(&mut again).is_empty(), "what is left was read before");
    assert_eq!(again.position(), tail.position(), "and nothing is forgotten");
}

#[test]
fn every_line_comes_once_across_rotations_and_restarts_at_every_line() {
    let mut log = Log::new();
    let mut tail = log.tail(Position::default());
    let (mut seen, mut expect) = (Vec::new(), Vec::new());
    for round in 0..60 {
        for number in 0..round % 7 {
            let text = format!("{round}-{number}");
            log.lines(&[&text]);
            expect.push(text);
        }
        if round % 3 == 0 && log.path("").exists() {
            log.rotate(4);
        }
        if round % 2 == 0 {
            seen.extend(read(&mut tail));
        }
        if round % 5 == 0 {
            tail = log.tail(tail.position());
        }
    }
    log.lines(&["end"]);
    expect.push("end".to_owned());
    seen.extend(read(&mut tail));
    assert_eq!(seen, expect);
}

#[test]
fn long_lines_are_put_together_also_where_both_streams_write_at_once() {
    let mut log = Log::new();
    log.write("stdout", "one ");
    log.write("stderr", "uno ");
    log.write("stdout", "two\n");
    log.write("stdout", "between\n");
    log.rotate(4);
    log.write("stderr", "due\n");
    log.lines(&["after"]);
    let mut whole = log.tail(Position::default());
    let expect = ["one two", "between", "uno due", "after"];
    assert_eq!(read(&mut whole), expect);

    // Killed after each line, and begun anew from the position behind it.
    let (mut seen, mut position) = (Vec::new(), Position::default());
    for _ in 0..20 {
        let mut tail = log.tail(position);
        let batch = tail.read(1).unwrap();
        seen.extend(batch.lines.iter().map(|line| String::from_utf8(line.text.clone()).unwrap()));
        position = tail.position();
    }
    let mut last = log.tail(position);
    seen.extend(read(&mut last));
    assert_eq!(seen, expect);
}

#[test]
fn a_clock_that_jumps_costs_no_line_across_rotations_and_restarts() {
    let log = Log::new();
    let (mut tail, mut seen, mut expect) = (log.tail(Position::default()), Vec::new(), Vec::new());
    let days = ["2026-01-02", "2026-01-01", "1970-01-01", "2261-12-31", "2026-01-02", "1969-12-31"];
    for (number, day) in days.iter().cycle().take(60).enumerate() {
        let text = format!("{number}");
        log.write_at(&format!("{day}T00:00:00.{number:09}Z"), "stdout", &format!("{text}\n"));
        expect.push(text);
        if number % 4 == 0 {
            log.rotate(4);
        }
        if number % 3 == 0 {
            seen.extend(read(&mut tail));
            tail = log.tail(tail.position());
        }
    }
    seen.extend(read(&mut tail));
    assert_eq!(seen, expect);
    // A time no line can bear is no reason to lose one.
    log.write_at("9999-01-01T00:00:00Z", "stdout", "far\n");
    let batch = tail.read(LOT).unwrap();
    assert_eq!((batch.lines.len(), batch.damaged), (1, 1));
}

#[test]
fn an_entry_that_is_half_written_is_waited_for() {
    let log = Log::new();
    let mut tail = log.tail(Position::default());
    log.raw(br#"{"log":"whole\n","stream":"stdout","#);
    assert!(read(&mut tail).is_empty());
    log.raw(b"\"time\":\"2026-01-01T00:00:00Z\"}\n");
    assert_eq!(read(&mut tail), ["whole"]);
}

#[test]
fn who_reads_more_slowly_than_is_written_loses_nothing() {
    let mut log = Log::new();
    let mut tail = log.tail(Position::default());
    let mut seen = Vec::new();
    for number in 0..30 {
        log.lines(&[&format!("{number}"), "and one more"]);
        // A line for two that are written, while only two files are kept.
        let batch = tail.read(1).unwrap();
        assert_eq!(batch.gaps, 0);
        seen.extend(batch.lines);
        log.rotate(2);
    }
    log.lines(&["end"]);
    seen.extend(tail.read(LOT).unwrap().lines);
    assert_eq!(seen.len(), 61);
}

#[test]
fn a_name_that_is_free_for_a_moment_hides_nothing() {
    let mut log = Log::new();
    let mut tail = log.tail(Position::default());
    log.lines(&["a"]);
    assert_eq!(read(&mut tail), ["a"]);
    log.rotate(4);
    log.lines(&["b"]);
    // Docker has moved this one on, and not yet the one before it.
    fs::rename(log.path(".1"), log.path(".2")).unwrap();
    let mut anew = log.tail(tail.position());
    assert_eq!(read(&mut tail), ["b"]);
    assert_eq!(read(&mut anew), ["b"]);
    assert_eq!(read(&mut log.tail(Position::default())), ["a", "b"]);
}

#[test]
fn files_that_went_unread_are_told() {
    let mut log = Log::new();
    let mut tail = log.tail(Position::default());
    log.lines(&["a"]);
    assert_eq!(read(&mut tail), ["a"]);
    for text in ["lost", "b", "c", "d"] {
        log.rotate(2);
        log.lines(&[text]);
    }
    let batch = tail.read(LOT).unwrap();
    let texts: Vec<_> = batch.lines.iter().map(|line| line.text.clone()).collect();
    assert_eq!((batch.gaps, texts), (1, vec![b"b".to_vec(), b"c".to_vec(), b"d".to_vec()]));

    let mut late = log.tail(Position { file: 42, offset: 0, skip: 0 });
    assert_eq!(late.read(LOT).unwrap().gaps, 1);
}

#[test]
fn what_is_no_entry_is_kept_and_counted() {
    let mut log = Log::new();
    log.lines(&["a"]);
    log.raw(b"{\"log\":\"torn\0\0\xff\n");
    log.lines(&["b"]);
    let batch = log.tail(Position::default()).read(LOT).unwrap();
    let texts: Vec<_> = batch.lines.iter().map(|line| line.text.clone()).collect();
    assert_eq!(batch.damaged, 1);
    assert_eq!(texts, [b"a".to_vec(), b"{\"log\":\"torn\0\0\xff".to_vec(), b"b".to_vec()]);
}

#[test]
fn a_line_of_a_megabyte_is_whole_and_one_without_end_is_cut() {
    let mut log = Log::new();
    let part = "x".repeat(16 << 10);
    (0..64).for_each(|_| log.write("stdout", &part));
    log.write("stdout", "\n");
    (0..300).for_each(|_| log.write("stdout", &part));
    let mut tail = log.tail(Position::default());
    let batch = tail.read(LOT).unwrap();
    let lengths: Vec<_> = batch.lines.iter().map(|line| line.text.len()).collect();
    assert_eq!(lengths, [1 << 20, LINE_BYTES_MAX]);
    let rest = tail.rest(7);
    assert_eq!(rest.iter().map(|line| line.text.len()).collect::<Vec<_>>(), [44 * (16 << 10)]);
    assert!(read(&mut log.tail(tail.position())).is_empty(), "the rest is not read again");
}

#[test]
fn a_log_that_was_emptied_is_read_from_its_beginning() {
    let mut log = Log::new();
    log.lines(&["a", "b"]);
    let mut tail = log.tail(Position::default());
    assert_eq!(read(&mut tail), ["a", "b"]);
    fs::write(log.path(""), b"").unwrap();
    log.lines(&["c"]);
    let batch = tail.read(LOT).unwrap();
    assert_eq!((batch.gaps, batch.lines.len()), (1, 1));
}
