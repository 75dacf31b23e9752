//! What Sampan itself writes: what every cluster has, and what it tells of programs, servers and nodes.

use serde_json::Value;

use super::mutation::{Action, Body, Mutation, Options, PatchKind, Subresource, Target};
use super::{Cluster, Outcome};
use crate::access::{Identity, MASTERS};
use crate::object::ObjectKey;
use crate::resource::Served;
use crate::status::Status;
use crate::store::Origin;

/// The API server, which writes what is not for another part of the system to write.
pub const API_SERVER: &str = "system:apiserver";
/// The field manager of what the API server writes.
const MANAGER: &str = "sampan";

/// Writes what no user, no file and no operator asks for, in the version that is stored.
///
/// Whoever it acts as may do anything; admission judges its writes like any other's.
#[derive(Clone)]
pub struct SystemWriter<'a> {
    cluster: &'a Cluster,
    user: &'static str,
    manager: &'static str,
    purpose: String,
}

impl<'a> SystemWriter<'a> {
    /// The API server, which writes for this purpose: what each change says of where it comes from.
    pub fn new(cluster: &'a Cluster, purpose: impl Into<String>) -> Self {
        Self { cluster, user: API_SERVER, manager: MANAGER, purpose: purpose.into() }
    }

    /// The same as another part of the system, whose fields have a manager of their own.
    #[must_use]
    pub fn acting_as(self, user: &'static str, manager: &'static str) -> Self {
        Self { user, manager, ..self }
    }

    /// Writes a part of the object at `key`, or the object that is to be there.
    ///
    /// # Errors
    /// When its type is not served, admission refuses it, or the store takes no writes.
    pub async fn write(&self, key: &ObjectKey, subresource: Subresource, action: Action) -> Result<Outcome, Status> {
        self.mutate(key, subresource, action, self.options()).await
    }

    /// Makes the object at `key` what `object` says, as server-side apply does: fields others have are taken from them.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn apply(&self, key: &ObjectKey, object: Value) -> Result<Outcome, Status> {
        let action = Action::Patch(PatchKind::Apply, Body::Value(object));
        self.mutate(key, Subresource::Whole, action, Options { force: true, ..self.options() }).await
    }

    fn options(&self) -> Options {
        Options { field_manager: self.manager.to_owned(), ..Options::default() }
    }

    async fn mutate(
        &self,
        key: &ObjectKey,
        subresource: Subresource,
        action: Action,
        options: Options,
    ) -> Result<Outcome, Status> {
        let unserved = || Status::unavailable(format!("{} are not served", key.resource));
        let definition = self.cluster.registry().definition(key.resource).cloned().ok_or_else(unserved)?;
        let version = definition.stored_version().cloned().ok_or_else(unserved)?;
        let names_itself = matches!(action, Action::Create(_));
        let mutation = Mutation {
            identity: Identity::new(self.user, &[MASTERS]),
            origin: Origin::System { purpose: self.purpose.clone() },
            target: Target {
                served: Served { definition, version },
                namespace: key.namespace.clone(),
                name: (!names_itself).then(|| key.name.clone()),
                subresource,
            },
            action,
            options,
        };
        self.cluster.mutate(mutation).await
    }
}
