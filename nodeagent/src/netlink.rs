//! The kernel's own way to be told of networks: a socket, and messages made of attributes (as in linux/netlink.h).

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, sendto, socket_with, sockopt,
};

/// A message of the kernel's answer, with what it answers, is no larger.
const ANSWER_MAX_BYTES: usize = 32 * 1024;
/// Room for all that can be under way.
const BUFFER_BYTES: usize = 1024 * 1024;
/// The head of a message.
pub(crate) const HEADER_BYTES: usize = 16;
const ERROR: u16 = 2;
/// The end of a list, with what the kernel has against it.
const DONE: u16 = 3;
/// What was listed has changed while it was: the kernel marks each message.
const INTERRUPTED: u16 = 0x10;
/// Flags of a message.
pub(crate) const IS_REQUEST: u16 = 0x1;
pub(crate) const WANTS_ANSWER: u16 = 0x4;
const NESTED: u16 = 0x8000;

/// A socket to one part of the kernel of the network namespace of whoever opens it.
#[derive(Debug)]
pub(crate) struct Wire(OwnedFd);

impl Wire {
    /// Opens one; to the part that keeps routes where none is named, as the kernel numbers them.
    ///
    /// # Errors
    /// When the kernel gives none.
    pub(crate) fn open(part: Option<Protocol>) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, part)?;
        sockopt::set_socket_send_buffer_size(&socket, BUFFER_BYTES)?;
        sockopt::set_socket_recv_buffer_size(&socket, BUFFER_BYTES)?;
        bind(&socket, &SocketAddrNetlink::new(0, 0))?;
        Ok(Self(socket))
    }

    /// Tells the kernel messages, one of which wants an answer. It carries them out while it is told.
    ///
    /// # Errors
    /// What the kernel has against them.
    pub(crate) fn tell(&self, messages: &[u8]) -> io::Result<()> {
        let answers = self.ask(messages)?;
        let mut codes = answers.iter().filter(|answer| answer.kind == ERROR).filter_map(Answer::code).peekable();
        if codes.peek().is_none() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        codes.find(|code| *code != 0).map_or(Ok(()), |code| Err(io::Error::from_raw_os_error(-code)))
    }

    /// What the kernel lists.
    ///
    /// # Errors
    /// What it has against it, and when the list is not whole.
    pub(crate) fn ask_all(&self, message: &[u8]) -> io::Result<Vec<Answer>> {
        whole(self.ask(message)?)
    }

    /// What the kernel answers to messages.
    fn ask(&self, messages: &[u8]) -> io::Result<Vec<Answer>> {
        sendto(&self.0, messages, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        let (mut answers, mut buffer) = (Vec::new(), vec![0; ANSWER_MAX_BYTES]);
        loop {
            // It has answered before the message counts as sent, and goes on with a long answer as it is read.
            match recv(&self.0, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((_, 0)) | Err(rustix::io::Errno::AGAIN) => return Ok(answers),
                Ok((_, length)) => answers.extend(split(buffer.get(..length).unwrap_or_default())),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// A message of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// What it is.
    pub(crate) kind: u16,
    flags: u16,
    /// What it says.
    pub(crate) content: Vec<u8>,
}

impl Answer {
    /// The result an answer tells: 0, or an error as a negative number.
    fn code(&self) -> Option<i32> {
        self.content.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes))
    }
}

/// A list, where it is one from end to end.
fn whole(answers: Vec<Answer>) -> io::Result<Vec<Answer>> {
    let codes = answers.iter().filter(|answer| matches!(answer.kind, ERROR | DONE)).filter_map(Answer::code);
    if let Some(code) = codes.into_iter().find(|code| *code != 0) {
        return Err(io::Error::from_raw_os_error(-code));
    }
    if answers.iter().any(|answer| answer.flags & INTERRUPTED != 0) {
        return Err(io::ErrorKind::Interrupted.into());
    }
    match answers.iter().any(|answer| answer.kind == DONE) {
        true => Ok(answers),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn split(mut bytes: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while let Some((header, _)) = bytes.split_at_checked(HEADER_BYTES) {
        let field = |at: usize| header.get(at..at + 2).and_then(|it| it.try_into().ok()).map_or(0, u16::from_ne_bytes);
        let length = header.first_chunk().map_or(0, |field| u32::from_ne_bytes(*field)) as usize;
        let length = length.max(HEADER_BYTES);
        let content = bytes.get(HEADER_BYTES..length.min(bytes.len())).unwrap_or_default().to_vec();
        answers.push(Answer { kind: field(4), flags: field(6), content });
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    answers
}

/// The attributes of a message, each with what it says.
pub(crate) fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let Some((header, _)) = bytes.split_at_checked(4) {
        let field = |at: usize| header.get(at..at + 2).and_then(|it| it.try_into().ok()).map_or(0, u16::from_ne_bytes);
        let length = usize::from(field(0)).max(4);
        found.push((field(2) & !NESTED, bytes.get(4..length.min(bytes.len())).unwrap_or_default()));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

/// An attribute of a message.
pub(crate) fn attribute(bytes: &mut Vec<u8>, kind: u16, content: &[u8]) {
    nest(bytes, kind, |bytes| bytes.extend(content));
}

/// An attribute of text.
pub(crate) fn text(bytes: &mut Vec<u8>, kind: u16, content: &str) {
    nest(bytes, kind, |bytes| bytes.extend(content.bytes().chain([0])));
}

/// An attribute of attributes.
pub(crate) fn nested(bytes: &mut Vec<u8>, kind: u16, content: impl FnOnce(&mut Vec<u8>)) {
    nest(bytes, kind | NESTED, content);
}

fn nest(bytes: &mut Vec<u8>, kind: u16, content: impl FnOnce(&mut Vec<u8>)) {
    let begin = bytes.len();
    bytes.extend([0; 2]);
    bytes.extend(kind.to_ne_bytes());
    content(bytes);
    let length = u16::try_from(bytes.len() - begin).expect("an attribute is some hundred bytes");
    if let Some(place) = bytes.get_mut(begin..begin + 2) {
        place.copy_from_slice(&length.to_ne_bytes());
    }
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, flags: u16, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER_BYTES + content.len()).unwrap();
        [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &flags.to_ne_bytes(), &[0; 8], content].concat()
    }

    #[test]
    fn a_list_that_is_not_whole_is_none() {
        const ROUTE: u16 = 24;
        let (multi, none, busy) = (0x2, 0_i32.to_ne_bytes(), (-16_i32).to_ne_bytes());
        let route = || message(ROUTE, multi, &[1, 2, 3, 4]);
        let done = |code: [u8; 4]| message(DONE, multi, &code);
        let read = |messages: &[Vec<u8>]| whole(split(&messages.concat())).map(|answers| answers.len()).ok();
        assert_eq!(read(&[route(), done(none)]), Some(2));
        assert_eq!(read(&[done(none)]), Some(1), "there are none");
        assert_eq!(read(&[message(ERROR, 0, &busy)]), None, "it was refused");
        assert_eq!(read(&[route(), done(busy)]), None, "it failed on the way");
        assert_eq!(read(&[route()]), None, "it ended early");
        assert_eq!(read(&[]), None, "nothing was said");
        assert_eq!(read(&[message(ROUTE, multi | INTERRUPTED, &[0; 4]), done(none)]), None, "it changed meanwhile");
    }
}
