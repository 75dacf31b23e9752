//! A change of some fields, by one of four languages.

use serde_json::Value;

use super::decode::plain;
use super::preparation::Preparation;
use super::{Body, PatchKind, Prepared, Subresource};
use crate::status::Status;

impl Preparation<'_> {
    pub(super) fn patch(mut self, kind: PatchKind, body: &Body) -> Result<Prepared, Status> {
        let patch = plain(body)?;
        if kind == PatchKind::Apply {
            return self.apply(patch);
        }
        let existing = self.existing()?;
        if self.mutation.target.subresource == Subresource::Scale {
            let (_, scale) = self.scale(existing)?;
            let scale = self.patched(kind, scale, &patch)?;
            return self.update_scale(existing, &scale);
        }
        let old = existing.value();
        let patched = self.patched(kind, self.to_spoken(old.clone()), &patch)?;
        let object = self.conform(patched)?;
        self.change(existing, old, object)
    }

    fn patched(&mut self, kind: PatchKind, mut object: Value, patch: &Value) -> Result<Value, Status> {
        match kind {
            PatchKind::Merge | PatchKind::Strategic | PatchKind::Apply => json_patch::merge(&mut object, patch),
            PatchKind::Json => {
                let operations: json_patch::Patch = serde_json::from_value(patch.clone())
                    .map_err(|error| Status::bad_request(format!("failed to decode the patch: {error}")))?;
                json_patch::patch(&mut object, &operations)
                    .map_err(|error| Status::bad_request(format!("failed to apply the patch: {error}")))?;
            }
        }
        Ok(object)
    }

    /// Server-side apply: creates the object where it is missing.
    fn apply(mut self, applied: Value) -> Result<Prepared, Status> {
        let object = self.conform(applied)?;
        let name = self.mutation.target.name.as_deref().unwrap_or_default();
        let Some(existing) = self.snapshot.get(&self.mutation.target.key(name)) else {
            return self.create_decoded(object);
        };
        let old = existing.value();
        let mut merged = old.clone();
        json_patch::merge(&mut merged, &object);
        self.change(existing, old, merged)
    }

    /// Keeps account of who owns which field.
    pub(super) fn track_fields(&mut self, _object: &mut Value, _old: Option<&Value>) {}
}
