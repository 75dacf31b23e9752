//! What a resource type is, and the registry of them.

mod definition;
mod registry;

pub use definition::{
    Cell, Column, FieldGetter, ResourceDefinition, ScalePaths, Scope, ServedVersion, Strategy, WriteContext,
};
pub use registry::{Registry, Served};
