//! Belief in everybody: for servers whose certificates nobody vouches for, such as pods at their addresses.

use std::sync::Arc;

use rustls::{ClientConfig, Error};

use crate::belief::{Belief, Shown, client_believing};

/// What a client believes that believes everybody: what is sent is hidden from others, and nothing says who reads it. It is how
/// Kubernetes probes pods, and how its API server leads to them.
///
/// # Errors
/// When TLS has no protocol version to speak.
pub fn unchecked_client_config() -> Result<ClientConfig, Error> {
    Ok(client_believing(anybody())?.with_no_client_auth())
}

/// Belief in everybody.
pub fn anybody() -> Arc<dyn Belief> {
    Arc::new(Anybody)
}

/// Believes every certificate whose key the server has.
#[derive(Debug)]
struct Anybody;

impl Belief for Anybody {
    fn judge(&self, _: &Shown<'_>) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use rustls::crypto::ring;
    use rustls::{ClientConnection, ServerConfig, ServerConnection};
    use rustls_pki_types::ServerName;

    use super::*;

    /// A server whose certificate is another's, and out of date.
    fn stranger() -> ServerConnection {
        let mut params = CertificateParams::new(vec!["other.example.com".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        let key = rustls_pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        ServerConnection::new(Arc::new(config.with_single_cert(vec![certificate], key).unwrap())).unwrap()
    }

    #[test]
    fn a_stranger_with_an_outdated_certificate_is_spoken_to() {
        let (mut server, name) = (stranger(), ServerName::try_from("10.0.0.1").unwrap());
        let mut client = ClientConnection::new(Arc::new(unchecked_client_config().unwrap()), name).unwrap();
        while client.is_handshaking() {
            let (mut there, mut back) = (Vec::new(), Vec::new());
            client.write_tls(&mut there).unwrap();
            server.read_tls(&mut there.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            server.write_tls(&mut back).unwrap();
            client.read_tls(&mut back.as_slice()).unwrap();
            client.process_new_packets().unwrap();
        }
    }
}
