//! The receiving side of <https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1>.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use ring::digest::{SHA512, digest};

use super::msgpack::{self, Pack};
use super::{Both, Received, Shared};

/// What a collector is called.
const NAME: &str = "collector";
const NONCE: &[u8] = b"\x00nonce\xff";
const AUTH: &[u8] = b"salt\xfe";

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

fn say(stream: &mut impl Both, message: &Pack) -> io::Result<()> {
    let mut bytes = Vec::new();
    msgpack::write(&mut bytes, message);
    stream.write_all(&bytes)?;
    stream.flush()
}

fn word(text: &str) -> Pack {
    Pack::Text(text.to_owned())
}

fn hex(parts: &[&[u8]]) -> String {
    digest(&SHA512, &parts.concat()).as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

pub(super) fn converse(shared: &Shared, stream: &mut impl Both) -> io::Result<()> {
    if let Some(key) = &shared.demands.shared_key {
        shake_hands(shared, stream, key)?;
    }
    loop {
        let message = match msgpack::read(stream) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            message => message?,
        };
        let [tag, entries, options] = message.items()?;
        let records = taken(tag.text()?, entries, &options)?;
        let Some(chunk) = options.get("chunk") else { return Err(refused("an acknowledgement is not asked for")) };
        if !shared.take(records) {
            return Ok(());
        }
        say(stream, &Pack::Map(vec![(word("ack"), chunk.clone())]))?;
        if shared.demands.one_chunk_a_connection {
            return Ok(());
        }
    }
}

/// The entries of a `PackedForward` or a `CompressedPackedForward`.
fn taken(tag: &str, entries: Pack, options: &Pack) -> io::Result<Vec<Received>> {
    let Pack::Bin(mut entries) = entries else { return Err(refused("entries are not packed")) };
    if let Some(compressed) = options.get("compressed") {
        if compressed.text()? != "gzip" {
            return Err(refused("compressed otherwise than by gzip"));
        }
        let mut plain = Vec::new();
        MultiGzDecoder::new(entries.as_slice()).read_to_end(&mut plain)?;
        entries = plain;
    }
    let (mut rest, mut records) = (entries.as_slice(), Vec::new());
    while !rest.is_empty() {
        let [time, record] = msgpack::read(&mut rest)?.items()?;
        records.push(Received { tag: tag.to_owned(), time: Some(event_time(&time)?), record: record.json()? });
    }
    match options.get("size") {
        Some(Pack::Int(size)) if *size == records.len() as i128 => Ok(records),
        size => Err(refused(&format!("size is {size:?}, and there are {} records", records.len()))),
    }
}

fn event_time(time: &Pack) -> io::Result<(u32, u32)> {
    let Pack::Ext(0, bytes) = time else { return Err(refused("no EventTime")) };
    let ([seconds, nanoseconds], []) = bytes.as_chunks() else { return Err(refused("an EventTime has 8 bytes")) };
    Ok((u32::from_be_bytes(*seconds), u32::from_be_bytes(*nanoseconds)))
}

fn shake_hands(shared: &Shared, stream: &mut impl Both, key: &str) -> io::Result<()> {
    let auth = if shared.demands.user.is_some() { AUTH } else { b"" };
    let options = vec![
        (word("nonce"), Pack::Bin(NONCE.to_vec())),
        (word("auth"), Pack::Bin(auth.to_vec())),
        (word("keepalive"), Pack::Bool(!shared.demands.one_chunk_a_connection)),
    ];
    say(stream, &Pack::List(vec![word("HELO"), Pack::Map(options)]))?;
    let [ping, name, salt, proof, user, password] = msgpack::read(stream)?.items()?;
    if ping.text()? != "PING" {
        return Err(refused("no PING"));
    }
    let (name, salt) = (name.text()?, salt.text()?);
    let knows_key = proof.text()? == hex(&[salt.as_bytes(), name.as_bytes(), NONCE, key.as_bytes()]);
    let is_user = match &shared.demands.user {
        None => true,
        Some((known, secret)) => {
            let proof = hex(&[AUTH, known.as_bytes(), secret.as_bytes()]);
            user.text()? == known && password.text()? == proof
        }
    };
    let why = match (knows_key, is_user) {
        (false, _) => "shared_key mismatch",
        (_, false) => "username/password mismatch",
        _ => "",
    };
    let own_proof = hex(&[salt.as_bytes(), NAME.as_bytes(), NONCE, key.as_bytes()]);
    let own_proof = if why.is_empty() { own_proof } else { String::new() };
    let pong = vec![word("PONG"), Pack::Bool(why.is_empty()), word(why), word(NAME), word(&own_proof)];
    say(stream, &Pack::List(pong))?;
    if why.is_empty() { Ok(()) } else { Err(refused(why)) }
}
