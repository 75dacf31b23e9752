//! The file that tells `kubectl` where the cluster is and who asks.

use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sampan_trust::write_secret;

use super::{Credential, TlsError};

/// A kubeconfig of one cluster and one user, certificates embedded. Displayed, it is the file's text.
pub struct Kubeconfig<'a> {
    /// Such as `https://127.0.0.1:6443`.
    pub server: &'a str,
    /// The certificate of the authority, PEM.
    pub authority: &'a str,
    /// The user's name.
    pub user: &'a str,
    /// The user's certificate and key.
    pub credential: &'a Credential,
}

impl fmt::Display for Kubeconfig<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, user, .. } = self;
        let authority = STANDARD.encode(self.authority);
        let certificate = STANDARD.encode(&self.credential.certificate);
        let key = STANDARD.encode(&self.credential.key);
        write!(
            formatter,
            "apiVersion: v1\nkind: Config\n\
             clusters:\n- name: sampan\n  cluster:\n    server: {server}\n    certificate-authority-data: {authority}\n\
             users:\n- name: {user}\n  user:\n    client-certificate-data: {certificate}\n    client-key-data: {key}\n\
             contexts:\n- name: sampan\n  context:\n    cluster: sampan\n    user: {user}\n\
             current-context: sampan\n"
        )
    }
}

/// Writes the kubeconfig with mode 0600, whole or not at all.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, kubeconfig: &Kubeconfig<'_>) -> Result<(), TlsError> {
    Ok(write_secret(path, &kubeconfig.to_string())?)
}
