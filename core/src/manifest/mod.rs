//! The watched directory: manifests in files become objects, and stay in step with them.

mod document;
mod position;
mod problem;
mod scalar;
pub mod setting;
mod yaml;

pub use document::{Document, FILE_BYTES_MAX, Identity, OBJECT_BYTES_MAX, documents, text};
pub use position::{Position, Spans};
pub use problem::Problem;
