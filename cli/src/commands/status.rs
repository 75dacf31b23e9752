//! `sampan status`

use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use crate::args::{Format, Shown};
use crate::control::{Question, ask};
use crate::data::DataFolder;
use crate::overview::{FileState, Overview};
use crate::say::{self, say};

pub(crate) fn run(arguments: &Shown) -> Result<()> {
    let folder = DataFolder::open(&arguments.folder.data)?;
    let answer = ask(&folder, &Question::Status)?;
    match arguments.output {
        Format::Json => say!("{answer:#}"),
        Format::Text => {
            let overview = serde_json::from_value(answer).context("the running cluster tells something else")?;
            say::text(text(&overview));
        }
    }
    Ok(())
}

fn text(overview: &Overview) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "cluster    {} at revision {}", overview.server, overview.revision);
    for node in &overview.nodes {
        let ready = if node.ready { "ready" } else { "not ready" };
        let _ = writeln!(out, "node       {} {ready}", node.name);
    }
    if let Some(problem) = &overview.store_problem {
        let _ = writeln!(out, "store      {problem}");
    }
    if let Some(problem) = &overview.directory_problem {
        let _ = writeln!(out, "directory  {problem}");
    }
    for file in &overview.files {
        write_file(&mut out, file);
    }
    for workload in &overview.workloads {
        let _ = writeln!(out, "workload   {} {}/{} ready", workload.object, workload.ready, workload.desired);
    }
    for disabled in &overview.disabled_operators {
        let _ = writeln!(out, "operator   {disabled}");
    }
    if let Some(oldest) = &overview.oldest_unhandled {
        let _ = writeln!(out, "waiting    {oldest}");
    }
    out
}

fn write_file(out: &mut String, file: &FileState) {
    let objects = if file.objects == 1 { "object" } else { "objects" };
    let _ = writeln!(out, "manifest   {} {}, {} {objects}", file.path, file.phase.to_lowercase(), file.objects);
    for problem in &file.problems {
        let _ = writeln!(out, "           {}:{}:{}: {}", file.path, problem.line, problem.column, problem.message);
        for line in problem.snippet.lines() {
            let _ = writeln!(out, "             {line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overview::{NodeState, ProblemState};

    #[test]
    fn a_problem_is_shown_with_its_place_and_its_line() {
        let problem = ProblemState {
            line: 5,
            column: 1,
            message: "expected `]`".to_owned(),
            snippet: "4 | name: [a\n5 | data:".to_owned(),
        };
        let file =
            FileState { path: "a.yaml".to_owned(), phase: "Invalid".to_owned(), objects: 1, problems: vec![problem] };
        let overview = Overview {
            server: "https://127.0.0.1:6443".to_owned(),
            revision: 9,
            nodes: vec![NodeState { name: "here".to_owned(), ready: true }],
            store_problem: Some("the store takes no writes: it is full".to_owned()),
            files: vec![file],
            ..Overview::default()
        };
        assert_eq!(
            text(&overview),
            "cluster    https://127.0.0.1:6443 at revision 9\nnode       here ready\n\
             store      the store takes no writes: it is full\n\
             manifest   a.yaml invalid, 1 object\n           a.yaml:5:1: expected `]`\n             4 | name: [a\n             5 | data:\n"
        );
    }
}
