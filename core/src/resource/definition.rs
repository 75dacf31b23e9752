//! Everything the gateway and the API need to know of a resource type. Neither knows a kind by name.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::custom::ConversionWebhook;
use super::{Destination, Measure, ProxyName, Question, SubresourceDefinition, Verb, table};
use crate::object::{FieldPath, Object, ObjectKey, ResourceType, SHARE, names};
use crate::schema::Schema;
use crate::status::{Status, StatusCause};
use crate::store::{CommitCondition, Snapshot};

/// Whether objects live in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// In the cluster.
    Cluster,
}

/// A version a resource type is served in.
#[derive(Debug, Clone)]
pub struct ServedVersion {
    /// The API group it is served under. It differs from the stored one for events alone.
    pub group: &'static str,
    /// The version, such as `v1`.
    pub version: &'static str,
    /// Its schema.
    pub schema: SchemaSource,
    /// Whether clients may speak it. One that is stored and no longer served is still read.
    pub is_served: bool,
    /// Turns a stored value into this version; `None` where they are the same.
    pub from_stored: Option<fn(&mut Value)>,
    /// Turns a value of this version into the stored one; `None` where they are the same.
    pub to_stored: Option<fn(&mut Value)>,
}

/// `apps/v1`, or `v1` for the core group.
pub(crate) fn group_version(group: &str, version: &str) -> String {
    match group {
        "" => version.to_owned(),
        group => format!("{group}/{version}"),
    }
}

impl ServedVersion {
    /// As objects name it: `apps/v1`, or `v1` for the core group.
    pub fn api_version(&self) -> String {
        group_version(self.group, self.version)
    }

    /// The only version of a resource type, or the one it is stored in.
    pub const fn stored(group: &'static str, version: &'static str, schema: &'static str) -> Self {
        Self {
            group,
            version,
            schema: SchemaSource::Published(schema),
            is_served: true,
            from_stored: None,
            to_stored: None,
        }
    }
}

/// Where the schema of a version comes from.
#[derive(Debug, Clone)]
pub enum SchemaSource {
    /// It is published under this name, such as `io.k8s.api.apps.v1.Deployment`.
    Published(&'static str),
    /// It was learnt at run time. It goes with the last registry that names it.
    Custom(Arc<CustomSchema>),
}

/// A schema learnt at run time, from a CustomResourceDefinition.
#[derive(Debug)]
pub struct CustomSchema {
    /// The name its definition has in OpenAPI documents, such as `com.example.v1.Widget`.
    pub name: String,
    /// The kind of lists of it.
    pub list_kind: String,
    /// What it says.
    pub schema: Schema,
    /// What of it is checked while a request is read: the type's own [`Strategy`] does the rest.
    pub envelope: Schema,
    /// Its text with descriptions, a JSON object in the form of OpenAPI v3.
    pub text: String,
}

impl SchemaSource {
    /// The name its definition has in OpenAPI documents.
    pub fn name(&self) -> &str {
        match self {
            Self::Published(name) => name,
            Self::Custom(custom) => &custom.name,
        }
    }

    /// What it says; `None` where nothing is published under the name.
    pub fn schema(&self) -> Option<Schema> {
        match self {
            Self::Published(name) => Schema::named(name),
            Self::Custom(custom) => Some(custom.schema.clone()),
        }
    }

    /// What a request's object is read by; `None` where nothing is published under the name.
    pub fn reading_schema(&self) -> Option<Schema> {
        match self {
            Self::Published(name) => Schema::named(name),
            Self::Custom(custom) => Some(custom.envelope.clone()),
        }
    }

