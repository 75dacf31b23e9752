//! `sampan confine`: stands between Sampan and a plugin's program, and becomes it.

use anyhow::{Context as _, Result};
use sampan_pluginhost::{Bounds, confine};

use crate::args::Confine;

pub(crate) fn run(arguments: Confine) -> Result<()> {
    let Confine { user, memory_bytes, processes, network, group, command } = arguments;
    let mut words = command.into_iter();
    let program = words.next().context("no program is named")?;
    match confine(&Bounds { user, memory_bytes, processes, network, group }, program, words.collect())? {}
}
