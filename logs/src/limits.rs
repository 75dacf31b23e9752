//! What a node keeps at most, and what became of the rest.

use serde::Serialize;

/// Bytes kept on a node unless told otherwise.
const DEFAULT_BYTES: u64 = 1 << 30;
/// How long lines are kept unless told otherwise, in seconds: a week.
const DEFAULT_AGE_SECONDS: u64 = 7 * 24 * 3600;
/// The part of all bytes one run may take: who logs without end takes away its own past, not that of others.
const RUN_SHARE: u64 = 4;

/// What a node keeps at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes on disk, all runs together.
    pub bytes: u64,
    /// How old a line may become, in seconds.
    pub age_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: DEFAULT_BYTES, age_seconds: DEFAULT_AGE_SECONDS }
    }
}

impl Limits {
    /// Bytes one run may take.
    pub(crate) fn run_bytes(self) -> u64 {
        self.bytes / RUN_SHARE
    }

    /// The time before which lines are too old.
    pub(crate) fn oldest_ns(self, now_ns: i64) -> i64 {
        let age = i64::try_from(self.age_seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
        now_ns.saturating_sub(age)
    }
}

/// What was taken in and what became of it, since the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Lines taken in.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes on disk now.
    pub kept_bytes: u64,
    /// Lines removed because they were too old or took too much.
    pub removed_lines: u64,
    /// How often Docker had rotated files away before they were read; how many lines that cost is not known.
    pub gaps: u64,
    /// Entries of Docker's files that could not be understood; they are kept as they are.
    pub damaged_entries: u64,
    /// Blocks that could not be written and were kept for another try.
    pub failed_writes: u64,
    /// Bytes cut off at the end of segments: blocks a crash left half written, whose lines were read again.
    pub torn_bytes: u64,
}
