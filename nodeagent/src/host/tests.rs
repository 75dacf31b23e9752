//! What a host tells, and when.

mod image;
mod lost;

use jiff::ToSpan;
use k8s_openapi::api::core::v1::{Container, ContainerStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::*;
use crate::pod::plan::Class;
use crate::pod::probe::ProbeKind;
use crate::pod::{Command, Exit, Operation, Outcome, Refusal, RunState, Sandbox, status};

fn pod() -> Arc<Pod> {
    let container = json!({"name": "app", "image": "app", "readinessProbe":
        {"httpGet": {"port": 80}, "periodSeconds": 1, "successThreshold": 1, "failureThreshold": 2}});
    let metadata = json!({"name": "web", "namespace": "default", "uid": "u", "resourceVersion": "7"});
    let pod = json!({"metadata": metadata, "spec": {"nodeName": "node", "containers": [container]}});
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn empty() -> Host {
    let node = NodeFacts {
        name: "node".to_owned(),
        host_ip: "10.0.0.1".to_owned(),
        allocatable_milli_cpu: 1000,
        allocatable_memory: 1 << 30,
        volumes: std::path::PathBuf::new(),
    };
    Host::new([node], false)
}

fn run(now: Timestamp, state: RunState) -> ContainerRecord {
    ContainerRecord {
        id: "c".to_owned(),
        name: "app".to_owned(),
        attempt: 0,
        sandbox_attempt: 0,
        backoff_seconds: 0,
        image: "app".to_owned(),
        image_id: String::new(),
        bounds: crate::pod::resize::Bounds::default(),
        started_at: Some(now),
        state,
    }
}

/// A host whose only pod runs, as an agent finds it that begins anew.
pub(super) fn running(now: Timestamp) -> Host {
    let sandbox = Sandbox { id: "s".to_owned(), attempt: 0, running: true, address: Some("10.0.0.2".to_owned()) };
    let run = run(now, RunState::Running);
    let mut host = empty();
    let uid = Uid::of(&pod());
    let reference = PodRef { uid, namespace: "default".to_owned(), name: "web".to_owned(), node: "node".to_owned() };
    host.adopt(reference, Some(sandbox), vec![run]);
    host.receive(Message::Pod(pod()), now);
    host
}

fn probes(effects: &[Effect]) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::Probe(..))).count()
}

fn answer(host: &mut Host, result: Result<(), String>, now: Timestamp) -> bool {
    let run = ProbedRun { container: "app".to_owned(), container_id: "c".to_owned(), kind: ProbeKind::Readiness };
    host.receive(Message::Probed(Uid::of(&pod()), run, result), now);
    !host.dirty.is_empty()
}

/// The runtime does at once what it is asked for.
fn answer_all(host: &mut Host, now: Timestamp) {
    let uid = Uid::of(&pod());
    let sandbox = Sandbox { id: "s".to_owned(), attempt: 0, running: true, address: Some("10.0.0.2".to_owned()) };
    for operation in host.pods.get(&uid).unwrap().situation.under_way.clone() {
        let outcome = match operation {
            Operation::Sandbox => Outcome::SandboxRunning(sandbox.clone()),
            Operation::Image { .. } => Outcome::ImagePresent { attempt: 0, pulled: None },
            other => panic!("{other:?} is under way"),
        };
        host.receive(Message::Outcome(uid.clone(), operation, outcome), now);
    }
}

