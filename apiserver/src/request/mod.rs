//! What a client asks: path, query, accepted types and body.

mod accept;
mod body;
mod fields;
mod list_options;
mod path;
mod protobuf;
mod query;
mod write_options;

pub(crate) use accept::{Accept, DiscoveryVersion, Format, Shape, accepts_gzip};
pub(crate) use body::{Content, content_type, read as read_body, to_json as body_to_json};
pub(crate) use fields::FieldSelector;
pub(crate) use list_options::{ListOptions, VersionMatch};
pub(crate) use path::{ResourcePath, resolve};
pub(crate) use query::Query;
pub(crate) use write_options::{delete_options, write_options};
