//! `sampan version`

use anyhow::Result;
use serde_json::json;

use crate::args::{Format, Version};
use crate::say::say;

/// The version of Kubernetes whose API is matched.
const KUBERNETES: &str = "1.35";

pub(crate) fn run(arguments: &Version) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    match arguments.output {
        Format::Text => say!("sampan {version} (Kubernetes API {KUBERNETES})"),
        Format::Json => say!("{}", json!({"version": version, "kubernetes": KUBERNETES})),
    }
    Ok(())
}
