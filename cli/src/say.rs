//! What commands print. Where nobody reads on, as behind `head`, they end without a word.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::io::{self, ErrorKind, Write as _, stdout};
use std::process::ExitCode;

use anyhow::{Result, ensure};

/// How a shell tells of a program that wrote to a pipe nobody reads: 128 and the number of the signal it ends others with.
const PIPE_CLOSED: u8 = 141;

/// Nobody reads on.
#[derive(Debug)]
pub(crate) struct Unheard;

impl Display for Unheard {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("nobody reads on")
    }
}

impl Error for Unheard {}

impl Unheard {
    /// How a command ends that ends by this.
    pub(crate) fn exit_code() -> ExitCode {
        ExitCode::from(PIPE_CLOSED)
    }
}

/// Prints a line, as `println!` does.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::say::text(format_args!("{}\n", format_args!($($text)*)))
    };
}
pub(crate) use say;

/// Prints a text as it is, as `print!` does.
pub(crate) fn text(text: impl Display) {
    if !heard(text).expect("standard output takes what is printed") {
        std::process::exit(PIPE_CLOSED.into());
    }
}

/// Prints a line, for commands that have something to clear up before they end.
///
/// # Errors
/// Where nobody reads on: [`Unheard`].
pub(crate) fn line(text: impl Display) -> Result<()> {
    ensure!(heard(format_args!("{text}\n"))?, Unheard);
    Ok(())
}

/// Prints a text as it is. False when nobody reads on.
pub(crate) fn heard(text: impl Display) -> io::Result<bool> {
    match write!(stdout().lock(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        told => told.map(|()| true),
    }
}