#[test]
fn a_pod_that_comes_up_is_told_of_once_it_is_up_or_after_a_moment() {
    let now = Timestamp::UNIX_EPOCH;
    let mut host = empty();
    host.receive(Message::Pod(pod()), now);
    let told = |host: &mut Host, at: Timestamp| {
        host.advance(at);
        host.posts(at).len()
    };
    assert_eq!(told(&mut host, now), 0, "its sandbox is being started");
    let moment = host.wake_at().expect("it is told of whatever happens");
    assert_eq!((moment, told(&mut host, moment)), (now + 200.milliseconds(), 1));
    assert_eq!(told(&mut running(now), now), 1, "nothing is being done that would be worth waiting for");
    let mut configured = (*pod()).clone();
    let volume = json!([{"name": "v", "configMap": {"name": "settings"}}]);
    configured.spec.as_mut().unwrap().volumes = serde_json::from_value(volume).unwrap();
    let mut host = empty();
    host.receive(Message::Pod(Arc::new(configured)), now);
    host.advance(now);
    answer_all(&mut host, now);
    assert_eq!(told(&mut host, now), 0, "its config map is being looked up");
    for key in host.watchers.keys().cloned().collect::<Vec<_>>() {
        host.receive(Message::Source(key, None), now);
    }
    assert_eq!(told(&mut host, now), 1, "it is not there, and that is worth telling");
}

/// The reason of the end that is told now, if anything is. The API server takes it.
fn told_reason(host: &mut Host, now: Timestamp) -> Option<String> {
    host.advance(now);
    let patch = host.posts(now).into_iter().find_map(|effect| match effect {
        Effect::Post(post) => Some(post.patch),
        _ => None,
    })?;
    let uid = Uid::of(&pod());
    let entry = host.pods.get(&uid).unwrap();
    let mut pod = (*entry.situation.pod).clone();
    pod.status = Some(status::status(&entry.scene(&host.sources, now), Class::Failed));
    host.receive(Message::Posted(uid, Answer::Accepted(Some(Arc::new(pod)))), now);
    patch["status"]["containerStatuses"][0]["state"]["terminated"]["reason"].as_str().map(str::to_owned)
}

#[test]
fn that_memory_was_wanting_is_told_of_a_pod_that_has_failed_already() {
    let now = Timestamp::UNIX_EPOCH;
    let check = |looks: &[bool], expect: &[Option<&str>]| {
        let mut host = running(now);
        let mut once = (*pod()).clone();
        once.spec.as_mut().unwrap().restart_policy = Some("Never".to_owned());
        host.receive(Message::Pod(Arc::new(once)), now);
        let told = looks.iter().map(|out_of_memory| {
            let exit = Exit { out_of_memory: *out_of_memory, ..Exit::of(137, now) };
            host.receive(Message::Container(Uid::of(&pod()), run(now, RunState::Exited(exit))), now);
            told_reason(&mut host, now)
        });
        assert_eq!(told.collect::<Vec<_>>(), expect.iter().map(|it| it.map(str::to_owned)).collect::<Vec<_>>());
    };
    check(&[false, true], &[Some("Error"), Some("OOMKilled")]);
    check(&[true, true], &[Some("OOMKilled"), None]);
    check(&[true, false], &[Some("OOMKilled"), None]);
}

#[test]
fn a_probe_that_finds_what_the_one_before_found_steps_nothing() {
    let mut now = Timestamp::UNIX_EPOCH;
    let mut host = running(now);
    assert_eq!(probes(&host.advance(now)), 1);
    assert!(answer(&mut host, Ok(()), now), "the first answer makes the pod ready");
    host.advance(now);
    for _ in 0..3 {
        now += 1.second();
        assert_eq!(probes(&host.advance(now)), 1, "one is due each second");
        assert!(!answer(&mut host, Ok(()), now));
    }
    now += 1.second();
    host.advance(now);
    assert!(!answer(&mut host, Err("no".to_owned()), now), "one failure of two is no verdict");
    now += 1.second();
    host.advance(now);
    assert!(answer(&mut host, Err("no".to_owned()), now));
}

#[test]
fn a_probe_that_takes_longer_than_its_period_is_made_again_at_once() {
    let now = Timestamp::UNIX_EPOCH;
    let mut host = running(now);
    host.advance(now);
    assert!(answer(&mut host, Ok(()), now));
    host.advance(now);
    let later = now + 1.second();
    host.advance(later);
    let run = ProbedRun { container: "app".to_owned(), container_id: "c".to_owned(), kind: ProbeKind::Readiness };
    let effects = host.receive(Message::Probed(Uid::of(&pod()), run, Ok(())), later + 3.seconds());
    assert_eq!(probes(&effects), 1);
}

