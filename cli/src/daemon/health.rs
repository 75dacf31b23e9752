//! Operators and store as `/readyz` and `/metrics` show them.

use sampan_apiserver::Part;
use sampan_core::object::ObjectKey;
use sampan_core::operator::{Figures, Shown};
use sampan_core::store::Store;
use sampan_core::why::Waiting;

/// Reads one of an operator's counts.
type Count = fn(&Figures) -> u64;

const COUNTS: [(&str, Count); 4] = [
    ("steps", |figures| figures.steps),
    ("commits", |figures| figures.commits),
    ("conflicts", |figures| figures.conflicts),
    ("refusals", |figures| figures.refusals),
];

/// The operators.
pub(super) struct OperatorsPart(pub(super) Shown);

impl Part for OperatorsPart {
    fn name(&self) -> &'static str {
        "operators"
    }

    fn problem(&self) -> Option<String> {
        let problems = self.0.problems();
        (!problems.is_empty()).then(|| problems.join("; "))
    }

    fn keeps_waiting(&self, key: &ObjectKey) -> Vec<Waiting> {
        self.0.view().disabled.iter().filter_map(|disabled| disabled.keeps_waiting(key)).collect()
    }

    fn write_metrics(&self, out: &mut String) {
        let view = self.0.view();
        gauge(out, "sampan_operators_queued", view.queued);
        gauge(out, "sampan_operators_commits_under_way", view.under_way);
        gauge(out, "sampan_operators_stuck", usize::from(self.0.stuck().is_some()));
        for (name, read) in COUNTS {
            out.push_str(&format!("# TYPE sampan_operator_{name}_total counter\n"));
            for (operator, figures) in &view.figures {
                let count = read(figures);
                out.push_str(&format!("sampan_operator_{name}_total{{operator={operator:?}}} {count}\n"));
            }
        }
    }
}

/// The store.
pub(super) struct StorePart(pub(super) Store);

impl Part for StorePart {
    fn name(&self) -> &'static str {
        "store"
    }

    fn problem(&self) -> Option<String> {
        self.0.problem()
    }

    fn write_metrics(&self, out: &mut String) {
        gauge(out, "sampan_store_takes_writes", usize::from(self.0.problem().is_none()));
    }
}

fn gauge(out: &mut String, name: &str, value: usize) {
    out.push_str(&format!("# TYPE {name} gauge\n{name} {value}\n"));
}
