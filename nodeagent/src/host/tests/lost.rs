//! Containers of which the runtime holds nothing any more: somebody removed them, or the agent came too late.

use serde_json::{Value, json};

use super::*;

pub(super) fn uid() -> Uid {
    Uid::of(&pod())
}

/// Steps, and lets the API server take the status that is told then, if one is.
pub(super) fn settle(host: &mut Host, now: Timestamp) -> Option<Value> {
    host.advance(now);
    let posts = host.posts(now).into_iter().filter_map(|effect| match effect {
        Effect::Post(post) => Some(post.patch),
        _ => None,
    });
    let patch = posts.last()?;
    let entry = host.pods.get(&uid()).unwrap();
    let mut pod = (*entry.situation.pod).clone();
    pod.status = Some(status::status(&entry.scene(&host.sources, now), entry.class().unwrap()));
    host.receive(Message::Posted(uid(), Answer::Accepted(Some(Arc::new(pod)))), now);
    Some(patch)
}

/// An agent that begins anew, and of whose only pod the runtime holds nothing.
fn began_anew(host: &Host, now: Timestamp) -> Host {
    let known = host.pods.get(&uid()).unwrap().situation.pod.clone();
    let mut host = empty();
    host.receive(Message::Pod(known), now);
    host
}

/// A host whose pod of this policy runs, as the API server knows.
fn known_to_run(policy: &str, now: Timestamp) -> Host {
    let mut host = running(now);
    let mut pod = (*changed("app", policy)).clone();
    let init = json!([{"name": "init", "image": "init"}]);
    pod.spec.as_mut().unwrap().init_containers = serde_json::from_value(init).unwrap();
    host.receive(Message::Pod(Arc::new(pod)), now);
    settle(&mut host, now).expect("it is told to run");
    host
}

#[test]
fn a_pod_that_has_ended_is_what_it_was_told_to_be_when_its_containers_are_gone() {
    let now = Timestamp::UNIX_EPOCH + 1.second();
    for (code, phase) in [(0, "Succeeded"), (3, "Failed")] {
        let mut host = known_to_run("Never", now);
        host.receive(Message::Container(uid(), run(now, exited(code, now))), now);
        let told = settle(&mut host, now).expect("its end is told");
        assert_eq!(told["status"]["phase"], phase);
        let mut later = began_anew(&host, now);
        host.receive(
            Message::Sandbox(uid(), Sandbox { id: "s".to_owned(), attempt: 0, running: false, address: None }),
            now,
        );
        settle(&mut host, now);
        for id in ["c", "s"] {
            host.receive(Message::Vanished(uid(), id.to_owned()), now);
        }
        settle(&mut later, now);
        for host in [&mut host, &mut later] {
            assert_eq!(settle(host, now), None, "{phase}: there is nothing to tell");
            let told = container_status(host, now);
            assert_eq!(told.state.unwrap().terminated.unwrap().exit_code, code);
            assert_eq!(told.container_id.as_deref(), Some("docker://c"));
            let begun = &host.pods.get(&uid()).unwrap().situation.under_way;
            assert!(!begun.iter().any(|it| matches!(it, Operation::Image { .. } | Operation::Sandbox)), "{begun:?}");
        }
    }
}

#[test]
fn a_container_that_ended_for_good_does_not_run_again_because_it_was_removed() {
    let now = Timestamp::UNIX_EPOCH + 1.second();
    for (policy, code, again) in
        [("Never", 1, false), ("OnFailure", 0, false), ("OnFailure", 1, true), ("Always", 0, true)]
    {
        let mut host = known_to_run(policy, now);
        let mut pod = (*host.pods.get(&uid()).unwrap().situation.pod).clone();
        pod.spec.as_mut().unwrap().containers.push(Container { name: "other".to_owned(), ..Container::default() });
        host.receive(Message::Pod(Arc::new(pod)), now);
        let other = ContainerRecord {
            id: "o".to_owned(),
            name: "other".to_owned(),
            image: String::new(),
            ..run(now, RunState::Running)
        };
        host.receive(Message::Container(uid(), other), now);
        let mut first = run(now, exited(code, now));
        first.backoff_seconds = 10;
        host.receive(Message::Container(uid(), first), now);
        settle(&mut host, now);
        host.receive(Message::Vanished(uid(), "c".to_owned()), now);
        settle(&mut host, now);
        let begun = &host.pods.get(&uid()).unwrap().situation.under_way;
        assert_eq!(
            begun.contains(&Operation::Image { container: "app".to_owned(), image: "app".to_owned() }),
            again,
            "{policy} {code}: {begun:?}"
        );
    }
}

/// The reason of the last end, the restarts and the state of the pod's container.
fn told(host: &Host, now: Timestamp) -> (Option<String>, i32, bool) {
    let told = container_status(host, now);
    let last = told.last_state.unwrap_or_default().terminated;
    let last = last.map(|last| format!("{} {}", last.reason.unwrap(), last.exit_code));
    (last, told.restart_count, told.state.unwrap().running.is_some())
}

