//! What a client is told of a change that a manifest undoes: without a word the change would seem to have worked.

use serde_json::Value;

use super::preparation::Preparation;
use crate::manifest::FIELD_MANAGER;
use crate::object::Object;
use crate::resource::read::{at, items, text};
use crate::store::Origin;

impl Preparation<'_> {
    /// Warns a client that takes fields from a manifest.
    pub(super) fn warn_of_drift(&mut self, existing: &Object, old: &Value, object: &Value) {
        if self.is_by_client() && held(old).is_some_and(|fields| held(object) != Some(fields)) {
            let manifest = self.manifest_of(existing);
            self.warnings
                .push(format!("{manifest} says otherwise and is put back, unless it allows for sampan.dev/drift"));
        }
    }

    /// Warns a client that deletes what a manifest holds.
    pub(super) fn warn_of_return(&mut self, existing: &Object, old: &Value) {
        if self.is_by_client() && !existing.metadata().is_terminating() && held(old).is_some() {
            let manifest = self.manifest_of(existing);
            self.warnings.push(format!("{manifest} makes it again, unless it allows for sampan.dev/drift"));
        }
    }

    fn is_by_client(&self) -> bool {
        matches!(self.mutation.origin, Origin::Request { .. })
    }

    /// The file and line the object comes from, as far as is remembered.
    fn manifest_of(&self, existing: &Object) -> String {
        let origins = self.snapshot.origins(existing.key());
        let known = origins.into_iter().flat_map(|origins| [&origins.asked, &origins.changed, &origins.created]);
        let place = known.into_iter().find_map(|origin| match &**origin {
            Origin::Manifest { file, line } => Some(format!("the manifest {file}:{line}")),
            _ => None,
        });
        place.unwrap_or_else(|| "a manifest".to_owned())
    }
}

/// The fields a manifest sets.
fn held(object: &Value) -> Option<&Value> {
    let mut managers = items(object, "/metadata/managedFields");
    let own =
        managers.find(|entry| text(entry, "/manager") == FIELD_MANAGER && text(entry, "/operation") == "Apply")?;
    at(own, "/fieldsV1")
}
