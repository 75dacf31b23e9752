//! `sampan why`

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use sampan_core::store::Origin;
use sampan_core::why::{Dependent, Explanation, Waiting};
use sampan_machine::Decision;

use super::words::{self, commanded, moved};
use crate::api;
use crate::args::{Explained, Format};
use crate::say::{self, say};

/// Where the API server explains objects.
const PATH: &str = "/sampan.dev/v1/why";

pub(crate) fn run(arguments: &Explained) -> Result<()> {
    let answer = api::about(arguments, PATH)?;
    match arguments.shown.output {
        Format::Json => say!("{}", answer.trim_end()),
        Format::Text => {
            let explanation = serde_json::from_str(&answer).context("the running cluster explains otherwise")?;
            say::text(text(&explanation, Timestamp::now()));
        }
    }
    Ok(())
}

/// The explanation for people.
fn text(explanation: &Explanation, now: Timestamp) -> String {
    let mut out = String::new();
    let _ = match explanation.revision {
        0 => writeln!(out, "{} is not there", explanation.object),
        revision => writeln!(out, "{} at revision {revision}", explanation.object),
    };
    for link in &explanation.chain {
        let subject = if link.object == explanation.object { String::new() } else { format!("{} ", link.object) };
        let _ = writeln!(out, "  {subject}created by {}", origin(&link.created_by));
    }
    let created = explanation.chain.first().map(|link| &link.created_by);
    let [asked, changed] = [&explanation.asked_by, &explanation.changed_by].map(Option::as_ref);
    if let Some(asked) = asked.filter(|asked| Some(*asked) != created && Some(*asked) != changed) {
        let _ = writeln!(out, "  last changed from outside by {}", origin(asked));
    }
    if let Some(changed) = changed.filter(|changed| Some(*changed) != created) {
        let _ = writeln!(out, "  last changed by {}", origin(changed));
    }
    for decision in &explanation.decisions {
        write_decision(&mut out, decision);
    }
    write_waiting(&mut out, &explanation.waiting_for, "  ", now);
    for dependent in &explanation.dependents {
        write_dependent(&mut out, dependent, now);
    }
    out
}

fn write_decision(out: &mut String, decision: &Decision) {
    let time = decision.time.strftime("%H:%M:%S");
    let guards = if decision.guards.is_empty() { String::new() } else { format!(": {}", decision.guards.join(", ")) };
    let _ = writeln!(out, "  {time} {} {}{guards}", decision.operator, moved(decision));
    for command in decision.commands.iter().filter(|command| command.verb != "event") {
        let _ = writeln!(out, "           {}", commanded(command));
    }
}

fn write_dependent(out: &mut String, dependent: &Dependent, now: Timestamp) {
    let indent = "  ".repeat(dependent.level + 1);
    let _ = writeln!(out, "{indent}{}", dependent.object);
    write_waiting(out, &dependent.waiting_for, &format!("{indent}  "), now);
}

fn write_waiting(out: &mut String, waiting: &[Waiting], indent: &str, now: Timestamp) {
    for waiting in waiting {
        for unmet in &waiting.unmet {
            let _ = writeln!(
                out,
                "{indent}waiting for: {} ({}, {})",
                words::unmet(unmet, now),
                waiting.operator,
                waiting.state
            );
        }
    }
}

/// Where a change comes from, in words.
fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Manifest { file, line } => format!("the manifest {file}:{line}"),
        Origin::Request { user, client, verb } => format!("{user}, who asked to {verb} with {client}"),
        Origin::Report { user, client } => format!("{user}, who told its status with {client}"),
        Origin::Decision { operator, object, snapshot } => {
            format!("the {operator} operator, deciding about {object} at revision {snapshot}")
        }
        Origin::Node { name } => format!("the node {name}"),
        Origin::System { purpose } => format!("Sampan itself: {purpose}"),
    }
}

#[cfg(test)]
mod tests {
    use sampan_core::why::Link;
    use sampan_machine::Unmet;

    use super::*;

    #[test]
    fn the_way_leads_up_to_the_manifest_and_down_to_what_is_waited_for() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let until = Some("2026-01-01T00:00:07Z".parse().unwrap());
        let created_by = Origin::Manifest { file: "web.yaml".to_owned(), line: 11 };
        let waiting_for = vec![Waiting {
            object: "deployments.apps/default/web".to_owned(),
            operator: "deployment".to_owned(),
            state: "RollingOut".to_owned(),
            unmet: vec![Unmet { guard: "enough available".to_owned(), detail: "available 2 ≥ 3".to_owned(), until }],
        }];
        let explanation = Explanation {
            object: "deployments.apps/default/web".to_owned(),
            revision: 7,
            changed_by: Some(Origin::Node { name: "here".to_owned() }),
            asked_by: Some(Origin::Manifest { file: "web.yaml".to_owned(), line: 12 }),
            chain: vec![Link { object: "deployments.apps/default/web".to_owned(), created_by, decision: None }],
            waiting_for,
            decisions: Vec::new(),
            dependents: vec![Dependent {
                object: "replicasets.apps/default/web-1".to_owned(),
                level: 0,
                waiting_for: Vec::new(),
            }],
        };
        assert_eq!(
            text(&explanation, now),
            "deployments.apps/default/web at revision 7\n  created by the manifest web.yaml:11\n  \
             last changed from outside by the manifest web.yaml:12\n  last changed by the node here\n  \
             waiting for: enough available: available 2 ≥ 3, in 7 s (deployment, RollingOut)\n  \
             replicasets.apps/default/web-1\n"
        );
    }
}
