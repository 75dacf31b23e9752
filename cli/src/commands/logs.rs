//! `sampan logs`

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal as _;

use anyhow::{Context as _, Result, bail};
use form_urlencoded::Serializer;
use serde::Deserialize;

use crate::api;
use crate::args::{Colour, Format, Logs};
use crate::data::DataFolder;
use crate::say::{self, say};

/// Where the API server tells what containers wrote.
const PATH: &str = "/sampan.dev/v1/logs";
/// Where it tells what was collected and what was lost.
const COUNTS: &str = "/sampan.dev/v1/logs/counts";
/// The colours pods are told apart by, as terminals number them: none that is hard to read on black or white.
const COLOURS: [u8; 10] = [32, 33, 34, 35, 36, 92, 93, 94, 95, 96];

/// A line as the server tells it, or what went wrong.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Told {
    Line(Line),
    Fault { error: String },
}

#[derive(Debug, Deserialize)]
struct Line {
    time: String,
    namespace: String,
    pod: String,
    container: String,
    stream: String,
    #[serde(rename = "line")]
    text: String,
    #[serde(default)]
    context: bool,
}

/// What a node tells of its logs.
#[derive(Debug, Deserialize)]
struct Counted {
    node: String,
    logs: BTreeMap<String, u64>,
}

/// How lines are shown for people.
struct Shape {
    namespaces: bool,
    timestamps: bool,
    colours: bool,
}

pub(crate) fn run(arguments: &Logs) -> Result<()> {
    let folder = DataFolder::open(&arguments.shown.folder.data)?;
    if arguments.counts {
        return counts(&folder, arguments.shown.output);
    }
    let colours = match arguments.color {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    };
    let shape = Shape { namespaces: arguments.all_namespaces, timestamps: arguments.timestamps, colours };
    let mut fault = None;
    api::lines(&folder, &path(arguments), |told| match serde_json::from_str(told) {
        Ok(Told::Fault { error }) => {
            fault = Some(error);
            Ok(true)
        }
        Ok(Told::Line(_)) if arguments.shown.output == Format::Json => print(told),
        Ok(Told::Line(line)) => print(&shape.text(&line)),
        Err(error) => Err(error).context("the running cluster tells something else"),
    })?;
    match fault {
        Some(fault) => bail!("not all lines are shown: {fault}"),
        None => Ok(()),
    }
}

/// Shows what each node collected and what became of it.
fn counts(folder: &DataFolder, output: Format) -> Result<()> {
    let answer = api::get(folder, COUNTS)?;
    if output == Format::Json {
        say!("{}", answer.trim_end());
        return Ok(());
    }
    let nodes: Vec<Counted> = serde_json::from_str(&answer).context("the running cluster tells something else")?;
    for Counted { node, logs } in nodes {
        say!("{node}");
        logs.into_iter().for_each(|(name, count)| say!("  {:<16} {count}", spelled(&name)));
    }
    Ok(())
}

/// `removedLines` as `removed lines`.
fn spelled(name: &str) -> String {
    let spell = |letter: char| match letter.is_ascii_uppercase() {
        true => format!(" {}", letter.to_ascii_lowercase()),
        false => letter.to_string(),
    };
    name.chars().map(spell).collect()
}

/// Prints a line. False when nobody reads on: the server is to end the search.
fn print(text: &str) -> Result<bool> {
    say::heard(format_args!("{text}\n")).context("failed to print")
}

