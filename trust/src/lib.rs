//! Whose certificates are believed by who connects to others: to webhooks, collectors of logs, pods, and the API server a machine
//! joins. And how keys of one's own are kept.

mod anybody;
mod belief;
mod pinned;
mod secret;

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, Error, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

pub use anybody::{anybody, unchecked_client_config};
pub use belief::{Belief, Shown, client_believing};
pub use pinned::{Pin, PinFault, Pinned};
pub use secret::{SecretFault, read_secret, write_secret};

/// What a client believes: what the authorities vouch for, which are PEM. Without any, those of the host do.
///
/// # Errors
/// What is wrong with the authorities.
pub fn client_config(pem: &[u8]) -> Result<ClientConfig, String> {
    let config = client_believing(authorities(pem)?).map_err(|error| error.to_string())?;
    Ok(config.with_no_client_auth())
}

/// Belief in what the authorities vouch for, which are PEM. Without any, those of the host do.
///
/// # Errors
/// What is wrong with the authorities.
pub fn authorities(pem: &[u8]) -> Result<Arc<dyn Belief>, String> {
    let named: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let named = named.map_err(|error| error.to_string())?;
    if named.is_empty() && !pem.is_empty() {
        return Err("unable to parse bytes as PEM block".to_owned());
    }
    let mut roots = RootCertStore::empty();
    match named.is_empty() {
        true => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
        false => named.iter().try_for_each(|it| roots.add(it.clone())).map_err(|error| error.to_string())?,
    }
    let provider = Arc::new(ring::default_provider());
    let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    Ok(Arc::new(Authorities { named, chains: chains.map_err(|error| error.to_string())? }))
}

/// Believes chains to an authority, and a certificate that is itself named as one: people sign their servers' certificates with
/// themselves, and `openssl req -x509` says of such a one that it is an authority, which no chain may end with.
#[derive(Debug)]
struct Authorities {
    named: Vec<CertificateDer<'static>>,
    chains: Arc<WebPkiServerVerifier>,
}

impl Belief for Authorities {
    fn judge(&self, shown: &Shown<'_>) -> Result<(), Error> {
        let Shown { own, between, name, stapled, now } = *shown;
        if !self.named.iter().any(|named| named == own) {
            return self.chains.verify_server_cert(own, between, name, stapled, now).map(drop);
        }
        verify_server_name(&ParsedCertificate::try_from(own)?, name)?;
        let (_, parsed) = X509Certificate::from_der(own).map_err(|_| CertificateError::BadEncoding)?;
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let now = ASN1Time::from_timestamp(now).map_err(|_| CertificateError::Expired)?;
        match parsed.validity().is_valid_at(now) {
            true => Ok(()),
            false => Err(CertificateError::Expired.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
    use rustls_pki_types::{ServerName, UnixTime};

    use super::*;

    /// A certificate that signs itself and says it is an authority, good from 2020 to 2030.
    fn self_signed() -> (String, CertificateDer<'static>) {
        let mut params = CertificateParams::new(vec!["hook.example.com".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2030, 1, 1));
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        (certificate.pem(), certificate.der().clone())
    }

    fn believing(pem: &str) -> Authorities {
        let named = vec![CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()];
        let mut roots = RootCertStore::empty();
        roots.add(named[0].clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        Authorities { named, chains }
    }

    #[test]
    fn a_certificate_named_as_an_authority_is_believed_for_its_name_and_time() {
        let ((pem, own), (_, stranger)) = (self_signed(), self_signed());
        let authorities = believing(&pem);
        let year = |year: u64| UnixTime::since_unix_epoch(Duration::from_secs((year - 1970) * 31_557_600));
        let cases = [
            (&own, "hook.example.com", 2026, true),
            (&own, "other.example.com", 2026, false),
            (&own, "hook.example.com", 2031, false),
            (&stranger, "hook.example.com", 2026, false),
        ];
        for (certificate, name, at, is_believed) in cases {
            let name = ServerName::try_from(name).unwrap();
            let shown = Shown { own: certificate, between: &[], name: &name, stapled: &[], now: year(at) };
            let verified = authorities.judge(&shown);
            assert_eq!(verified.is_ok(), is_believed, "{name:?} in {at}: {verified:?}");
        }
    }

    #[test]
    fn what_is_no_bundle_of_certificates_is_refused() {
        assert!(client_config(b"nothing").is_err());
        assert!(client_config(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").is_err());
        assert!(client_config(self_signed().0.as_bytes()).is_ok());
    }
}
