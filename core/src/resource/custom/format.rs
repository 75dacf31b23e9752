//! The formats a text may be asked to have. One that is not known asks for nothing, as in Kubernetes.

use std::net::{Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;

use crate::object::names;

/// Whether a text has a format.
pub fn is_of(format: &str, text: &str) -> bool {
    match format {
        "date-time" | "datetime" => text.parse::<Timestamp>().is_ok(),
        "date" => is_date(text),
        "duration" => go_duration(text).is_some(),
        "uri" => is_uri(text),
        "email" => is_email(text),
        "hostname" => is_hostname(text),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "ip" => text.parse::<std::net::IpAddr>().is_ok(),
        "cidr" => is_cidr(text),
        "mac" => is_mac(text),
        "uuid" => is_uuid(text, None),
        "uuid3" => is_uuid(text, Some(b'3')),
        "uuid4" => is_uuid(text, Some(b'4')),
        "uuid5" => is_uuid(text, Some(b'5')),
        "bsonobjectid" => text.len() == 24 && is_hex(text),
        "hexcolor" => text.strip_prefix('#').is_some_and(|rest| matches!(rest.len(), 3 | 6) && is_hex(rest)),
        "rgbcolor" => is_rgb_color(text),
        "creditcard" => is_credit_card(text),
        "ssn" => is_parted(text, '-', &[3, 2, 4]),
        "isbn10" => is_isbn(text, 10),
        "isbn13" => is_isbn(text, 13),
        "isbn" => is_isbn(text, 10) || is_isbn(text, 13),
        "byte" => is_base64(text),
        "k8s-short-name" => names::dns_1123_label(text).is_empty(),
        "k8s-long-name" => names::dns_1123_subdomain(text).is_empty(),
        _ => true,
    }
}

/// A duration as Go writes it, in nanoseconds: `1h15m30.5s`.
pub fn go_duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.as_bytes().first()? {
        b'-' => (-1.0, text.get(1..)?),
        b'+' => (1.0, text.get(1..)?),
        _ => (1.0, text),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut nanos = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|at| *at > 0)?;
        let number: f64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = match rest.get(..end)? {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        nanos += number * unit;
        rest = rest.get(end..)?;
    }
    (nanos <= i64::MAX as f64).then_some((sign * nanos) as i64)
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

fn is_uri(text: &str) -> bool {
    let is_clean = !text.is_empty() && !text.contains(|c: char| c.is_ascii_control() || c == ' ');
    let has_scheme = text.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    });
    is_clean && (has_scheme || text.starts_with('/'))
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    !local.is_empty() && !local.contains(|c: char| c.is_whitespace() || c == '@') && is_hostname(domain)
}

fn is_hostname(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let text = text.strip_suffix('.').unwrap_or(text);
    text.len() <= 253 && text.split('.').all(is_label)
}

fn is_cidr(text: &str) -> bool {
    let Some((address, prefix)) = text.split_once('/') else { return false };
    let bits = prefix.parse::<u8>().ok().filter(|_| prefix.bytes().all(|byte| byte.is_ascii_digit()));
    match (address.parse::<std::net::IpAddr>(), bits) {
        (Ok(address), Some(bits)) => bits <= if address.is_ipv4() { 32 } else { 128 },
        _ => false,
    }
}

