//! The daemon of a node on a machine of its own: the kubelet API over TLS, for the API server alone.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::{KubeletApi, serve_kubelet};

/// As whom the API server comes to nodes.
const API_SERVER: &str = "kube-apiserver-kubelet-client";
/// Connections at once: streams of the API server, and whoever else tries.
const CONNECTIONS_MAX: usize = 1024;
/// The longest a client may take to say who it is.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long nobody is let in when the machine has nothing left to let them in with.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the kubelet API to the API server, until `shutdown`.
pub async fn listen_kubelet(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    api: Arc<KubeletApi>,
    shutdown: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let acceptor = TlsAcceptor::from(tls);
    loop {
        let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
        let Some(accepted) = shutdown.run_until_cancelled(listener.accept()).await else { return };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection to the node");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (acceptor, api, shutdown) = (acceptor.clone(), api.clone(), shutdown.clone());
        tokio::spawn(async move {
            match admit(&acceptor, stream).await {
                Ok(stream) => drop(shutdown.run_until_cancelled(serve_kubelet(stream, api)).await),
                Err(error) => tracing::debug!(%error, "somebody was turned away from the node"),
            }
            drop(slot);
        });
    }
}

/// The connection, where it is the API server that comes: another node has a certificate of the same authority.
async fn admit(acceptor: &TlsAcceptor, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    stream.set_nodelay(true)?;
    let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await??;
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let user = shown.and_then(|certificate| user_of(certificate));
    match user.as_deref() {
        Some(API_SERVER) => Ok(stream),
        user => Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("{user:?} is not the API server"))),
    }
}

fn user_of(certificate: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.subject().iter_common_name().next()?.as_str().ok()?.to_owned())
}