#[test]
fn a_run_that_was_lost_counts_as_a_restart_and_is_told_to_have_failed() {
    let now = Timestamp::UNIX_EPOCH + 1.second();
    let unknown = || Some("ContainerStatusUnknown 137".to_owned());
    let mut host = known_to_run("Always", now);
    let mut later = began_anew(&host, now);
    host.receive(Message::Vanished(uid(), "c".to_owned()), now);
    for host in [&mut host, &mut later] {
        for _ in 0..3 {
            settle(host, now);
            assert_eq!(told(host, now), (unknown(), 1, false), "however often it is looked at");
        }
        let attempt = host.pods.get(&uid()).unwrap().situation.next_attempt("app");
        assert_eq!(attempt, 1);
        let sandbox = Sandbox { id: "t".to_owned(), attempt: 0, running: true, address: None };
        host.receive(Message::Outcome(uid(), Operation::Sandbox, Outcome::SandboxRunning(sandbox)), now);
        let next = ContainerRecord { id: "d".to_owned(), attempt, ..run(now, RunState::Running) };
        host.receive(Message::Container(uid(), next), now);
        for _ in 0..2 {
            assert_eq!(told(host, now), (unknown(), 1, true));
            settle(host, now);
        }
        host.receive(Message::Vanished(uid(), "d".to_owned()), now);
        assert_eq!(told(host, now), (unknown(), 2, false));
    }
}

#[test]
fn a_container_that_waits_after_a_crash_counts_on_when_its_run_is_removed() {
    let now = Timestamp::UNIX_EPOCH + 1.second();
    let mut host = known_to_run("Always", now);
    let crashed = ContainerRecord { backoff_seconds: 10, ..run(now, exited(1, now)) };
    host.receive(Message::Container(uid(), crashed), now);
    settle(&mut host, now);
    assert_eq!(told(&host, now), (Some("Error 1".to_owned()), 0, false));
    for mut host in [began_anew(&host, now), host] {
        host.receive(Message::Vanished(uid(), "c".to_owned()), now);
        for _ in 0..2 {
            settle(&mut host, now);
            assert_eq!(told(&host, now), (Some("Error 1".to_owned()), 1, false));
        }
        assert_eq!(host.pods.get(&uid()).unwrap().situation.next_attempt("app"), 1);
    }
}

#[test]
fn a_pod_that_goes_and_of_which_nothing_is_left_is_told_to_have_failed() {
    let now = Timestamp::UNIX_EPOCH + 1.second();
    let host = known_to_run("Always", now);
    let mut pod = (*host.pods.get(&uid()).unwrap().situation.pod).clone();
    pod.metadata.deletion_timestamp = Some(Time(now));
    let mut host = empty();
    host.receive(Message::Pod(Arc::new(pod)), now);
    let patch = settle(&mut host, now).expect("that is told");
    assert_eq!(patch["status"]["phase"], "Failed");
    let status = container_status(&host, now);
    let end = status.state.unwrap().terminated.unwrap();
    assert_eq!((end.reason.as_deref(), end.exit_code, status.restart_count), (Some("ContainerStatusUnknown"), 137, 0));
}

#[test]
fn an_ephemeral_container_whose_run_is_lost_has_ended_and_does_not_run_again() {
    let now = Timestamp::UNIX_EPOCH + 1.second();
    let mut host = running(now);
    let mut pod = (*changed("app", "Always")).clone();
    let debug = json!([{"name": "debug", "image": "debug"}]);
    pod.spec.as_mut().unwrap().ephemeral_containers = serde_json::from_value(debug).unwrap();
    host.receive(Message::Pod(Arc::new(pod)), now);
    let (id, name, image) = ("e".to_owned(), "debug".to_owned(), "debug".to_owned());
    let debug = ContainerRecord { id, name, image, ..run(now, RunState::Running) };
    host.receive(Message::Container(uid(), debug), now);
    settle(&mut host, now).expect("it is told to run");
    let later = began_anew(&host, now);
    host.receive(Message::Vanished(uid(), "e".to_owned()), now);
    for mut host in [host, later] {
        for _ in 0..2 {
            settle(&mut host, now);
            let known = &host.pods.get(&uid()).unwrap().situation;
            let told = &known.status().ephemeral_container_statuses.as_ref().unwrap()[0];
            let end = told.state.as_ref().unwrap().terminated.as_ref().expect("its end is told");
            assert_eq!((end.reason.as_deref(), end.exit_code), (Some("ContainerStatusUnknown"), 137));
            assert_eq!((told.restart_count, told.container_id.as_deref()), (0, Some("docker://e")));
            let again = Operation::Image { container: "debug".to_owned(), image: "debug".to_owned() };
            assert!(!known.under_way.contains(&again));
        }
    }
}
