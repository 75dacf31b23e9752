//! What every belief shares: it judges who a server is, while TLS makes sure that the server has the key of what it shows.

use std::fmt;
use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// What a server shows of itself, and whom it is taken for.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// Its own certificate.
    pub own: &'a CertificateDer<'a>,
    /// Those that lead from its own to an authority.
    pub between: &'a [CertificateDer<'a>],
    /// The name it is reached by.
    pub name: &'a ServerName<'a>,
    /// What it says of its certificate's revocation, in OCSP.
    pub stapled: &'a [u8],
    /// The time.
    pub now: UnixTime,
}

/// Whose certificates are believed.
pub trait Belief: fmt::Debug + Send + Sync {
    /// Whether the server is who it is taken for.
    ///
    /// # Errors
    /// Why it is not.
    fn judge(&self, shown: &Shown<'_>) -> Result<(), Error>;
}

/// A client with this belief, but for what it shows of itself.
///
/// # Errors
/// When TLS has no protocol version to speak.
pub fn client_believing(belief: Arc<dyn Belief>) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Error> {
    let provider = ring::default_provider();
    let verifier = Verifier { belief, algorithms: provider.signature_verification_algorithms };
    let config = ClientConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions()?;
    Ok(config.dangerous().with_custom_certificate_verifier(Arc::new(verifier)))
}

#[derive(Debug)]
struct Verifier {
    belief: Arc<dyn Belief>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.belief.judge(&Shown { own, between, name, stapled, now })?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, own, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, own, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
