//! `sampan kubeconfig`

use anyhow::{Context as _, Result};

use crate::args::Kubeconfig;
use crate::data::DataFolder;
use crate::say;

pub(crate) fn run(arguments: &Kubeconfig) -> Result<()> {
    let folder = DataFolder::open(&arguments.folder.data)?;
    let path = folder.kubeconfig();
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("there is no {}: start the cluster with `sampan up`", path.display()))?;
    say::text(text);
    Ok(())
}
