//! An object, its ConfigMap, and what follows from that.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use sampan::core::gateway::DeleteOptions;
use sampan::core::operator::{Context, Kind as _};

use crate::resource::{ShipGreeting, Status};

/// One look at an object.
pub struct View {
    pub(crate) greeting: Arc<ShipGreeting>,
    /// The ConfigMap it owns, where there is one.
    pub(crate) map: Option<Arc<ConfigMap>>,
}

impl View {
    /// What the ConfigMap should say; `None` where there should be none.
    pub(crate) fn message(&self) -> Option<&str> {
        self.greeting.spec.message.as_deref().filter(|message| !message.is_empty())
    }

    /// What the ConfigMap says.
    fn said(&self) -> Option<&str> {
        self.map.as_ref()?.data.as_ref()?.get("message").map(String::as_str)
    }

    /// Whether the ConfigMap is as it should be.
    pub(crate) fn is_so(&self) -> bool {
        self.map.is_some() == self.message().is_some() && self.said() == self.message()
    }

    /// Brings the ConfigMap to what it should be.
    pub(crate) fn bring(&self, cx: &mut Context<'_>) {
        match (&self.map, self.message()) {
            (Some(map), None) => cx.delete(&**map, DeleteOptions::default()),
            (Some(map), Some(message)) => cx.update(&saying((**map).clone(), message)),
            (None, Some(message)) => cx.create(&saying(self.new_map(), message)),
            (None, None) => {}
        }
    }

    /// The object, with a status that says what its ConfigMap says.
    pub(crate) fn told(&self) -> ShipGreeting {
        let status = self.said().map(|message| Status { message: message.to_owned() });
        ShipGreeting { status, ..(*self.greeting).clone() }
    }

    /// A ConfigMap of the object's name, which it owns.
    fn new_map(&self) -> ConfigMap {
        let of = &self.greeting.metadata;
        let owner = OwnerReference {
            api_version: ShipGreeting::API_VERSION.to_owned(),
            kind: ShipGreeting::KIND.to_owned(),
            name: of.name.clone().unwrap_or_default(),
            uid: of.uid.clone().unwrap_or_default(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        };
        let metadata = ObjectMeta {
            name: of.name.clone(),
            namespace: of.namespace.clone(),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        };
        ConfigMap { metadata, ..ConfigMap::default() }
    }
}

fn saying(map: ConfigMap, message: &str) -> ConfigMap {
    ConfigMap { data: Some([("message".to_owned(), message.to_owned())].into()), ..map }
}
