//! Rules for the status of a Job: whoever runs it, a Job that has ended stays ended, and its numbers fit.
//!
//! A rule is asked only when one of the fields it is about has changed, so that a status with an old fault can still be
//! written.

use serde_json::Value;

use super::{has_condition, indexes};
use crate::resource::check::{Faults, Field};

/// A Job before and after a change of its status.
struct Change<'a, 'v> {
    job: &'a Field<'v>,
    old: &'a Field<'v>,
    status: Field<'v>,
}

pub(super) fn validate(job: &Field<'_>, old: &Field<'_>, faults: &mut Faults) {
    let change = Change { job, old, status: job.at("status") };
    for count in ["active", "succeeded", "failed", "ready", "terminating"] {
        faults.nonnegative(&change.status.at(count));
    }
    change.conditions(faults);
    change.times(faults);
    change.counters(faults);
    change.indexes(faults);
    change.end(faults);
}

impl Change<'_, '_> {
    fn is(&self, condition: &str) -> bool {
        has_condition(self.job.value, condition)
    }

    fn was(&self, condition: &str) -> bool {
        has_condition(self.old.value, condition)
    }

    fn turned(&self, conditions: &[&str]) -> bool {
        conditions.iter().any(|condition| self.is(condition) != self.was(condition))
    }

