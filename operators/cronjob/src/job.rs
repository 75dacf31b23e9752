//! The Jobs of a CronJob: how they are made, and what they tell.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job, JobCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sampan_podset::controller_reference;

use crate::calendar::Calendar;

/// The annotation with the time a Job was made for.
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// The name of the Job of a time: so there is one for each minute, whoever makes it.
pub(crate) fn name(cron: &CronJob, due: Timestamp) -> String {
    format!("{}-{}", cron.metadata.name.as_deref().unwrap_or_default(), due.as_second().div_euclid(60))
}

/// The Job of a time, to be created.
pub(crate) fn job(cron: &CronJob, due: Timestamp, calendar: &Calendar) -> Job {
    let template = cron.spec.as_ref().map(|spec| spec.job_template.clone()).unwrap_or_default();
    let shape = template.metadata.unwrap_or_default();
    let mut annotations = shape.annotations.unwrap_or_default();
    annotations.insert(SCHEDULED.to_owned(), calendar.shown(due));
    Job {
        metadata: ObjectMeta {
            name: Some(name(cron, due)),
            namespace: cron.metadata.namespace.clone(),
            labels: shape.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![controller_reference(cron)]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}

/// The time a Job was made for; none where a user made it.
pub(crate) fn scheduled_at(job: &Job) -> Option<Timestamp> {
    job.metadata.annotations.as_ref()?.get(SCHEDULED)?.parse().ok()
}

/// The condition that says a Job has ended.
pub(crate) fn end(job: &Job) -> Option<&JobCondition> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|it| matches!(it.type_.as_str(), "Complete" | "Failed") && it.status == "True")
}

pub(crate) fn has_succeeded(job: &Job) -> bool {
    end(job).is_some_and(|end| end.type_ == "Complete")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_is_named_by_its_minute_and_knows_its_time() {
        let cron: CronJob = serde_json::from_value(json!({
            "metadata": {"name": "report", "namespace": "default", "uid": "c"},
            "spec": {"schedule": "0 9 * * *", "jobTemplate": {
                "metadata": {"labels": {"app": "report"}, "annotations": {"team": "a"}},
                "spec": {"template": {}, "parallelism": 2},
            }},
        }))
        .unwrap();
        let due: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let calendar = Calendar::new("0 9 * * *", Some("Asia/Tokyo")).unwrap();
        let job = job(&cron, due, &calendar);
        assert_eq!(job.metadata.name.as_deref(), Some("report-29453760"));
        let annotations = job.metadata.annotations.as_ref().unwrap();
        assert_eq!(annotations[SCHEDULED], "2026-01-01T09:00:00+09:00");
        assert_eq!((annotations["team"].as_str(), scheduled_at(&job)), ("a", Some(due)));
        assert_eq!(job.metadata.owner_references.as_ref().unwrap()[0].kind, "CronJob");
        assert_eq!(job.spec.unwrap().parallelism, Some(2));
    }
}
