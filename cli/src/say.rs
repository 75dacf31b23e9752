//! What commands print.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write as _, stdout};

/// How a shell tells of a program that wrote to a pipe nobody reads: 128 and the number of the signal it ends others with.
const PIPE_CLOSED: i32 = 141;

/// Prints a line, as `println!` does. Where nobody reads on, as behind `head`, the program ends without a word.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::say::line(format_args!($($text)*))
    };
}
pub(crate) use say;

pub(crate) fn line(text: Arguments<'_>) {
    match writeln!(stdout().lock(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(PIPE_CLOSED),
        told => told.expect("standard output takes what is printed"),
    }
}
