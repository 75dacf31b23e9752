//! Who gets a token.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Deserialize;

use super::{Claims, Private, Reference, Tokens};
use crate::access::{Identity, belongs, node_of};
use crate::object::{Object, ObjectKey, Uid};
use crate::resource::read::{items, text};
use crate::resource::{NODES, PODS, SECRETS};
use crate::status::{Status, StatusCause};
use crate::store::Snapshot;

/// How long a token lasts that does not say, and the least and most it may, in seconds.
const EXPIRATION_SECONDS: i64 = 3600;
const EXPIRATION_SECONDS_MIN: i64 = 600;
const EXPIRATION_SECONDS_MAX: i64 = 1 << 32;

/// What is sent for a token, as far as it is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TokenRequest {
    /// What is wished for.
    pub spec: TokenRequestSpec,
}

/// The token that is wished for.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TokenRequestSpec {
    /// For whom; none stands for the API server.
    pub audiences: Vec<String>,
    /// How long.
    pub expiration_seconds: Option<i64>,
    /// With whose end it ends.
    pub bound_object_ref: Option<Bound>,
}

/// What a token is bound to.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Bound {
    kind: String,
    api_version: String,
    name: String,
    uid: String,
}

impl Tokens {
    /// The claims of a token for an account, as `asker` wishes for it. `id` is like no other.
    ///
    /// # Errors
    /// Where a field is at fault, what the token is to be bound to is not there, or a node asks for what is not on it.
    pub fn claims(
        &self,
        asker: &Identity,
        account: &Object,
        spec: &TokenRequestSpec,
        id: String,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Result<Claims, Status> {
        let name = &account.key().name;
        let lasts = spec.expiration_seconds.unwrap_or(EXPIRATION_SECONDS);
        check_expiration(lasts, name)?;
        let namespace = account.key().namespace.as_deref().unwrap_or_default();
        let mut private = Private {
            namespace: namespace.to_owned(),
            node: None,
            pod: None,
            secret: None,
            service_account: Reference::to(account),
        };
        require_of_node(asker, namespace, spec, snapshot)?;
        if let Some(bound) = &spec.bound_object_ref {
            bind(&mut private, bound, snapshot)?;
        }
        let audiences = match spec.audiences.is_empty() {
            true => vec![self.issuer().to_owned()],
            false => spec.audiences.clone(),
        };
        Ok(Claims {
            audiences,
            expires: now.as_second() + lasts,
            issued: now.as_second(),
            issuer: self.issuer().to_owned(),
            id,
            private,
            not_before: now.as_second(),
            subject: Identity::service_account(namespace, name).user,
        })
    }

    /// The token that says so.
    pub fn sign(&self, claims: &Claims) -> String {
        self.signer.sign(&serde_json::to_vec(claims).expect("writing JSON to memory cannot fail"))
    }
}

fn check_expiration(seconds: i64, name: &str) -> Result<(), Status> {
    let why = match seconds {
        ..EXPIRATION_SECONDS_MIN => "may not specify a duration less than 10 minutes",
        EXPIRATION_SECONDS_MIN..=EXPIRATION_SECONDS_MAX => return Ok(()),
        _ => "may not specify a duration larger than 2^32 seconds",
    };
    let cause = StatusCause {
        reason: "FieldValueInvalid".to_owned(),
        message: format!("Invalid value: {seconds}: {why}"),
        field: "spec.expirationSeconds".to_owned(),
    };
    Err(Status::invalid("TokenRequest.authentication.k8s.io", name, vec![cause]))
}

/// A node gets tokens for the pods on it, for whom they wish to be known to, and for nothing else.
fn require_of_node(
    asker: &Identity,
    namespace: &str,
    spec: &TokenRequestSpec,
    snapshot: &Snapshot,
) -> Result<(), Status> {
    let Some(node) = node_of(asker) else { return Ok(()) };
    let Some(bound) = spec.bound_object_ref.as_ref().filter(|bound| bound.kind == "Pod") else {
        return Err(Status::forbidden("node requested token not bound to a pod"));
    };
    if bound.uid.is_empty() {
        return Err(Status::forbidden("node requested token with a pod binding without a uid"));
    }
    let pod = snapshot.get(&ObjectKey::namespaced(PODS, namespace, &bound.name));
    match pod {
        Some(pod) if !belongs(pod, node) => {
            Err(Status::forbidden("node requested token bound to a pod scheduled on a different node"))
        }
        Some(pod) => require_audiences(pod, &spec.audiences),
        None => Ok(()),
    }
}

/// Each audience is one of the pod's projected tokens. None is the API server, which every pod may speak to.
fn require_audiences(pod: &Object, audiences: &[String]) -> Result<(), Status> {
    let value = pod.value();
    let sources = items(&value, "/spec/volumes").flat_map(|volume| items(volume, "/projected/sources"));
    let wished: BTreeSet<&str> = sources.map(|source| text(source, "/serviceAccountToken/audience")).collect();
    match audiences.iter().find(|audience| audience.is_empty() || !wished.contains(audience.as_str())) {
        None => Ok(()),
        Some(audience) => Err(Status::forbidden(format!("audience {audience:?} not found in pod spec volume"))),
    }
}

fn bind(private: &mut Private, bound: &Bound, snapshot: &Snapshot) -> Result<(), Status> {
    let key = match (bound.api_version.as_str(), bound.kind.as_str()) {
        ("" | "v1", "Pod") => ObjectKey::namespaced(PODS, &private.namespace, &bound.name),
        ("" | "v1", "Secret") => ObjectKey::namespaced(SECRETS, &private.namespace, &bound.name),
        ("" | "v1", "Node") => ObjectKey::cluster(NODES, &bound.name),
        (version, kind) => {
            return Err(Status::bad_request(format!("cannot bind token to object of type {version}, Kind={kind}")));
        }
    };
    let found = snapshot.get(&key).ok_or_else(|| Status::not_found(&key.resource.to_string(), &key.name))?;
    if !bound.uid.is_empty() && found.metadata().uid != Uid(bound.uid.as_str().into()) {
        let why = format!(
            "the UID in the bound object reference ({}) does not match the UID in record. The object might have been deleted and then recreated",
            bound.uid
        );
        return Err(Status::conflict(&key.resource.to_string(), &key.name, &why));
    }
    let reference = Some(Reference::to(found));
    match key.resource {
        PODS => {
            require_account(found, &private.service_account.name)?;
            private.node = node_of_pod(found, snapshot);
            private.pod = reference;
        }
        NODES => private.node = reference,
        _ => private.secret = reference,
    }
    Ok(())
}

/// A token is bound to a pod that runs as its account.
fn require_account(pod: &Object, account: &str) -> Result<(), Status> {
    let value = pod.value();
    match value.pointer("/spec/serviceAccountName").and_then(serde_json::Value::as_str) {
        Some(own) if own == account => Ok(()),
        _ => Err(Status::bad_request(format!(
            "cannot bind token for serviceaccount {account:?} to pod running with different serviceaccount name."
        ))),
    }
}

fn node_of_pod(pod: &Object, snapshot: &Snapshot) -> Option<Reference> {
    let name = pod.field("spec.nodeName").filter(|name| !name.is_empty())?;
    let node = snapshot.get(&ObjectKey::cluster(NODES, name));
    Some(node.map_or_else(|| Reference { name: name.to_owned(), uid: String::new() }, |node| Reference::to(node)))
}
