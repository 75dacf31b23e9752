//! Other servers of the API: an `APIService` that names a Service has the requests for its group and version answered there.
//!
//! Who asks is known and may do what they ask before a request leaves, and is told to the other server in headers that it
//! believes because of the certificate they come with ([`FrontProxy`]). Whether a server answers is looked at when something it
//! rests on changes, and now and then while there is one ([`keep`]): with none, nothing is looked at.

mod availability;
mod discovery;
mod front_proxy;
mod keeper;
mod passing;
mod path;
mod remote;
mod service;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use sampan_core::resource::Registry;
use sampan_core::store::Snapshot;
use serde_json::Value;

pub use front_proxy::FrontProxy;

pub(crate) use discovery::Versions;
pub(crate) use keeper::keep;
pub(crate) use passing::pass_on;
pub(crate) use service::ApiService;

use crate::tls::Credential;

/// What is known of other servers of the API.
#[derive(Default)]
pub(crate) struct Aggregator {
    /// What is shown to them.
    own: OnceLock<Credential>,
    /// What they said last that they serve, by the name of the APIService.
    serving: Mutex<BTreeMap<String, Value>>,
}

impl Aggregator {
    /// Shows itself to other servers from now on.
    pub(crate) fn show(&self, front_proxy: FrontProxy) {
        // Whoever shows itself twice stays who it was.
        let _ = self.own.set(front_proxy.own);
    }

    fn serving(&self) -> MutexGuard<'_, BTreeMap<String, Value>> {
        self.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server that answers at a path, where that is another.
    pub(crate) fn answering_at(path: &str, snapshot: &Snapshot, registry: &Registry) -> Option<ApiService> {
        let mut segments = path.trim_start_matches('/').splitn(4, '/');
        let (root, group, version) = (segments.next()?, segments.next()?, segments.next()?);
        (root == "apis").then(|| ApiService::of_version(group, version, snapshot, registry)).flatten()
    }

    /// What all other servers serve.
    pub(crate) fn versions(&self, snapshot: &Snapshot, registry: &Registry) -> Versions {
        let serving = self.serving();
        let services = ApiService::all(snapshot, registry);
        let said = |service: ApiService| {
            let list = serving.get(&service.name).cloned();
            (service, list)
        };
        Versions::new(services.into_iter().map(said).collect())
    }
}
