//! What an operator decides and says, shown as it happens.

use std::collections::BTreeMap;

use anyhow::Result;
use jiff::Timestamp;
use kube::api::DynamicObject;
use sampan_core::plugin::Word;
use sampan_machine::Decision;
use serde::Deserialize;
use serde_json::Value;

use super::super::words::{commanded, moved, unmet};
use crate::say;

/// Below the time of a decision.
const INDENT: &str = "           ";

/// A line of an operator's feed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Told {
    /// What was decided and committed.
    Decision(Decision),
    /// What a plugin's program said beside its answers.
    Said(Word),
    /// So many were not told, of this operator or of others.
    Missed(u64),
    /// The cluster was away, and is there again.
    #[serde(skip)]
    Returned,
}

/// What was shown so far of how the plugin is.
#[derive(Default)]
pub(super) struct Shown {
    conditions: BTreeMap<String, String>,
}

impl Shown {
    pub(super) fn tell(&mut self, told: &Told) -> Result<()> {
        say::line(text(told, Timestamp::now()))
    }

    /// Shows what is new of the plugin's conditions.
    pub(super) fn health(&mut self, plugin: &DynamicObject) -> Result<()> {
        let conditions = plugin.data.pointer("/status/conditions").and_then(Value::as_array);
        for condition in conditions.into_iter().flatten() {
            let field = |name: &str| condition.get(name).and_then(Value::as_str).unwrap_or_default();
            let told = format!("{}: {}", field("reason"), field("message"));
            if self.conditions.get(field("type")) != Some(&told) {
                say::line(format_args!("{} {told}", field("type")))?;
                self.conditions.insert(field("type").to_owned(), told);
            }
        }
        Ok(())
    }
}

fn text(told: &Told, now: Timestamp) -> String {
    let lines = match told {
        Told::Decision(decision) => decided(decision, now),
        Told::Said(word) if word.objects.is_empty() => vec![format!("says: {}", word.text)],
        Told::Said(word) => vec![format!("says, asked about {}: {}", word.objects, word.text)],
        Told::Missed(count) => vec![format!("(up to {count} decisions or lines are not shown)")],
        Told::Returned => vec!["(the cluster is there again; what was decided meanwhile is not shown)".to_owned()],
    };
    lines.join("\n")
}

fn decided(decision: &Decision, now: Timestamp) -> Vec<String> {
    let time = decision.time.strftime("%H:%M:%S");
    let guards = if decision.guards.is_empty() { String::new() } else { format!(": {}", decision.guards.join(", ")) };
    let mut lines = vec![format!("{time} {} {}{guards}", decision.object, moved(decision))];
    lines.extend(decision.commands.iter().map(|command| format!("{INDENT}{}", commanded(command))));
    lines.extend(decision.unmet.iter().map(|guard| format!("{INDENT}waiting for: {}", unmet(guard, now))));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_feed_are_shown_for_people() {
        let shown = |line: &str| text(&serde_json::from_str(line).unwrap(), Timestamp::UNIX_EPOCH);
        assert_eq!(
            shown(
                r#"{"decision": {"operator": "tea", "object": "teas/default/a", "time": "2026-01-01T08:00:01Z", "wake": [],
                "snapshot": 3, "from": "Cold", "to": "Hot", "guards": ["it boils"], "commands": [{"verb": "create",
                "object": "configmaps/default/a", "revision": 7}], "unmet": [{"guard": "a cup", "detail": "0 of 1"}]}}"#
            ),
            "08:00:01 teas/default/a Cold → Hot: it boils\n           create configmaps/default/a (revision 7)\n           \
             waiting for: a cup: 0 of 1"
        );
        let said = r#"{"said": {"plugin": "tea", "objects": "teas/default/a", "text": "hm"}}"#;
        assert_eq!(shown(said), "says, asked about teas/default/a: hm");
        assert_eq!(shown(r#"{"missed": 3}"#), "(up to 3 decisions or lines are not shown)");
    }
}
