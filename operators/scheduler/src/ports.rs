//! Ports of the node itself: each is had once.

use k8s_openapi::api::core::v1::{ContainerPort, Pod};

/// A port of the node itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostPort {
    port: i32,
    protocol: String,
    address: String,
}

impl HostPort {
    /// The ports of its node a pod asks for: those of its containers and sidecars.
    pub(crate) fn asked_by(pod: &Pod) -> impl Iterator<Item = Self> {
        let sidecars = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
        let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
        let containers = pod.spec.iter().flat_map(|spec| &spec.containers).chain(sidecars);
        containers.flat_map(|container| container.ports.iter().flatten()).filter_map(Self::of)
    }

    fn of(port: &ContainerPort) -> Option<Self> {
        let number = port.host_port.filter(|number| *number > 0)?;
        Some(Self {
            port: number,
            protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
            address: port.host_ip.clone().filter(|address| !address.is_empty()).unwrap_or_else(|| "0.0.0.0".to_owned()),
        })
    }

    /// Whether only one of them can be had.
    pub(crate) fn clashes(&self, other: &Self) -> bool {
        let everywhere = |port: &Self| port.address == "0.0.0.0";
        let address = everywhere(self) || everywhere(other) || self.address == other.address;
        address && self.port == other.port && self.protocol == other.protocol
    }
}