    /// The definition itself, for one that is not published.
    pub fn own_text(&self) -> Option<&str> {
        match self {
            Self::Published(_) => None,
            Self::Custom(custom) => Some(&custom.text),
        }
    }
}

/// A column of `kubectl get`.
#[derive(Debug, Clone)]
pub struct Column {
    /// The header in mixed case, such as `Up-to-date`; kubectl prints it in capitals.
    pub name: Cow<'static, str>,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub kind: Cow<'static, str>,
    /// OpenAPI format: `name` for the object's name, else empty in most.
    pub format: Cow<'static, str>,
    /// What it shows.
    pub description: Cow<'static, str>,
    /// 0 is always shown, 1 with `-o wide`.
    pub priority: i32,
}

/// A cell of a row: a JSON string, integer or boolean.
pub type Cell = Value;

/// What a strategy may look at while a write is prepared.
pub struct WriteContext<'a> {
    /// Now.
    pub now: Timestamp,
    /// The cluster as read.
    pub snapshot: &'a Snapshot,
}

/// Reads the value of a selectable field from a stored object's JSON.
pub type FieldGetter = fn(&Value) -> String;

/// Reads all values objects are found by under one name from a stored object's JSON.
pub type ValuesGetter = fn(&Value) -> Vec<String>;

/// Reads an object's share in a sum from its JSON, as [`written_share`](crate::object::written_share) writes it.
pub(super) type ShareGetter = fn(&Value) -> Option<String>;

/// The behaviour of a resource type on the write path and in tables. Every method has the default of a plain object.
///
/// Values are in the stored version and have passed the schema: unknown fields are gone, types are right.
pub trait Strategy: Send + Sync {
    /// Drops fields that are not known, beyond those the schema has dropped, and tells which they were.
    fn prune(&self, _object: &mut Value) -> Vec<FieldPath> {
        Vec::new()
    }

    /// Whether defaults may be missing in a stored object, because the type has got them since: they are filled in when
    /// it is read.
    fn completes(&self) -> bool {
        false
    }

    /// Fills in what the user left out.
    fn default(&self, _object: &mut Value) {}

