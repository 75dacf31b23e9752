//! The node's key and certificate of now, for whoever shows them: a renewed one is shown from the next connection on.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::{IdentityError, OWN};

/// A certificate is renewed when so much of its life is over, in percent.
const RENEWED_AT_PERCENT: i32 = 80;

/// From when to when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

impl Span {
    pub(super) fn has_ended(self, now: Timestamp) -> bool {
        now >= self.not_after
    }

    /// How long until it is to be renewed; nothing where it is time.
    pub(super) fn until_renewal(self, now: Timestamp) -> Option<Duration> {
        let life: SignedDuration = self.not_after.duration_since(self.not_before);
        let at = self.not_before.saturating_add(life * RENEWED_AT_PERCENT / 100).unwrap_or(self.not_after);
        Duration::try_from(at.duration_since(now)).ok().filter(|left| !left.is_zero())
    }
}

/// A key with its certificate, which may be replaced.
#[derive(Debug)]
pub(super) struct Keys(RwLock<(Arc<CertifiedKey>, Span)>);

impl Keys {
    /// From a certificate and its key, PEM.
    pub(super) fn read(pem: &str) -> Result<Self, IdentityError> {
        let malformed = |error: &dyn std::fmt::Display| IdentityError::malformed(OWN, error);
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| malformed(&error))?;
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| malformed(&error))?;
        let (_, parsed) = X509Certificate::from_der(&certificate).map_err(|error| malformed(&error))?;
        let moment = |seconds| Timestamp::from_second(seconds).map_err(|error| malformed(&error));
        let (not_before, not_after) = (parsed.validity().not_before, parsed.validity().not_after);
        let span = Span { not_before: moment(not_before.timestamp())?, not_after: moment(not_after.timestamp())? };
        let certified = CertifiedKey::from_der(vec![certificate], key, &ring::default_provider())?;
        Ok(Self(RwLock::new((Arc::new(certified), span))))
    }

    pub(super) fn span(&self) -> Span {
        self.0.read().unwrap_or_else(PoisonError::into_inner).1
    }

    pub(super) fn replace(&self, new: Self) {
        let new = new.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = new;
    }

    fn current(&self) -> Arc<CertifiedKey> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}

impl ResolvesClientCert for Keys {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for Keys {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_while_a_fifth_of_its_life_is_left() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let span = Span { not_before: at(0), not_after: at(1000) };
        assert_eq!(span.until_renewal(at(0)), Some(Duration::from_secs(800)));
        assert_eq!(span.until_renewal(at(799)), Some(Duration::from_secs(1)));
        assert_eq!(span.until_renewal(at(800)), None);
        assert_eq!(span.until_renewal(at(2000)), None);
        assert!(span.has_ended(at(1000)) && !span.has_ended(at(999)));
    }

    #[test]
    fn a_new_certificate_is_shown_from_then_on() {
        let pem = || {
            let key = rcgen::KeyPair::generate().unwrap();
            let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
            format!("{}{}", certificate.pem(), key.serialize_pem())
        };
        let (first, second) = (pem(), pem());
        let keys = Keys::read(&first).unwrap();
        let before = keys.current().cert.clone();
        keys.replace(Keys::read(&second).unwrap());
        assert_ne!(keys.current().cert, before);
        assert!(Keys::read("nothing").is_err());
    }
}
