//! What `kubectl get` shows of a Job.

use jiff::Timestamp;
use serde_json::Value;

use super::has_condition;
use crate::resource::read::{integer, text};
use crate::resource::table::{age, duration, since};
use crate::resource::workload::{wide_cells, wide_columns};
use crate::resource::{Cell, Column};

pub(super) fn columns() -> Vec<Column> {
    let mut columns = vec![
        Column::text("Status", "Whether it runs, and how it ended."),
        Column::text("Completions", "Pods that have succeeded, of those wanted."),
        Column::text("Duration", "How long it has run."),
        Column::age(),
    ];
    columns.extend(wide_columns());
    columns
}

pub(super) fn cells(job: &Value, now: Timestamp) -> Vec<Cell> {
    let mut cells = vec![phase(job).into(), completions(job).into(), running_time(job, now).into(), age(job, now)];
    cells.extend(wide_cells(job, "/spec/template", "/spec/selector"));
    cells
}

fn phase(job: &Value) -> &'static str {
    let deleted = !text(job, "/metadata/deletionTimestamp").is_empty();
    let phases = [
        ("Complete", has_condition(job, "Complete")),
        ("Failed", has_condition(job, "Failed")),
        ("Terminating", deleted),
        ("Suspended", has_condition(job, "Suspended")),
        ("FailureTarget", has_condition(job, "FailureTarget")),
        ("SuccessCriteriaMet", has_condition(job, "SuccessCriteriaMet")),
    ];
    phases.into_iter().find(|(_, holds)| *holds).map_or("Running", |(phase, _)| phase)
}

fn completions(job: &Value) -> String {
    let (succeeded, parallelism) = (integer(job, "/status/succeeded"), integer(job, "/spec/parallelism"));
    match job.pointer("/spec/completions").and_then(Value::as_i64) {
        Some(wanted) => format!("{succeeded}/{wanted}"),
        None if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        None => format!("{succeeded}/1"),
    }
}

fn running_time(job: &Value, now: Timestamp) -> String {
    let time = |field: &str| text(job, field).parse::<Timestamp>().ok();
    match (time("/status/startTime"), time("/status/completionTime")) {
        (None, _) => String::new(),
        (Some(_), None) => since(text(job, "/status/startTime"), now),
        (Some(start), Some(end)) => duration(end.as_second() - start.as_second()),
    }
}
