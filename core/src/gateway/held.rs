//! What a client is told of a change that a manifest undoes: without a word the change would seem to have worked.

use serde_json::Value;

use super::preparation::Preparation;
use crate::manifest::setting::Drift;
use crate::manifest::{FIELD_MANAGER, MANIFEST_FILES};
use crate::object::Object;
use crate::resource::read::{at, integer, items, text};
use crate::store::Origin;

impl Preparation<'_> {
    /// Warns a client that takes fields from a manifest which takes them back.
    pub(super) fn warn_of_drift(&mut self, existing: &Object, old: &Value, object: &Value) {
        if held(old).is_some_and(|fields| held(object) != Some(fields)) {
            let manifest = self.enforced_by(existing);
            self.warnings.extend(manifest.map(|manifest| format!("{manifest} says otherwise and is put back")));
        }
    }

    /// Warns a client that deletes what a manifest makes again.
    pub(super) fn warn_of_return(&mut self, existing: &Object, old: &Value) {
        if !existing.metadata().is_terminating() && held(old).is_some() {
            let manifest = self.enforced_by(existing);
            self.warnings.extend(manifest.map(|manifest| format!("{manifest} makes it again")));
        }
    }

    /// The file and line that undo what a client does to an object, by what is told of files: where one allows for drift, or is gone
    /// and its object kept, nothing is undone.
    fn enforced_by(&self, existing: &Object) -> Option<String> {
        if !matches!(self.mutation.origin, Origin::Request { .. }) {
            return None;
        }
        let uid = existing.metadata().uid.as_str();
        let is_enforced =
            |object: &&Value| text(object, "/uid") == uid && text(object, "/drift") == Drift::Enforce.as_str();
        let files = self.snapshot.list(MANIFEST_FILES, None, None);
        // There are many files, and all but one need not be decoded.
        let files = files.filter(|file| std::str::from_utf8(file.bytes()).is_ok_and(|text| text.contains(uid)));
        files.map(|file| file.value()).find_map(|file| {
            let object = items(&file, "/status/objects").find(is_enforced)?;
            Some(format!("the manifest {}:{}", text(&file, "/spec/path"), integer(object, "/line")))
        })
    }
}

/// The fields a manifest sets.
fn held(object: &Value) -> Option<&Value> {
    let mut managers = items(object, "/metadata/managedFields");
    let own =
        managers.find(|entry| text(entry, "/manager") == FIELD_MANAGER && text(entry, "/operation") == "Apply")?;
    at(own, "/fieldsV1")
}
