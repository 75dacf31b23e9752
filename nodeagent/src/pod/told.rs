//! What was last told of containers: all there is to go by where the runtime no longer holds their runs. Somebody removed
//! them, or the agent was away for as long as it takes to lose them.
//!
//! The rules are the kubelet's (`convertToAPIContainerStatuses` of `kubelet_pods.go`, `TerminatePod` of its status manager).

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus};

use super::situation::{ContainerRecord, Situation};
use super::standing::Standing;

/// The reason of an end nobody has seen.
const UNKNOWN: &str = "ContainerStatusUnknown";
/// What is shown of such an end: a failure.
const UNKNOWN_CODE: i32 = 137;
/// The words for a container whose pod goes on.
const LOST: &str = "The container could not be located when the pod was deleted.  The container used to be Running";
/// The words for one whose pod goes.
const LOST_WITH_POD: &str = "The container could not be located when the pod was terminated";

/// What was told of the container.
pub fn of<'a>(situation: &'a Situation, name: &str) -> Option<&'a ContainerStatus> {
    let status = situation.status();
    let lists = [&status.init_container_statuses, &status.container_statuses, &status.ephemeral_container_statuses];
    lists.into_iter().flatten().flatten().find(|status| status.name == name)
}

/// What was told of its container while this run was the newest.
pub(super) fn of_run<'a>(situation: &'a Situation, run: &ContainerRecord) -> Option<&'a ContainerStatus> {
    of(situation, &run.name).filter(|told| told.container_id == Some(super::status::docker(&run.id)))
}

/// The end of its last run, where that was told.
pub fn end<'a>(situation: &'a Situation, name: &str) -> Option<&'a ContainerStateTerminated> {
    of(situation, name)?.state.as_ref()?.terminated.as_ref()
}

/// The code its only run ended with, as told; that of an end nobody has seen where it was told to run, and none is left.
pub(super) fn only_end(situation: &Situation, name: &str) -> Option<i32> {
    let is_lost = || of(situation, name).is_some_and(ran);
    end(situation, name).map(|end| end.exit_code).or_else(|| is_lost().then_some(UNKNOWN_CODE))
}

/// The status of a container of which no run is left and which was told to have ended: that stays true until there is
/// something else to tell. An ephemeral container, which runs once, has ended where it was told to run as well.
pub(super) fn kept(situation: &Situation, name: &str, standing: &Standing) -> Option<ContainerStatus> {
    let is_news = matches!(
        standing,
        Standing::ImageRefused { .. } | Standing::StartRefused { .. } | Standing::Misconfigured { .. }
    );
    let known = situation.latest(name).is_some() || is_news;
    let told = of(situation, name).filter(|_| !known)?;
    if end(situation, name).is_some() {
        return Some(told.clone());
    }
    let is_lost = ran(told) && situation.ephemeral.iter().any(|container| container.name == name);
    is_lost.then(|| ContainerStatus { state: Some(unknown(LOST)), ..told.clone() })
}

/// The state of a container that was told to run, of which no run is left, and whose pod goes.
pub(super) fn lost_with_pod(situation: &Situation, name: &str) -> Option<ContainerState> {
    let is_lost = situation.is_terminating() && situation.latest(name).is_none() && ran(of(situation, name)?);
    is_lost.then(|| unknown(LOST_WITH_POD))
}

/// How the run before the one shown ended, where the runtime does not show it.
pub(super) fn last_state(situation: &Situation, name: &str, run: Option<&ContainerRecord>) -> Option<ContainerState> {
    let told = of(situation, name)?;
    let is_first = run.is_some_and(|run| run.attempt == 0);
    let is_same = run.is_some_and(|run| of_run(situation, run).is_some());
    if is_first || is_same {
        return told.last_state.clone().filter(|_| is_same);
    }
    if ran(told) {
        return Some(unknown(LOST));
    }
    let ended = told.state.as_ref().filter(|state| state.terminated.is_some());
    ended.or(told.last_state.as_ref()).cloned()
}

/// How often the container was restarted. The number never falls, and a run that is lost will have been followed by another.
pub(super) fn restarts(situation: &Situation, name: &str, run: Option<&ContainerRecord>) -> i32 {
    let shown = run.map_or(0, |run| i32::try_from(run.attempt).unwrap_or(i32::MAX));
    let told = of(situation, name).map_or(0, |told| {
        let is_lost = run.is_none() && told.container_id.is_some() && !situation.is_terminating();
        told.restart_count.saturating_add(i32::from(is_lost))
    });
    told.max(shown)
}

/// The number of the run after those that were told. One whose identifier is told was the last of them; without one, the
/// restart that is counted is still to come.
pub(super) fn next_attempt(situation: &Situation, name: &str) -> Option<u32> {
    let told = of(situation, name)?;
    u32::try_from(told.restart_count).ok()?.checked_add(u32::from(told.container_id.is_some()))
}

/// Whether a run was told of that had not ended.
fn ran(told: &ContainerStatus) -> bool {
    told.container_id.is_some() && told.state.as_ref().is_some_and(|state| state.running.is_some())
}

fn unknown(message: &str) -> ContainerState {
    let terminated = ContainerStateTerminated {
        exit_code: UNKNOWN_CODE,
        reason: Some(UNKNOWN.to_owned()),
        message: Some(message.to_owned()),
        ..ContainerStateTerminated::default()
    };
    ContainerState { terminated: Some(terminated), ..ContainerState::default() }
}
