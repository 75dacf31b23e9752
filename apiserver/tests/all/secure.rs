//! The server over TCP with TLS: certificates tell who is who.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sampan_apiserver::tls::{Authority, Credential, server_config};
use sampan_core::Timestamp;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use crate::world::{CONFIG_MAPS, World};

async fn status_of(address: std::net::SocketAddr, config: ClientConfig, uri: &str) -> Option<u16> {
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("kubernetes.default.svc").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    let request = Request::builder().uri(uri).header("host", "x").body(Empty::<Bytes>::new()).unwrap();
    Some(sender.send_request(request).await.ok()?.status().as_u16())
}

fn client_config(trusted: &Authority, credential: Option<&Credential>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.certificate().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    match credential {
        None => builder.with_no_client_auth(),
        Some(credential) => {
            let certificate = CertificateDer::from_pem_slice(credential.certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(credential.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![certificate], key).unwrap()
        }
    }
}

#[tokio::test]
async fn the_certificate_of_the_own_authority_decides_who_is_who() {
    let now = Timestamp::now();
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let authority = Authority::open(ours.path(), now).unwrap();
    let stranger = Authority::open(theirs.path(), now).unwrap();
    let config = server_config(&authority, &authority.serving(&[], now).unwrap()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let world = World::new().await;
    let server = world.server.clone();
    let listening = tokio::spawn(async move { server.listen(listener, config).await });

    let client = |authority: &Authority, group: &str| authority.client("c", "ann", group, now).unwrap();
    let admin = client(&authority, "system:masters");
    assert_eq!(status_of(address, client_config(&authority, Some(&admin)), CONFIG_MAPS).await, Some(200));
    assert_eq!(status_of(address, client_config(&authority, None), CONFIG_MAPS).await, Some(403));
    assert_eq!(status_of(address, client_config(&authority, None), "/healthz").await, Some(200));
    let forged = client(&stranger, "system:masters");
    assert_eq!(status_of(address, client_config(&authority, Some(&forged)), CONFIG_MAPS).await, None);
    assert_eq!(status_of(address, client_config(&stranger, None), "/healthz").await, None, "the client trusts another");

    world.shutdown.cancel();
    listening.await.unwrap().unwrap();
}
