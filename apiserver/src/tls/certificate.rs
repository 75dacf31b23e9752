//! A certificate with its key, and what is read back from one.

use std::collections::BTreeSet;
use std::net::IpAddr;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sampan_core::Timestamp;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::TlsError;

/// A certificate and its private key, both PEM.
#[derive(Clone)]
pub struct Credential {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: String,
}

impl Credential {
    /// The certificate and key as the TLS library takes them.
    pub(crate) fn to_der(&self) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), TlsError> {
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(malformed)?;
        Ok((to_der(&self.certificate)?, key))
    }
}

/// The first certificate of a PEM text.
pub(super) fn to_der(certificate: &str) -> Result<CertificateDer<'static>, TlsError> {
    CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(malformed)
}

fn malformed(error: impl std::fmt::Display) -> TlsError {
    TlsError::Malformed(error.to_string())
}

/// What decides whether a certificate on disk still serves.
pub(super) struct Facts {
    pub(super) subject: String,
    pub(super) issuer: String,
    pub(super) not_after: Timestamp,
    pub(super) names: BTreeSet<String>,
}

impl Facts {
    /// Reads a PEM certificate.
    pub(super) fn read(certificate: &str) -> Result<Self, TlsError> {
        let der = to_der(certificate)?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(malformed)?;
        let not_after = Timestamp::from_second(parsed.validity().not_after.timestamp()).map_err(malformed)?;
        let names = parsed.subject_alternative_name().map_err(malformed)?;
        let names = names.iter().flat_map(|extension| extension.value.general_names.iter()).filter_map(name_of);
        Ok(Self {
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            not_after,
            names: names.collect(),
        })
    }
}

fn name_of(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).ok().map(IpAddr::from);
            v4.or_else(|| <[u8; 16]>::try_from(*bytes).ok().map(IpAddr::from)).map(|address| address.to_string())
        }
        _ => None,
    }
}
