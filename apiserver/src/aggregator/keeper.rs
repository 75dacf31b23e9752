//! Keeps telling of each APIService that names a Service whether it answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use sampan_core::gateway::{Action, Body, PatchKind, Subresource, SystemWriter};
use sampan_core::object::ObjectKey;
use sampan_core::resource::{API_SERVICES, ENDPOINT_SLICES, SERVICES};
use sampan_core::store::Snapshot;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::ApiService;
use super::availability::{Grounds, Verdict, prevented};
use crate::state::State;

/// How often a server that answers is asked again, as in Kubernetes.
const RECHECK: Duration = Duration::from_secs(30);
/// How soon one that does not is asked again, at first; each time twice as late, up to the time for all.
const RETRY_MIN: Duration = Duration::from_millis(500);

/// When a server was asked, and when it is to be asked again.
struct Checked {
    grounds: Grounds,
    answered: bool,
    again_at: Instant,
    pause: Duration,
}

/// Looks at other servers, one after the other their changes, until the end. Without any it waits for one.
pub(crate) async fn keep(state: Arc<State>) {
    let mut checked: BTreeMap<String, Checked> = BTreeMap::new();
    loop {
        let reader = state.cluster.store().reader();
        let registered = reader.listen(API_SERVICES);
        let beside = [reader.listen(SERVICES), reader.listen(ENDPOINT_SLICES)];
        let snapshot = state.snapshot();
        let services = ApiService::all(&snapshot, &state.registry());
        checked.retain(|name, _| services.iter().any(|service| service.name == *name));
        state.aggregator.serving().retain(|name, _| services.iter().any(|service| service.name == *name));
        let due: Vec<&ApiService> = services.iter().filter(|it| is_due(&checked, it, &snapshot)).collect();
        let looked = join_all(due.into_iter().map(|service| look(&state, service, &snapshot))).await;
        for (service, verdict) in looked {
            let grounds = Grounds::of(service, &snapshot);
            let failed = checked.get(&service.name).filter(|it| !it.answered && it.grounds == grounds);
            let pause = match (verdict.available, failed) {
                (true, _) => RECHECK,
                (false, Some(before)) => (before.pause * 2).min(RECHECK),
                (false, None) => RETRY_MIN,
            };
            let (answered, again_at) = (verdict.available, Instant::now() + pause);
            checked.insert(service.name.clone(), Checked { grounds, answered, again_at, pause });
            tell(&state, service, &verdict).await;
        }
        let next = checked.values().map(|it| it.again_at).min();
        let [first, second] = beside;
        tokio::select! {
            () = registered => {}
            () = first, if next.is_some() => {}
            () = second, if next.is_some() => {}
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            () = state.shutdown.cancelled() => return,
        }
    }
}

fn is_due(checked: &BTreeMap<String, Checked>, service: &ApiService, snapshot: &Snapshot) -> bool {
    let known = checked.get(&service.name);
    known.is_none_or(|it| it.again_at <= Instant::now() || it.grounds != Grounds::of(service, snapshot))
}

async fn look<'s>(state: &State, service: &'s ApiService, snapshot: &Snapshot) -> (&'s ApiService, Verdict) {
    if let Some(verdict) = prevented(service, snapshot) {
        return (service, verdict);
    }
    let said = service.serving(snapshot, state.aggregator.own.get()).await;
    let verdict = Verdict::asked(said.as_ref());
    if let Ok(list) = said {
        state.aggregator.serving().insert(service.name.clone(), list);
    }
    (service, verdict)
}

/// Tells what has changed of whether a server answers.
async fn tell(state: &State, service: &ApiService, verdict: &Verdict) {
    let status = if verdict.available { "True" } else { "False" };
    let told = service.available();
    if told.is_some_and(|it| (&*it.status, &*it.reason, &it.message) == (status, verdict.reason, &verdict.message)) {
        return;
    }
    let since = told.filter(|it| it.status == status && !it.last_transition_time.is_empty());
    let since = since
        .map_or_else(|| state.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), |it| it.last_transition_time.clone());
    let condition = json!({"type": "Available", "status": status, "reason": verdict.reason,
        "message": verdict.message, "lastTransitionTime": since});
    let writer = SystemWriter::new(&state.cluster, "whether another server of the API answers")
        .acting_as("system:kube-aggregator", "kube-aggregator");
    let key = ObjectKey::cluster(API_SERVICES, &service.name);
    // What others say of it stays: conditions are merged by their types.
    let patch = Action::Patch(PatchKind::Strategic, Body::Value(json!({"status": {"conditions": [condition]}})));
    if let Err(status) = writer.write(&key, Subresource::Status, patch).await {
        tracing::warn!(apiservice = service.name, %status, "failed to tell whether another server of the API answers");
    }
}