    /// Prepares a new object: resets status, allocates. Called after defaulting, for each try of a write anew.
    ///
    /// What is given out is drawn from what the snapshot shows as free and claimed in
    /// [`commit_conditions`](Self::commit_conditions). The chance to draw by is in the object's uid, which is another on each
    /// try; an update that draws sees on each try what was taken meanwhile.
    fn prepare_create(&self, _object: &mut Value, _cx: &WriteContext<'_>) {}

    /// Prepares an update: keeps what this endpoint must not change.
    fn prepare_update(&self, _object: &mut Value, _old: &Value, _cx: &WriteContext<'_>) {}

    /// What must hold of the cluster when the object is committed: that an address it was given is nobody else's. A draw
    /// that is lost has the write prepared again.
    fn commit_conditions(&self, _object: &Value) -> Vec<CommitCondition> {
        Vec::new()
    }

    /// Checks an object; each fault names its field.
    fn validate(&self, _object: &Value) -> Vec<StatusCause> {
        Vec::new()
    }

    /// Checks what only a new object must not have.
    fn validate_create(&self, _object: &Value, _cx: &WriteContext<'_>) -> Vec<StatusCause> {
        Vec::new()
    }

    /// Checks a change beyond what [`validate`](Self::validate) checks of the new object: what is immutable.
    fn validate_update(&self, _object: &Value, _old: &Value) -> Vec<StatusCause> {
        Vec::new()
    }

    /// Checks that what the user names is free where it is given out once, once nothing else is at fault. A name that is lost
    /// to somebody faster comes by here again.
    fn validate_claims(&self, _object: &Value, _old: Option<&Value>, _cx: &WriteContext<'_>) -> Vec<StatusCause> {
        Vec::new()
    }

    /// Checks a change of the status.
    fn validate_status(&self, _object: &Value, _old: &Value) -> Vec<StatusCause> {
        Vec::new()
    }

    /// The grace period in seconds of a deletion that does not name one; 0 removes at once.
    fn default_grace_seconds(&self, _object: &Object) -> i64 {
        0
    }

    /// Whether dependents stay behind when a deletion does not say what becomes of them, as clients of old expect.
    fn orphans_by_default(&self) -> bool {
        false
    }

    /// Marks an object whose deletion begins but cannot end yet, beyond its deletion timestamp: a namespace's phase.
    fn begin_deletion(&self, _object: &mut Value) {}

    /// What, beyond finalizers and grace, keeps an object that is being deleted: a namespace's own finalizers.
    fn holds_deletion(&self, _object: &Value) -> bool {
        false
    }

    /// Carries out a write of one of the resource type's own subresources on the object: what is posted to a command such
    /// as `binding`, or the fields that one such as `finalize` is for, taken from a whole object.
    ///
    /// # Errors
    /// When the body is at fault or the parent is not in a state for it.
    fn write_subresource(
        &self,
        _name: &str,
        _body: &Value,
        _object: &mut Value,
        _cx: &WriteContext<'_>,
    ) -> Result<(), Status> {
        Err(Status::method_not_allowed())
    }

    /// Where a proxy to the object leads.
    ///
    /// # Errors
    /// When it leads nowhere, or now.
    fn destination(&self, _: &Object, _: &ProxyName<'_>, _: &Snapshot) -> Result<Destination, Status> {
        Err(Status::method_not_allowed())
    }

    /// Warnings for deprecated or ignored fields.
    fn warnings(&self, _object: &Value) -> Vec<String> {
        Vec::new()
    }

    /// Whether nothing of a new object follows from its name, nor anything that must differ from object to object from its uid:
    /// what was found out of one then holds of all that are like it.
    fn is_blind_to_names(&self) -> bool {
        false
    }

    /// The rules an object's name breaks.
    fn name_faults(&self, name: &str) -> Vec<String> {
        names::dns_1123_subdomain(name)
    }

    /// The columns after `Name`; `Age` included where there is one. Columns that hold one of format `name` are all there
    /// are: events do not begin with their name.
    fn columns(&self) -> Vec<Column> {
        vec![Column::age()]
    }

    /// The cells of an object, as many as [`columns`](Self::columns).
    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        vec![table::age(object, now)]
    }
}

/// A resource type.
///
/// Its names are kept for the life of the process, also those of a custom one: they are what keys, indexes and watches
/// compare by pointer, they are short, and [`ResourceType::intern`] keeps each but once. What is large of a custom resource
/// type, its schema, columns and rules, is shared and goes with it.
#[derive(Clone)]
pub struct ResourceDefinition {
    /// Where it is stored.
    pub resource: ResourceType,
    /// The kind, such as `Deployment`.
    pub kind: &'static str,
    /// The singular name, such as `deployment`.
    pub singular: &'static str,
    /// Short names, such as `deploy`.
    pub short_names: &'static [&'static str],
    /// Categories, such as `all`.
    pub categories: &'static [&'static str],
    /// Whether objects live in a namespace.
    pub scope: Scope,
    /// The versions it is served in; the first is the one stored.
    pub versions: Vec<ServedVersion>,
    /// Whether there is a `status` subresource.
    pub has_status: bool,
    /// Paths of replicas in spec and status, and of the label selector in status or spec, where there is a `scale` subresource.
    pub scale: Option<ScalePaths>,
    /// What may be done with the whole object; all else is refused with 405. In the order discovery lists them in.
    pub verbs: &'static [Verb],
    /// Further subresources (`log`, `exec`, `binding`, …).
    pub subresources: &'static [SubresourceDefinition],
    /// The fields selectors may name beyond `metadata.name` and `metadata.namespace`.
    pub selectable: &'static [(&'static str, FieldGetter)],
    /// Further fields selectors may name, which are where their path says: `spec.color`.
    pub selectable_paths: Vec<&'static str>,
    /// What objects are found by beside them, any number of values each: for claims and operators, not for selectors.
    pub indexed: &'static [(&'static str, ValuesGetter)],
    /// What each object adds to sums the store keeps: [`Snapshot::sums`](crate::store::Snapshot::sums).
    pub share: Option<ShareGetter>,
    /// Objects expire this many seconds after their last change.
    pub ttl_seconds: Option<u32>,
    /// Whether writing the spec raises the generation. Kinds without spec and status keep 0.
    pub has_generation: bool,
    /// The object that defines the type, where one does: once it is being deleted, nothing is created any more.
    pub defined_by: Option<ObjectKey>,
    /// Who turns objects from one version into another, where a program of the user's does. Such objects are worked on in the
    /// version that is spoken, and stay stored in the one they were written in until they are written again.
    pub converter: Option<Arc<ConversionWebhook>>,
    /// The behaviour.
    pub strategy: Arc<dyn Strategy>,
    /// What is asked and not kept: by subresource, the resource type itself under the empty name.
    pub questions: Vec<(&'static str, Arc<dyn Question>)>,
    /// How its objects are measured, where none is stored.
    pub measure: Option<Arc<dyn Measure>>,
}

