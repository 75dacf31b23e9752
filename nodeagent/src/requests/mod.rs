//! What a node asks of the API server, and what follows from the answers.
//!
//! Nothing in here sends anything, sleeps or reads a clock: requests are values, and whoever sends them tells the answer. So
//! the retries of a node run under simulation as they ship.

mod event;
mod pod;
mod registration;
mod token;
mod volume;

use http::{Method, Request};
use serde_json::Value;

pub use self::event::Scribe;
pub use self::pod::{DECISION_HEADER, deletion, refused, status};
pub use self::registration::{NodeDescription, Registration};
pub use self::token::{renewal_after, token_request};
pub use self::volume::{Fate, fate, letting_go, release};

/// A request to the API server.
pub type ApiRequest = Request<Vec<u8>>;

/// A request with a body in JSON of the given content type.
fn request(method: Method, path: &str, content_type: &str, body: &Value) -> Result<ApiRequest, http::Error> {
    let bytes = serde_json::to_vec(body).unwrap_or_default();
    Request::builder().method(method).uri(path).header("Content-Type", content_type).body(bytes)
}
