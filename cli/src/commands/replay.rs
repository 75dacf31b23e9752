//! `sampan replay`

use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail};
use sampan_core::replay::{Again, Replayed};

use super::words::{commanded, moved};
use crate::args::{Format, Replay};
use crate::control::{Question, ask};
use crate::data::DataFolder;
use crate::say::{self, say};

pub(crate) fn run(arguments: &Replay) -> Result<()> {
    let about = &arguments.about;
    let (kind, name) = about.named()?;
    let folder = DataFolder::open(&about.shown.folder.data)?;
    let question = Question::Replay {
        kind: kind.to_owned(),
        namespace: about.namespace.clone(),
        name: name.to_owned(),
        to: arguments.to,
    };
    let answer = ask(&folder, &question)?;
    let replayed: Vec<Replayed> =
        serde_json::from_value(answer.clone()).context("the running cluster tells something else")?;
    match about.shown.output {
        Format::Json => say!("{answer:#}"),
        Format::Text => say::text(text(&replayed)),
    }
    let otherwise = replayed.iter().filter(|it| matches!(it.again, Again::Otherwise { .. })).count();
    if otherwise > 0 {
        bail!("{otherwise} of {} decisions would be made otherwise", replayed.len());
    }
    Ok(())
}

/// The decisions for people, oldest first, each with what came of making it again.
fn text(replayed: &[Replayed]) -> String {
    let mut out = String::new();
    for Replayed { decision, again } in replayed {
        let time = decision.time.strftime("%Y-%m-%d %H:%M:%S");
        let _ = writeln!(out, "{time}  revision {}  {}  {}", decision.snapshot, decision.operator, moved(decision));
        let mut row = |what: &str, told: &str| {
            let _ = writeln!(out, "    {what:<10} {told}");
        };
        decision.commands.iter().for_each(|command| row("did", &commanded(command)));
        match again {
            Again::Same => row("again", "the same"),
            Again::Otherwise { differences } => differences.iter().for_each(|it| row("OTHERWISE", it)),
            Again::Unknown { because } => row("unknown", because),
        }
    }
    let count = |fits: fn(&Again) -> bool| replayed.iter().filter(|it| fits(&it.again)).count();
    let (same, unknown) = (count(|it| matches!(it, Again::Same)), count(|it| matches!(it, Again::Unknown { .. })));
    let otherwise = replayed.len() - same - unknown;
    let _ = writeln!(out, "{same} made again the same, {otherwise} otherwise, {unknown} cannot be made again");
    out
}

#[cfg(test)]
mod tests {
    use sampan_machine::{CommandRecord, Decision};

    use super::*;

    #[test]
    fn each_decision_tells_what_came_of_making_it_again() {
        let decision = Decision {
            operator: "replicaset".to_owned(),
            object: "replicasets.apps/default/web".to_owned(),
            time: "2026-01-01T00:00:00Z".parse().unwrap(),
            wake: Vec::new(),
            snapshot: 8,
            from: "Steady".to_owned(),
            to: "ScalingUp".to_owned(),
            guards: Vec::new(),
            unmet: Vec::new(),
            commands: vec![CommandRecord {
                verb: "create".to_owned(),
                object: "pods/default/web-x".to_owned(),
                revision: Some(9),
                detail: String::new(),
            }],
            reads: Vec::new(),
        };
        let otherwise = Again::Otherwise { differences: vec!["it is Steady, and was ScalingUp".to_owned()] };
        let replayed = [Again::Same, otherwise].map(|again| Replayed { decision: decision.clone(), again });
        let head = "2026-01-01 00:00:00  revision 8  replicaset  Steady → ScalingUp\n    did        create pods/default/web-x (revision 9)\n";
        assert_eq!(
            text(&replayed),
            format!(
                "{head}    again      the same\n{head}    OTHERWISE  it is Steady, and was ScalingUp\n\
                 1 made again the same, 1 otherwise, 0 cannot be made again\n"
            )
        );
    }
}