/// Whether the status that is told, or about to be, says that the pod is ready.
fn is_ready(host: &Host, now: Timestamp) -> bool {
    let entry = host.pods.get(&Uid::of(&pod())).unwrap();
    let status = status::status(&entry.scene(&host.sources, now), Class::Terminating);
    let mut conditions = status.conditions.into_iter().flatten();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[test]
fn a_pod_on_its_way_out_is_asked_whether_it_takes_requests_and_is_ready_while_it_says_so() {
    let mut now = Timestamp::UNIX_EPOCH;
    let mut host = running(now);
    host.advance(now);
    answer(&mut host, Ok(()), now);
    host.advance(now);
    let mut deleted = (*pod()).clone();
    deleted.metadata.deletion_timestamp = Some(Time(now));
    deleted.metadata.deletion_grace_period_seconds = Some(30);
    host.receive(Message::Pod(Arc::new(deleted)), now);
    host.advance(now);
    assert!(is_ready(&host, now));
    for failures in 1..=2 {
        now += 1.second();
        assert_eq!(probes(&host.advance(now)), 1, "it is still asked");
        answer(&mut host, Err("no".to_owned()), now);
        assert_eq!(is_ready(&host, now), failures < 2);
    }
}

/// The commands that each status told now says were decided, and what the API server makes of it.
fn told_decisions(host: &mut Host, answer: Answer, now: Timestamp) -> Vec<Option<Vec<String>>> {
    let posts = host.posts(now).into_iter().filter_map(|effect| match effect {
        Effect::Post(post) => Some(post),
        _ => None,
    });
    let told = posts.map(|post| post.decision.map(|it| it.commands.into_iter().map(|command| command.verb).collect()));
    let told = told.collect();
    host.receive(Message::Posted(Uid::of(&pod()), answer), now);
    host.advance(now);
    told
}

#[test]
fn a_decision_is_told_once_and_again_only_where_it_was_not_accepted() {
    let mut now = Timestamp::UNIX_EPOCH + 1.second();
    let mut host = running(now);
    host.advance(now);
    let refused = || Answer::Failed("no".to_owned());
    for answer in [refused(), Answer::Accepted(None)] {
        assert_eq!(told_decisions(&mut host, answer, now), [Some(Vec::new())], "that it was adopted");
        now += 10.seconds();
        host.advance(now);
    }
    host.receive(Message::Pod(pod()), now);
    host.advance(now);
    assert_eq!(told_decisions(&mut host, refused(), now), [None], "the status differs still, and nothing was decided");
    let exit = Exit::of(1, now);
    host.receive(Message::Container(Uid::of(&pod()), run(now, RunState::Exited(exit))), now);
    now += 10.seconds();
    host.advance(now);
    for answer in [refused(), Answer::Accepted(None)] {
        let anew = Some(vec!["ensure image".to_owned()]);
        assert_eq!(told_decisions(&mut host, answer, now), [anew]);
        now += 10.seconds();
        host.advance(now);
    }
}

/// The pod with another image, or another policy.
fn changed(image: &str, policy: &str) -> Arc<Pod> {
    let mut pod = (*pod()).clone();
    let spec = pod.spec.as_mut().unwrap();
    spec.restart_policy = Some(policy.to_owned());
    spec.containers[0].image = Some(image.to_owned());
    Arc::new(pod)
}

/// What is told of the pod's container now.
fn container_status(host: &Host, now: Timestamp) -> ContainerStatus {
    let entry = host.pods.get(&Uid::of(&pod())).unwrap();
    let status = status::status(&entry.scene(&host.sources, now), entry.class().unwrap());
    status.container_statuses.unwrap().remove(0)
}

fn exited(code: i32, now: Timestamp) -> RunState {
    RunState::Exited(Exit::of(code, now))
}
