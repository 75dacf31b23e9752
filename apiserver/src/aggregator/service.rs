//! An APIService that names a Service.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sampan_core::object::{Object, ObjectKey};
use sampan_core::resource::{API_SERVICES, Registry, ServiceReference};
use sampan_core::store::Snapshot;
use serde::Deserialize;

/// An APIService that names a Service.
#[derive(Debug, Clone)]
pub(crate) struct ApiService {
    pub(super) name: String,
    pub(super) group: String,
    pub(super) version: String,
    pub(super) service: ServiceReference,
    /// Who may vouch for the server, as PEM, or why that cannot be told; `None` where nobody needs to.
    pub(super) authorities: Option<Result<Vec<u8>, String>>,
    /// Versions of a group are listed from the highest.
    pub(super) version_priority: i64,
    pub(super) conditions: Vec<Condition>,
}

/// What is told of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) status: String,
    #[serde(default)]
    pub(super) reason: String,
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    pub(super) last_transition_time: String,
}

#[derive(Deserialize)]
struct Written {
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    group: String,
    version: String,
    service: Option<ServiceReference>,
    #[serde(default)]
    ca_bundle: Option<String>,
    #[serde(default, rename = "insecureSkipTLSVerify")]
    is_unchecked: bool,
    #[serde(default)]
    version_priority: i64,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    conditions: Vec<Condition>,
}

impl ApiService {
    /// Reads one; `None` where it names no Service, or what it names is answered here whoever asks.
    fn of(object: &Object, registry: &Registry) -> Option<Self> {
        let Written { spec, status } = Written::deserialize(&object.value()).ok()?;
        let service = spec.service.filter(|_| !is_own(registry, &spec.group, &spec.version))?;
        let authorities = (!spec.is_unchecked).then(|| {
            let decoded = STANDARD.decode(spec.ca_bundle.unwrap_or_default());
            decoded.map_err(|error| format!("unable to load root certificates: {error}"))
        });
        Some(Self {
            name: object.key().name.to_string(),
            group: spec.group,
            version: spec.version,
            service,
            authorities,
            version_priority: spec.version_priority,
            conditions: status.conditions,
        })
    }

    /// The one of a group's version.
    pub(super) fn of_version(group: &str, version: &str, snapshot: &Snapshot, registry: &Registry) -> Option<Self> {
        // Asked of every request: without any it costs next to nothing.
        if snapshot.count(API_SERVICES) == 0 {
            return None;
        }
        Self::of(snapshot.get(&ObjectKey::cluster(API_SERVICES, &format!("{version}.{group}")))?, registry)
    }

    /// All of them.
    pub(super) fn all(snapshot: &Snapshot, registry: &Registry) -> Vec<Self> {
        snapshot.list(API_SERVICES, None, None).filter_map(|object| Self::of(object, registry)).collect()
    }

    /// `<group>/<version>`.
    pub(super) fn group_version(&self) -> String {
        format!("{}/{}", self.group, self.version)
    }

    /// What is told of whether it answers.
    pub(super) fn available(&self) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.kind == "Available")
    }

    /// Whether requests are passed on to it.
    pub(super) fn is_available(&self) -> bool {
        self.available().is_some_and(|condition| condition.status == "True")
    }
}

/// Whether a version of a group is one of Kubernetes' own, or nobody's: were it answered elsewhere, whoever writes APIServices
/// could say who may do what. What is measured here may be measured by others.
fn is_own(registry: &Registry, group: &str, version: &str) -> bool {
    let mut built_in = registry.definitions().filter(|it| it.defined_by.is_none() && it.measure.is_none());
    group.is_empty() || built_in.any(|it| it.versions.iter().any(|of| of.group == group && of.version == version))
}
