//! `sampan graph`

use anyhow::{Context as _, Result};
use sampan_machine::Chart;

use crate::args::{Drawing, Graph};
use crate::operators::Carried;
use crate::say::say;

/// The charts that can be drawn: of operators, and of what a node does with a pod.
fn charts(carried: &Carried) -> Vec<&'static Chart> {
    let mut charts = carried.charts();
    charts.push(&sampan_nodeagent::pod::machine::CHART);
    charts
}

pub(crate) fn run(arguments: &Graph, carried: &Carried) -> Result<()> {
    let charts = charts(carried);
    let names: Vec<&str> = charts.iter().map(|chart| chart.name).collect();
    let chart = charts
        .iter()
        .find(|chart| chart.name == arguments.operator)
        .with_context(|| format!("no operator `{}`: there are {}", arguments.operator, names.join(", ")))?;
    let drawing = match arguments.output {
        Drawing::Mermaid => chart.mermaid(),
        Drawing::Dot => chart.dot(),
        Drawing::Table => chart.table(),
    };
    say!("{}", drawing.trim_end());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write as _;
    use std::path::Path;

    use super::*;

    /// Has the pages written instead of compared.
    const WRITE: &str = "SAMPAN_WRITE_DOCS";

    /// What `docs/operators` holds of a machine.
    fn page(chart: &Chart) -> String {
        let mut text = format!("# {}\n\n| state | meaning |\n| --- | --- |\n", chart.name);
        for state in chart.states {
            let _ = writeln!(text, "| {} | {} |", state.name, state.meaning);
        }
        let _ = write!(text, "\n{}\n```mermaid\n{}\n```\n", chart.table(), chart.mermaid().trim_end());
        text
    }

    #[test]
    fn the_documents_hold_every_chart_as_it_is_and_no_other() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operators");
        let mut expected = BTreeSet::from(["README.md".to_owned()]);
        for chart in charts(&Carried::default()) {
            let name = format!("{}.md", chart.name);
            if std::env::var_os(WRITE).is_some() {
                std::fs::write(folder.join(&name), page(chart)).unwrap();
            }
            let found = std::fs::read_to_string(folder.join(&name)).unwrap_or_default();
            assert!(
                found == page(chart),
                "{name} is not current: {WRITE}=1 cargo test -p sampan --lib graph writes it"
            );
            expected.insert(name);
        }
        let found: BTreeSet<String> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        assert_eq!(found, expected);
    }
}
