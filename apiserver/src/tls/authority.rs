//! The cluster's own certificate authority, in the data directory.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use sampan_core::Timestamp;
use sampan_core::resource::service::API_SERVER_ADDRESS;
use sampan_trust::{read_secret, write_secret};

use super::certificate::{Facts, to_der};
use super::{CertificateRequest, Credential, TlsError};

const DAY_SECONDS: i64 = 24 * 60 * 60;
/// A certificate is valid from the day before, for clients whose clock is behind.
const BACKDATED_DAYS: i64 = 1;
/// The authority outlives every installation that is upgraded now and then.
const AUTHORITY_DAYS: i64 = 3650;
/// Long enough that a cluster that is restarted once a year never serves an expired certificate.
const LEAF_DAYS: i64 = 730;
/// A certificate with less left than this is replaced at the next start.
const RENEWAL_DAYS: i64 = 365;

/// A certificate of a node is valid from so long before, for machines whose clock is behind.
const CLOCK_SLACK_SECONDS: i64 = 5 * 60;
/// What the keys of servers and clients are for.
const KEY_USAGES: [KeyUsagePurpose; 2] = [KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];

/// The names a serving certificate always carries, beside the address of the Service `kubernetes`: how the host and the pods call the API server.
const SERVING_NAMES: [&str; 6] = [
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "127.0.0.1",
];

/// The certificate authority: it signs the API server's and the clients' certificates and keeps them in a directory,
/// keys with mode 0600.
pub struct Authority {
    directory: PathBuf,
    certificate: String,
    subject: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// The authority in `directory`, made there if there is none or it has less than a year left.
    ///
    /// # Errors
    /// When the directory cannot be read or written, or holds something else.
    pub fn open(directory: &Path, now: Timestamp) -> Result<Self, TlsError> {
        let (certificate_path, key_path) = paths(directory, "ca");
        if let (Some(certificate), Some(key)) = (read_secret(&certificate_path)?, read_secret(&key_path)?) {
            let facts = Facts::read(&certificate)?;
            if lasts(facts.not_after, now, RENEWAL_DAYS) {
                let issuer = Issuer::from_ca_cert_pem(&certificate, KeyPair::from_pem(&key)?)?;
                return Ok(Self { directory: directory.to_owned(), certificate, subject: facts.subject, issuer });
            }
        }
        let made = make_authority(now)?;
        write_secret(&key_path, &made.key)?;
        write_secret(&certificate_path, &made.certificate)?;
        let issuer = Issuer::from_ca_cert_pem(&made.certificate, KeyPair::from_pem(&made.key)?)?;
        let subject = Facts::read(&made.certificate)?.subject;
        Ok(Self { directory: directory.to_owned(), certificate: made.certificate, subject, issuer })
    }

    /// The authority's certificate, PEM: what clients trust.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The same, as the TLS library takes it.
    pub(crate) fn to_der(&self) -> Result<CertificateDer<'static>, TlsError> {
        to_der(&self.certificate)
    }

    /// The API server's certificate for its usual names and `names`, addresses among them.
    ///
    /// # Errors
    /// As [`open`](Self::open), and when a name is no DNS name.
    pub fn serving(&self, names: &[String], now: Timestamp) -> Result<Credential, TlsError> {
        let usual = SERVING_NAMES.iter().map(|name| (*name).to_owned()).chain([API_SERVER_ADDRESS.to_string()]);
        let names: BTreeSet<String> = usual.chain(names.to_vec()).collect();
        let mut params = CertificateParams::new(names.iter().cloned().collect::<Vec<_>>())?;
        params.distinguished_name.remove(DnType::CommonName);
        params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.keep("apiserver", params, &names, now)
    }

    /// A client's certificate, kept under `file`: the user is its common name, the group its organization, where it has one.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn client(&self, file: &str, user: &str, group: &str, now: Timestamp) -> Result<Credential, TlsError> {
        self.keep(file, client_params(user, group), &BTreeSet::new(), now)
    }

    /// Certifies for so long that who asks is the client the request names; nothing else of what it asks for.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn sign(&self, request: &CertificateRequest, life: Duration, now: Timestamp) -> Result<String, TlsError> {
        let mut params = client_params(&request.user(), &request.group());
        params.key_usages = KEY_USAGES.to_vec();
        params.use_authority_key_identifier_extension = true;
        let moment = |seconds: i64| date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds.max(0).unsigned_abs());
        params.not_before = moment(now.as_second() - CLOCK_SLACK_SECONDS);
        params.not_after = moment(now.as_second()) + life;
        let asked = CertificateSigningRequestParams { params, public_key: request.0.public_key.clone() };
        Ok(asked.signed_by(&self.issuer)?.pem())
    }

    /// The certificate on disk if it serves, else a new one. A file belongs to one subject, so the subject is not compared.
    fn keep(
        &self,
        file: &str,
        mut params: CertificateParams,
        names: &BTreeSet<String>,
        now: Timestamp,
    ) -> Result<Credential, TlsError> {
        let (certificate_path, key_path) = paths(&self.directory, file);
        if let (Some(certificate), Some(key)) = (read_secret(&certificate_path)?, read_secret(&key_path)?) {
            let facts = Facts::read(&certificate)?;
            let serves = facts.issuer == self.subject && facts.names == *names;
            if serves && lasts(facts.not_after, now, RENEWAL_DAYS) {
                return Ok(Credential { certificate, key });
            }
        }
        params.key_usages = KEY_USAGES.to_vec();
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, now, LEAF_DAYS);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let made = Credential { certificate: certificate.pem(), key: key.serialize_pem() };
        write_secret(&key_path, &made.key)?;
        write_secret(&certificate_path, &made.certificate)?;
        Ok(made)
    }
}

