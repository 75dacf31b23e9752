//! What somebody asks to have certified.

use std::fmt::Write as _;

use rcgen::{CertificateSigningRequestParams, DnType, DnValue, PublicKeyData as _};
use ring::digest::{SHA256, digest};

use super::TlsError;

/// A request for a certificate (PKCS #10), signed by the key it is for.
pub struct CertificateRequest(pub(super) CertificateSigningRequestParams);

impl CertificateRequest {
    /// Reads one from PEM.
    ///
    /// # Errors
    /// Where it is none, or its key did not sign it.
    pub fn read(pem: &str) -> Result<Self, TlsError> {
        Ok(Self(CertificateSigningRequestParams::from_pem(pem)?))
    }

    /// The user it is to name: its common name.
    pub fn user(&self) -> String {
        self.named(&DnType::CommonName)
    }

    /// The group it is to name: its organization.
    pub fn group(&self) -> String {
        self.named(&DnType::OrganizationName)
    }

    /// What the public key hashes to that it is for, as `sha256:<hex>`: which key, for whoever compares.
    pub fn key_hash(&self) -> String {
        let key = self.0.public_key.subject_public_key_info();
        digest(&SHA256, &key).as_ref().iter().fold("sha256:".to_owned(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to memory cannot fail");
            text
        })
    }

    /// Whether it is to vouch for names or addresses.
    pub fn has_names(&self) -> bool {
        !self.0.params.subject_alt_names.is_empty()
    }

    fn named(&self, part: &DnType) -> String {
        match self.0.params.distinguished_name.get(part) {
            Some(DnValue::Utf8String(text)) => text.clone(),
            Some(DnValue::PrintableString(text)) => text.as_str().to_owned(),
            Some(DnValue::Ia5String(text)) => text.as_str().to_owned(),
            _ => String::new(),
        }
    }
}
