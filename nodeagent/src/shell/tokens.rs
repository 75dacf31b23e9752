//! Tokens of service accounts: asked for, told, and asked for again before they end.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::authentication::v1::TokenRequest;
use tokio::sync::mpsc;

use crate::host::Message;
use crate::pod::source::{Data, SourceKey, TOKEN};
use crate::requests::{renewal_after, token_request};

/// The first and the longest wait after a refusal.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Tells of a token and of each that takes its place, until nobody listens.
pub(super) async fn keep_token(client: kube::Client, key: SourceKey, messages: mpsc::Sender<Message>) {
    let (mut retry, mut has_one) = (FIRST_RETRY, false);
    loop {
        let pause = match ask(&client, &key).await {
            Ok((data, lifetime)) => {
                (retry, has_one) = (FIRST_RETRY, true);
                if messages.send(Message::Source(key.clone(), Some(Arc::new(data)))).await.is_err() {
                    return;
                }
                Duration::try_from(renewal_after(lifetime)).unwrap_or(RETRY_MAX)
            }
            Err(error) => {
                tracing::debug!(%error, account = %key.name, "the API server gave no token");
                // What a pod was given stays with it: the API server knows what it is still worth.
                let is_news = !has_one && is_absent(&error);
                if is_news && messages.send(Message::Source(key.clone(), None)).await.is_err() {
                    return;
                }
                let pause = retry;
                retry = (retry * 2).min(RETRY_MAX);
                pause
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn ask(client: &kube::Client, key: &SourceKey) -> Result<(Data, SignedDuration), kube::Error> {
    let request = token_request(key).expect("the key of a token names what is wished for");
    let answer: TokenRequest = client.request(request.map_err(kube::Error::HttpError)?).await?;
    let lifetime = answer.spec.expiration_seconds.map_or(SignedDuration::ZERO, SignedDuration::from_secs);
    let token = answer.status.map(|status| status.token).unwrap_or_default();
    Ok((Data::from([(TOKEN.to_owned(), token.into_bytes())]), lifetime))
}

fn is_absent(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http::{Request, Response};
    use k8s_openapi::api::core::v1::{Pod, ServiceAccountTokenProjection};
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    /// Gives tokens that last for a second, and refuses every second time it is asked.
    fn server() -> kube::Client {
        let asked = AtomicUsize::new(0);
        let answer = move |_: Request<Body>| {
            let asked = asked.fetch_add(1, Ordering::Relaxed);
            let token = json!({"metadata": {}, "spec": {"audiences": [], "expirationSeconds": 1},
                "status": {"token": format!("token-{asked}"), "expirationTimestamp": "2026-01-01T00:00:00Z"}});
            let refusal =
                json!({"kind": "Status", "status": "Failure", "code": 404, "message": "gone", "reason": "NotFound"});
            let (code, body) = if asked % 2 == 0 { (201, token) } else { (404, refusal) };
            let answer = Response::builder().status(code).body(Body::from(body.to_string().into_bytes()));
            std::future::ready(Ok::<_, Infallible>(answer.unwrap()))
        };
        kube::Client::new(tower::service_fn(answer), "default")
    }

    #[tokio::test]
    async fn a_token_is_replaced_before_it_ends_and_kept_where_none_is_given() {
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "shop", "uid": "u"}})).unwrap();
        let wish = ServiceAccountTokenProjection { path: "t".to_owned(), ..ServiceAccountTokenProjection::default() };
        let (messages, mut told) = mpsc::channel(4);
        let keeping = tokio::spawn(keep_token(server(), SourceKey::token(&pod, &wish), messages));
        for expected in ["token-0", "token-2"] {
            let told =
                tokio::time::timeout(Duration::from_secs(30), told.recv()).await.expect("a token within its time");
            let Some(Message::Source(_, Some(data))) = told else { panic!("no token") };
            assert_eq!(data[TOKEN], expected.as_bytes());
        }
        keeping.abort();
    }
}
