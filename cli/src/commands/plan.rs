//! `sampan plan`

use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::args::{Format, Plan};
use crate::control::{Question, ask};
use crate::data::DataFolder;
use crate::say::{self, say};

pub(crate) fn run(arguments: &Plan) -> Result<()> {
    let folder = DataFolder::open(&arguments.shown.folder.data)?;
    let directory = arguments
        .directory
        .canonicalize()
        .with_context(|| format!("failed to find the directory {}", arguments.directory.display()))?;
    ensure!(
        directory.is_dir(),
        "{} is a file: name a directory, whose files are compared with all that the cluster has from files",
        arguments.directory.display()
    );
    let plan = ask(&folder, &Question::Plan { directory })?;
    match arguments.shown.output {
        Format::Json => say!("{plan:#}"),
        Format::Text => say::text(text(&plan)),
    }
    Ok(())
}

/// The plan for people: a line for each object, and its fields below.
fn text(plan: &Value) -> String {
    let list = |value: &Value, name: &str| value.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut out = String::new();
    let items = list(plan, "items");
    for item in &items {
        let field = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default();
        let _ = writeln!(out, "{:<7} {}  ({})", field("action"), field("object"), field("from"));
        if !field("reason").is_empty() {
            let _ = writeln!(out, "        {}", field("reason"));
        }
        for change in list(item, "changes") {
            let path = change.get("field").and_then(Value::as_str).unwrap_or_default();
            let _ = writeln!(out, "        {path}: {} → {}", shown(change.get("before")), shown(change.get("after")));
        }
    }
    let problems = list(plan, "problems");
    for problem in problems.iter().filter_map(Value::as_str) {
        let _ = writeln!(out, "problem {problem}");
    }
    if items.is_empty() && problems.is_empty() {
        out.push_str("nothing would change\n");
    }
    out
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing".to_owned(), Value::to_string)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plan_shows_actions_fields_and_problems() {
        let change = json!({"field": "data.key", "before": "one", "after": "two"});
        let item =
            json!({"action": "update", "object": "configmaps/default/a", "from": "a.yaml:1", "changes": [change]});
        let plan = json!({"items": [item], "problems": ["b.yaml:2:1: expected `]`"]});
        assert_eq!(
            text(&plan),
            "update  configmaps/default/a  (a.yaml:1)\n        data.key: \"one\" → \"two\"\nproblem b.yaml:2:1: expected `]`\n"
        );
        assert_eq!(text(&json!({})), "nothing would change\n");
    }
}
