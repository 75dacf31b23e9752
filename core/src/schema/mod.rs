//! The shapes of kinds: what fields they have, of which types, and how lists and maps merge.
//!
//! A [`Schema`] comes from the published definitions of Kubernetes and of `sampan.dev` ([`Schema::named`]), or from a text of
//! the same form ([`Schema::from_open_api`]), as a CustomResourceDefinition holds one. Nothing here knows a kind by name.
//!
//! * [`decode()`] and [`conform`] turn bytes or a value into a value of the schema.
//! * [`openapi`] and [`swagger`] write the OpenAPI documents `kubectl` reads.
//!
//! Published definitions stay text until one is needed; then that one is read and kept.

mod catalog;
mod decode;
mod defaults;
pub mod openapi;
mod read;
mod scalar;
mod shape;
pub mod swagger;

pub use catalog::Definition;
pub use decode::{DecodeError, Decoded, Unexpected, conform, decode, strict_decoding_error};
pub use defaults::apply_defaults;
pub use read::ReadError;
pub use shape::{Field, ListSchema, ObjectSchema, PatchStrategy, Rest, Scalar, Schema, Shape, Topology};
