//! What somebody asks to have certified.

use rcgen::{CertificateSigningRequestParams, DnType, DnValue, PublicKeyData as _};
use sampan_trust::Pin;

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
        Pin::of_key(&self.0.public_key.subject_public_key_info()).to_string()
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