fn client_params(user: &str, group: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if !group.is_empty() {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.distinguished_name.push(DnType::CommonName, user);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// The subject holds the second it was made: certificates of an earlier authority are told apart by their issuer.
fn make_authority(now: Timestamp) -> Result<Credential, TlsError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("sampan-ca@{}", now.as_second()));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    set_validity(&mut params, now, AUTHORITY_DAYS);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(Credential { certificate: certificate.pem(), key: key.serialize_pem() })
}

fn set_validity(params: &mut CertificateParams, now: Timestamp, days: i64) {
    let date = |days: i64| {
        let moved = Timestamp::from_second(now.as_second() + days * DAY_SECONDS).unwrap_or(now);
        moved.to_zoned(TimeZone::UTC).date()
    };
    let (first, last) = (date(-BACKDATED_DAYS), date(days));
    params.not_before = date_time_ymd(first.year().into(), first.month().unsigned_abs(), first.day().unsigned_abs());
    params.not_after = date_time_ymd(last.year().into(), last.month().unsigned_abs(), last.day().unsigned_abs());
}

fn lasts(not_after: Timestamp, now: Timestamp, days: i64) -> bool {
    not_after.as_second() - now.as_second() > days * DAY_SECONDS
}

fn paths(directory: &Path, file: &str) -> (PathBuf, PathBuf) {
    (directory.join(format!("{file}.crt")), directory.join(format!("{file}.key")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admin(authority: &Authority, now: Timestamp) -> String {
        authority.client("admin", "kubernetes-admin", "system:masters", now).unwrap().certificate
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn what_was_signed_is_kept_until_it_runs_out() {
        let directory = tempfile::tempdir().unwrap();
        let (start, soon, late) = (at("2026-01-01T00:00:00Z"), at("2026-06-01T00:00:00Z"), at("2027-06-01T00:00:00Z"));
        let first = Authority::open(directory.path(), start).unwrap();
        let certificate = admin(&first, start);
        let again = Authority::open(directory.path(), soon).unwrap();
        assert_eq!(again.certificate(), first.certificate());
        assert_eq!(admin(&again, soon), certificate);
        assert_ne!(admin(&again, late), certificate);
        assert_eq!(Authority::open(directory.path(), late).unwrap().certificate(), first.certificate());
    }

    #[test]
    fn a_new_authority_signs_everything_anew() {
        let directory = tempfile::tempdir().unwrap();
        let (start, later) = (at("2026-01-01T00:00:00Z"), at("2026-01-02T00:00:00Z"));
        let old = admin(&Authority::open(directory.path(), start).unwrap(), start);
        std::fs::remove_file(directory.path().join("ca.key")).unwrap();
        let new = admin(&Authority::open(directory.path(), later).unwrap(), later);
        assert_ne!(old, new);
    }

    #[test]
    fn a_serving_certificate_follows_the_addresses_served() {
        let directory = tempfile::tempdir().unwrap();
        let now = at("2026-01-01T00:00:00Z");
        let authority = Authority::open(directory.path(), now).unwrap();
        let local = authority.serving(&[], now).unwrap();
        assert_eq!(authority.serving(&[], now).unwrap().certificate, local.certificate);
        let wide = authority.serving(&["10.0.0.7".into()], now).unwrap();
        let names = Facts::read(&wide.certificate).unwrap().names;
        assert!(
            names.contains("10.0.0.7") && names.contains("10.96.0.1") && names.contains("kubernetes.default.svc"),
            "{names:?}"
        );
    }
}
