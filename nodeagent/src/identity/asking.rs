//! Asking for a certificate: a request, a decision, the certificate.

use futures::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use super::IdentityError;

/// Who signs certificates of nodes.
const SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";

/// A fresh key.
pub(super) fn new_key() -> Result<KeyPair, IdentityError> {
    Ok(KeyPair::generate()?)
}

/// The certificate (PEM) that says of a key that it is the node's, once somebody has decided that it is.
pub(super) async fn ask(client: &kube::Client, node: &str, key: &KeyPair) -> Result<String, IdentityError> {
    let requests = Api::<CertificateSigningRequest>::all(client.clone());
    let made = requests.create(&PostParams::default(), &request(node, key)?).await?;
    let name = made.metadata.name.unwrap_or_default();
    tracing::info!("asked to be node {node}; where nobody answers, `kubectl certificate approve {name}` does");
    let mut seen = std::pin::pin!(watch_object(requests, &name).default_backoff());
    while let Some(result) = seen.next().await {
        match result {
            Ok(Some(request)) => {
                if let Some(answer) = answer(&request) {
                    return answer.map_err(|why| IdentityError::Refused { request: name, why });
                }
            }
            Ok(None) => return Err(IdentityError::Refused { request: name, why: "the request is gone".to_owned() }),
            Err(error) => tracing::debug!(%error, "the watch of a certificate broke; asking again"),
        }
    }
    Err(IdentityError::Refused { request: name, why: "nobody answers any more".to_owned() })
}

fn request(node: &str, key: &KeyPair) -> Result<CertificateSigningRequest, IdentityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
    params.distinguished_name.push(DnType::CommonName, format!("system:node:{node}"));
    let request = params.serialize_request(key)?.pem()?;
    Ok(CertificateSigningRequest {
        metadata: ObjectMeta { generate_name: Some("node-csr-".to_owned()), ..ObjectMeta::default() },
        spec: CertificateSigningRequestSpec {
            request: ByteString(request.into_bytes()),
            signer_name: SIGNER.to_owned(),
            usages: Some(["digital signature", "client auth"].map(str::to_owned).to_vec()),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    })
}

/// What was decided, once something is: the certificate, or why there is none.
fn answer(request: &CertificateSigningRequest) -> Option<Result<String, String>> {
    let status = request.status.as_ref()?;
    let conditions = status.conditions.iter().flatten();
    let mut against = conditions.filter(|it| matches!(it.type_.as_str(), "Denied" | "Failed"));
    if let Some(condition) = against.next() {
        return Some(Err(condition.message.clone().unwrap_or_else(|| condition.type_.clone())));
    }
    let issued = status.certificate.as_ref().filter(|issued| !issued.0.is_empty())?;
    Some(Ok(String::from_utf8_lossy(&issued.0).into_owned()))
}
