//! Addresses of the network and ranges of them.

use std::net::IpAddr;

use super::super::{EvalError, Value};
use super::{Answer, Call};

pub(super) const NAMES: &[&str] = &[
    "ip",
    "isIP",
    "cidr",
    "isCIDR",
    "isCanonical",
    "family",
    "isUnspecified",
    "isLoopback",
    "isLinkLocalMulticast",
    "isLinkLocalUnicast",
    "isGlobalUnicast",
    "containsIP",
    "containsCIDR",
    "masked",
    "prefixLength",
];

pub(super) fn call<'a>(call: &mut Call<'a, '_>) -> Answer<'a> {
    match (call.room, &call.target, call.arguments.as_slice()) {
        (Some("ip"), _, [Value::Text(text)]) if call.name == "isCanonical" => {
            Some(address(text).map(|address| Value::Bool(address.to_string() == **text)))
        }
        (None, None, [Value::Text(text)]) => of_text(call.name, text),
        (None, Some(Value::Ip(address)), []) => of_address(call.name, *address),
        (None, Some(Value::Cidr(address, bits)), arguments) => of_range(call.name, *address, *bits, arguments),
        _ => None,
    }
}

fn of_text<'a>(name: &str, text: &str) -> Answer<'a> {
    Some(match name {
        "ip" => address(text).map(Value::Ip),
        "isIP" => Ok(Value::Bool(address(text).is_ok())),
        "cidr" => range(text).map(|(address, bits)| Value::Cidr(address, bits)),
        "isCIDR" => Ok(Value::Bool(range(text).is_ok())),
        _ => return None,
    })
}

fn address(text: &str) -> Result<IpAddr, EvalError> {
    let parsed = text.parse::<IpAddr>().ok();
    // An address of version 4 inside one of version 6 is none of either.
    let plain = parsed.filter(|address| !matches!(address, IpAddr::V6(inner) if inner.to_ipv4_mapped().is_some()));
    plain.ok_or_else(|| EvalError::failed(format!("IP Address {text:?} parse error during conversion from string")))
}

fn range(text: &str) -> Result<(IpAddr, u8), EvalError> {
    let parts = text.split_once('/').and_then(|(address, bits)| Some((address.parse().ok()?, bits.parse().ok()?)));
    let fits = |(address, bits): &(IpAddr, u8)| *bits <= width(address);
    parts.filter(fits).ok_or_else(|| EvalError::failed("network address parse error during conversion from string"))
}

fn width(address: &IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn of_address<'a>(name: &str, address: IpAddr) -> Answer<'a> {
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => (address.segments().first().copied().unwrap_or_default() & 0xffc0) == 0xfe80,
    };
    let is_link_local_multicast = match address {
        IpAddr::V4(address) => address.octets().starts_with(&[224, 0, 0]),
        IpAddr::V6(address) => (address.segments().first().copied().unwrap_or_default() & 0xff0f) == 0xff02,
    };
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    Some(Ok(match name {
        "family" => Value::Int(if address.is_ipv4() { 4 } else { 6 }),
        "isUnspecified" => Value::Bool(address.is_unspecified()),
        "isLoopback" => Value::Bool(address.is_loopback()),
        "isLinkLocalUnicast" => Value::Bool(is_link_local),
        "isLinkLocalMulticast" => Value::Bool(is_link_local_multicast),
        "isGlobalUnicast" => Value::Bool(
            !(address.is_unspecified()
                || address.is_loopback()
                || address.is_multicast()
                || is_link_local
                || is_broadcast),
        ),
        _ => return None,
    }))
}

fn of_range<'a>(name: &str, base: IpAddr, bits: u8, arguments: &[Value<'a>]) -> Answer<'a> {
    let inner = match arguments {
        [] => None,
        [Value::Ip(address)] => Some(Ok((*address, width(address)))),
        [Value::Cidr(address, bits)] => Some(Ok((*address, *bits))),
        [Value::Text(text)] if name == "containsIP" => Some(address(text).map(|address| (address, width(&address)))),
        [Value::Text(text)] => Some(range(text)),
        _ => return None,
    };
    let holds = |(address, others): (IpAddr, u8)| {
        address.is_ipv4() == base.is_ipv4() && others >= bits && masked(address, bits) == masked(base, bits)
    };
    Some(match (name, inner) {
        ("containsIP" | "containsCIDR", Some(inner)) => inner.map(|inner| Value::Bool(holds(inner))),
        ("ip", None) => Ok(Value::Ip(base)),
        ("masked", None) => Ok(Value::Cidr(masked(base, bits), bits)),
        ("prefixLength", None) => Ok(Value::Int(bits.into())),
        _ => return None,
    })
}

fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or_default();
            IpAddr::V4((u32::from(address) & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or_default();
            IpAddr::V6((u128::from(address) & mask).into())
        }
    }
}
