//! Where a Service is reached from this machine.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Load;
use crate::cluster::SOON;
use crate::{Cluster, eventually};

/// A Service's own address and its port of the node, once somebody answers at both.
///
/// # Errors
/// When nobody does.
pub fn doors(cluster: &Cluster, service: &str) -> Result<[SocketAddr; 2]> {
    let path = format!("/api/v1/namespaces/default/services/{service}");
    let service = eventually("the Service", SOON, || cluster.object(&path))?;
    let address: Ipv4Addr =
        service.pointer("/spec/clusterIP").and_then(Value::as_str).context("no address")?.parse()?;
    let port = service.pointer("/spec/ports/0/nodePort").and_then(Value::as_u64).context("no port of the node")?;
    let doors = [SocketAddr::from((address, 80)), SocketAddr::from(([127, 0, 0, 1], u16::try_from(port)?))];
    answering(&doors)?;
    Ok(doors)
}

/// Waits until whoever comes to these doors is answered.
///
/// # Errors
/// When that does not come true.
pub fn answering(doors: &[SocketAddr]) -> Result<()> {
    let load = Load::on(doors, 20)?;
    eventually("the Service answers", SOON, || load.lasting(Duration::from_millis(300))?.without_failure().map(Some))?;
    Ok(())
}
