//! Tables of command lines and what they must say, so that hundreds of them share one cluster and read at a glance.
//!
//! A file is a story in a namespace of its own, its cases in order. A case begins with `#` and a sentence; then come
//!
//! * `$ <line>`: run by `sh`, with `kubectl`, `sampan` and the programs beside the table on the path, the table's folder as `$BESIDE` and
//!   the cluster's data as `$DATA`; further lines indented by two spaces belong to it,
//! * `= <code>`: the exit code it must end with, 0 where nothing is said,
//! * `> <regex>`: what standard output must hold, `! <regex>`: what standard error must hold,
//! * `- <regex>`: what standard output must not hold,
//! * `~`: some operator or the node is to get there first, so it is tried again until it comes true.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use regex::{Regex, RegexBuilder};

use crate::cluster::{SOON, sampan_binary};
use crate::{Cluster, Run, eventually, run};

/// No command of a table may take longer, in seconds: one that hangs is a fault to be told, not waited for.
const COMMAND_SECONDS_MAX: &str = "90";

/// A command line and what it must do.
#[derive(Debug, Default)]
pub struct Case {
    /// What it shows, in a sentence.
    pub name: String,
    line: String,
    code: i32,
    out: Vec<Regex>,
    err: Vec<Regex>,
    absent: Vec<Regex>,
    retried: bool,
}

/// The cases of a file.
///
/// # Errors
/// When a line is none of the forms above, naming it.
pub fn parse(text: &str) -> Result<Vec<Case>> {
    let mut cases: Vec<Case> = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        parse_line(&mut cases, line).with_context(|| format!("line {}: {line}", index + 1))?;
    }
    let idle = cases.iter().find(|case| case.line.is_empty());
    ensure!(idle.is_none(), "{:?} runs nothing", idle.map(|case| &case.name));
    Ok(cases)
}

fn parse_line(cases: &mut Vec<Case>, line: &str) -> Result<()> {
    if let Some(name) = line.strip_prefix("# ") {
        cases.push(Case { name: name.to_owned(), ..Case::default() });
        return Ok(());
    }
    let case = cases.last_mut().context("a case begins with `# ` and a sentence")?;
    let regex = |text: &str| RegexBuilder::new(text).multi_line(true).build();
    match line.split_at_checked(2).unwrap_or((line, "")) {
        ("$ ", rest) if case.line.is_empty() => rest.clone_into(&mut case.line),
        ("  ", rest) => write!(case.line, "\n{rest}")?,
        ("= ", rest) => case.code = rest.parse()?,
        ("> ", rest) => case.out.push(regex(rest)?),
        ("! ", rest) => case.err.push(regex(rest)?),
        ("- ", rest) => case.absent.push(regex(rest)?),
        ("~", "") => case.retried = true,
        _ => bail!("not understood"),
    }
    Ok(())
}

/// Where the cases of a file are run.
pub struct Stage {
    folder: PathBuf,
    beside: PathBuf,
    path: String,
    data: PathBuf,
}

impl Stage {
    /// A namespace and a folder for the file of that name, and a kubectl that knows both.
    ///
    /// # Errors
    /// When the namespace cannot be made.
    pub fn new(cluster: &Cluster, file: &Path) -> Result<Self> {
        let name = file.file_stem().context("a file has a name")?.to_string_lossy().replace('_', "-");
        let folder = cluster.folder().join("stages").join(&name);
        std::fs::create_dir_all(&folder)?;
        let kubeconfig = folder.join("kubeconfig");
        std::fs::copy(cluster.kubeconfig()?, &kubeconfig)?;
        let kubectl = PathBuf::from(cluster.kubectl_command()?.get_program());
        let tools = kubectl.parent().map(|parent| parent.display().to_string()).unwrap_or_default();
        let beside = file.parent().context("a file lies in a folder")?.to_owned();
        let path = std::env::var("PATH").unwrap_or_default();
        let sampan = sampan_binary();
        let sampan = sampan.parent().context("a binary lies in a folder")?;
        let path = format!("{tools}:{}:{}:{path}", beside.display(), sampan.display());
        let stage = Self { folder, beside, path, data: cluster.data() };
        cluster.kubectl(&["create", "namespace", &name])?;
        let context = format!("kubectl config set-context --current --namespace={name}");
        stage.sh(&context)?.succeeded()?;
        Ok(stage)
    }

    /// Runs a line.
    ///
    /// # Errors
    /// When there is no shell.
    pub fn sh(&self, line: &str) -> Result<Run> {
        let mut command = Command::new("timeout");
        command.args([COMMAND_SECONDS_MAX, "sh", "-c", line]).current_dir(&self.folder).env("PATH", &self.path);
        command.env("BESIDE", &self.beside).env("DATA", &self.data);
        // Discovery is cached per host and port, and tests use ports again.
        command.env("KUBECONFIG", self.folder.join("kubeconfig")).env("KUBECACHEDIR", self.folder.join("cache"));
        run(&mut command, "")
    }

    /// Runs a case and says what is wrong with it.
    ///
    /// # Errors
    /// When it does not do what it must, with all it said.
    pub fn play(&self, case: &Case) -> Result<()> {
        let once = || self.sh(&case.line).and_then(|run| case.judge(&run));
        match case.retried {
            true => eventually(&case.name, SOON, || once().map(Some)),
            false => once(),
        }
    }
}

impl Case {
    fn judge(&self, run: &Run) -> Result<()> {
        let mut faults = String::new();
        if run.code != self.code {
            write!(faults, "it ended with {} and not with {}; ", run.code, self.code)?;
        }
        let missing = self.out.iter().filter(|wanted| !wanted.is_match(&run.stdout));
        let missing = missing.chain(self.err.iter().filter(|wanted| !wanted.is_match(&run.stderr)));
        for wanted in missing {
            write!(faults, "it does not say `{wanted}`; ")?;
        }
        for unwanted in self.absent.iter().filter(|unwanted| unwanted.is_match(&run.stdout)) {
            write!(faults, "it says `{unwanted}`; ")?;
        }
        ensure!(faults.is_empty(), "{faults}\n$ {}\nstdout: {}\nstderr: {}", self.line, run.stdout, run.stderr);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str, code: i32, stdout: &str, stderr: &str) -> bool {
        let run = Run { command: String::new(), code, stdout: stdout.into(), stderr: stderr.into() };
        parse(text).unwrap().iter().all(|case| case.judge(&run).is_ok())
    }

    #[test]
    fn a_case_fails_by_its_code_and_by_what_it_says_or_should_not_say() {
        let text = "# it works\n$ true\n> ^one$\n! two\n- three\n";
        assert!(judged(text, 0, "zero\none\n", "two"));
        assert!(!judged(text, 1, "one", "two"));
        assert!(!judged(text, 0, "oneself", "two"));
        assert!(!judged(text, 0, "one", ""));
        assert!(!judged(text, 0, "one\nthree", "two"));
        assert!(judged("# it fails\n$ false\n= 1\n", 1, "", ""));
    }

    #[test]
    fn what_is_no_case_is_refused_by_its_line() {
        for (text, fault) in [
            ("$ true", "line 1"),
            ("# a\n$ true\n> (", "line 3"),
            ("# a\n$ true\n$ false", "line 3"),
            ("# a\n\n# b\n$ true", "\"a\""),
        ] {
            let refused = format!("{:#}", parse(text).unwrap_err());
            assert!(refused.contains(fault), "{text}: {refused}");
        }
    }
}
