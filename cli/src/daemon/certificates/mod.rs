//! Certificates for nodes on other machines: who asks for one, who gets one at once, and whom somebody has to approve.
//!
//! Of Kubernetes' signers this is `kubernetes.io/kube-apiserver-client-kubelet`. A node renews its own certificate; a machine with
//! a token to join becomes a node nobody has heard of yet. To take the name of one that is there somebody has to say that it may.
//!
//! A name is given before the first approval, by making the Node, which bears what the machine's key hashes to: of two machines
//! that ask for one name at once, one makes it.

#[cfg(test)]
mod tests;
mod verdict;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, anyhow};
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use sampan_apiserver::tls::{Authority, CertificateRequest};
use sampan_core::gateway::{Action, Body, Cluster, PatchKind, Subresource, SystemWriter};
use sampan_core::object::{Name, Object, ObjectKey, Revision};
use sampan_core::resource::{CERTIFICATE_SIGNING_REQUESTS, NODES};
use sampan_core::status::Status;
use sampan_core::store::Snapshot;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use self::verdict::{JOINED_WITH, JOINS, SIGNER, Verdict, conditions, verdict};

/// How long a certificate lasts, unless a shorter one is asked for.
const LIFE_SECONDS: i32 = 365 * 24 * 3600;
/// How long after an answer that failed it is given again.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// How the API says that somebody was faster, and that something is not as it must be.
const CONFLICT: u16 = 409;
const INVALID: u16 = 422;

/// Answers requests until `shutdown`.
pub(super) async fn keep(cluster: Cluster, authority: Authority, shutdown: CancellationToken) {
    let reader = cluster.store().reader().clone();
    let mut desk = Desk { cluster, authority, left: BTreeMap::new() };
    loop {
        let (requests, nodes) = (reader.listen(CERTIFICATE_SIGNING_REQUESTS), reader.listen(NODES));
        let has_failed = desk.answer_all().await;
        let awaits_node = desk.left.values().any(|left| left.awaited.is_some());
        let news = async {
            tokio::select! {
                () = requests => {}
                () = nodes, if awaits_node => {}
                () = tokio::time::sleep(RETRY_AFTER), if has_failed => {}
            }
        };
        if shutdown.run_until_cancelled(news).await.is_none() {
            return;
        }
    }
}

/// Where requests are answered.
struct Desk {
    cluster: Cluster,
    authority: Authority,
    /// Those there is nothing to do about.
    left: BTreeMap<Name, Left>,
}

/// A request that is left as it is.
struct Left {
    at: Revision,
    /// The Node that is in its way.
    awaited: Option<ObjectKey>,
}

impl Left {
    /// Whether there still is nothing to do about the request.
    fn holds(&self, request: &Object, snapshot: &Snapshot) -> bool {
        self.at == request.revision() && self.awaited.as_ref().is_none_or(|node| snapshot.get(node).is_some())
    }
}

impl Desk {
    /// Answers every request that is new, was changed, or whose name has become free. Whether one could not be answered.
    async fn answer_all(&mut self) -> bool {
        let snapshot = self.cluster.snapshot();
        let (mut left, mut has_failed) = (std::mem::take(&mut self.left), false);
        for request in snapshot.list(CERTIFICATE_SIGNING_REQUESTS, None, None) {
            let known = left.remove(&request.key().name).filter(|left| left.holds(request, &snapshot));
            let answered = match known {
                Some(known) => Ok(Some(known)),
                None => self.answer(request).await,
            };
            match answered {
                Ok(Some(known)) => drop(self.left.insert(request.key().name.clone(), known)),
                Ok(None) => {}
                Err(error) => {
                    has_failed = true;
                    tracing::warn!("failed to answer {}; trying again: {error:#}", request.key());
                }
            }
        }
        has_failed
    }

