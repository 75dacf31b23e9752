//! The pods of a Job: how they are made, and what is written on them.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector, Pod};
use sampan_podset::pod_from_template;

/// Holds a pod until its end is counted.
pub(crate) const TRACKING: &str = "batch.kubernetes.io/job-tracking";
/// The annotation and label that hold a pod's index.
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// How often pods of this index failed before, and how often that was ignored.
const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
const IGNORED: &str = "batch.kubernetes.io/job-index-ignored-failure-count";
/// Marks a pod that is stopped because it should not run: it did not fail. Kubernetes lets go of such a pod before it deletes
/// it, and loses a success that comes in between; with the mark nothing is lost.
const DISMISSED: &str = "sampan.dev/dismissed";
/// The variable that tells a container its index.
const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";
/// The longest prefix of a generated name: a DNS label less the five characters that are added.
const PREFIX_MAX: usize = 58;

/// An index for which a pod is to be made, and how often its pods have failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub(crate) index: i32,
    /// Told on the pod where the Job counts failures for each index.
    pub(crate) failures: Option<Failures>,
}

/// How often the pods of an index failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Failures {
    pub(crate) counted: i32,
    pub(crate) ignored: i32,
}

impl Failures {
    /// Those before this pod, as it was told when it was made.
    pub(crate) fn before(pod: &Pod) -> Self {
        let count = |name: &str| number(pod, name).unwrap_or(0);
        Self { counted: count(FAILURES), ignored: count(IGNORED) }
    }

    pub(crate) fn all(self) -> i32 {
        self.counted.saturating_add(self.ignored)
    }
}

/// A pod of the Job, to be created; of an index where it has them.
pub(crate) fn pod(job: &Job, place: Option<Place>) -> Pod {
    let template = job.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
    let mut pod = pod_from_template(job, &template);
    track(&mut pod);
    if let Some(place) = place {
        index(&mut pod, job.metadata.name.as_deref().unwrap_or_default(), place);
    }
    pod
}

fn index(pod: &mut Pod, job: &str, place: Place) {
    let number = place.index.to_string();
    pod.metadata.generate_name = Some(prefix(job, &number));
    pod.metadata.labels.get_or_insert_default().insert(INDEX.to_owned(), number.clone());
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.insert(INDEX.to_owned(), number.clone());
    if let Some(failures) = place.failures {
        annotations.insert(FAILURES.to_owned(), failures.counted.to_string());
        if failures.ignored > 0 {
            annotations.insert(IGNORED.to_owned(), failures.ignored.to_string());
        }
    }
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(format!("{job}-{number}"));
    for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
        let variables = container.env.get_or_insert_default();
        if !variables.iter().any(|variable| variable.name == INDEX_VARIABLE) {
            variables.push(index_variable());
        }
    }
}

/// Of a long name as much as leaves room for the index.
fn prefix(job: &str, index: &str) -> String {
    let room = PREFIX_MAX - index.len() - 2;
    let job: String = job.chars().take(room).collect();
    format!("{job}-{index}-")
}

fn index_variable() -> EnvVar {
    let field = ObjectFieldSelector { field_path: format!("metadata.labels['{INDEX}']"), api_version: None };
    let source = EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() };
    EnvVar { name: INDEX_VARIABLE.to_owned(), value_from: Some(source), ..EnvVar::default() }
}

/// The index a pod is for.
pub(crate) fn index_of(pod: &Pod) -> Option<i32> {
    number(pod, INDEX)
}

/// A number that is not negative.
fn number(pod: &Pod, annotation: &str) -> Option<i32> {
    let text = pod.metadata.annotations.as_ref()?.get(annotation)?;
    text.parse().ok().filter(|number| *number >= 0)
}

/// Whether the pod's end is still to be counted.
pub(crate) fn is_tracked(pod: &Pod) -> bool {
    pod.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == TRACKING)
}

/// Has the pod stay until its end is counted.
pub(crate) fn track(pod: &mut Pod) {
    if !is_tracked(pod) {
        pod.metadata.finalizers.get_or_insert_default().push(TRACKING.to_owned());
    }
}

/// The pod, which may go. One that succeeded after all was not stopped.
pub(crate) fn untracked(pod: &Pod) -> Pod {
    let mut pod = pod.clone();
    if phase(&pod) == "Succeeded" {
        pod.metadata.annotations.iter_mut().for_each(|annotations| _ = annotations.remove(DISMISSED));
    }
    pod.metadata.finalizers.iter_mut().for_each(|finalizers| finalizers.retain(|finalizer| finalizer != TRACKING));
    pod
}

/// Whether the pod is stopped because it should not run, or nobody would count its end.
pub(crate) fn is_dismissed(pod: &Pod) -> bool {
    let is_marked = pod.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(DISMISSED));
    is_marked || !is_tracked(pod)
}

/// The pod, marked as one that should not run.
pub(crate) fn dismissed(pod: &Pod) -> Pod {
    let mut pod = pod.clone();
    pod.metadata.annotations.get_or_insert_default().insert(DISMISSED.to_owned(), "true".to_owned());
    pod
}

pub(crate) fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

pub(crate) fn is_terminating(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Whether it ended, one way or the other.
pub(crate) fn has_ended(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(name: &str) -> Job {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "default", "uid": "j"},
            "spec": {"template": {"metadata": {"labels": {"app": "work"}}, "spec": {
                "initContainers": [{"name": "first"}],
                "containers": [{"name": "own", "env": [{"name": "JOB_COMPLETION_INDEX", "value": "x"}]}, {"name": "work"}],
            }}},
        }))
        .unwrap()
    }

    #[test]
    fn a_pod_of_an_index_knows_it_everywhere() {
        let failures = Failures { counted: 2, ignored: 0 };
        let pod = pod(&job("work"), Some(Place { index: 7, failures: Some(failures) }));
        assert_eq!((index_of(&pod), Failures::before(&pod)), (Some(7), failures));
        assert_eq!(pod.metadata.labels.as_ref().unwrap()[INDEX], "7");
        assert_eq!(pod.metadata.generate_name.as_deref(), Some("work-7-"));
        let spec = pod.spec.as_ref().unwrap();
        assert_eq!(spec.hostname.as_deref(), Some("work-7"));
        let told =
            |env: &Option<Vec<EnvVar>>| env.iter().flatten().map(|it| it.value_from.is_some()).collect::<Vec<_>>();
        assert_eq!(told(&spec.init_containers.as_ref().unwrap()[0].env), [true]);
        assert_eq!(told(&spec.containers[0].env), [false], "what the template says stays");
        assert_eq!(told(&spec.containers[1].env), [true]);
        assert!(is_tracked(&pod) && !is_tracked(&untracked(&pod)));
    }

    #[test]
    fn a_long_name_leaves_room_for_the_index() {
        let pod = pod(&job(&"x".repeat(60)), Some(Place { index: 10, failures: None }));
        assert_eq!(pod.metadata.generate_name.unwrap(), format!("{}-10-", "x".repeat(54)));
    }
}