fn path(arguments: &Logs) -> String {
    let number = |number: u32| (number > 0).then(|| number.to_string());
    let flag = |flag: bool| flag.then(|| "true".to_owned());
    let (before, after) = match arguments.context {
        Some(both) => (both, both),
        None => (arguments.before, arguments.after),
    };
    let pairs = [
        ("namespace", (!arguments.all_namespaces).then(|| arguments.namespace.clone())),
        ("pod", arguments.pod.clone()),
        ("labelSelector", arguments.selector.clone()),
        ("container", arguments.container.clone()),
        ("sinceSeconds", arguments.since.map(|since| since.as_secs().to_string())),
        ("sinceTime", arguments.since_time.map(|time| time.to_string())),
        ("untilTime", arguments.until.map(|time| time.to_string())),
        ("text", arguments.grep.clone()),
        ("regex", arguments.regex.clone()),
        ("ignoreCase", flag(arguments.ignore_case)),
        ("before", number(before)),
        ("after", number(after)),
        ("tailLines", arguments.tail.map(|tail| tail.to_string())),
        ("follow", flag(arguments.follow)),
    ];
    let mut query = Serializer::new(String::new());
    for (name, value) in pairs {
        if let Some(value) = value {
            query.append_pair(name, &value);
        }
    }
    format!("{PATH}?{}", query.finish())
}

impl Shape {
    fn text(&self, line: &Line) -> String {
        let mut source = String::new();
        if self.namespaces {
            let _ = write!(source, "{}/", line.namespace);
        }
        let _ = write!(source, "{}/{}", line.pod, line.container);
        let mut out = if self.timestamps { format!("{} ", line.time) } else { String::new() };
        // What stands beside a match has another bar, so that matches can be told.
        let bar = if line.context { '┆' } else { '│' };
        if self.colours {
            let colour = colour_of(&source);
            let _ = write!(out, "\u{1b}[{colour}m{source} {bar}\u{1b}[0m ");
        } else {
            let _ = write!(out, "{source} {bar} ");
        }
        match line.stream.as_str() {
            "notice" if self.colours => drop(write!(out, "\u{1b}[2m{}\u{1b}[0m", line.text)),
            _ => out.push_str(&line.text),
        }
        out
    }
}

/// The same source has the same colour, today and tomorrow (FNV-1a).
fn colour_of(source: &str) -> u8 {
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(16_777_619);
    let hash = source.bytes().fold(2_166_136_261, step);
    COLOURS.get(hash as usize % COLOURS.len()).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Arguments, Command};

    fn logs(arguments: &[&str]) -> Logs {
        let words = ["sampan", "logs"].iter().chain(arguments);
        match Arguments::try_parse_from(words).unwrap().command {
            Command::Logs(logs) => logs,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_typed_is_asked() {
        let cases: [(&[&str], &str); 5] = [
            (&[], "namespace=default"),
            (
                &["web-0", "-c", "main", "-f", "--tail", "0"],
                "namespace=default&pod=web-0&container=main&tailLines=0&follow=true",
            ),
            (&["-A", "-l", "app=web", "--since", "1h30m"], "labelSelector=app%3Dweb&sinceSeconds=5400"),
            (
                &["-n", "shop", "--grep", "a b", "-i", "-C", "2"],
                "namespace=shop&text=a+b&ignoreCase=true&before=2&after=2",
            ),
            (
                &["-e", "^a.*", "-B", "1", "--until", "2026-01-01T00:00:00Z"],
                "namespace=default&untilTime=2026-01-01T00%3A00%3A00Z&regex=%5Ea.*&before=1",
            ),
        ];
        for (arguments, expect) in cases {
            assert_eq!(path(&logs(arguments)), format!("{PATH}?{expect}"));
        }
    }

    #[test]
    fn a_line_is_shown_with_whose_it_is() {
        let told = r#"{"time":"T","namespace":"shop","pod":"web-0","container":"main","stream":"stdout","line":"hi"}"#;
        let Ok(Told::Line(line)) = serde_json::from_str(told) else { panic!("it is a line") };
        let plain = Shape { namespaces: false, timestamps: false, colours: false };
        assert_eq!(plain.text(&line), "web-0/main │ hi");
        let context = Line { context: true, ..line };
        let full = Shape { namespaces: true, timestamps: true, colours: false };
        assert_eq!(full.text(&context), "T shop/web-0/main ┆ hi");
        let coloured = Shape { colours: true, ..plain };
        assert!(coloured.text(&context).starts_with("\u{1b}[") && coloured.text(&context).ends_with("\u{1b}[0m hi"));
    }
}