impl ResourceDefinition {
    /// A namespaced resource type with one version and nothing beyond: no status, no subresources, no short names.
    pub fn plain(
        resource: ResourceType,
        kind: &'static str,
        singular: &'static str,
        version: ServedVersion,
        strategy: impl Strategy + 'static,
    ) -> Self {
        Self {
            resource,
            kind,
            singular,
            short_names: &[],
            categories: &[],
            scope: Scope::Namespaced,
            versions: vec![version],
            has_status: false,
            scale: None,
            verbs: Verb::ALL,
            subresources: &[],
            selectable: &[],
            selectable_paths: Vec::new(),
            indexed: &[],
            share: None,
            ttl_seconds: None,
            has_generation: false,
            defined_by: None,
            converter: None,
            strategy: Arc::new(strategy),
            questions: Vec::new(),
            measure: None,
        }
    }

    /// What is answered, and not kept, at a subresource; the empty name is the resource type itself.
    pub fn question(&self, subresource: &str) -> Option<&Arc<dyn Question>> {
        self.questions.iter().find(|(name, _)| *name == subresource).map(|(_, question)| question)
    }

    /// The fields selectors may name beyond `metadata.name` and `metadata.namespace`.
    pub fn selectable_fields(&self) -> impl Iterator<Item = &'static str> {
        self.selectable.iter().map(|(path, _)| *path).chain(self.selectable_paths.iter().copied())
    }

    /// The selectable fields of an object with their values. A path that leads nowhere is the empty text.
    pub fn selectable_values(&self, object: &Value) -> Vec<(&'static str, String)> {
        let read = self.selectable.iter().map(|(path, read)| (*path, read(object)));
        let found = self.selectable_paths.iter().map(|path| (*path, text_at(object, path)));
        read.chain(found).collect()
    }

    /// Everything the store finds an object by beyond its key, owners and labels, and its share in sums.
    pub fn index_values(&self, object: &Value) -> Vec<(&'static str, String)> {
        let hidden = self.indexed.iter().flat_map(|(name, read)| read(object).into_iter().map(|value| (*name, value)));
        let share = self.share.and_then(|read| read(object)).map(|share| (SHARE, share));
        self.selectable_values(object).into_iter().chain(hidden).chain(share).collect()
    }

    /// Whether what is stored of both reads alike in a version: it is stored in the same one, and converted alike.
    pub fn reads_like(&self, other: &Self) -> bool {
        let stored = |definition: &Self| definition.stored_version().map(ServedVersion::api_version);
        stored(self) == stored(other) && self.converter == other.converter
    }

    /// The version objects are stored in.
    pub fn stored_version(&self) -> Option<&ServedVersion> {
        self.versions.first()
    }
}

fn text_at(object: &Value, path: &str) -> String {
    match path.split('.').try_fold(object, |value, field| value.get(field)) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Where the `scale` subresource finds its values.
#[derive(Debug, Clone)]
pub struct ScalePaths {
    /// JSON pointer of the desired replicas: `/spec/replicas`.
    pub spec_replicas: &'static str,
    /// JSON pointer of the observed replicas: `/status/replicas`.
    pub status_replicas: &'static str,
    /// JSON pointer of the selector: `/spec/selector`.
    pub selector: &'static str,
}
