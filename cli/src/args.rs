//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::kept_logs::KeptLogs;

/// Kubernetes manifests, run from one binary and a directory.
#[derive(Debug, Parser)]
#[command(name = "sampan", version, about, propagate_version = true, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the cluster in the foreground; Ctrl-C ends it and leaves its pods running
    Up(Up),
    /// Run this machine as a node of a cluster that runs elsewhere; Ctrl-C ends it and leaves its pods running
    Node(Node),
    /// Let other machines join the cluster
    #[command(subcommand)]
    Token(TokenCommand),
    /// Stop the pods and keep the data
    Down(Down),
    /// Show how the cluster, its manifests and its workloads are
    Status(Shown),
    /// Show what a directory of manifests would change, and change nothing
    Plan(Plan),
    /// Tell why an object is as it is, and what it waits for
    Why(Explained),
    /// Show what was decided about an object, from the oldest decision that is kept
    History(Explained),
    /// Make the decisions about an object again, on what they were made on, and compare
    Replay(Replay),
    /// Show what containers wrote, also those of pods that are gone
    Logs(Logs),
    /// Draw an operator's states and transitions
    Graph(Graph),
    /// Prove an operator: small worlds in every order, drawn histories with every fault
    Conformance(Conformance),
    /// Write operators of your own
    #[command(subcommand)]
    Operator(OperatorCommand),
    /// Print the administrator's kubeconfig
    Kubeconfig(Kubeconfig),
    /// Let a held removal of many objects happen
    Prune(Prune),
    /// Run the whole system on virtual time, with faults, and check its laws
    Simulate(Simulate),
    /// Print the version
    Version(Version),
    /// Become a plugin's program, within bounds; Sampan itself runs this
    #[command(hide = true)]
    Confine(Confine),
}

/// Where a cluster keeps its data.
#[derive(Debug, Args)]
pub(crate) struct DataFolder {
    /// The folder the cluster keeps its data in
    #[arg(long, value_name = "DIR", default_value = ".sampan")]
    pub(crate) data: PathBuf,
}

/// How an answer is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) folder: DataFolder,
    /// The directory of manifests to watch
    #[arg(long, value_name = "DIR", default_value = "manifests")]
    pub(crate) manifests: PathBuf,
    /// The address the API is served at
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:6443")]
    pub(crate) listen: std::net::SocketAddr,
    /// Run this many nodes without containers in place of the one on Docker
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) simulate_nodes: usize,
    /// Run no node here: pods run on machines that join, which `sampan token create` lets them
    #[arg(long, conflicts_with_all = ["simulate_nodes", "node_name"])]
    pub(crate) no_node: bool,
    /// The name of this node; the host's unless given
    #[arg(long, value_name = "NAME")]
    pub(crate) node_name: Option<String>,
    /// Keep this many pods that have ended; of more the oldest are deleted, up to one in 128 ahead of need. Pods being deleted do
    /// not count. 0 keeps all
    #[arg(long, value_name = "N", default_value_t = sampan_podcollector::KEPT_BY_DEFAULT)]
    pub(crate) terminated_pod_gc_threshold: usize,
    #[command(flatten)]
    pub(crate) logs: KeptLogs,
}

/// A machine that is or becomes a node. One that has joined needs nothing but its folder.
#[derive(Debug, Args)]
pub(crate) struct Node {
    #[command(flatten)]
    pub(crate) folder: DataFolder,
    /// Where the API server is, such as `https://10.0.0.1:6443`
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<http::Uri>,
    /// The token to join with, as `sampan token create` prints it
    #[arg(long, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// What the key of the cluster's authority hashes to, as `sampan token create` prints it
    #[arg(long, value_name = "HASH")]
    pub(crate) ca_hash: Option<sampan_nodeagent::Pin>,
    /// The certificate of the cluster's authority, in place of its hash
    #[arg(long, value_name = "FILE", conflicts_with = "ca_hash")]
    pub(crate) ca: Option<PathBuf>,
    /// The name of the node; the host's unless given
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The address others reach this machine at; the one of its default route unless given
    #[arg(long, value_name = "IP")]
    pub(crate) address: Option<std::net::IpAddr>,
    /// The port the API server reaches the node at
    #[arg(long, value_name = "PORT", default_value_t = 10250)]
    pub(crate) port: u16,
    #[command(flatten)]
    pub(crate) logs: KeptLogs,
}

/// Tokens by which machines join.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token, and print the command by which a machine joins
    Create(NewToken),
}

