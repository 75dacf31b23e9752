//! The range of pods' addresses a node asks the API server for, before it makes its pods' network.

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::NodeError;

/// By which a node asks for a range.
const WANTED: &str = "sampan.dev/wants-pod-range";

/// The range of the node, which is asked for unless it has one. The Node is made for it, where there is none yet.
pub(crate) async fn claim_range(client: &kube::Client, name: &str) -> Result<String, NodeError> {
    let refused = |error: kube::Error| NodeError::NoRange(error.to_string());
    let nodes = Api::<Node>::all(client.clone());
    let annotations = [(WANTED.to_owned(), "true".to_owned())].into();
    let metadata = ObjectMeta { name: Some(name.to_owned()), annotations: Some(annotations), ..ObjectMeta::default() };
    let node = match nodes.create(&PostParams::default(), &Node { metadata, ..Node::default() }).await {
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let patch = json!({ "metadata": { "annotations": { WANTED: "true" } } });
            nodes.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.map_err(refused)?
        }
        made => made.map_err(refused)?,
    };
    let given = node.spec.and_then(|spec| spec.pod_cidr).filter(|range| !range.is_empty());
    given.ok_or_else(|| NodeError::NoRange("all are given to other nodes".to_owned()))
}
