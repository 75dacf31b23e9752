//! The table of states and edges declared beside a machine.

use std::fmt::Write as _;

/// The state every machine starts in: nothing of the world has been looked at yet.
pub const UNOBSERVED: &str = "Unobserved";

/// Stands for every state, at either end of a superstate's edge.
pub const ANY: &str = "*";

/// A state a user of the kind would name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// An adjective or participle, such as `RollingOut`.
    pub name: &'static str,
    /// One sentence that says when an object is in this state.
    pub meaning: &'static str,
}

/// A transition the machine may take, and the named guard that lets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edge {
    /// The state left, or [`ANY`] for an edge that a superstate owns.
    pub from: &'static str,
    /// The state entered, or [`ANY`] where a superstate enters whatever is classified.
    pub to: &'static str,
    /// The name of the guard, such as `every replica is available`.
    pub guard: &'static str,
}

/// A machine's states and edges, declared as data.
#[derive(Debug, Clone, Copy)]
pub struct Chart {
    /// The machine's name, such as `replicaset`.
    pub name: &'static str,
    /// Every state but [`UNOBSERVED`], which every machine has.
    pub states: &'static [State],
    /// Every edge, superstates' edges included.
    pub edges: &'static [Edge],
}

/// Why a chart is not well formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChartError(pub String);

impl std::fmt::Display for ChartError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for ChartError {}

impl Chart {
    /// A chart learnt at run time, to last as one written in the source does. Its names are [`lasting`](crate::lasting()).
    ///
    /// # Caveats
    /// Each call keeps a chart for ever: call it once for each that is learnt.
    pub fn learnt(name: &'static str, states: Vec<State>, edges: Vec<Edge>) -> &'static Chart {
        Box::leak(Box::new(Chart { name, states: Vec::leak(states), edges: Vec::leak(edges) }))
    }

    /// The declared edge that allows the move from `from` to `to` by `guard`, a superstate's included.
    pub fn edge(&self, from: &str, to: &str, guard: &str) -> Option<&'static Edge> {
        let fits = |declared: &str, seen: &str| declared == ANY || declared == seen;
        self.edges.iter().find(|edge| edge.guard == guard && fits(edge.from, from) && fits(edge.to, to))
    }

    /// Checks that every edge names declared states and that no state or edge is declared twice.
    ///
    /// # Errors
    /// The first fault found, naming the edge or state.
    pub fn check(&self) -> Result<(), ChartError> {
        let fault = |text: String| Err(ChartError(format!("{}: {text}", self.name)));
        for (index, state) in self.states.iter().enumerate() {
            if self.states.iter().skip(index + 1).any(|other| other.name == state.name) {
                return fault(format!("state {} is declared twice", state.name));
            }
        }
        let known =
            |name: &str| name == ANY || name == UNOBSERVED || self.states.iter().any(|state| state.name == name);
        for (index, edge) in self.edges.iter().enumerate() {
            if let Some(unknown) = [edge.from, edge.to].into_iter().find(|name| !known(name)) {
                return fault(format!("edge {} → {} names the unknown state {unknown}", edge.from, edge.to));
            }
            if self.edges.iter().skip(index + 1).any(|other| other == edge) {
                return fault(format!("edge {} → {} ({}) is declared twice", edge.from, edge.to, edge.guard));
            }
        }
        Ok(())
    }

    /// The chart as a Mermaid state diagram.
    pub fn mermaid(&self) -> String {
        let mut text = String::from("stateDiagram-v2\n");
        for state in self.states {
            let _ = writeln!(text, "    {}: {}", state.name, state.name);
            let _ = writeln!(text, "    note right of {}: {}", state.name, state.meaning);
        }
        let _ = writeln!(text, "    [*] --> {UNOBSERVED}");
        for edge in self.edges {
            let name = |end: &'static str| if end == ANY { "Any" } else { end };
            let _ = writeln!(text, "    {} --> {}: {}", name(edge.from), name(edge.to), edge.guard);
        }
        text
    }

    /// The chart as a Graphviz digraph.
    pub fn dot(&self) -> String {
        let mut text = format!("digraph {:?} {{\n    rankdir=LR;\n    node [shape=box, style=rounded];\n", self.name);
        for state in self.states {
            let _ = writeln!(text, "    {:?} [tooltip={:?}];", state.name, state.meaning);
        }
        for edge in self.edges {
            let _ = writeln!(text, "    {:?} -> {:?} [label={:?}];", edge.from, edge.to, edge.guard);
        }
        text.push_str("}\n");
        text
    }

    /// Whether a machine's source documents this transition table, and no other.
    ///
    /// # Errors
    /// The table as it should stand there.
    pub fn documented_in(&self, source: &str) -> Result<(), String> {
        let lines = source.lines().filter_map(|line| line.strip_prefix("//! ")).filter(|line| line.starts_with('|'));
        let documented: String = lines.flat_map(|line| [line, "\n"]).collect();
        let table = self.table();
        if documented == table { Ok(()) } else { Err(table) }
    }

    /// The transition table as Markdown, for a machine's module documentation.
    pub fn table(&self) -> String {
        let mut text = String::from("| from | to | when |\n| --- | --- | --- |\n");
        for edge in self.edges {
            let _ = writeln!(text, "| {} | {} | {} |", edge.from, edge.to, edge.guard);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAMP: Chart = Chart {
        name: "lamp",
        states: &[State { name: "Lit", meaning: "It burns." }, State { name: "Dark", meaning: "It does not." }],
        edges: &[
            Edge { from: "Lit", to: "Dark", guard: "switched off" },
            Edge { from: ANY, to: ANY, guard: "reclassified" },
        ],
    };

    #[test]
    fn a_superstate_edge_allows_every_move_by_its_guard() {
        assert!(LAMP.edge("Dark", "Lit", "reclassified").is_some());
        assert!(LAMP.edge("Dark", "Lit", "switched off").is_none());
        assert!(LAMP.edge("Lit", "Dark", "switched off").is_some());
    }

    #[test]
    fn an_edge_to_an_unknown_state_is_named() {
        let broken = Chart { edges: &[Edge { from: "Lit", to: "Gone", guard: "lost" }], ..LAMP };
        assert!(broken.check().unwrap_err().0.contains("Gone"));
        assert_eq!(LAMP.check(), Ok(()));
    }

    #[test]
    fn the_drawings_hold_every_edge() {
        for drawing in [LAMP.mermaid(), LAMP.dot(), LAMP.table()] {
            assert!(drawing.contains("switched off") && drawing.contains("reclassified"), "{drawing}");
        }
    }
}
