//! Whose name changed fields are recorded under.

use serde_json::Value;

use super::preparation::Preparation;
use super::{Action, PatchKind, Subresource};
use crate::object::patch::{self, Manager};
use crate::resource::ServedVersion;
use crate::schema::Schema;
use crate::status::Status;

/// The status is written at its own subresource alone: whoever writes the object does not come to own it.
const BESIDE_STATUS: [&[&str]; 1] = [&["status"]];

impl Preparation<'_> {
    /// Records who changed which field. An apply has done so itself.
    pub(super) fn track_fields(&self, object: &mut Value, old: Option<&Value>) -> Result<(), Status> {
        let of_scale = self.mutation.target.subresource == Subresource::Scale;
        if matches!(self.mutation.action, Action::Patch(PatchKind::Apply, _)) && !of_scale {
            return Ok(());
        }
        let schema = self.worked_schema()?;
        self.with_manager(|manager| patch::track_update(&schema, old, object, manager));
        Ok(())
    }

    /// The schema objects are worked on by.
    pub(super) fn worked_schema(&self) -> Result<Schema, Status> {
        let worked = self.worked_version().ok_or_else(|| Status::internal("no version is stored"))?;
        let source = &worked.schema;
        source.schema().ok_or_else(|| Status::internal(format!("no schema {}", source.name())))
    }

    /// Runs `write` as the manager the request is made by.
    pub(super) fn with_manager<T>(&self, write: impl FnOnce(&Manager<'_>) -> T) -> T {
        let (options, subresource) = (&self.mutation.options, &self.mutation.target.subresource);
        let worked = self.worked_version().map(ServedVersion::api_version).unwrap_or_default();
        let named = [options.field_manager.as_str(), self.mutation.identity.user.as_str()];
        let writes_status = *subresource == Subresource::Status || !self.definition.has_status;
        write(&Manager {
            name: named.into_iter().find(|name| !name.is_empty()).unwrap_or("unknown"),
            api_version: &worked,
            subresource: subresource.as_str(),
            reset_fields: if writes_status { &[] } else { &BESIDE_STATUS },
            now: self.now,
        })
    }
}
