//! What a pod's volumes hold, before anything is written.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{
    DownwardAPIVolumeFile, KeyToPath, ServiceAccountTokenProjection, Volume, VolumeProjection,
};

use super::claim::{self, Place};
use super::command::Refusal;
use super::environment::pod_field;
use super::quantity;
use super::situation::Scene;
use super::source::{self, Lookup, SourceKey, SourceKind};

/// The mode of a file nobody gave one.
const DEFAULT_MODE: i32 = 0o644;
/// The mode of a token where the pod names a group for its files, which may then read it: nobody else needs to.
const GROUP_TOKEN_MODE: i32 = 0o600;

/// A file of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct File {
    /// Its bytes.
    pub content: Vec<u8>,
    /// Its permission bits.
    pub mode: u32,
}

/// What a volume is made of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Content {
    /// A directory that lives as long as the pod, on disk or in memory.
    Empty {
        /// It lives in memory.
        in_memory: bool,
    },
    /// A path of the host, checked or made as its type says.
    Host {
        /// The path.
        path: PathBuf,
        /// `DirectoryOrCreate`, `File`, …; empty checks nothing.
        kind: String,
    },
    /// A directory that outlives the pod.
    Disk {
        /// The path.
        path: PathBuf,
        /// It is made where it is missing: the node keeps it.
        is_own: bool,
    },
    /// Files swapped in together, by path below the volume.
    Files(BTreeMap<String, File>),
}

/// One volume to be written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VolumePlan {
    /// The volume's name in the pod.
    pub name: String,
    /// What it is made of.
    pub content: Content,
    /// The group that owns its files, where the pod names one.
    pub group: Option<u32>,
}

/// The digest of a set of volumes: equal sets, equal digests.
pub fn digest(volumes: &[VolumePlan]) -> u64 {
    let mut hasher = DefaultHasher::new();
    volumes.hash(&mut hasher);
    hasher.finish()
}

/// Why the volumes cannot be written now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// What they are made of has not been looked at yet, or is being made.
    NotLookedAt,
    /// Something is not there, or of a kind this node does not know.
    Refused(Refusal),
}

/// What each volume of the pod is made of.
///
/// # Errors
/// When a source is unknown, absent without being optional, or a volume is of a kind this node does not know.
pub fn plan(scene: &Scene<'_>) -> Result<Vec<VolumePlan>, Missing> {
    let spec = scene.situation.spec();
    let group = fs_group(scene);
    let volumes = spec.volumes.iter().flatten();
    volumes
        .map(|volume| Ok(VolumePlan { name: volume.name.clone(), content: content(scene, volume)?, group }))
        .collect()
}

fn fs_group(scene: &Scene<'_>) -> Option<u32> {
    let security = scene.situation.spec().security_context.as_ref()?;
    u32::try_from(security.fs_group?).ok()
}

fn refused(volume: &str, message: &str) -> Missing {
    Missing::Refused(Refusal {
        reason: "FailedMount".to_owned(),
        message: format!("MountVolume.SetUp failed for volume \"{volume}\" : {message}"),
    })
}

fn content(scene: &Scene<'_>, volume: &Volume) -> Result<Content, Missing> {
    if let Some(empty) = &volume.empty_dir {
        return Ok(Content::Empty { in_memory: empty.medium.as_deref() == Some("Memory") });
    }
    if let Some(host) = &volume.host_path {
        let kind = host.type_.clone().unwrap_or_default();
        return Ok(Content::Host { path: PathBuf::from(&host.path), kind });
    }
    if let Some(claim) = source::claim_name(scene.situation.pod(), volume) {
        return claimed(scene, volume, &claim);
    }
    let mut gathering = Gathering { scene, volume: &volume.name, default_mode: DEFAULT_MODE, files: BTreeMap::new() };
    if let Some(source) = &volume.config_map {
        gathering.default_mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        gathering.add_source(
            SourceKind::ConfigMap,
            &source.name,
            source.items.as_deref(),
            source.optional == Some(true),
        )?;
    } else if let Some(source) = &volume.secret {
        gathering.default_mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        let name = source.secret_name.as_deref().unwrap_or_default();
        gathering.add_source(SourceKind::Secret, name, source.items.as_deref(), source.optional == Some(true))?;
    } else if let Some(source) = &volume.downward_api {
        gathering.default_mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        gathering.add_fields(source.items.iter().flatten())?;
    } else if let Some(source) = &volume.projected {
        gathering.default_mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        for projection in source.sources.iter().flatten() {
            gathering.add_projection(projection)?;
        }
    } else {
        return Err(refused(&volume.name, "this node does not support the volume's type"));
    }
    Ok(Content::Files(gathering.files))
}

