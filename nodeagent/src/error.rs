//! What can go wrong on a node.

/// Why a node agent cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Docker does not answer on its socket.
    #[error("failed to reach Docker at {socket}: {source}")]
    DockerUnreachable {
        /// The socket that was tried.
        socket: String,
        /// What Docker's client said.
        #[source]
        source: bollard::errors::Error,
    },
    /// Docker refused something the node cannot do without.
    #[error("failed to {verb}: {source}")]
    Docker {
        /// What was attempted, such as `create the pod network sampan`.
        verb: String,
        /// What Docker answered.
        #[source]
        source: bollard::errors::Error,
    },
    /// A directory or file of the node cannot be read or written.
    #[error("failed to {verb} {path}: {source}")]
    File {
        /// What was attempted, such as `create`.
        verb: &'static str,
        /// The path it was attempted on.
        path: std::path::PathBuf,
        /// What the system answered.
        #[source]
        source: std::io::Error,
    },
    /// The API server gives no range of pods' addresses.
    #[error("the node has got no range of addresses for its pods: {0}")]
    NoRange(String),
    /// The pods' network was made with another range.
    #[error(
        "the pod network {network} has the addresses {found}, and the node is to have {given}: `sampan down` removes the network"
    )]
    OtherRange {
        /// Docker's name of the network.
        network: String,
        /// The range it has.
        found: String,
        /// The range it is to have.
        given: String,
    },
    /// The logs kept on the node cannot be opened.
    #[error("failed to open the logs of the node: {source}")]
    Logs {
        /// What is wrong with them.
        #[source]
        source: sampan_logs::StoreError,
    },
}

impl NodeError {
    pub(crate) fn docker(verb: impl Into<String>) -> impl FnOnce(bollard::errors::Error) -> Self {
        let verb = verb.into();
        move |source| Self::Docker { verb, source }
    }

    pub(crate) fn file(verb: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { verb, path, source }
    }
}
