//! The watched directory: manifests in files become objects, and stay in step with them.
//!
//! [`Directory`] holds all that is decided here and does no I/O; a shell reads files, carries out its tasks and brings it
//! the events. What it promises:
//!
//! 1. A document of a file is applied, with its file and line as origin; the inventory is kept in `ManifestFile` objects.
//! 2. A document or file deleted takes its object with it; renamed or moved, it changes nothing.
//! 3. Nothing is removed because the root is missing, unreadable or empty at start, or because a file does not parse; a
//!    large removal that nobody saw made, or several files that leave none behind, wait for a confirmation.
//! 4. Of two documents that name one object, the one that holds it keeps it.
//! 5. Definitions of kinds come first, then namespaces; a kind that may yet be defined is waited for.
//! 6. Fields a file sets are set back when somebody changes them, unless the file asks for a warning or for nothing.

mod carry;
mod claims;
mod diff;
mod directory;
mod disk;
mod document;
mod file;
mod guard;
mod inventory;
mod keeper;
mod kinds;
mod names;
mod plan;
mod position;
mod problem;
mod report;
mod scalar;
pub mod setting;
#[cfg(test)]
mod tests;
mod watcher;
mod way;
mod yaml;

pub use carry::FIELD_MANAGER;
pub use diff::{FieldChange, changes};
pub use directory::{Applied, Apply, Directory, Prune, Scan, Task};
pub use document::{Document, FILE_BYTES_MAX, Identity, OBJECT_BYTES_MAX, documents, text, value};
pub use file::Observation;
pub use inventory::{API_VERSION, Entry, Inventory, KIND, MANIFEST_FILES, Record};
pub use keeper::Keeper;
pub use names::{is_json, is_manifest, is_searched, object_name};
pub use plan::{Plan, PlanItem, Planned, plan};
pub use position::{Position, Spans};
pub use problem::Problem;
pub use watcher::{Followed, follow_folder};
