//! The config maps and secrets pods refer to, as last seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Container, PodSpec, Secret};

/// The kind of object a pod takes data from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceKind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}

impl SourceKind {
    /// As messages name it.
    pub fn noun(self) -> &'static str {
        match self {
            Self::ConfigMap => "configmap",
            Self::Secret => "secret",
        }
    }

    /// As messages about keys name it.
    pub fn title(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }
}

/// Names a ConfigMap or Secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceKey {
    /// Which kind.
    pub kind: SourceKind,
    /// Its namespace, the pod's own.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

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

/// Every config map and secret a pod of `namespace` refers to.
pub fn referenced(namespace: &str, spec: &PodSpec) -> BTreeSet<SourceKey> {
    let mut keys = BTreeSet::new();
    let mut add = |kind, name: &str| {
        if !name.is_empty() {
            keys.insert(SourceKey { kind, namespace: namespace.to_owned(), name: name.to_owned() });
        }
    };
    for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
        of_container(container, &mut add);
    }
    for volume in spec.volumes.iter().flatten() {
        if let Some(source) = &volume.config_map {
            add(SourceKind::ConfigMap, &source.name);
        }
        if let Some(source) = &volume.secret {
            add(SourceKind::Secret, source.secret_name.as_deref().unwrap_or_default());
        }
        for projection in volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten()) {
            if let Some(source) = &projection.config_map {
                add(SourceKind::ConfigMap, &source.name);
            }
            if let Some(source) = &projection.secret {
                add(SourceKind::Secret, &source.name);
            }
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
