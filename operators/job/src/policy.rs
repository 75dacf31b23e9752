//! What a Job makes of a pod that failed, and when enough of its indexes have succeeded.

use k8s_openapi::api::batch::v1::{PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, SuccessPolicy};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};
use sampan_core::operator::Kind as _;

use crate::indexes::Indexes;

/// What is made of a pod's failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Consequence {
    /// It counts towards the limits.
    Counts,
    /// It does not.
    Ignored,
    /// Its index has failed, whatever the limit.
    FailsIndex,
    /// The Job has failed, and this is why.
    FailsJob(String),
}

/// The consequence of the first rule that matches.
pub(crate) fn consequence(policy: Option<&PodFailurePolicy>, pod: &Pod) -> Consequence {
    for (place, rule) in policy.into_iter().flat_map(|policy| &policy.rules).enumerate() {
        let title = format!("{}/{}", pod.metadata.namespace.as_deref().unwrap_or_default(), name(pod));
        let matched = match (&rule.on_exit_codes, &rule.on_pod_conditions) {
            (Some(codes), _) => container(pod, codes).map(|(name, code)| {
                format!("Container {name} for pod {title} failed with exit code {code} matching FailJob rule at index {place}")
            }),
            (None, Some(patterns)) => {
                let is_met = |condition: &&PodCondition| {
                    patterns.iter().any(|it| it.type_ == condition.type_ && it.status.as_ref() == Some(&condition.status))
                };
                let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
                conditions.into_iter().find(is_met).map(|condition| {
                    format!("Pod {title} has condition {} matching FailJob rule at index {place}", condition.type_)
                })
            }
            (None, None) => None,
        };
        let Some(message) = matched else { continue };
        match rule.action.as_str() {
            "Ignore" => return Consequence::Ignored,
            "FailIndex" => return Consequence::FailsIndex,
            "FailJob" => return Consequence::FailsJob(message),
            "Count" => return Consequence::Counts,
            _ => {}
        }
    }
    Consequence::Counts
}

/// The container that ended in a way the rule is about, and its exit code.
fn container<'p>(pod: &'p Pod, rule: &PodFailurePolicyOnExitCodesRequirement) -> Option<(&'p str, i32)> {
    let status = pod.status.as_ref()?;
    let lists = [&status.container_statuses, &status.init_container_statuses];
    let mut ended =
        lists.into_iter().flatten().flatten().filter_map(|container| Some((container, exit_code(container)?)));
    let found = ended.find(|(container, code)| {
        let is_meant = rule.container_name.as_ref().is_none_or(|name| *name == container.name);
        let is_listed = rule.values.contains(code);
        is_meant && *code != 0 && if rule.operator == "In" { is_listed } else { !is_listed }
    });
    found.map(|(container, code)| (container.name.as_str(), code))
}

fn exit_code(container: &ContainerStatus) -> Option<i32> {
    Some(container.state.as_ref()?.terminated.as_ref()?.exit_code)
}

/// The place of the first rule that says enough has succeeded.
pub(crate) fn met(policy: &SuccessPolicy, succeeded: &Indexes, completions: i32) -> Option<usize> {
    policy.rules.iter().position(|rule| {
        let enough = |found: i32| rule.succeeded_count.is_some_and(|count| found >= count);
        match &rule.succeeded_indexes {
            Some(list) => {
                let wanted = Indexes::parse(list, completions);
                let found = wanted.shared(succeeded);
                wanted.total() > 0 && succeeded.total() > 0 && (found == wanted.total() || enough(found))
            }
            None => succeeded.total() > 0 && enough(succeeded.total()),
        }
    })
}

fn name(pod: &Pod) -> &str {
    pod.meta().name.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn failed(code: i32) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "work-x", "namespace": "default"},
            "status": {
                "phase": "Failed",
                "conditions": [{"type": "DisruptionTarget", "status": "True"}],
                "containerStatuses": [{
                    "name": "work", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                    "state": {"terminated": {"exitCode": code}},
                }],
            },
        }))
        .unwrap()
    }

    fn policy(rules: Value) -> PodFailurePolicy {
        serde_json::from_value(json!({"rules": rules})).unwrap()
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let check = |rules: Value, code: i32, expect: Consequence| {
            assert_eq!(consequence(Some(&policy(rules.clone())), &failed(code)), expect, "{rules} of {code}");
        };
        let on = |operator: &str, values: Value| json!({"operator": operator, "values": values});
        let disrupted = json!([{"type": "DisruptionTarget", "status": "True"}]);
        check(json!([]), 1, Consequence::Counts);
        check(json!([{"action": "Ignore", "onExitCodes": on("In", json!([1, 2]))}]), 2, Consequence::Ignored);
        check(json!([{"action": "Ignore", "onExitCodes": on("In", json!([1, 2]))}]), 3, Consequence::Counts);
        check(json!([{"action": "FailIndex", "onExitCodes": on("NotIn", json!([1]))}]), 3, Consequence::FailsIndex);
        check(json!([{"action": "Ignore", "onExitCodes": on("NotIn", json!([1]))}]), 0, Consequence::Counts);
        check(
            json!([{"action": "Count", "onExitCodes": on("In", json!([4]))}, {"action": "Ignore", "onPodConditions": disrupted}]),
            3,
            Consequence::Ignored,
        );
        let elsewhere = json!({"containerName": "other", "operator": "In", "values": [3]});
        check(json!([{"action": "Ignore", "onExitCodes": elsewhere}]), 3, Consequence::Counts);
    }

    #[test]
    fn a_rule_that_fails_the_job_says_why() {
        let codes = json!([{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]);
        let message = "Container work for pod default/work-x failed with exit code 42 matching FailJob rule at index 0";
        assert_eq!(consequence(Some(&policy(codes)), &failed(42)), Consequence::FailsJob(message.into()));
        let disrupted =
            json!([{"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]);
        let message = "Pod default/work-x has condition DisruptionTarget matching FailJob rule at index 0";
        assert_eq!(consequence(Some(&policy(disrupted)), &failed(1)), Consequence::FailsJob(message.into()));
    }

    #[test]
    fn enough_is_all_the_indexes_a_rule_names_or_so_many_of_them() {
        let check = |rule: Value, succeeded: &str, expect: Option<usize>| {
            let policy: SuccessPolicy = serde_json::from_value(json!({"rules": [rule]})).unwrap();
            assert_eq!(met(&policy, &Indexes::parse(succeeded, 9), 9), expect, "{rule} of {succeeded}");
        };
        check(json!({"succeededIndexes": "0,2"}), "0-2", Some(0));
        check(json!({"succeededIndexes": "0,2"}), "0,1", None);
        check(json!({"succeededIndexes": "0-4", "succeededCount": 2}), "1,4,7", Some(0));
        check(json!({"succeededCount": 2}), "5", None);
        check(json!({"succeededCount": 2}), "5,7", Some(0));
        check(json!({"succeededCount": 0}), "", None);
    }
}
