//! The rules of the house, as a test.
//!
//! A wall that only a document describes falls within a month. Each rule here reads the workspace as text, reports
//! what breaks it by file and line, and comes with a test that shows it can fail:
//!
//! | module | rules |
//! | --- | --- |
//! | [`walls`] | who may import whom, and which library belongs to which room |
//! | [`purity`] | no clock, thread, sleep, entropy or unordered iteration in code that a simulation must repeat |
//! | [`shape`] | file sizes, module documentation, unfinished markers, the rooms of an operator crate |
//! | [`guide`] | the documents name every member of the workspace, and nothing of one developer's machine |
//!
//! What a rule has to let through stands in `allowed.txt` beside this crate, one line each with its reason. A line
//! that lets nothing through any more is itself a finding.

pub mod allowed;
pub mod guide;
pub mod purity;
pub mod shape;
pub mod source;
pub mod tree;
pub mod walls;

use allowed::Allowances;
use tree::{Package, Tree};

/// One place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The rule, as `allowed.txt` names it.
    pub rule: &'static str,
    /// The file, relative to the workspace.
    pub path: String,
    /// The line, counted from 1; 0 when the file as a whole is meant.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Finding {
    /// A finding about a whole file.
    pub fn file(rule: &'static str, path: &str, message: impl Into<String>) -> Self {
        Self::line(rule, path, 0, message)
    }

    /// A finding about one line.
    pub fn line(rule: &'static str, path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { rule, path: path.to_owned(), line, message: message.into() }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => write!(out, "{}: [{}] {}", self.path, self.rule, self.message),
            line => write!(out, "{}:{line}: [{}] {}", self.path, self.rule, self.message),
        }
    }
}

/// Everything that breaks a rule and is not allowed to, in the order of files.
pub fn inspect(tree: &Tree, packages: &[Package], allowances: &Allowances) -> Vec<Finding> {
    let mut found = walls::check(tree, packages);
    found.extend(purity::check(tree));
    found.extend(shape::check(tree));
    found.extend(guide::check(tree, packages));
    let mut rest = allowances.filter(found);
    rest.sort();
    rest
}
