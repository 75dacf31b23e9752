//! The config maps, secrets, tokens and claims pods refer to, as last seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, Secret, ServiceAccountTokenProjection, Volume};

use super::situation::ephemeral_containers;

/// The kind of object a pod takes data from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceKind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
    /// A token of a service account. It is no object: it is asked for, and asked for again before it ends.
    Token,
    /// The environment variables of Services: of one, or of all in the namespace where no name is given.
    Services,
    /// A PersistentVolumeClaim, with what its volume says of where the data is.
    Claim,
}

impl SourceKind {
    /// As messages name it.
    pub fn noun(self) -> &'static str {
        match self {
            Self::ConfigMap => "configmap",
            Self::Secret => "secret",
            Self::Token => "serviceaccount token",
            Self::Services => "service",
            Self::Claim => "persistentvolumeclaim",
        }
    }

    /// As messages about keys name it.
    pub fn title(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
            Self::Token => "Token",
            Self::Services => "Service",
            Self::Claim => "PersistentVolumeClaim",
        }
    }
}

/// Names a ConfigMap or Secret, or a token by its service account and what is wished for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceKey {
    /// Which kind.
    pub kind: SourceKind,
    /// Its namespace, the pod's own.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What is wished for of a token; `None` for objects.
    pub wish: Option<TokenWish>,
}

/// The token a pod wishes for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenWish {
    /// The pod's name: the token ends with it.
    pub pod: String,
    /// The pod's uid.
    pub uid: String,
    /// For whom it is; empty stands for the API server.
    pub audience: String,
    /// How long it lasts, in seconds.
    pub lifetime_seconds: i64,
}

impl SourceKey {
    /// A ConfigMap or Secret.
    pub fn object(kind: SourceKind, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.to_owned(), name: name.to_owned(), wish: None }
    }

    /// The token a volume of a pod wishes for.
    pub fn token(pod: &Pod, wish: &ServiceAccountTokenProjection) -> Self {
        let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref());
        let metadata = &pod.metadata;
        Self {
            kind: SourceKind::Token,
            namespace: metadata.namespace.clone().unwrap_or_else(|| "default".to_owned()),
            name: account.filter(|account| !account.is_empty()).unwrap_or("default").to_owned(),
            wish: Some(TokenWish {
                pod: metadata.name.clone().unwrap_or_default(),
                uid: metadata.uid.clone().unwrap_or_default(),
                audience: wish.audience.clone().unwrap_or_default(),
                lifetime_seconds: wish.expiration_seconds.unwrap_or(TOKEN_SECONDS),
            }),
        }
    }
}

/// The Services whose variables the pod's containers have: that of the API server always, its neighbours unless it declines.
pub fn linked(pod: &Pod) -> impl Iterator<Item = SourceKey> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    let declines = pod.spec.as_ref().and_then(|spec| spec.enable_service_links) == Some(false);
    let neighbours = (!declines).then(|| SourceKey::object(SourceKind::Services, namespace, ""));
    [SourceKey::object(SourceKind::Services, "default", "kubernetes")].into_iter().chain(neighbours)
}

/// How long a token lasts that does not say.
const TOKEN_SECONDS: i64 = 3600;

/// Under which key of its [`Data`] a token is found.
pub const TOKEN: &str = "token";

/// The data of a ConfigMap or Secret.
pub type Data = BTreeMap<String, Vec<u8>>;

/// What is known of the objects pods refer to. An absent entry has not been looked at yet.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    seen: BTreeMap<SourceKey, Option<Arc<Data>>>,
}

/// What a lookup finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// Not looked at yet.
    Unknown,
    /// It does not exist.
    Absent,
    /// Its data.
    Present(Arc<Data>),
}

impl Sources {
    /// Takes in the object's data, or that it does not exist.
    pub fn observe(&mut self, key: SourceKey, data: Option<Arc<Data>>) {
        self.seen.insert(key, data);
    }

    /// Forgets an object no pod refers to.
    pub fn forget(&mut self, key: &SourceKey) {
        self.seen.remove(key);
    }

    /// Whether `key` was looked up.
    pub fn knows(&self, key: &SourceKey) -> bool {
        self.seen.contains_key(key)
    }

    /// What is known of `key`.
    pub fn look_up(&self, key: &SourceKey) -> Lookup {
        match self.seen.get(key) {
            None => Lookup::Unknown,
            Some(None) => Lookup::Absent,
            Some(Some(data)) => Lookup::Present(data.clone()),
        }
    }
}

/// The data of a ConfigMap, text and binary together.
pub fn config_map_data(object: &ConfigMap) -> Data {
    let text = object.data.iter().flatten().map(|(key, value)| (key.clone(), value.clone().into_bytes()));
    let binary = object.binary_data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone()));
    text.chain(binary).collect()
}

/// The data of a Secret.
pub fn secret_data(object: &Secret) -> Data {
    let text = object.string_data.iter().flatten().map(|(key, value)| (key.clone(), value.clone().into_bytes()));
    let binary = object.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone()));
    binary.chain(text).collect()
}

/// The claim a volume of a pod mounts: one it names, or one it brings along.
pub fn claim_name(pod: &Pod, volume: &Volume) -> Option<String> {
    if let Some(source) = &volume.persistent_volume_claim {
        return Some(source.claim_name.clone());
    }
    let pod = pod.metadata.name.as_deref().unwrap_or_default();
    volume.ephemeral.as_ref().map(|_| format!("{pod}-{}", volume.name))
}

/// Every config map, secret, token and claim a pod refers to, and the Services it is told of.
pub fn referenced(pod: &Pod) -> BTreeSet<SourceKey> {
    let mut keys = BTreeSet::new();
    let Some(spec) = &pod.spec else { return keys };
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    let projections = || {
        let volumes = spec.volumes.iter().flatten().filter_map(|volume| volume.projected.as_ref());
        volumes.flat_map(|projected| projected.sources.iter().flatten())
    };
    keys.extend(linked(pod));
    keys.extend(projections().filter_map(|it| it.service_account_token.as_ref()).map(|it| SourceKey::token(pod, it)));
    let mut add = |kind, name: &str| {
        if !name.is_empty() {
            keys.insert(SourceKey::object(kind, namespace, name));
        }
    };
    let added = ephemeral_containers(pod);
    for container in spec.init_containers.iter().flatten().chain(&spec.containers).chain(&added) {
        of_container(container, &mut add);
    }
    for volume in spec.volumes.iter().flatten() {
        if let Some(source) = &volume.config_map {
            add(SourceKind::ConfigMap, &source.name);
        }
        if let Some(source) = &volume.secret {
            add(SourceKind::Secret, source.secret_name.as_deref().unwrap_or_default());
        }
        add(SourceKind::Claim, &claim_name(pod, volume).unwrap_or_default());
    }
    for projection in projections() {
        if let Some(source) = &projection.config_map {
            add(SourceKind::ConfigMap, &source.name);
        }
        if let Some(source) = &projection.secret {
            add(SourceKind::Secret, &source.name);
        }
    }
    keys
}

fn of_container(container: &Container, add: &mut impl FnMut(SourceKind, &str)) {
    for from in container.env_from.iter().flatten() {
        if let Some(source) = &from.config_map_ref {
            add(SourceKind::ConfigMap, &source.name);
        }
        if let Some(source) = &from.secret_ref {
            add(SourceKind::Secret, &source.name);
        }
    }
    for from in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
        if let Some(source) = &from.config_map_key_ref {
            add(SourceKind::ConfigMap, &source.name);
        }
        if let Some(source) = &from.secret_key_ref {
            add(SourceKind::Secret, &source.name);
        }
    }
}
