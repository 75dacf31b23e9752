//! Pod security: a namespace's labels say how much its pods may ask of their node (KEP-2579).
//!
//! The newest rules are always the ones that count: a version in the labels is shown and not gone back to.

mod baseline;
mod finding;
mod restricted;

use serde_json::Value;

use self::finding::Finding;
use super::{Admission, AdmissionRequest, Operation, Verdict};
use crate::gateway::Subresource;
use crate::gateway::Unprepared;
use crate::object::{Metadata, ObjectKey};
use crate::resource::{NAMESPACES, PODS};

const LABEL_PREFIX: &str = "pod-security.kubernetes.io/";
/// Where workloads keep the pod they make.
const TEMPLATES: [&str; 2] = ["/spec/template", "/spec/jobTemplate/spec/template"];
/// The groups whose workloads are looked at.
const WORKLOAD_GROUPS: [&str; 3] = ["", "apps", "batch"];

/// Refuses pods that ask for more than their namespace allows, and warns of those that ask for more than it likes.
#[derive(Debug, Clone, Copy, Default)]
pub struct PodSecurity;

/// How much pods may ask of their node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// Everything.
    Privileged,
    /// Nothing known to lead out of a container.
    Baseline,
    /// As little as current practice asks for.
    Restricted,
}

impl Level {
    /// A level nobody knows is taken for the strictest, so that a typing error opens nothing.
    fn of(label: &str) -> Self {
        match label {
            "privileged" => Self::Privileged,
            "baseline" => Self::Baseline,
            _ => Self::Restricted,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }

    fn findings(self, pod: &Value) -> Vec<Finding> {
        match self {
            Self::Privileged => Vec::new(),
            Self::Baseline => baseline::CHECKS.iter().chain(baseline::RELAXED).filter_map(|check| check(pod)).collect(),
            Self::Restricted => {
                baseline::CHECKS.iter().chain(restricted::CHECKS).filter_map(|check| check(pod)).collect()
            }
        }
    }
}

/// What a namespace says under `enforce` or `warn`.
struct Policy {
    level: Level,
    version: String,
}

impl Policy {
    fn of(namespace: &Metadata, mode: &str) -> Option<Self> {
        let label = |name: String| namespace.labels.get(name.as_str());
        let level = Level::of(label(format!("{LABEL_PREFIX}{mode}"))?);
        let version = label(format!("{LABEL_PREFIX}{mode}-version")).map_or("latest", |version| version);
        Some(Self { level, version: version.to_owned() })
    }

    /// What a pod does that it may not; `None` where it keeps to the policy.
    fn violation(&self, pod: &Value) -> Option<String> {
        let findings: Vec<String> = self.level.findings(pod).iter().map(ToString::to_string).collect();
        let policy = format!("violate PodSecurity \"{}:{}\"", self.level.name(), self.version);
        (!findings.is_empty()).then(|| format!("{policy}: {}", findings.join(", ")))
    }
}

impl Admission for PodSecurity {
    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        let resource = request.mutation.target.resource();
        matches!(request.operation, Operation::Create | Operation::Update)
            && WORKLOAD_GROUPS.contains(&resource.group)
            && request.namespace().is_some()
            && (request.is_whole(resource) || adds_containers(request))
    }

    fn validate(&self, request: &AdmissionRequest<'_>, object: &Value) -> Result<Verdict, Unprepared> {
        let mut verdict = Verdict::default();
        let is_pod = request.mutation.target.resource() == PODS;
        let template = TEMPLATES.into_iter().find_map(|pointer| object.pointer(pointer));
        let Some(pod) = (if is_pod { Some(object) } else { template }) else { return Ok(verdict) };
        let namespace = request.namespace().map(|name| ObjectKey::cluster(NAMESPACES, name));
        let Some(namespace) = namespace.and_then(|key| request.snapshot.get(&key)) else { return Ok(verdict) };
        // A pod once let in may be labelled and annotated as before; templates are warned of, and their pods refused.
        let is_new = request.old.is_none_or(|old| old.pointer("/spec") != object.pointer("/spec"));
        if is_pod
            && is_new
            && let Some(why) = violation(namespace.metadata(), "enforce", pod)
        {
            return Err(request.forbidden(object, why.replacen("violate", "violates", 1)).into());
        }
        if is_new && let Some(why) = violation(namespace.metadata(), "warn", pod) {
            verdict.warnings.push(format!("would {why}"));
        }
        Ok(verdict)
    }
}

/// Whether containers are added to a pod that runs. Other subresources leave its spec as it is.
fn adds_containers(request: &AdmissionRequest<'_>) -> bool {
    let target = &request.mutation.target;
    target.resource() == PODS && target.subresource == Subresource::Named("ephemeralcontainers")
}

fn violation(namespace: &Metadata, mode: &str, pod: &Value) -> Option<String> {
    Policy::of(namespace, mode)?.violation(pod)
}

#[cfg(test)]
mod tests;
