//! Containers that name another image than they did.

use super::lost::{settle, uid};
use super::*;

/// The references of the images that are looked for, and of those that containers are started from.
fn begun(effects: &[Effect]) -> (Vec<&str>, Vec<&str>) {
    let commands = || effects.iter().filter_map(|effect| if let Effect::Run(_, it) = effect { Some(it) } else { None });
    let pulls =
        commands().filter_map(|it| if let Command::EnsureImage { image, .. } = it { Some(&**image) } else { None });
    let starts = commands().filter_map(|it| if let Command::StartContainer(it) = it { Some(&*it.image) } else { None });
    (pulls.collect(), starts.collect())
}

#[test]
fn what_is_found_of_one_image_says_nothing_of_another() {
    let mut now = Timestamp::UNIX_EPOCH + 1.second();
    let present = || Outcome::ImagePresent { attempt: 0, pulled: None };
    let refused = || Outcome::Refused(Refusal { reason: "ErrImagePull".to_owned(), message: "no".to_owned() });
    let mut host = empty();
    host.receive(Message::Pod(pod()), now);
    for key in host.watchers.keys().cloned().collect::<Vec<_>>() {
        host.receive(Message::Source(key, Some(Arc::default())), now);
    }
    assert_eq!(begun(&host.advance(now)), (vec!["app"], vec![]));
    host.receive(Message::Pod(changed("app:2", "Always")), now);
    assert_eq!(begun(&host.advance(now)), (vec!["app:2"], vec![]), "it waits for no other");
    for (image, outcome) in [("app:2", refused()), ("app", present())] {
        let operation = Operation::Image { container: "app".to_owned(), image: image.to_owned() };
        host.receive(Message::Outcome(uid(), operation, outcome), now);
        assert_eq!(begun(&host.advance(now)), (vec![], vec![]));
    }
    now += 10.seconds();
    assert_eq!(begun(&host.advance(now)), (vec!["app:2"], vec![]), "it is still not there");
    answer_all(&mut host, now);
    assert_eq!(begun(&host.advance(now)), (vec![], vec!["app:2"]));
}

#[test]
fn a_container_that_names_another_image_is_started_from_it_whatever_the_restart_policy_says() {
    let now = Timestamp::UNIX_EPOCH + 1.second();
    for policy in ["Always", "OnFailure", "Never"] {
        let mut host = running(now);
        host.receive(Message::Pod(changed("app", policy)), now);
        host.advance(now);
        host.receive(Message::Pod(changed("app:2", policy)), now);
        let effects = host.advance(now);
        let stops =
            effects.iter().any(|it| matches!(it, Effect::Run(_, Command::StopContainer { grace_seconds: 30, .. })));
        assert!(stops, "{policy}: {effects:?}");
        let expect = "Container app definition changed, will be restarted";
        let is_told =
            |it: &Effect| matches!(it, Effect::Event(_, note) if note.reason == "Killing" && note.message == expect);
        assert!(effects.iter().any(is_told), "{policy}: {effects:?}");
        assert_eq!(container_status(&host, now).image, "app", "what runs is what is told");

        let stop = Operation::Stop("app".to_owned());
        let ended = Outcome::Done(Some(run(now, exited(0, now))));
        host.receive(Message::Outcome(uid(), stop, ended), now);
        let effects = host.advance(now);
        let pulls = |it: &Effect| matches!(it, Effect::Run(_, Command::EnsureImage { image, attempt: 1, .. }) if image == "app:2");
        assert!(effects.iter().any(pulls), "{policy}: {effects:?}");
        let told = container_status(&host, now);
        assert!(
            told.state.unwrap().terminated.is_none(),
            "{policy}: the API lets nobody run again who has ended for good"
        );
        assert_eq!(told.last_state.unwrap().terminated.unwrap().exit_code, 0);
        let next = ContainerRecord {
            id: "d".to_owned(),
            attempt: 1,
            image: "app:2".to_owned(),
            ..run(now, RunState::Running)
        };
        host.receive(Message::Container(uid(), next), now);
        let told = container_status(&host, now);
        assert_eq!((&*told.image, told.restart_count, told.state.unwrap().running.is_some()), ("app:2", 1, true));
    }
}