fn is_mac(text: &str) -> bool {
    let separator = if text.contains(':') { ':' } else { '-' };
    let parts: Vec<&str> = text.split(separator).collect();
    matches!(parts.len(), 6 | 8 | 20) && parts.iter().all(|part| part.len() == 2 && is_hex(part))
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_uuid(text: &str, version: Option<u8>) -> bool {
    let bare = text.replace('-', "");
    let is_parted = !text.contains('-') || text.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
    let fits = version.is_none_or(|version| bare.as_bytes().get(12) == Some(&version));
    bare.len() == 32 && is_hex(&bare) && is_parted && fits
}

fn is_rgb_color(text: &str) -> bool {
    let inner = text.strip_prefix("rgb(").and_then(|rest| rest.strip_suffix(')'));
    let parts: Vec<&str> = inner.into_iter().flat_map(|inner| inner.split(',')).map(str::trim).collect();
    parts.len() == 3 && parts.iter().all(|part| part.parse::<u8>().is_ok())
}

fn is_parted(text: &str, separator: char, lengths: &[usize]) -> bool {
    let parts = || text.split([separator, ' ']);
    parts().map(str::len).eq(lengths.iter().copied())
        && parts().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The digits pass the check of Luhn.
fn is_credit_card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    let doubled = digits.iter().rev().enumerate().map(|(place, digit)| match place % 2 {
        0 => *digit,
        _ => digit * 2 - if *digit > 4 { 9 } else { 0 },
    });
    let is_clean = text.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | ' '));
    (13..=19).contains(&digits.len()) && is_clean && doubled.sum::<u32>() % 10 == 0
}

fn is_isbn(text: &str, length: usize) -> bool {
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| !matches!(c, '-' | ' '))
        .map(|c| if c == 'X' { 10 } else { c.to_digit(10).unwrap_or(99) })
        .collect();
    if digits.len() != length || digits.contains(&99) {
        return false;
    }
    let weighted = |weight: &dyn Fn(usize) -> u32| -> u32 {
        digits.iter().enumerate().map(|(place, digit)| digit * weight(place)).sum()
    };
    match length {
        10 => weighted(&|place| 10 - place as u32) % 11 == 0,
        _ => weighted(&|place| if place % 2 == 0 { 1 } else { 3 }) % 10 == 0,
    }
}

fn is_base64(text: &str) -> bool {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_tells_texts_apart() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("date-time", &["2020-01-02T03:04:05Z", "2020-01-02T03:04:05.5+01:00"], &["2020-01-02", "x", ""]),
            ("date", &["2020-02-29"], &["2021-02-29", "2020-1-1", "x"]),
            ("duration", &["1h15m30.5s", "0", "-2ms"], &["", "1", "1d", "h", "."]),
            ("uri", &["https://a.example/x?y=z", "/path"], &["", "a b", "nothing"]),
            ("email", &["a@b.example"], &["a", "@b", "a b@c"]),
            ("hostname", &["a-b.example"], &["-a", "a_b", ""]),
            ("ipv4", &["10.0.0.1"], &["10.0.0", "::1", "10.0.0.256"]),
            ("ipv6", &["::1"], &["10.0.0.1", ":::"]),
            ("cidr", &["10.0.0.0/8", "::/0"], &["10.0.0.0/33", "10.0.0.0", "10.0.0.0/+8"]),
            ("mac", &["00:11:22:aa:bb:cc"], &["00:11:22:aa:bb", "xx:11:22:aa:bb:cc"]),
            ("uuid", &["123e4567-e89b-12d3-a456-426614174000"], &["123e4567", ""]),
            ("uuid4", &["123e4567-e89b-42d3-a456-426614174000"], &["123e4567-e89b-12d3-a456-426614174000"]),
            ("hexcolor", &["#fff", "#aabbcc"], &["fff", "#ff", "#ggg"]),
            ("rgbcolor", &["rgb(1, 2, 255)"], &["rgb(1,2)", "rgb(1,2,256)"]),
            ("creditcard", &["4111 1111 1111 1111"], &["4111 1111 1111 1112", "1"]),
            ("isbn", &["0-306-40615-2", "978-0-306-40615-7"], &["0-306-40615-3", "é"]),
            ("byte", &["YQ==", ""], &["YQ", "é"]),
            ("k8s-short-name", &["a-b"], &["a.b", "A"]),
            ("unheard-of", &["", "anything"], &[]),
        ];
        for (format, ok, wrong) in cases {
            for text in *ok {
                assert!(is_of(format, text), "{format} {text:?}");
            }
            for text in *wrong {
                assert!(!is_of(format, text), "{format} {text:?}");
            }
        }
    }
}