#[derive(Debug, Args)]
pub(crate) struct NewToken {
    #[command(flatten)]
    pub(crate) folder: DataFolder,
    /// For how long it lets machines join
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    pub(crate) ttl: jiff::SignedDuration,
}

#[derive(Debug, Args)]
pub(crate) struct Down {
    #[command(flatten)]
    pub(crate) folder: DataFolder,
    /// Remove the data as well
    #[arg(long)]
    pub(crate) purge: bool,
    /// Remove what the cluster of this identity has on this machine's Docker, where its data folder is lost
    #[arg(long, value_name = "ID", conflicts_with = "purge")]
    pub(crate) cluster: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Shown {
    #[command(flatten)]
    pub(crate) folder: DataFolder,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// The directory of manifests to compare with the cluster
    #[arg(value_name = "DIR", default_value = "manifests")]
    pub(crate) directory: PathBuf,
    #[command(flatten)]
    pub(crate) shown: Shown,
}

/// An object to be explained.
#[derive(Debug, Args)]
pub(crate) struct Explained {
    /// The object, such as `deploy/web`
    #[arg(value_name = "KIND/NAME")]
    pub(crate) object: String,
    /// Its namespace
    #[arg(short, long, default_value = "default")]
    pub(crate) namespace: String,
    #[command(flatten)]
    pub(crate) shown: Shown,
}

impl Explained {
    /// The kind and the name of the object.
    ///
    /// # Errors
    /// When it is not named as kind/name.
    pub(crate) fn named(&self) -> anyhow::Result<(&str, &str)> {
        let object = &self.object;
        let parts = object.split_once('/');
        parts.ok_or_else(|| anyhow::anyhow!("`{object}` names no object: write it as kind/name, such as deploy/web"))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    pub(crate) about: Explained,
    /// Only decisions made on this revision or an earlier one
    #[arg(long, value_name = "REVISION")]
    pub(crate) to: Option<u64>,
}

/// Which lines are shown, and how.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Of this pod alone
    #[arg(value_name = "POD")]
    pub(crate) pod: Option<String>,
    /// Of pods in this namespace
    #[arg(short, long, default_value = "default")]
    pub(crate) namespace: String,
    /// Of pods in every namespace
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub(crate) all_namespaces: bool,
    /// Of pods with such labels, such as `app=web,tier!=cache`
    #[arg(short = 'l', long)]
    pub(crate) selector: Option<String>,
    /// Of containers of this name
    #[arg(short, long)]
    pub(crate) container: Option<String>,
    /// Written within so long, such as `5m` or `1h30m`
    #[arg(long, value_name = "DURATION")]
    pub(crate) since: Option<jiff::SignedDuration>,
    /// Written at this time (RFC 3339) or later
    #[arg(long, value_name = "TIME", conflicts_with = "since")]
    pub(crate) since_time: Option<jiff::Timestamp>,
    /// Written before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<jiff::Timestamp>,
    /// That hold this text
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) grep: Option<String>,
    /// That match this regular expression
    #[arg(short = 'e', long, value_name = "EXPRESSION")]
    pub(crate) regex: Option<String>,
    /// Whatever the case
    #[arg(short, long)]
    pub(crate) ignore_case: bool,
    /// So many lines before each match
    #[arg(short = 'B', long, value_name = "N", default_value_t = 0)]
    pub(crate) before: u32,
    /// So many lines after each match
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) after: u32,
    /// So many lines on both sides of each match
    #[arg(short = 'C', long, value_name = "N", conflicts_with_all = ["before", "after"])]
    pub(crate) context: Option<u32>,
    /// Only so many of the last lines
    #[arg(long, value_name = "N")]
    pub(crate) tail: Option<u32>,
    /// Go on with lines as they come
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Show when each line was written
    #[arg(long)]
    pub(crate) timestamps: bool,
    /// Show how much is kept on each node and what was lost, in place of lines
    #[arg(long)]
    pub(crate) counts: bool,
    /// When pods are told apart by colours
    #[arg(long, value_enum, default_value_t = Colour::Auto)]
    pub(crate) color: Colour,
    #[command(flatten)]
    pub(crate) shown: Shown,
}

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Debug, Args)]
pub(crate) struct Graph {
    /// The operator, such as `deployment`
    pub(crate) operator: String,
    /// What to draw it as
    #[arg(short, long, value_enum, default_value_t = Drawing::Mermaid)]
    pub(crate) output: Drawing,
}

/// What a machine can be drawn as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Drawing {
    /// A Mermaid state diagram
    Mermaid,
    /// Graphviz
    Dot,
    /// A Markdown table of the transitions
    Table,
}

