//! What the rules let through, each with its reason.

use std::cell::RefCell;
use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};

use crate::Finding;

/// A reason shorter than this explains nothing.
const SHORTEST_REASON: usize = 20;

/// One line of `allowed.txt`: `rule path: reason`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Allowance {
    rule: String,
    path: String,
    line: usize,
}

/// The lines of `allowed.txt`, and which of them were needed.
#[derive(Debug, Default)]
pub struct Allowances {
    entries: Vec<Allowance>,
    used: RefCell<BTreeSet<usize>>,
}

impl Allowances {
    /// Reads `rule path: reason` lines; empty lines and those after `#` are comments.
    ///
    /// # Errors
    /// When a line is malformed or gives no reason.
    pub fn parse(text: &str) -> Result<Self> {
        let mut entries = Vec::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let number = index + 1;
            let (place, reason) = line.split_once(": ").with_context(|| format!("line {number}: no reason"))?;
            let (rule, path) = place.split_once(' ').with_context(|| format!("line {number}: no path"))?;
            ensure!(reason.trim().len() >= SHORTEST_REASON, "line {number}: `{reason}` is no reason");
            entries.push(Allowance { rule: rule.to_owned(), path: path.to_owned(), line: number });
        }
        Ok(Self { entries, used: RefCell::default() })
    }

    /// The findings that stay, and one more for every line that let nothing through.
    pub fn filter(&self, found: Vec<Finding>) -> Vec<Finding> {
        let mut rest: Vec<Finding> = found.into_iter().filter(|finding| !self.lets_through(finding)).collect();
        let used = self.used.borrow();
        rest.extend(self.entries.iter().filter(|entry| !used.contains(&entry.line)).map(|entry| {
            let message = format!("`{} {}` lets nothing through any more: remove it", entry.rule, entry.path);
            Finding::line("allowed", "tests/tidy/allowed.txt", entry.line, message)
        }));
        rest
    }

    fn lets_through(&self, finding: &Finding) -> bool {
        let matching = self.entries.iter().find(|entry| entry.rule == finding.rule && entry.path == finding.path);
        matching.is_some_and(|entry| {
            self.used.borrow_mut().insert(entry.line);
            true
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "purity core/src/store/shell.rs: the thread that drives the sequencer";

    #[test]
    fn an_allowance_covers_its_rule_and_its_file_alone() {
        let allowances = Allowances::parse(LINE).unwrap();
        let inside = Finding::line("purity", "core/src/store/shell.rs", 3, "spawn");
        let other_rule = Finding::file("size", "core/src/store/shell.rs", "long");
        let other_file = Finding::file("purity", "core/src/store/log.rs", "spawn");
        assert_eq!(allowances.filter(vec![inside, other_rule.clone(), other_file.clone()]), [other_rule, other_file]);
    }

    #[test]
    fn an_allowance_nobody_needs_is_a_finding() {
        let rest = Allowances::parse(LINE).unwrap().filter(Vec::new());
        assert_eq!(rest.len(), 1);
        assert!(rest[0].message.contains("lets nothing through"), "{}", rest[0]);
    }

    #[test]
    fn an_allowance_without_a_reason_is_refused() {
        assert!(Allowances::parse("purity core/src/a.rs").is_err());
        assert!(Allowances::parse("purity core/src/a.rs: because").is_err());
    }
}