    fn changed(&self, fields: &[&'static str]) -> bool {
        fields.iter().any(|field| self.status.at(field).value != self.old.at("status").at(field).value)
    }

    fn is_finished(&self) -> bool {
        self.is("Complete") || self.is("Failed")
    }

    fn conditions(&self, faults: &mut Faults) {
        let at = self.status.at("conditions");
        let pairs = [
            (
                "Complete",
                "Failed",
                self.turned(&["Complete", "Failed"]),
                "cannot set Complete=True and Failed=true conditions",
            ),
            (
                "Complete",
                "FailureTarget",
                self.turned(&["Complete", "FailureTarget"]),
                "cannot set Complete=True and FailureTarget=true conditions",
            ),
            ("SuccessCriteriaMet", "Failed", true, "cannot set SuccessCriteriaMet=True and Failed=true conditions"),
            (
                "SuccessCriteriaMet",
                "FailureTarget",
                true,
                "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions",
            ),
        ];
        for (one, other, asked, why) in pairs {
            if asked && self.is(one) && self.is(other) {
                faults.invalid_omitted(&at, why);
            }
        }
        if self.turned(&["Failed"]) && self.is("Failed") && !self.is("FailureTarget") {
            faults.invalid_omitted(&at, "cannot set Failed=True condition without the FailureTarget=true condition");
        }
        if self.turned(&["Complete", "SuccessCriteriaMet"]) && self.is("Complete") && !self.is("SuccessCriteriaMet") {
            faults.invalid_omitted(
                &at,
                "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
            );
        }
        for terminal in ["Failed", "Complete", "FailureTarget"] {
            if self.was(terminal) && !self.is(terminal) {
                faults.invalid_omitted(&at, format!("cannot disable the terminal {terminal}=True condition"));
            }
        }
        if self.was("SuccessCriteriaMet") && !self.is("SuccessCriteriaMet") {
            faults.invalid_omitted(&at, "cannot disable the SuccessCriteriaMet=True condition");
        }
    }

    fn times(&self, faults: &mut Faults) {
        let (start, end) = (self.status.at("startTime"), self.status.at("completionTime"));
        let (started, ended) = (self.old.at("status").at("startTime"), self.old.at("status").at("completionTime"));
        if self.turned(&["Complete"]) || self.changed(&["completionTime"]) {
            if end.is_set() && !self.is("Complete") {
                faults.invalid(&end, "cannot set completionTime when there is no Complete=True condition");
            }
            if !end.is_set() && self.is("Complete") {
                faults.required(&end, "completionTime is required for Complete jobs");
            }
        }
        if end.is_set() && start.is_set() && end.text() < start.text() {
            faults.invalid(&end, "must be equal to or after `startTime`");
        }
        if end.is_set() && ended.is_set() && end.value != ended.value {
            faults.invalid(&end, "field is immutable");
        }
        let resumes = self.was("Suspended") && !self.is("Suspended");
        let suspended = self.job.at("spec").at("suspend").is_true();
        if started.is_set() && self.changed(&["startTime"]) && !suspended && !resumes {
            faults.required(&start, "startTime cannot be removed for unsuspended job");
        }
    }

    fn counters(&self, faults: &mut Faults) {
        let number = |field: &Field<'_>| field.number().unwrap_or_default();
        let fell = |name: &'static str| number(&self.status.at(name)) < number(&self.old.at("status").at(name));
        if fell("failed") {
            faults.invalid(&self.status.at("failed"), "cannot decrease the failed counter");
        }
        let spec = self.job.at("spec");
        let scales = self.is_indexed() && spec.at("completions").value == spec.at("parallelism").value;
        if fell("succeeded") && !scales {
            faults.invalid(&self.status.at("succeeded"), "cannot decrease the succeeded counter");
        }
        let (ready, active) = (self.status.at("ready"), self.status.at("active"));
        if self.changed(&["ready", "active"]) && number(&ready) > number(&active) {
            faults.invalid(&ready, "cannot set more ready pods than active");
        }
    }

    fn is_indexed(&self) -> bool {
        self.job.at("spec").at("completionMode").text() == "Indexed"
    }

    fn indexes(&self, faults: &mut Faults) {
        let (spec, completed, failed) =
            (self.job.at("spec"), self.status.at("completedIndexes"), self.status.at("failedIndexes"));
        let completions = spec.at("completions").number();
        for (listed, word) in [(&completed, "completedIndexes"), (&failed, "failedIndexes")] {
            let counted = completions.map(|completions| indexes::count(listed.text(), completions));
            if let (true, Some(Err(why))) = (self.changed(&[word]), counted) {
                faults.invalid(listed, format!("error parsing {word}: {why}"));
            }
        }
        if self.changed(&["completedIndexes"]) && !completed.text().is_empty() && !self.is_indexed() {
            faults.invalid(&completed, "cannot set non-empty completedIndexes when non-indexed completion mode");
        }
        if self.changed(&["failedIndexes"]) && failed.is_set() && !spec.at("backoffLimitPerIndex").is_set() {
            faults.invalid(&failed, "cannot set non-null failedIndexes when backoffLimitPerIndex is null");
        }
        let shared = completions.and_then(|all| indexes::overlap(completed.text(), failed.text(), all));
        if let (true, Some(index)) = (self.changed(&["failedIndexes", "completedIndexes"]), shared) {
            faults.invalid(&failed, format!("failedIndexes and completedIndexes overlap at index: {index}"));
        }
    }

    fn end(&self, faults: &mut Faults) {
        if !self.is_finished() {
            return;
        }
        let ended = self.turned(&["Complete", "Failed"]);
        for (name, why) in [
            ("active", "active>0 is invalid for finished job"),
            ("terminating", "terminating>0 is invalid for finished job"),
        ] {
            let field = self.status.at(name);
            if (ended || self.changed(&[name])) && field.number().is_some_and(|number| number > 0) {
                faults.invalid(&field, why);
            }
        }
        let start = self.status.at("startTime");
        let nothing_to_do = self.job.at("spec").at("suspend").is_true()
            && self.job.at("spec").at("completions").value == &Value::from(0);
        if (ended || self.changed(&["startTime"])) && !start.is_set() && !nothing_to_do {
            faults.required(&start, "startTime is required for finished job");
        }
        let uncounted = self.status.at("uncountedTerminatedPods");
        let left = uncounted.at("succeeded").count() + uncounted.at("failed").count();
        if (ended || self.changed(&["uncountedTerminatedPods"])) && left > 0 {
            faults.invalid(&uncounted, "must be empty for finished job");
        }
    }
}
