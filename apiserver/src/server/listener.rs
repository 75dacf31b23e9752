//! TCP connections with TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Caller, connection};
use crate::state::State;
use crate::tls::identity_of;

/// Connections served at once: each holds some tens of kilobytes.
const CONNECTIONS_MAX: usize = 4096;
/// Connections that wait to be accepted: with the usual 128, of a thousand clients that come at once most would try again a
/// second later.
const BACKLOG: u32 = 4096;
/// The longest a client may take over the handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after a failed accept, such as when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the server no longer listens.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The socket is unusable.
    #[error("failed to accept connections")]
    Accept(#[source] io::Error),
}

/// A socket at `address` that many clients may come to at once.
///
/// # Errors
/// When the address cannot be had.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts connections until the server shuts down.
pub(super) async fn listen(
    state: &Arc<State>,
    listener: TcpListener,
    tls: Arc<ServerConfig>,
) -> Result<(), ListenError> {
    let acceptor = TlsAcceptor::from(tls);
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = state.shutdown.cancelled() => return Ok(()),
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) if is_passing(&error) => {
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
            Err(error) => return Err(ListenError::Accept(error)),
        };
        let (state, acceptor) = (state.clone(), acceptor.clone());
        tokio::spawn(async move {
            if let Some((stream, caller)) = handshake(&acceptor, stream).await {
                connection::serve(state, stream, caller).await;
            }
            drop(slot);
        });
    }
}

/// Whether accepting may work again later: `accept` tells of what befell a connection, and of what the machine lacks just now.
/// Only a socket that is none stays so.
fn is_passing(error: &io::Error) -> bool {
    const NO_SOCKET: [i32; 4] = [9, 22, 88, 95];
    error.raw_os_error().is_none_or(|code| !NO_SOCKET.contains(&code))
}

async fn handshake(acceptor: &TlsAcceptor, stream: TcpStream) -> Option<(TlsStream<TcpStream>, Caller)> {
    // Small answers and watch events must not wait for more.
    stream.set_nodelay(true).ok()?;
    let accepted = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await;
    let stream = accepted.ok()?.inspect_err(|error| tracing::debug!(%error, "failed TLS handshake")).ok()?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let identity = certificate.and_then(|certificate| identity_of(certificate));
    let caller = identity.map_or(Caller::Anonymous, |identity| Caller::Known(Arc::new(identity)));
    Some((stream, caller))
}
