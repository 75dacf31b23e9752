//! Who asks: by the connection, or else by a token.

use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use sampan_core::access::{Identity, bootstrap_token};
use sampan_core::status::Status;

use super::Caller;
use crate::state::State;

/// Who asks. Whom the connection vouches for is not asked for a token.
///
/// # Errors
/// `Unauthorized` where there is a token, and it is worth nothing.
pub(super) fn authenticate(state: &State, caller: Caller, headers: &HeaderMap) -> Result<Arc<Identity>, Status> {
    match (caller, bearer(headers)) {
        (Caller::Known(identity), _) => Ok(identity),
        (Caller::Anonymous, Some(token)) => by_token(state, token).map(Arc::new),
        (Caller::Anonymous, None) => Ok(Arc::new(Identity::anonymous())),
    }
}

fn by_token(state: &State, token: &str) -> Result<Identity, Status> {
    if bootstrap_token::parse(token).is_some() {
        return bootstrap_token::verify(token, &state.snapshot(), state.now()).ok_or_else(Status::unauthorized);
    }
    let gateway = state.cluster.gateway();
    let tokens = gateway.tokens().ok_or_else(Status::unauthorized)?;
    match tokens.verify(token, &[], &state.snapshot(), state.now()) {
        Ok(verified) => Ok(verified.identity),
        Err(fault) => {
            tracing::info!(%fault, "refused a bearer token");
            Err(Status::unauthorized())
        }
    }
}

/// The token of a request (RFC 6750, §2.1). An empty one is none.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
