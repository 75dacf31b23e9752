//! `sampan token`: tokens by which machines join as nodes.

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;
use sampan_core::access::bootstrap_token::{JOINING_NODES, secret_name};
use sampan_nodeagent::Pin;

use crate::api;
use crate::args::{NewToken, TokenCommand};
use crate::data::DataFolder;
use crate::say::say;

/// What tokens are made of.
const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
/// Bytes from here on are drawn again, so that each letter is as likely as another.
const FAIR: u8 = 252;

pub(crate) fn run(command: &TokenCommand) -> Result<()> {
    match command {
        TokenCommand::Create(arguments) => create(arguments),
    }
}

fn create(arguments: &NewToken) -> Result<()> {
    let folder = DataFolder::open(&arguments.folder.data)?;
    let (id, secret) = (drawn(6)?, drawn(16)?);
    let ends = Timestamp::now().checked_add(arguments.ttl).context("it would last for too long")?;
    let connection = api::connection(&folder)?;
    connection.create("kube-system", &stored(&id, &secret, ends))?;
    let authority = connection.authority()?;
    let server = connection.server();
    say!("sampan node --server {server} --token {id}.{secret} --ca-hash {}", Pin::of(&authority)?);
    if connection.is_local() {
        eprintln!(
            "The API is served to this machine alone: for others to join, start the cluster with `sampan up --listen ADDRESS:6443`."
        );
    }
    Ok(())
}

/// The Secret a token stands in, as Kubernetes' own tools read it.
fn stored(id: &str, secret: &str, ends: Timestamp) -> Secret {
    let fields = [
        ("token-id", id.to_owned()),
        ("token-secret", secret.to_owned()),
        ("expiration", ends.round(jiff::Unit::Second).unwrap_or(ends).to_string()),
        ("usage-bootstrap-authentication", "true".to_owned()),
        ("auth-extra-groups", JOINING_NODES.to_owned()),
        ("description", "lets machines join as nodes".to_owned()),
    ];
    Secret {
        metadata: ObjectMeta { name: Some(secret_name(id)), ..ObjectMeta::default() },
        type_: Some("bootstrap.kubernetes.io/token".to_owned()),
        string_data: Some(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ..Secret::default()
    }
}

fn drawn(length: usize) -> Result<String> {
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let mut byte = [0; 1];
        getrandom::fill(&mut byte).context("the machine gives no chance")?;
        let letter = byte.first().filter(|byte| **byte < FAIR).and_then(|byte| LETTERS.get(usize::from(*byte) % 36));
        text.extend(letter.map(|letter| char::from(*letter)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_the_api_reads() {
        let token = format!("{}.{}", drawn(6).unwrap(), drawn(16).unwrap());
        assert!(sampan_core::access::bootstrap_token::parse(&token).is_some(), "{token}");
    }
}
