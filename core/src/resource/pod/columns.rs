//! What `kubectl get pods` shows.

use jiff::Timestamp;
use serde_json::Value;

use crate::resource::read::{integer, is_true, items, size, text};
use crate::resource::table::{NONE, age, duration, or_none};
use crate::resource::{Cell, Column};

pub(super) fn columns() -> Vec<Column> {
    vec![
        Column::text("Ready", "Containers that are ready, of all."),
        Column::text("Status", "The phase, or why the pod is not there yet."),
        Column::text("Restarts", "How often containers were restarted, and when last."),
        Column::age(),
        Column::text("IP", "The pod's address.").wide(),
        Column::text("Node", "The node the pod runs on.").wide(),
        Column::text("Nominated Node", "The node that is being cleared for the pod.").wide(),
        Column::text("Readiness Gates", "Further conditions for readiness that are true, of all.").wide(),
    ]
}

pub(super) fn cells(pod: &Value, now: Timestamp) -> Vec<Cell> {
    let shown = Summary::of(pod);
    vec![
        format!("{}/{}", shown.ready, shown.containers).into(),
        shown.reason.into(),
        shown.restarts.shown(now).into(),
        age(pod, now),
        or_none(text(pod, "/status/podIP")),
        or_none(text(pod, "/spec/nodeName")),
        or_none(text(pod, "/status/nominatedNodeName")),
        readiness_gates(pod),
    ]
}

/// A count of restarts and the end of the latest run before one.
#[derive(Default, Clone, Copy)]
struct Restarts {
    count: i64,
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, container: &Value) {
        self.count += integer(container, "/restartCount");
        let ended = text(container, "/lastState/terminated/finishedAt").parse().ok();
        self.last = self.last.max(ended);
    }

    fn shown(self, now: Timestamp) -> String {
        match self.last {
            Some(last) if self.count != 0 => {
                format!("{} ({} ago)", self.count, duration(now.as_second() - last.as_second()))
            }
            _ => self.count.to_string(),
        }
    }
}

/// What a pod comes down to in one line.
struct Summary {
    ready: usize,
    containers: usize,
    reason: String,
    restarts: Restarts,
}

impl Summary {
    fn of(pod: &Value) -> Self {
        let sidecars: Vec<&str> = items(pod, "/spec/initContainers")
            .filter(|container| text(container, "/restartPolicy") == "Always")
            .map(|container| text(container, "/name"))
            .collect();
        let mut summary = Self {
            ready: 0,
            containers: size(pod, "/spec/containers") + sidecars.len(),
            reason: phase(pod),
            restarts: Restarts::default(),
        };
        let (initializing, of_sidecars) = summary.look_at_init_containers(pod, &sidecars);
        if !initializing || is_condition_true(pod, "Initialized") {
            summary.restarts = of_sidecars;
            summary.look_at_containers(pod);
        }
        summary.look_at_deletion(pod);
        summary
    }

    /// Whether the pod still waits for an init container, and the restarts of those that keep running.
    fn look_at_init_containers(&mut self, pod: &Value, sidecars: &[&str]) -> (bool, Restarts) {
        let mut of_sidecars = Restarts::default();
        for (index, container) in items(pod, "/status/initContainerStatuses").enumerate() {
            let is_sidecar = sidecars.contains(&text(container, "/name"));
            self.restarts.add(container);
            if is_sidecar {
                of_sidecars.add(container);
            }
            let ended = container.pointer("/state/terminated");
            if ended.is_some_and(|it| integer(it, "/exitCode") == 0) {
                continue;
            }
            if is_sidecar && is_true(container, "/started") {
                self.ready += usize::from(is_true(container, "/ready"));
                continue;
            }
            self.reason = match (ended, text(container, "/state/waiting/reason")) {
                (Some(terminated), _) => format!("Init:{}", ending(terminated)),
                (None, "" | "PodInitializing") => format!("Init:{index}/{}", size(pod, "/spec/initContainers")),
                (None, reason) => format!("Init:{reason}"),
            };
            return (true, of_sidecars);
        }
        (false, of_sidecars)
    }

    fn look_at_containers(&mut self, pod: &Value) {
        let mut runs = false;
        for container in items(pod, "/status/containerStatuses").rev() {
            self.restarts.add(container);
            let waiting = text(container, "/state/waiting/reason");
            if !waiting.is_empty() {
                waiting.clone_into(&mut self.reason);
            } else if let Some(terminated) = container.pointer("/state/terminated") {
                self.reason = ending(terminated);
            } else if is_true(container, "/ready") && container.pointer("/state/running").is_some() {
                runs = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" && runs {
            let running = if is_condition_true(pod, "Ready") { "Running" } else { "NotReady" };
            running.clone_into(&mut self.reason);
        }
    }

    fn look_at_deletion(&mut self, pod: &Value) {
        if text(pod, "/metadata/deletionTimestamp").is_empty() {
            return;
        }
        if text(pod, "/status/reason") == "NodeLost" {
            "Unknown".clone_into(&mut self.reason);
        } else if !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") {
            "Terminating".clone_into(&mut self.reason);
        }
    }
}

fn phase(pod: &Value) -> String {
    const GATED: &str = "SchedulingGated";
    let mut scheduled = items(pod, "/status/conditions").filter(|it| text(it, "/type") == "PodScheduled");
    if scheduled.any(|condition| text(condition, "/reason") == GATED) {
        return GATED.to_owned();
    }
    match text(pod, "/status/reason") {
        "" => text(pod, "/status/phase").to_owned(),
        reason => reason.to_owned(),
    }
}

