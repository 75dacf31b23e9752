//! What a resource type is, and the registry of them.

mod definition;
mod metadata;
mod registry;

pub use definition::{
    Cell, Column, FieldGetter, ResourceDefinition, ScalePaths, Scope, ServedVersion, Strategy, WriteContext,
};
pub use metadata::validate_metadata;
pub use registry::{Registry, Served};
