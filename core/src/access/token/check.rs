//! What a token is worth.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{Claims, Reference, Tokens};
use crate::access::Identity;
use crate::object::{ObjectKey, ResourceType};
use crate::resource::{NODES, PODS, SECRETS, SERVICE_ACCOUNTS};
use crate::store::Snapshot;

/// How long an object that is being deleted still vouches for tokens past its deadline: clocks of clients differ.
const DELETION_LEEWAY: SignedDuration = SignedDuration::from_secs(60);

/// Whose token it is, and for which of the audiences asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The service account.
    pub identity: Identity,
    /// The audiences both named by the token and asked for.
    pub audiences: Vec<String>,
}

/// Why a token is worth nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// It is not one of ours, or was tampered with.
    #[error("invalid bearer token")]
    Foreign,
    /// It has ended.
    #[error("service account token has expired")]
    Expired,
    /// It has not begun.
    #[error("service account token is not valid yet")]
    NotYet,
    /// It is for others.
    #[error("token audiences {found:?} is invalid for the target audiences {wanted:?}")]
    Audience {
        /// Those it is for.
        found: Vec<String>,
        /// Those asked for.
        wanted: Vec<String>,
    },
    /// What it was given for is gone, or another of that name has taken its place.
    #[error("service account token has been invalidated: {0} is gone")]
    Gone(ObjectKey),
}

impl Tokens {
    /// Whose token it is, where it is for one of `audiences`; none stands for the API server's own.
    ///
    /// # Errors
    /// Why it is worth nothing.
    pub fn verify(
        &self,
        token: &str,
        audiences: &[String],
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Result<Verified, TokenFault> {
        let claims = self.signer.open(token).and_then(|claims| serde_json::from_slice::<Claims>(&claims).ok());
        let claims = claims.filter(|claims| claims.issuer == self.issuer()).ok_or(TokenFault::Foreign)?;
        if claims.expires <= now.as_second() {
            return Err(TokenFault::Expired);
        }
        if claims.not_before > now.as_second() {
            return Err(TokenFault::NotYet);
        }
        let audiences = self.common(&claims, audiences)?;
        require_present(&claims, snapshot, now)?;
        Ok(Verified { identity: identity(&claims), audiences })
    }

    fn common(&self, claims: &Claims, wanted: &[String]) -> Result<Vec<String>, TokenFault> {
        let own = [self.issuer().to_owned()];
        let wanted = if wanted.is_empty() { &own[..] } else { wanted };
        let common: Vec<String> = wanted.iter().filter(|it| claims.audiences.contains(it)).cloned().collect();
        match common.is_empty() {
            true => Err(TokenFault::Audience { found: claims.audiences.clone(), wanted: wanted.to_vec() }),
            false => Ok(common),
        }
    }
}

/// What the token was given for must still be there. The node of a bound pod is told, and not asked for.
fn require_present(claims: &Claims, snapshot: &Snapshot, now: Timestamp) -> Result<(), TokenFault> {
    let private = &claims.private;
    let inside = |resource: ResourceType, it: &Reference| ObjectKey::namespaced(resource, &private.namespace, &it.name);
    let account = &private.service_account;
    let mut needed = vec![(inside(SERVICE_ACCOUNTS, account), account)];
    needed.extend(private.pod.iter().map(|pod| (inside(PODS, pod), pod)));
    needed.extend(private.secret.iter().map(|secret| (inside(SECRETS, secret), secret)));
    let node = private.node.as_ref().filter(|_| private.pod.is_none());
    needed.extend(node.map(|node| (ObjectKey::cluster(NODES, &node.name), node)));
    for (key, reference) in needed {
        let found = snapshot.get(&key).filter(|object| object.metadata().uid.as_str() == reference.uid);
        let lasts = found.is_some_and(|object| {
            let deadline = object.metadata().deletion_timestamp;
            deadline.is_none_or(|deadline| now.duration_since(deadline) < DELETION_LEEWAY)
        });
        if !lasts {
            return Err(TokenFault::Gone(key));
        }
    }
    Ok(())
}

fn identity(claims: &Claims) -> Identity {
    let private = &claims.private;
    let mut identity = Identity::service_account(&private.namespace, &private.service_account.name);
    identity.uid.clone_from(&private.service_account.uid);
    let credential = format!("JTI={}", claims.id);
    let mut extra = BTreeMap::from([("credential-id".to_owned(), credential)]);
    for (what, reference) in [("pod", &private.pod), ("node", &private.node)] {
        let Some(reference) = reference else { continue };
        extra.insert(format!("{what}-name"), reference.name.clone());
        if !reference.uid.is_empty() {
            extra.insert(format!("{what}-uid"), reference.uid.clone());
        }
    }
    let prefixed = |(name, value)| (format!("authentication.kubernetes.io/{name}"), vec![value]);
    identity.extra = extra.into_iter().map(prefixed).collect();
    identity
}
