//! What commands print. Where nobody reads on, as behind `head`, they end without a word.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _, stdout};

/// How a shell tells of a program that wrote to a pipe nobody reads: 128 and the number of the signal it ends others with.
const PIPE_CLOSED: i32 = 141;

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
        std::process::exit(PIPE_CLOSED);
    }
}

/// Prints a text as it is. False when nobody reads on.
pub(crate) fn heard(text: impl Display) -> io::Result<bool> {
    match write!(stdout().lock(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        told => told.map(|()| true),
    }
}
