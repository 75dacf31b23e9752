//! `sampan prune --confirm`

use anyhow::Result;
use serde_json::Value;

use crate::args::Prune;
use crate::control::{Question, ask};
use crate::data::DataFolder;
use crate::say::say;

pub(crate) fn run(arguments: &Prune) -> Result<()> {
    let folder = DataFolder::open(&arguments.folder.data)?;
    let released = ask(&folder, &Question::Prune)?;
    let files = released.get("files").and_then(Value::as_array).cloned().unwrap_or_default();
    if files.is_empty() {
        say!("nothing is held");
    }
    for file in files.iter().filter_map(Value::as_str) {
        say!("{file}: its objects are removed");
    }
    Ok(())
}