/// What a volume that mounts a claim is made of.
fn claimed(scene: &Scene<'_>, volume: &Volume, name: &str) -> Result<Content, Missing> {
    let namespace = scene.situation.identity().0;
    let key = SourceKey::object(SourceKind::Claim, namespace, name);
    let data = match scene.sources.look_up(&key) {
        Lookup::Present(data) => data,
        Lookup::Unknown => return Err(Missing::NotLookedAt),
        Lookup::Absent => return Err(refused(&volume.name, &format!("persistentvolumeclaim \"{name}\" not found"))),
    };
    match claim::place_of(&data) {
        Place::Folder { name: _, node } if node != scene.node.name => Err(refused(
            &volume.name,
            &format!("MountVolume.NodeAffinity check failed: the data is on node \"{node}\""),
        )),
        Place::Folder { name, .. } => Ok(Content::Disk { path: scene.node.volumes.join(name), is_own: true }),
        Place::Host { path, kind } => Ok(Content::Host { path, kind }),
        Place::Local(path) => Ok(Content::Disk { path, is_own: false }),
        Place::Coming => Err(Missing::NotLookedAt),
        Place::Nowhere(why) => Err(refused(&volume.name, &format!("error processing PVC {namespace}/{name}: {why}"))),
    }
}

/// The path on the host a volume is mounted from, where it is not the node's own directory of the pod.
pub fn host_path(scene: &Scene<'_>, volume: &Volume) -> Result<Option<PathBuf>, Missing> {
    if let Some(host) = &volume.host_path {
        return Ok(Some(PathBuf::from(&host.path)));
    }
    let Some(claim) = source::claim_name(scene.situation.pod(), volume) else { return Ok(None) };
    match claimed(scene, volume, &claim)? {
        Content::Disk { path, .. } | Content::Host { path, .. } => Ok(Some(path)),
        Content::Empty { .. } | Content::Files(_) => Ok(None),
    }
}

struct Gathering<'a> {
    scene: &'a Scene<'a>,
    volume: &'a str,
    default_mode: i32,
    files: BTreeMap<String, File>,
}

