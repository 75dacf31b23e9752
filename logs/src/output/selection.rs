//! Whose lines are sent.

use crate::query::Requirement;
use crate::run::Run;

/// Whose lines are sent: those of runs of which everything given holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Of pods in one of these namespaces; in every one where none is given.
    pub namespaces: Vec<String>,
    /// Of containers of one of these names; of every one where none is given.
    pub containers: Vec<String>,
    /// Of pods with such labels.
    pub labels: Vec<Requirement>,
}

impl Selection {
    /// Whether lines of this run are sent.
    pub fn selects(&self, run: &Run) -> bool {
        let lists = |names: &[String], name: &String| names.is_empty() || names.contains(name);
        lists(&self.namespaces, &run.namespace)
            && lists(&self.containers, &run.container)
            && self.labels.iter().all(|requirement| requirement.holds(&run.labels))
    }
}
