//! Belief in an authority of which no more is known than what its key hashes to: how a machine that joins a cluster meets it.

use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use ring::digest::{SHA256, digest};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::ring as provider;
use rustls::{CertificateError, ClientConfig, Error, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::belief::{Belief, Shown, client_believing};

/// What a pin begins with.
const PREFIX: &str = "sha256:";

/// What a public key hashes to, mostly that of an authority, as `sha256:<hex>`: as kubeadm pins one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin(String);

/// Why something is no pin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PinFault {
    /// It does not look like one.
    #[error("a pin is written as sha256: and 64 hexadecimal digits")]
    Malformed,
    /// There is no certificate to pin.
    #[error("failed to read the certificate of the authority")]
    NoCertificate,
}

impl Pin {
    /// Of the first certificate of a PEM text.
    ///
    /// # Errors
    /// Where there is none.
    pub fn of(pem: &str) -> Result<Self, PinFault> {
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| PinFault::NoCertificate)?;
        Self::of_der(&certificate).ok_or(PinFault::NoCertificate)
    }

    fn of_der(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        Some(Self::of_key(parsed.public_key().raw))
    }

    /// Of a public key, as it stands in certificates (`SubjectPublicKeyInfo`).
    pub fn of_key(key: &[u8]) -> Self {
        let mut digits = String::new();
        for byte in digest(&SHA256, key).as_ref() {
            // Text takes all that is written into it.
            let _ = write!(digits, "{byte:02x}");
        }
        Self(digits)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{PREFIX}{}", self.0)
    }
}

impl FromStr for Pin {
    type Err = PinFault;

    fn from_str(text: &str) -> Result<Self, PinFault> {
        let digits = text.strip_prefix(PREFIX).ok_or(PinFault::Malformed)?;
        let is_hash = digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_hash.then(|| Self(digits.to_ascii_lowercase())).ok_or(PinFault::Malformed)
    }
}

/// Believes what the pinned authority vouches for, which the server has to show, and keeps its certificate.
#[derive(Debug)]
pub struct Pinned {
    pin: Pin,
    authority: OnceLock<CertificateDer<'static>>,
}

impl Pinned {
    /// Nothing has been shown yet.
    pub fn new(pin: Pin) -> Arc<Self> {
        Arc::new(Self { pin, authority: OnceLock::new() })
    }

    /// What a client believes that believes this.
    ///
    /// # Errors
    /// When TLS has no protocol version to speak.
    pub fn client_config(self: &Arc<Self>) -> Result<ClientConfig, Error> {
        Ok(client_believing(self.clone())?.with_no_client_auth())
    }

    /// The authority's certificate, once a server has shown it that is vouched for by it.
    pub fn authority(&self) -> Option<&CertificateDer<'static>> {
        self.authority.get()
    }
}

impl Belief for Pinned {
    fn judge(&self, shown: &Shown<'_>) -> Result<(), Error> {
        let is_pinned = |shown: &&CertificateDer<'_>| Pin::of_der(shown).as_ref() == Some(&self.pin);
        let found = shown.between.iter().find(is_pinned).ok_or(CertificateError::UnknownIssuer)?;
        let authority = found.clone().into_owned();
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone())?;
        let provider = Arc::new(provider::default_provider());
        let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let chains = chains.map_err(|error| Error::General(error.to_string()))?;
        chains.verify_server_cert(shown.own, shown.between, shown.name, shown.stapled, shown.now)?;
        let _ = self.authority.set(authority);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls_pki_types::{ServerName, UnixTime};

    use super::*;

    /// An authority, and a server it vouches for.
    fn authority() -> (String, CertificateDer<'static>, CertificateDer<'static>) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let server = CertificateParams::new(vec!["kubernetes".to_owned()]).unwrap();
        let server = server.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
        (certificate.pem(), certificate.der().clone(), server.der().clone())
    }

    #[test]
    fn a_server_is_believed_that_shows_the_pinned_authority_and_is_vouched_for_by_it() {
        let (pem, ours, server) = authority();
        let (_, theirs, stranger) = authority();
        let cases = [
            (&server, vec![ours.clone()], "kubernetes", true),
            (&server, vec![theirs.clone(), ours.clone()], "kubernetes", true),
            (&server, vec![ours.clone()], "other", false),
            (&server, vec![], "kubernetes", false),
            (&stranger, vec![theirs.clone()], "kubernetes", false),
            (&stranger, vec![ours.clone()], "kubernetes", false),
        ];
        for (own, between, name, is_believed) in cases {
            let pinned = Pinned::new(Pin::of(&pem).unwrap());
            let name = ServerName::try_from(name).unwrap();
            let shown = Shown { own, between: &between, name: &name, stapled: &[], now: UnixTime::now() };
            let verified = pinned.judge(&shown);
            assert_eq!(verified.is_ok(), is_believed, "{name:?}: {verified:?}");
            assert_eq!(pinned.authority(), is_believed.then_some(&ours));
        }
    }

    #[test]
    fn a_pin_is_read_as_it_is_written() {
        let pin = Pin::of(&authority().0).unwrap();
        assert_eq!(pin.to_string().parse(), Ok(pin));
        for text in ["", "sha256:", "sha256:zz", "deadbeef", &format!("sha256:{}g", "0".repeat(63))] {
            assert_eq!(text.parse::<Pin>(), Err(PinFault::Malformed), "{text}");
        }
    }
}
