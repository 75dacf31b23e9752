//! The spec of an OperatorPlugin, as it is stored: defaulted and validated.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::resource::{Registry, Served};

/// The spec of an OperatorPlugin.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginSpec {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Its files, relative to the manifest.
    #[serde(default)]
    pub files: Vec<String>,
    /// Those of its files that are not beside the manifest but in it.
    #[serde(default)]
    pub contents: BTreeMap<String, String>,
    /// Its variables.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// The kind it is the operator of.
    pub primary: KindName,
    /// Kinds whose objects it owns.
    #[serde(default)]
    pub owns: Vec<KindName>,
    /// Kinds it reads beside.
    #[serde(default)]
    pub watches: Vec<WatchSpec>,
    /// What it may do to what it does not own.
    #[serde(default)]
    pub writes: Vec<WriteSpec>,
    /// What it does to the world beyond the cluster.
    #[serde(default)]
    pub effects: Vec<EffectSpec>,
    /// Whether it may use the network.
    #[serde(default)]
    pub network: bool,
    /// The states of its objects.
    pub states: Vec<StateSpec>,
    /// The transitions between them.
    #[serde(default)]
    pub edges: Vec<EdgeSpec>,
    /// How long an answer may take.
    #[serde(default = "ten")]
    pub deadline_seconds: u32,
    /// How many requests may be under way.
    #[serde(default = "four")]
    pub concurrency: usize,
    /// What it may take of the machine.
    #[serde(default)]
    pub limits: Limits,
    /// What becomes of its objects once it is removed.
    #[serde(default)]
    pub removal: Removal,
}

impl PluginSpec {
    /// What it needs to be allowed, kind by kind, in the verbs of the API.
    pub fn needs(&self) -> Vec<(&KindName, &'static [&'static str])> {
        const READ: &[&str] = &["get", "list", "watch"];
        const OWN: &[&str] = &["get", "list", "watch", "create", "update", "patch", "delete"];
        const PRIMARY: &[&str] = &["get", "list", "watch", "update", "patch"];
        let owned = self.owns.iter().map(|kind| (kind, OWN));
        let read = self.watches.iter().map(|watch| (&watch.kind, READ));
        let written = self.writes.iter().flat_map(|write| {
            let verbs = write.verbs.iter().map(|verb| (&write.kind, verb.needs()));
            verbs.chain([(&write.kind, READ)])
        });
        [(&self.primary, PRIMARY)].into_iter().chain(owned).chain(read).chain(written).collect()
    }
}

impl VerbSpec {
    fn needs(self) -> &'static [&'static str] {
        match self {
            Self::Create => &["create"],
            // An update is carried out as an apply, which may create.
            Self::Update => &["create", "update", "patch"],
            Self::Delete => &["delete"],
        }
    }
}

/// A kind, as manifests name it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KindName {
    /// Its `apiVersion`.
    pub api_version: String,
    /// Its `kind`.
    pub kind: String,
}

impl KindName {
    /// Its group and version.
    pub fn group_version(&self) -> (&str, &str) {
        self.api_version.split_once('/').unwrap_or(("", &self.api_version))
    }

    /// What is served under it.
    pub fn served(&self, registry: &Registry) -> Option<Served> {
        let (group, version) = self.group_version();
        registry.served_kind(group, version, &self.kind)
    }
}

/// A kind that is read, and which objects of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct WatchSpec {
    /// The kind.
    #[serde(flatten)]
    pub kind: KindName,
    /// Which objects.
    pub by: Way,
    /// Where in the primary what they are found by stands.
    #[serde(default)]
    pub field: String,
}

/// How the objects that concern a primary are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Way {
    /// Their name stands in the primary.
    Name,
    /// Their label selector stands in the primary.
    Selector,
    /// They are in its namespace.
    Namespace,
    /// All.
    Everywhere,
}

/// A permission to write.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct WriteSpec {
    /// The kind.
    #[serde(flatten)]
    pub kind: KindName,
    /// What may be done.
    pub verbs: Vec<VerbSpec>,
}

/// What may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum VerbSpec {
    /// Create objects.
    Create,
    /// Change objects.
    Update,
    /// Delete objects.
    Delete,
}

/// Something a plugin does to the world beyond the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectSpec {
    /// Its name.
    pub name: String,
    /// How long it may go on without a word.
    #[serde(default = "sixty")]
    pub deadline_seconds: u32,
}

/// A state.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StateSpec {
    /// Its name.
    pub name: String,
    /// When an object is in it.
    #[serde(default)]
    pub meaning: String,
}

/// A transition.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct EdgeSpec {
    /// The state left.
    pub from: String,
    /// The state entered.
    pub to: String,
    /// What lets it.
    pub guard: String,
}

/// What a program may take of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Address space of each process, as a quantity.
    pub memory: String,
    /// Processes and threads.
    pub processes: u32,
    /// Processor time of all its processes, as a quantity of cores.
    pub cpu: String,
}

/// What becomes of the objects a plugin created once it is removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Removal {
    /// They stay.
    #[default]
    Keep,
    /// They go.
    Delete,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: "1Gi".to_owned(), processes: 64, cpu: "1".to_owned() }
    }
}

fn ten() -> u32 {
    10
}

fn sixty() -> u32 {
    60
}

fn four() -> usize {
    4
}

impl PluginSpec {
    /// Reads the spec of an OperatorPlugin.
    ///
    /// # Errors
    /// Where it is none: one that was stored always is.
    pub fn read(plugin: &Value) -> Result<Self, serde_json::Error> {
        Self::deserialize(plugin.get("spec").unwrap_or(&Value::Null))
    }
}