/// Why a container ended: its reason, else the signal, else the exit code.
fn ending(terminated: &Value) -> String {
    match (text(terminated, "/reason"), integer(terminated, "/signal")) {
        ("", 0) => format!("ExitCode:{}", integer(terminated, "/exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn is_condition_true(pod: &Value, kind: &str) -> bool {
    let mut conditions = items(pod, "/status/conditions");
    conditions.any(|condition| text(condition, "/type") == kind && text(condition, "/status") == "True")
}

fn readiness_gates(pod: &Value) -> Cell {
    let gates = items(pod, "/spec/readinessGates");
    match gates.len() {
        0 => NONE.into(),
        all => format!("{}/{all}", gates.filter(|gate| is_condition_true(pod, text(gate, "/conditionType"))).count())
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(pod: Value, expected: [&str; 3]) {
        let shown = cells(&pod, "2026-01-01T01:00:00Z".parse().unwrap());
        assert_eq!(shown[..3], expected.map(Value::from), "{pod}");
        assert_eq!(shown.len(), columns().len());
    }

    fn pod(status: Value) -> Value {
        json!({"metadata": {}, "spec": {"containers": [{"name": "a"}, {"name": "b"}]}, "status": status})
    }

    #[test]
    fn running_and_waiting_pods_read_as_in_kubectl() {
        let running = json!({"name": "a", "ready": true, "restartCount": 0, "state": {"running": {}}});
        check(pod(json!({"phase": "Pending"})), ["0/2", "Pending", "0"]);
        check(pod(json!({"phase": "Failed", "reason": "Evicted"})), ["0/2", "Evicted", "0"]);
        check(pod(json!({"phase": "Running", "containerStatuses": [running, running]})), ["2/2", "Running", "0"]);
        check(
            pod(json!({"phase": "Running", "containerStatuses": [running, {"name": "b", "restartCount": 3,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"finishedAt": "2026-01-01T00:55:00Z"}}}]})),
            ["1/2", "CrashLoopBackOff", "3 (5m ago)"],
        );
        check(
            pod(json!({"phase": "Pending", "conditions": [
                {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]})),
            ["0/2", "SchedulingGated", "0"],
        );
    }

    #[test]
    fn ended_containers_say_how() {
        let ended = |terminated: Value| json!({"name": "a", "restartCount": 0, "state": {"terminated": terminated}});
        let check_end = |terminated: Value, reason: &str| {
            check(pod(json!({"phase": "Running", "containerStatuses": [ended(terminated)]})), ["0/2", reason, "0"]);
        };
        check_end(json!({"exitCode": 0, "reason": "Completed"}), "Completed");
        check_end(json!({"exitCode": 3}), "ExitCode:3");
        check_end(json!({"exitCode": 137, "signal": 9}), "Signal:9");
        let running = json!({"name": "b", "ready": true, "restartCount": 0, "state": {"running": {}}});
        let both = json!([ended(json!({"exitCode": 0, "reason": "Completed"})), running]);
        check(pod(json!({"phase": "Running", "containerStatuses": both})), ["1/2", "NotReady", "0"]);
        let ready = json!([{"type": "Ready", "status": "True"}]);
        check(
            pod(json!({"phase": "Running", "containerStatuses": both, "conditions": ready})),
            ["1/2", "Running", "0"],
        );
    }

    #[test]
    fn a_deleted_pod_is_terminating_unless_it_has_ended() {
        let deleted = |status: Value| {
            let mut pod = pod(status);
            pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            pod
        };
        check(deleted(json!({"phase": "Running"})), ["0/2", "Terminating", "0"]);
        check(deleted(json!({"phase": "Succeeded"})), ["0/2", "Succeeded", "0"]);
        check(deleted(json!({"phase": "Running", "reason": "NodeLost"})), ["0/2", "Unknown", "0"]);
    }

    #[test]
    fn init_containers_are_counted() {
        let with = |init: Value| {
            let mut pod = pod(json!({"phase": "Pending", "initContainerStatuses": init}));
            pod["spec"]["initContainers"] = json!([{"name": "i"}, {"name": "s", "restartPolicy": "Always"}]);
            pod
        };
        let waiting = json!({"name": "i", "restartCount": 0, "state": {"waiting": {"reason": "PodInitializing"}}});
        let done = json!({"name": "i", "restartCount": 0, "state": {"terminated": {"exitCode": 0}}});
        let failed =
            json!({"name": "i", "restartCount": 2, "state": {"terminated": {"exitCode": 1, "reason": "Error"}}});
        let sidecar = json!({"name": "s", "restartCount": 1, "ready": true, "started": true, "state": {"running": {}}});
        check(with(json!([waiting])), ["0/3", "Init:0/2", "0"]);
        check(with(json!([done, waiting])), ["0/3", "Init:1/2", "0"]);
        check(with(json!([failed])), ["0/3", "Init:Error", "2"]);
        check(with(json!([done, sidecar])), ["1/3", "Pending", "1"]);
    }

    #[test]
    fn readiness_gates_are_counted() {
        let mut gated = pod(json!({"conditions": [{"type": "x", "status": "True"}]}));
        gated["spec"]["readinessGates"] = json!([{"conditionType": "x"}, {"conditionType": "y"}]);
        assert_eq!(readiness_gates(&gated), "1/2");
        assert_eq!(readiness_gates(&pod(json!({}))), "<none>");
    }
}