impl Gathering<'_> {
    fn put(&mut self, path: &str, content: Vec<u8>, mode: Option<i32>) -> Result<(), Missing> {
        if path.starts_with('/') || path.split('/').any(|part| part == ".." || part.is_empty()) {
            return Err(refused(self.volume, &format!("invalid path {path:?}: must be relative, without \"..\"")));
        }
        let mode = u32::try_from(mode.unwrap_or(self.default_mode)).unwrap_or_default() & 0o777;
        self.files.insert(path.to_owned(), File { content, mode });
        Ok(())
    }

    fn add_source(
        &mut self,
        kind: SourceKind,
        name: &str,
        items: Option<&[KeyToPath]>,
        optional: bool,
    ) -> Result<(), Missing> {
        let key = SourceKey::object(kind, self.scene.situation.identity().0, name);
        let data = match self.scene.sources.look_up(&key) {
            Lookup::Present(data) => data,
            Lookup::Unknown => return Err(Missing::NotLookedAt),
            Lookup::Absent if optional => return Ok(()),
            Lookup::Absent => return Err(refused(self.volume, &format!("{} \"{name}\" not found", kind.noun()))),
        };
        let Some(items) = items.filter(|items| !items.is_empty()) else {
            return data.iter().try_for_each(|(key, value)| self.put(key, value.clone(), None));
        };
        for item in items {
            match data.get(&item.key) {
                Some(value) => self.put(&item.path, value.clone(), item.mode)?,
                None if optional => {}
                None => {
                    let message = format!("{} references non-existent {} key: {}", kind.noun(), kind.noun(), item.key);
                    return Err(refused(self.volume, &message));
                }
            }
        }
        Ok(())
    }

    fn add_fields<'b>(&mut self, items: impl Iterator<Item = &'b DownwardAPIVolumeFile>) -> Result<(), Missing> {
        for item in items {
            let value = if let Some(field) = &item.field_ref {
                pod_field(self.scene, &field.field_path)
            } else if let Some(field) = &item.resource_field_ref {
                let named = field.container_name.as_deref().and_then(|name| self.scene.situation.container(name));
                let divisor = field.divisor.as_ref().map(|divisor| divisor.0.as_str());
                named
                    .and_then(|named| quantity::resource_field(named, &field.resource, divisor, self.scene.node))
                    .map(|value| value.to_string())
            } else {
                None
            };
            let value = value.ok_or_else(|| refused(self.volume, &format!("nothing to read for {}", item.path)))?;
            self.put(&item.path, value.into_bytes(), item.mode)?;
        }
        Ok(())
    }

    fn add_projection(&mut self, projection: &VolumeProjection) -> Result<(), Missing> {
        if let Some(source) = &projection.config_map {
            let optional = source.optional == Some(true);
            return self.add_source(SourceKind::ConfigMap, &source.name, source.items.as_deref(), optional);
        }
        if let Some(source) = &projection.secret {
            let optional = source.optional == Some(true);
            return self.add_source(SourceKind::Secret, &source.name, source.items.as_deref(), optional);
        }
        if let Some(source) = &projection.downward_api {
            return self.add_fields(source.items.iter().flatten());
        }
        if let Some(wish) = &projection.service_account_token {
            return self.add_token(wish);
        }
        Err(refused(self.volume, "this node does not support the projection's type"))
    }

    fn add_token(&mut self, wish: &ServiceAccountTokenProjection) -> Result<(), Missing> {
        let key = SourceKey::token(self.scene.situation.pod(), wish);
        match self.scene.sources.look_up(&key) {
            Lookup::Unknown => Err(Missing::NotLookedAt),
            Lookup::Absent => {
                Err(refused(self.volume, &format!("failed to fetch token: serviceaccount \"{}\" not found", key.name)))
            }
            Lookup::Present(data) => {
                let token = data.get(source::TOKEN).cloned().unwrap_or_default();
                self.put(&wish.path, token, fs_group(self.scene).map(|_| GROUP_TOKEN_MODE))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::super::situation::{NodeFacts, Situation};
    use super::super::source::Sources;
    use super::*;

    fn token_mode(security: &Value) -> u32 {
        let pod = json!({"metadata": {"name": "web", "uid": "u"}, "spec": {
            "containers": [], "securityContext": security,
            "volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}],
        }});
        let situation = Situation::new(Arc::new(serde_json::from_value(pod).unwrap()));
        let wish = ServiceAccountTokenProjection { path: "token".to_owned(), ..Default::default() };
        let mut sources = Sources::default();
        let token = BTreeMap::from([(source::TOKEN.to_owned(), b"secret".to_vec())]);
        sources.observe(SourceKey::token(situation.pod(), &wish), Some(Arc::new(token)));
        let node = NodeFacts {
            name: String::new(),
            host_ip: String::new(),
            allocatable_milli_cpu: 0,
            allocatable_memory: 0,
            volumes: PathBuf::new(),
        };
        let scene = Scene { situation: &situation, sources: &sources, node: &node, now: Timestamp::UNIX_EPOCH };
        let plans = plan(&scene).unwrap();
        let Content::Files(files) = &plans[0].content else { panic!("{plans:?}") };
        assert_eq!(files["token"].content, b"secret");
        files["token"].mode
    }

    #[test]
    fn a_token_is_for_the_group_of_the_pods_files_alone_where_there_is_one() {
        assert_eq!(token_mode(&json!({})), 0o644);
        assert_eq!(token_mode(&json!({"fsGroup": 2000})), 0o600);
    }
}