#[derive(Debug, Args)]
pub(crate) struct Conformance {
    /// The operator, such as `deployment`, or `all`; or a plugin's folder or manifest
    #[arg(value_name = "OPERATOR|PATH")]
    pub(crate) operator: String,
    /// How many histories to draw in each world
    #[arg(long, value_name = "N")]
    pub(crate) seeds: Option<u64>,
    /// Only this world
    #[arg(long, value_name = "WORLD")]
    pub(crate) world: Option<String>,
    /// Only the history of this seed: as a failure tells
    #[arg(long, value_name = "SEED", conflicts_with = "seeds")]
    pub(crate) seed: Option<u64>,
    /// How much to try
    #[arg(long, value_enum, default_value_t = Budget::Small)]
    pub(crate) budget: Budget,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
}

/// What an author of operators needs.
#[derive(Debug, Subcommand)]
pub(crate) enum OperatorCommand {
    /// Write an operator that works: its kind, its program, samples to prove it on
    New(NewOperator),
    /// Try a plugin in a cluster that runs: edits take its place, and what it decides is shown
    Run(RunOperator),
}

#[derive(Debug, Args)]
pub(crate) struct RunOperator {
    /// Its folder, with `plugin.yaml` in it
    pub(crate) folder: PathBuf,
    /// The cluster; the one kubectl would ask unless given
    #[arg(long, value_name = "KUBECONFIG")]
    pub(crate) against: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct NewOperator {
    /// Its name, such as `coffee-shop`
    pub(crate) name: String,
    /// The language of its program
    #[arg(long, value_enum, default_value_t = Language::Python)]
    pub(crate) lang: Language,
    /// The folder of Sampan's source, for Rust; one above the current folder unless given
    #[arg(long, value_name = "DIR")]
    pub(crate) source: Option<PathBuf>,
    /// The folder it is written to; one of its name unless given
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
}

/// What an operator can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// Python 3.9 or later, with a module and without dependencies
    Python,
    /// A shell script with jq
    Sh,
    /// Rust: Sampan itself with one operator more
    Rust,
}

/// What a program may take, and the program.
#[derive(Debug, Args)]
pub(crate) struct Confine {
    /// The user it becomes
    #[arg(long, value_name = "UID")]
    pub(crate) user: Option<u32>,
    /// The address space of each process
    #[arg(long, value_name = "BYTES")]
    pub(crate) memory_bytes: u64,
    /// The processes and threads of its user
    #[arg(long, value_name = "N")]
    pub(crate) processes: u32,
    /// Leave it the network
    #[arg(long)]
    pub(crate) network: bool,
    /// The file to join its control group by
    #[arg(long, value_name = "FILE")]
    pub(crate) group: Option<PathBuf>,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<std::ffi::OsString>,
}

/// How much a proof tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Budget {
    /// What every change is held against
    Small,
    /// Everything from every state, and many histories
    Large,
}

#[derive(Debug, Args)]
pub(crate) struct Kubeconfig {
    #[command(flatten)]
    pub(crate) folder: DataFolder,
}

#[derive(Debug, Args)]
pub(crate) struct Prune {
    #[command(flatten)]
    pub(crate) folder: DataFolder,
    /// Really remove what is held: without it, it is listed. What is kept for other files goes only where its own file is named
    #[arg(long, value_name = "FILE", num_args = 0..)]
    pub(crate) confirm: Option<Vec<String>>,
}

#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// How many seeds to run: from twelve on, a fault that never fires or a declared edge that is never crossed fails
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seeds: u64,
    /// The first seed
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) seed: u64,
    /// For how much virtual time the cluster is disturbed
    #[arg(long, value_name = "H", default_value_t = 0.06)]
    pub(crate) hours: f64,
    /// How many nodes there are
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) nodes: usize,
    /// Leave out a fault or a wish, by the name the report gives it
    #[arg(long, value_name = "NAME")]
    pub(crate) without: Vec<String>,
    /// Show a failure as it was found: do not look for a shorter one
    #[arg(long)]
    pub(crate) as_found: bool,
    /// Tell what happened where nothing is wrong, too
    #[arg(long)]
    pub(crate) story: bool,
    /// Go on after a seed that breaks a law
    #[arg(long)]
    pub(crate) go_on: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Version {
    /// How to print it
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_and_flag_says_what_it_is_for() {
        let commands = Arguments::command();
        for command in commands.get_subcommands() {
            assert!(command.get_about().is_some(), "{} has no description", command.get_name());
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {} has no help", command.get_name(), argument.get_id());
            }
        }
    }
}
