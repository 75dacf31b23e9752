//! Where the data of a claim is: what its volume says, as the node needs it.

use std::path::PathBuf;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};

use super::source::Data;

/// The provisioner of volumes on the disks of nodes.
pub const LOCAL_PATH: &str = "sampan.dev/local-path";
/// On a volume, who made it.
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// On a volume, the node whose disk holds its data.
const NODE: &str = "sampan.dev/node";

/// The keys of a claim's [`Data`]: what it says of the place, or why there is none.
const FOLDER: &str = "folder";
const ON_NODE: &str = "node";
const PATH: &str = "path";
const KIND: &str = "type";
const LOCAL: &str = "local";
const TROUBLE: &str = "trouble";
/// On a claim, the node its volume is being made on.
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// Where the data of a claim is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In this folder among the volumes a node keeps, on that node.
    Folder {
        /// The folder's name.
        name: String,
        /// The node.
        node: String,
    },
    /// At a path of whatever host the pod is on.
    Host {
        /// The path.
        path: PathBuf,
        /// `DirectoryOrCreate`, …; empty checks nothing.
        kind: String,
    },
    /// On a disk at that path, which is there.
    Local(PathBuf),
    /// Its volume is being made.
    Coming,
    /// Nowhere yet, and why.
    Nowhere(String),
}

/// The volume the claim is bound to.
pub fn volume_of(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim.spec.as_ref()?.volume_name.as_deref().filter(|name| !name.is_empty())
}

/// What is kept of a claim and the volume it names.
pub fn data(claim: &PersistentVolumeClaim, volume: Option<&PersistentVolume>) -> Data {
    let entries: Vec<(&str, String)> = match place(claim, volume) {
        Place::Folder { name, node } => vec![(FOLDER, name), (ON_NODE, node)],
        Place::Host { path, kind } => vec![(PATH, path.to_string_lossy().into_owned()), (KIND, kind)],
        Place::Local(path) => vec![(LOCAL, path.to_string_lossy().into_owned())],
        Place::Coming => Vec::new(),
        Place::Nowhere(why) => vec![(TROUBLE, why)],
    };
    entries.into_iter().map(|(key, value)| (key.to_owned(), value.into_bytes())).collect()
}

/// The place that is kept in a claim's data.
pub fn place_of(data: &Data) -> Place {
    let text = |key: &str| data.get(key).map(|value| String::from_utf8_lossy(value).into_owned());
    match (text(FOLDER), text(PATH), text(LOCAL)) {
        (Some(name), ..) => Place::Folder { name, node: text(ON_NODE).unwrap_or_default() },
        (_, Some(path), _) => Place::Host { path: path.into(), kind: text(KIND).unwrap_or_default() },
        (_, _, Some(path)) => Place::Local(path.into()),
        _ => text(TROUBLE).map_or(Place::Coming, Place::Nowhere),
    }
}

fn place(claim: &PersistentVolumeClaim, volume: Option<&PersistentVolume>) -> Place {
    let Some(name) = volume_of(claim) else {
        let is_coming = claim.metadata.annotations.as_ref().is_some_and(|it| it.contains_key(SELECTED_NODE));
        return if is_coming { Place::Coming } else { Place::Nowhere("PVC is not bound".to_owned()) };
    };
    let Some(volume) = volume else { return Place::Nowhere(format!("persistentvolumes \"{name}\" not found")) };
    let Some(spec) = &volume.spec else { return Place::Nowhere(format!("PV {name} has no spec")) };
    let holder = spec.claim_ref.as_ref().and_then(|held| held.uid.as_deref());
    if holder.is_none() || holder != claim.metadata.uid.as_deref() {
        return Place::Nowhere(format!("PV {name} is not bound to this PVC"));
    }
    if spec.volume_mode.as_deref() == Some("Block") {
        return Place::Nowhere("this node does not support block volumes".to_owned());
    }
    let annotation = |name: &str| volume.metadata.annotations.as_ref().and_then(|it| it.get(name)).cloned();
    match (annotation(PROVISIONED_BY).as_deref(), &spec.host_path, &spec.local) {
        // The node knows where it keeps its volumes: they may have moved with its data folder.
        (Some(LOCAL_PATH), Some(_), _) if is_folder_name(name) => {
            Place::Folder { name: name.to_owned(), node: annotation(NODE).unwrap_or_default() }
        }
        (_, Some(host), _) => {
            Place::Host { path: PathBuf::from(&host.path), kind: host.type_.clone().unwrap_or_default() }
        }
        (_, _, Some(local)) => Place::Local(PathBuf::from(&local.path)),
        _ => Place::Nowhere(format!("this node does not support the type of PV {name}")),
    }
}

/// Whether a volume's name names a folder among others: the only thing that ever becomes part of a path.
pub fn is_folder_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn found(volume: Value) -> Place {
        let claim = json!({"metadata": {"name": "data", "uid": "u"}, "spec": {"volumeName": "v"}});
        let mut volume = volume;
        volume["metadata"]["name"] = "v".into();
        let claim: PersistentVolumeClaim = serde_json::from_value(claim).unwrap();
        let volume: PersistentVolume = serde_json::from_value(volume).unwrap();
        place_of(&data(&claim, Some(&volume)))
    }

    #[test]
    fn a_bound_claim_leads_to_where_its_volume_is() {
        let of = |uid: &str, source: Value, annotations: Value| {
            let mut spec = json!({"claimRef": {"uid": uid}});
            spec.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
            json!({"metadata": {"annotations": annotations}, "spec": spec})
        };
        let host = json!({"hostPath": {"path": "/srv", "type": "Directory"}});
        let ours = json!({PROVISIONED_BY: LOCAL_PATH, NODE: "n"});
        let expect = Place::Host { path: "/srv".into(), kind: "Directory".to_owned() };
        assert_eq!(found(of("u", host.clone(), json!({}))), expect);
        assert_eq!(found(of("u", json!({"local": {"path": "/disk"}}), json!({}))), Place::Local("/disk".into()));
        let expect = Place::Folder { name: "v".to_owned(), node: "n".to_owned() };
        assert_eq!(found(of("u", host.clone(), ours)), expect);
        assert!(matches!(found(of("other", host, json!({}))), Place::Nowhere(why) if why.contains("not bound")));
        assert!(matches!(found(of("u", json!({"nfs": {"path": "/x", "server": "s"}}), json!({}))), Place::Nowhere(_)));
    }

    #[test]
    fn a_claim_whose_volume_is_being_made_is_waited_for() {
        let claim = |annotations: Value| {
            let claim = json!({"metadata": {"name": "data", "annotations": annotations}});
            place_of(&data(&serde_json::from_value(claim).unwrap(), None))
        };
        assert_eq!(claim(json!({SELECTED_NODE: "n"})), Place::Coming);
        assert_eq!(claim(json!({})), Place::Nowhere("PVC is not bound".to_owned()));
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        for name in ["pvc-1", "a.b"] {
            assert!(is_folder_name(name), "{name}");
        }
        for name in ["", ".", "..", "../x", "a/b", "/etc", "a\0b", ".hidden"] {
            assert!(!is_folder_name(name), "{name}");
        }
    }
}
