//! What a node tells of an output.

use std::time::Duration;

use k8s_openapi::jiff;
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use sampan_outputs::{Report, State};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

/// How often what changes all the time is told at most: each time is a write to the store.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Whose output it is that is told of, and by whom.
pub(super) struct Subject {
    pub(super) outputs: Api<DynamicObject>,
    pub(super) name: String,
    pub(super) node: String,
    pub(super) generation: i64,
}

impl Subject {
    /// Tells what is reported whenever that is new, until nobody reports any more.
    pub(super) async fn tell(self, mut reports: watch::Receiver<Report>) {
        while reports.changed().await.is_ok() {
            let status = shown(&reports.borrow_and_update(), self.generation);
            if !self.post(status).await {
                reports.mark_changed();
            }
            sleep(TELL_EVERY).await;
        }
    }

    /// Tells that the output cannot work as it is.
    pub(super) async fn refuse(self, why: String) {
        let status = json!({ "state": "Refused", "lastError": why, "observedGeneration": self.generation });
        while !self.post(status.clone()).await {
            sleep(TELL_EVERY).await;
        }
    }

    /// False where it is worth another try.
    async fn post(&self, status: Value) -> bool {
        let patch = json!({ "status": { "nodes": { &self.node: status } } });
        match self.outputs.patch_status(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Ok(_) => true,
            Err(kube::Error::Api(status)) if status.code == 404 => true,
            Err(error) => {
                tracing::debug!(%error, output = %self.name, "failed to tell of an output of logs; trying again");
                false
            }
        }
    }
}

fn shown(report: &Report, generation: i64) -> Value {
    let state = match report.state {
        State::Delivering => "Delivering",
        State::Retrying => "Retrying",
    };
    json!({
        "state": state,
        "delivered": report.delivered,
        "waiting": report.waiting,
        "dropped": report.dropped,
        // A null takes away what was told before.
        "lastError": report.last_error,
        "lastDelivery": report.last_delivery.map(|time| time.round(jiff::Unit::Second).unwrap_or(time).to_string()),
        "observedGeneration": generation,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_told_in_words() {
        let last_delivery = Some("1970-01-01T00:00:01.4Z".parse().unwrap());
        let report =
            Report { state: State::Retrying, delivered: 3, waiting: 2, dropped: 1, last_error: None, last_delivery };
        let expect = json!({
            "state": "Retrying", "delivered": 3, "waiting": 2, "dropped": 1, "lastError": null,
            "lastDelivery": "1970-01-01T00:00:01Z", "observedGeneration": 7,
        });
        assert_eq!(shown(&report, 7), expect);
    }
}