/// A host whose pod of this policy runs, as the API server knows.
fn known_to_run(policy: &str, now: Timestamp) -> Host {
    let mut host = running(now);
    host.receive(Message::Pod(changed("app", policy)), now);
    settle(&mut host, now).expect("it is told to run");
    host
}

/// Somebody sets the image of the pod's container.
fn set_image(host: &mut Host, image: &str, now: Timestamp) {
    let mut pod = (*host.pods.get(&uid()).unwrap().situation.pod).clone();
    pod.spec.as_mut().unwrap().containers[0].image = Some(image.to_owned());
    host.receive(Message::Pod(Arc::new(pod)), now);
}

/// An agent that begins anew where this one ends.
fn began_anew(host: &Host, now: Timestamp) -> Host {
    let entry = host.pods.get(&uid()).unwrap();
    let known = &entry.situation;
    let mut host = empty();
    host.adopt(entry.reference(), known.sandbox.clone(), known.records().cloned().collect());
    host.receive(Message::Pod(known.pod.clone()), now);
    host
}

#[test]
fn a_container_that_was_told_to_have_ended_does_not_run_again_for_another_image() {
    let now = Timestamp::UNIX_EPOCH + 1.second();
    for is_alone in [true, false] {
        let mut host = known_to_run("Never", now);
        if !is_alone {
            let mut pod = (*host.pods.get(&uid()).unwrap().situation.pod).clone();
            pod.spec.as_mut().unwrap().containers.push(Container { name: "other".to_owned(), ..Container::default() });
            host.receive(Message::Pod(Arc::new(pod)), now);
            let (name, image) = ("other".to_owned(), String::new());
            let other = ContainerRecord { id: "o".to_owned(), name, image, ..run(now, RunState::Running) };
            host.receive(Message::Container(uid(), other), now);
        }
        host.receive(Message::Container(uid(), run(now, exited(0, now))), now);
        settle(&mut host, now).expect("its end is told");
        set_image(&mut host, "app:2", now);
        for mut host in [began_anew(&host, now), host] {
            assert_eq!(begun(&host.advance(now)), (vec![], vec![]));
            assert!(container_status(&host, now).state.unwrap().terminated.is_some());
        }
    }
}

#[test]
fn an_agent_that_begins_before_the_new_image_runs_knows_that_it_is_to() {
    let now = Timestamp::UNIX_EPOCH + 1.second();
    for is_told in [false, true] {
        let mut host = known_to_run("Never", now);
        set_image(&mut host, "app:2", now);
        settle(&mut host, now);
        host.receive(Message::Container(uid(), run(now, exited(143, now))), now);
        if is_told {
            settle(&mut host, now).expect("it is told to wait");
        }
        let mut host = began_anew(&host, now);
        assert_eq!(begun(&host.advance(now)), (vec!["app:2"], vec![]), "told: {is_told}");
        assert!(container_status(&host, now).state.unwrap().waiting.is_some(), "told: {is_told}");
    }
}

#[test]
fn a_container_whose_image_is_set_back_is_what_it_was_until_another_run_is_to_follow() {
    let now = Timestamp::UNIX_EPOCH + 1.second();
    for has_stopped in [false, true] {
        let mut host = known_to_run("Never", now);
        set_image(&mut host, "app:2", now);
        settle(&mut host, now);
        if has_stopped {
            host.receive(Message::Container(uid(), run(now, exited(0, now))), now);
            settle(&mut host, now).expect("it is told to wait");
        }
        set_image(&mut host, "app", now);
        host.receive(Message::Container(uid(), run(now, exited(0, now))), now);
        let again = if has_stopped { vec!["app"] } else { vec![] };
        assert_eq!(begun(&host.advance(now)).0, again);
        assert_eq!(container_status(&host, now).state.unwrap().waiting.is_some(), has_stopped);
    }
}
