//! Events on pods, sent to the API server one after the other.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::host::PodRef;
use crate::pod::EventNote;
use crate::requests::Scribe;

/// Events on their way to the task that writes them; more are dropped, for they are only told, never relied on.
const EVENTS_WAITING: usize = 4096;

/// Takes events to be written.
pub(super) struct Recorder {
    notes: mpsc::Sender<(PodRef, EventNote)>,
}

impl Recorder {
    /// Starts writing events until `shutdown`.
    pub(super) fn start(client: kube::Client, shutdown: CancellationToken) -> Self {
        let (notes, mut queue) = mpsc::channel(EVENTS_WAITING);
        tokio::spawn(async move {
            let mut scribe = Scribe::default();
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    next = queue.recv() => match next {
                        Some((pod, note)) => scribe.record(pod, note),
                        None => return,
                    },
                }
                write(&client, &mut scribe).await;
            }
        });
        Self { notes }
    }

    /// Has an event written.
    pub(super) fn record(&self, pod: PodRef, note: EventNote) {
        if self.notes.try_send((pod, note)).is_err() {
            tracing::warn!("an event was dropped: too many wait to be written");
        }
    }
}

async fn write(client: &kube::Client, scribe: &mut Scribe) {
    while let Some(request) = scribe.begin() {
        let outcome = client.request_text(request).await;
        if let Err(error) = &outcome {
            tracing::debug!(%error, "an event was not written");
        }
        scribe.answered(outcome.is_ok());
    }
}
