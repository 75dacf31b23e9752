//! What a client's certificate says of it.

use sampan_core::access::{AUTHENTICATED, Identity};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// The identity of a verified client certificate: the user is its common name, the groups are its organizations.
/// `None` where it names no user.
pub fn identity_of(certificate: &[u8]) -> Option<Identity> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let subject = certificate.subject();
    let user = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let mut groups: Vec<String> =
        subject.iter_organization().filter_map(|group| group.as_str().ok()).map(str::to_owned).collect();
    // Everybody who is known is a member; the API server adds it, never the certificate.
    groups.retain(|group| group != AUTHENTICATED);
    groups.push(AUTHENTICATED.to_owned());
    (!user.is_empty()).then_some(Identity { user, groups, ..Identity::default() })
}

#[cfg(test)]
mod tests {
    use sampan_core::Timestamp;

    use super::*;
    use crate::tls::{Authority, certificate};

    #[test]
    fn a_certificate_names_its_user_and_group() {
        let directory = tempfile::tempdir().unwrap();
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let authority = Authority::open(directory.path(), now).unwrap();
        let credential = authority.client("ann", "ann", "builders", now).unwrap();
        let found = identity_of(&certificate::to_der(&credential.certificate).unwrap()).unwrap();
        assert_eq!(found, Identity::new("ann", &["builders", AUTHENTICATED]));
    }

    #[test]
    fn what_is_no_certificate_names_nobody() {
        assert!(identity_of(b"not a certificate").is_none());
    }
}
