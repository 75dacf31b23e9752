//! Sampan with an operator beside its own that panics on ConfigMaps labelled so: what becomes of one that does.

use std::process::ExitCode;

use k8s_openapi::api::core::v1::ConfigMap;
use sampan::core::operator::{Context, Declaration, Operator, Wake};
use sampan::machine::{ANY, Chart, Edge, Machine, State, UNOBSERVED};

/// The label, whose value the panic tells.
const LABEL: &str = "example.com/panic";

static CHART: Chart = Chart {
    name: "crashing",
    states: &[State { name: "Seen", meaning: "It was looked at." }],
    edges: &[Edge { from: UNOBSERVED, to: ANY, guard: "first observation" }],
};

/// A map that is `Seen` once it was looked at.
#[derive(Clone, Default)]
struct Seen(bool);

impl Machine for Seen {
    fn state(&self) -> &'static str {
        if self.0 { "Seen" } else { UNOBSERVED }
    }
}

#[derive(Clone, Copy)]
struct Crashing;

impl Operator for Crashing {
    type Machine = Seen;

    fn chart(&self) -> &'static Chart {
        &CHART
    }

    fn machine(&self) -> Seen {
        Seen::default()
    }

    fn declaration(&self) -> Declaration {
        Declaration::of::<ConfigMap>("crashing")
    }

    fn step(&self, machine: &mut Seen, _wake: &Wake, cx: &mut Context<'_>) {
        let Some(map) = cx.primary::<ConfigMap>() else { return };
        if let Some(word) = map.metadata.labels.as_ref().and_then(|labels| labels.get(LABEL)) {
            panic!("{word}");
        }
        machine.0 = true;
        cx.trace().crossed(UNOBSERVED, "Seen");
    }
}

fn main() -> ExitCode {
    sampan::Daemon::builder().operator(Crashing).run()
}