    /// Answers a request, or tells that it is left as it is.
    async fn answer(&self, object: &Object) -> Result<Option<Left>> {
        let left = |awaited| Ok(Some(Left { at: object.revision(), awaited }));
        let asked = object.decode::<CertificateSigningRequest>()?;
        if asked.spec.signer_name != SIGNER {
            return left(None);
        }
        let request = String::from_utf8_lossy(&asked.spec.request.0);
        let request = CertificateRequest::read(&request).map_err(|error| error.to_string());
        // Names may have been given while others were answered.
        let snapshot = self.cluster.snapshot();
        match (verdict(&asked, request.as_ref().map_err(String::as_str), &snapshot), &request) {
            (Verdict::Taken(node), _) => return left(Some(node)),
            (Verdict::Join(node), Ok(request)) => self.join(object, &asked, &node, &request.key_hash()).await?,
            (Verdict::Approve(reason), _) => self.approve(object, reason).await?,
            (Verdict::Issue, Ok(request)) => self.issue(object, &asked, request).await?,
            (Verdict::Fail(why), _) => self.fail(object, &asked, &why).await?,
            (Verdict::Leave, _) | (_, Err(_)) => return left(None),
        }
        Ok(None)
    }

    /// Gives the node's name to the machine's key, and approves what it asks. What is no name of a node can never be one's.
    async fn join(&self, object: &Object, asked: &CertificateSigningRequest, node: &str, key_hash: &str) -> Result<()> {
        let key = ObjectKey::cluster(NODES, node);
        let metadata = json!({"name": node, "annotations": {JOINED_WITH: key_hash}});
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata});
        match self.write(&key, Subresource::Whole, Action::Create(Body::Value(node))).await {
            Ok(()) => self.approve(object, JOINS).await,
            Err(status) if status.code == INVALID => self.fail(object, asked, &status.message).await,
            Err(status) => Err(anyhow!("{status}")),
        }
    }

    async fn approve(&self, object: &Object, reason: &str) -> Result<()> {
        let condition = json!({"type": "Approved", "status": "True", "reason": "AutoApproved", "message": reason});
        self.tell(object, Subresource::Named("approval"), json!({"conditions": [condition]})).await
    }

    async fn issue(
        &self,
        object: &Object,
        asked: &CertificateSigningRequest,
        request: &CertificateRequest,
    ) -> Result<()> {
        let life = asked.spec.expiration_seconds.unwrap_or(LIFE_SECONDS).min(LIFE_SECONDS);
        let life = Duration::from_secs(u64::from(life.unsigned_abs()));
        let issued = self.authority.sign(request, life, self.cluster.now())?;
        tracing::info!("{} has a certificate ({})", request.user(), object.key().name);
        let issued = serde_json::to_value(ByteString(issued.into_bytes()))?;
        self.tell(object, Subresource::Status, json!({"certificate": issued})).await
    }

    async fn fail(&self, object: &Object, asked: &CertificateSigningRequest, why: &str) -> Result<()> {
        let condition =
            json!({"type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": why});
        let mut conditions = conditions(asked).map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
        conditions.push(condition);
        self.tell(object, Subresource::Status, json!({"conditions": conditions})).await
    }

    /// Writes part of the request's status, unless somebody has changed it since: then it is looked at again.
    async fn tell(&self, object: &Object, subresource: Subresource, status: Value) -> Result<()> {
        let metadata = json!({"resourceVersion": object.revision().to_string()});
        let patch = Body::Value(json!({"metadata": metadata, "status": status}));
        match self.write(object.key(), subresource, Action::Patch(PatchKind::Merge, patch)).await {
            Err(status) if status.code != CONFLICT => Err(anyhow!("{status}")),
            _ => Ok(()),
        }
    }

    async fn write(&self, key: &ObjectKey, subresource: Subresource, action: Action) -> Result<(), Status> {
        let writer = SystemWriter::new(&self.cluster, "certificates for nodes");
        writer.write(key, subresource, action).await.map(drop)
    }
}
