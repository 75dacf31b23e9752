//! Where the pods of a Service are reached.

mod plain;
mod slice;

use super::ResourceDefinition;
use super::table::NONE;

pub use plain::ENDPOINTS;
pub use slice::ENDPOINT_SLICES;

/// So many of a list are shown in a table.
const SHOWN_MAX: usize = 3;
/// What a port may speak.
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

/// Endpoints and the slices that took their place.
pub(super) fn definitions() -> [ResourceDefinition; 2] {
    [plain::definition(), slice::definition()]
}

/// The first of a list, and how many more there are.
fn shown(list: &[String], nothing: &str) -> String {
    let first = list.get(..SHOWN_MAX.min(list.len())).unwrap_or_default().join(",");
    match list.len() {
        0 => nothing.to_owned(),
        count if count > SHOWN_MAX => format!("{first} + {} more...", count - SHOWN_MAX),
        _ => first,
    }
}

/// The first of a list, or that there is none.
fn shown_or_none(list: &[String]) -> String {
    shown(list, NONE)
}

/// `address:port`, with brackets around an address that has colons of its own.
fn host_and_port(address: &str, port: i64) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_cut() {
        let list = |count: usize| (0..count).map(|number| number.to_string()).collect::<Vec<_>>();
        assert_eq!(shown_or_none(&list(0)), "<none>");
        assert_eq!(shown_or_none(&list(3)), "0,1,2");
        assert_eq!(shown_or_none(&list(5)), "0,1,2 + 2 more...");
        assert_eq!(host_and_port("fd00::1", 80), "[fd00::1]:80");
    }
}
