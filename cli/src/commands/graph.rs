//! `sampan graph`

use anyhow::{Context as _, Result};

use crate::args::{Drawing, Graph};
use crate::operators::Carried;

pub(crate) fn run(arguments: &Graph, carried: &Carried) -> Result<()> {
    let charts = carried.charts();
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
    println!("{}", drawing.trim_end());
    Ok(())
}
