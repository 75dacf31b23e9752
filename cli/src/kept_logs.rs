//! How much of what containers write a node keeps, as it is typed.

use clap::Args;
use jiff::SignedDuration;
use sampan_core::object::Quantity;
use sampan_nodeagent::LogLimits;

/// Less than this holds no more than a few blocks of lines.
const SIZE_MIN: &str = "1Mi";

/// How much of what containers write a node keeps: what came first goes first.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct KeptLogs {
    /// Keep so much of what containers write here, such as `512Mi`; 1Gi unless given
    #[arg(long, value_name = "SIZE", value_parser = size)]
    logs_size: Option<u64>,
    /// Keep what containers write here for so long, such as `24h`; a week unless given
    #[arg(long, value_name = "DURATION", value_parser = age)]
    logs_age: Option<u64>,
}

impl KeptLogs {
    /// The limits of the node.
    pub(crate) fn limits(self) -> LogLimits {
        let unless = LogLimits::default();
        LogLimits {
            bytes: self.logs_size.unwrap_or(unless.bytes),
            age_seconds: self.logs_age.unwrap_or(unless.age_seconds),
        }
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    let quantity = Quantity::parse(text).map_err(|error| error.to_string())?;
    u64::try_from(quantity.value()).map_err(|_| "it is below nothing".to_owned())
}

fn size(text: &str) -> Result<u64, String> {
    let size = bytes(text)?;
    if size < bytes(SIZE_MIN)? { Err(format!("at least {SIZE_MIN} is kept")) } else { Ok(size) }
}

fn age(text: &str) -> Result<u64, String> {
    let age: SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    match u64::try_from(age.as_secs()) {
        Ok(seconds) if seconds > 0 => Ok(seconds),
        _ => Err("they are kept for a second at least".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Arguments, Command};

    fn limits(arguments: &[&str]) -> Result<LogLimits, String> {
        let words = ["sampan", "up"].iter().chain(arguments);
        match Arguments::try_parse_from(words).map_err(|error| error.to_string())?.command {
            Command::Up(up) => Ok(up.logs.limits()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_kept_is_what_was_typed_and_else_as_ever() {
        assert_eq!(limits(&[]), Ok(LogLimits::default()));
        let typed = limits(&["--logs-size", "512Mi", "--logs-age", "24h"]);
        assert_eq!(typed, Ok(LogLimits { bytes: 512 << 20, age_seconds: 86_400 }));
        for (flag, value, why) in [
            ("--logs-size", "1Ki", "at least 1Mi"),
            ("--logs-size", "much", "'much'"),
            ("--logs-age=-1h", "", "second at least"),
            ("--logs-age", "long", "'long'"),
        ] {
            let arguments: Vec<&str> = [flag, value].into_iter().filter(|word| !word.is_empty()).collect();
            let refused = limits(&arguments).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
