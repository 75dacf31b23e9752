//! `sampan history`

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use sampan_machine::{Decision, WakeReason};

use super::words::{commanded, moved, unmet};
use crate::api;
use crate::args::{Explained, Format};
use crate::say::{self, say};

/// Where the API server tells what was decided about an object.
const PATH: &str = "/sampan.dev/v1/history";

pub(crate) fn run(arguments: &Explained) -> Result<()> {
    let answer = api::about(arguments, PATH)?;
    match arguments.shown.output {
        Format::Json => say!("{}", answer.trim_end()),
        Format::Text => {
            let decisions: Vec<Decision> =
                serde_json::from_str(&answer).context("the running cluster tells something else")?;
            say::text(text(&decisions, Timestamp::now()));
        }
    }
    Ok(())
}

/// The decisions for people, oldest first.
fn text(decisions: &[Decision], now: Timestamp) -> String {
    let mut out = String::new();
    for decision in decisions {
        let time = decision.time.strftime("%Y-%m-%d %H:%M:%S");
        let _ = writeln!(out, "{time}  {}  {}", decision.operator, moved(decision));
        let mut row = |what: &str, told: String| {
            let _ = writeln!(out, "    {what:<10} {told}");
        };
        row("looked at", format!("revision {}, woken by {}", decision.snapshot, woken_by(&decision.wake)));
        decision.guards.iter().for_each(|guard| row("because", guard.clone()));
        decision.commands.iter().for_each(|command| row("did", commanded(command)));
        decision.unmet.iter().for_each(|guard| row("waits for", unmet(guard, now)));
    }
    out
}

fn woken_by(reasons: &[WakeReason]) -> String {
    let told = reasons.iter().map(|reason| match reason.revision {
        0 => reason.cause.clone(),
        revision => format!("{} (revision {revision})", reason.cause),
    });
    told.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use sampan_machine::{CommandRecord, Unmet};

    use super::*;

    #[test]
    fn a_decision_tells_what_woke_it_what_it_did_and_what_it_waits_for() {
        let now: Timestamp = "2026-01-01T00:00:01Z".parse().unwrap();
        let decision = Decision {
            operator: "replicaset".to_owned(),
            object: "replicasets.apps/default/web".to_owned(),
            time: "2026-01-01T00:00:00Z".parse().unwrap(),
            wake: vec![
                WakeReason { cause: "replicasets.apps/default/web".to_owned(), revision: 7 },
                WakeReason { cause: "timer".to_owned(), revision: 0 },
            ],
            snapshot: 8,
            from: "Steady".to_owned(),
            to: "ScalingUp".to_owned(),
            guards: vec!["a replica is gone".to_owned()],
            unmet: vec![Unmet { guard: "available".to_owned(), detail: "1 of 2".to_owned(), until: None }],
            commands: vec![CommandRecord {
                verb: "create".to_owned(),
                object: "pods/default/web-x".to_owned(),
                revision: Some(9),
                detail: String::new(),
            }],
            reads: Vec::new(),
        };
        assert_eq!(
            text(&[decision], now),
            "2026-01-01 00:00:00  replicaset  Steady → ScalingUp\n    \
             looked at  revision 8, woken by replicasets.apps/default/web (revision 7), timer\n    \
             because    a replica is gone\n    \
             did        create pods/default/web-x (revision 9)\n    \
             waits for  available: 1 of 2\n"
        );
    }
}
