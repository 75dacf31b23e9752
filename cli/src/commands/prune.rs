//! `sampan prune` and `sampan prune --confirm [<file>…]`

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::Value;

use crate::args::Prune;
use crate::control::{Question, ask};
use crate::data::DataFolder;
use crate::say;

/// The most objects listed.
const LISTED_MAX: usize = 50;

pub(crate) fn run(arguments: &Prune) -> Result<()> {
    let folder = DataFolder::open(&arguments.folder.data)?;
    let shown = match &arguments.confirm {
        Some(files) => released(&ask(&folder, &Question::Prune { files: files.clone() })?),
        None => held(&ask(&folder, &Question::Held)?),
    };
    say::text(shown);
    Ok(())
}

fn released(answer: &Value) -> String {
    let files = list(answer, "files");
    if files.is_empty() {
        return "nothing waits for that: `sampan prune` lists what is held\n".to_owned();
    }
    let mut out = String::new();
    for file in files.iter().filter_map(Value::as_str) {
        let _ = writeln!(out, "{file}: its objects are removed");
    }
    out
}

/// What would go, an object a line.
fn held(answer: &Value) -> String {
    let items = list(answer, "held");
    if items.is_empty() {
        return "nothing is held\n".to_owned();
    }
    let mut out = String::new();
    for item in items.iter().take(LISTED_MAX) {
        let field = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default();
        let _ = writeln!(out, "{}  ({}): {}", field("object"), field("from"), field("reason"));
    }
    if items.len() > LISTED_MAX {
        let _ = writeln!(out, "and {} more", items.len() - LISTED_MAX);
    }
    out.push_str(
        "`sampan prune --confirm` deletes them; what is kept for other files, where its own file is named after it\n",
    );
    out
}

fn list<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_held_is_listed_and_the_rest_counted() {
        let item = json!({"action": "hold", "object": "configmaps/default/a", "from": "a.yaml:1", "reason": "2 files"});
        let shown = held(&json!({ "held": vec![item; 52] }));
        assert_eq!(shown.lines().count(), 52);
        assert!(shown.starts_with("configmaps/default/a  (a.yaml:1): 2 files\n"), "{shown}");
        assert!(shown.contains("and 2 more\n`sampan prune --confirm` deletes them"), "{shown}");
        assert_eq!(held(&json!({ "held": [] })), "nothing is held\n");
    }

    #[test]
    fn a_confirmation_tells_the_files() {
        assert_eq!(released(&json!({ "files": ["a.yaml"] })), "a.yaml: its objects are removed\n");
        assert!(released(&json!({})).starts_with("nothing waits for that"));
    }
}
