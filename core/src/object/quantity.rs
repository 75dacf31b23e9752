//! Quantities: amounts of CPU, memory and the like, exact and in the user's spelling.
//!
//! The grammar is Kubernetes' (`k8s.io/apimachinery`, "Quantity"): a decimal number with a decimal suffix (`n u m k M G T P
//! E`), a binary one (`Ki Mi Gi Ti Pi Ei`) or a decimal exponent (`e3`, `E-3`).

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Nothing finer than a billionth is kept: the rest is rounded away from zero.
const FINEST_EXPONENT: i32 = -9;
/// The largest amount Kubernetes keeps: 2^63 - 1 units. Larger amounts are cut to it.
const MOST_UNITS: i128 = i64::MAX as i128;
/// Billionths in one unit.
const NANOS: i128 = 1_000_000_000;
/// Significant digits kept: the largest amount in billionths has 28.
const KEPT_DIGITS: usize = 28;
/// Digits of a fraction kept while it is multiplied: 10^34 × 1024 still fits 128 bits.
const KEPT_FRACTION_DIGITS: u32 = 34;

/// How a quantity was written, which is how its canonical form is written too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum QuantityFormat {
    /// `100m`, `5`, `2G`.
    DecimalSuffix,
    /// `64Mi`.
    BinarySuffix,
    /// `1e3`.
    DecimalExponent,
}

/// An exact amount between -2^63 and 2^63 units, in steps of a billionth.
///
/// Two quantities are equal when their amounts are: `1` equals `1000m`. [`Display`](fmt::Display) and serde keep the
/// spelling it was parsed from; a computed quantity has its [canonical](Quantity::canonical) form.
#[derive(Clone)]
pub struct Quantity {
    nanos: i128,
    format: QuantityFormat,
    spelling: Option<Box<str>>,
}

/// Why a text is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// The text is not of the grammar.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// The number is right, what follows is no known suffix.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

impl Quantity {
    /// Nothing, written `0`.
    pub const ZERO: Self = Self { nanos: 0, format: QuantityFormat::DecimalSuffix, spelling: None };

    /// Reads a quantity and keeps its spelling.
    ///
    /// # Errors
    /// When `text` is no quantity.
    ///
    /// # Example
    /// ```
    /// use sampan_core::object::Quantity;
    /// let cpu = Quantity::parse("1.5")?;
    /// assert_eq!(cpu.milli_value(), 1500);
    /// assert_eq!(cpu, Quantity::parse("1500m")?);
    /// assert_eq!(cpu.to_string(), "1.5");
    /// # Ok::<(), sampan_core::object::QuantityError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let parts = Parts::split(text)?;
        let (scale, format) = Scale::of(parts.suffix)?;
        let nanos = parts.amount(scale);
        Ok(Self { nanos, format, spelling: Some(text.into()) })
    }

    /// `units` whole units.
    pub fn from_units(units: i64) -> Self {
        Self { nanos: i128::from(units) * NANOS, ..Self::ZERO }
    }

    /// `milli` thousandths.
    pub fn from_milli(milli: i64) -> Self {
        Self { nanos: i128::from(milli) * (NANOS / 1000), ..Self::ZERO }
    }

    /// `nanos` billionths.
    pub fn from_nanos(nanos: i64) -> Self {
        Self { nanos: i128::from(nanos), ..Self::ZERO }
    }

    /// `bytes`, shown with binary suffixes.
    pub fn from_bytes(bytes: i64) -> Self {
        Self { format: QuantityFormat::BinarySuffix, ..Self::from_units(bytes) }
    }

    /// Whole units, rounded up (away from zero).
    pub fn value(&self) -> i64 {
        self.rounded_up(NANOS)
    }

    /// Thousandths, rounded up; saturates.
    pub fn milli_value(&self) -> i64 {
        self.rounded_up(NANOS / 1000)
    }

    fn rounded_up(&self, step: i128) -> i64 {
        let value = divided_away_from_zero(self.nanos, step);
        i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
    }

    /// Whether the amount is zero.
    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    /// Whether the amount is below zero.
    pub fn is_negative(&self) -> bool {
        self.nanos < 0
    }

    /// Whether the amount has no fraction.
    pub fn is_whole(&self) -> bool {
        self.nanos % NANOS == 0
    }

    /// The sum, in this one's format unless it is zero; saturates at the ends of the range.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.combined(other, self.nanos + other.nanos)
    }

    /// The difference, in this one's format unless it is zero; saturates at the ends of the range.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.combined(other, self.nanos - other.nanos)
    }

    /// The same amount, to be written in decimal.
    #[must_use]
    pub fn decimal(&self) -> Self {
        Self { nanos: self.nanos, format: QuantityFormat::DecimalSuffix, spelling: None }
    }

    fn combined(&self, other: &Self, nanos: i128) -> Self {
        let format = if self.is_zero() { other.format } else { self.format };
        let most = MOST_UNITS * NANOS;
        Self { nanos: nanos.clamp(-most, most), format, spelling: None }
    }

    /// The one spelling all equal quantities of a format share: no fraction, the largest suffix that fits.
    pub fn canonical(&self) -> String {
        match self.format {
            _ if self.nanos == 0 => "0".to_owned(),
            QuantityFormat::BinarySuffix if self.is_whole() && self.nanos.abs() >= 1024 * NANOS => {
                canonical_binary(self.nanos / NANOS)
            }
            QuantityFormat::DecimalExponent => canonical_decimal(self.nanos, exponent_suffix),
            _ => canonical_decimal(self.nanos, decimal_suffix),
        }
    }
}

fn canonical_binary(mut units: i128) -> String {
    let mut power = 0;
    while units % 1024 == 0 && power < 6 {
        units /= 1024;
        power += 1;
    }
    let suffix = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].get(power).copied().unwrap_or_default();
    format!("{units}{suffix}")
}

fn canonical_decimal(nanos: i128, suffix: fn(i32) -> Cow<'static, str>) -> String {
    let (mut amount, mut exponent) = (nanos, FINEST_EXPONENT);
    while amount % 1000 == 0 && exponent < 18 {
        amount /= 1000;
        exponent += 3;
    }
    format!("{amount}{}", suffix(exponent))
}

fn decimal_suffix(exponent: i32) -> Cow<'static, str> {
    Cow::Borrowed(match exponent {
        -9 => "n",
        -6 => "u",
        -3 => "m",
        3 => "k",
        6 => "M",
        9 => "G",
        12 => "T",
        15 => "P",
        18 => "E",
        _ => "",
    })
}

fn exponent_suffix(exponent: i32) -> Cow<'static, str> {
    if exponent == 0 { Cow::Borrowed("") } else { Cow::Owned(format!("e{exponent}")) }
}

fn divided_away_from_zero(value: i128, step: i128) -> i128 {
    let quotient = value / step;
    match value % step {
        0 => quotient,
        rest => quotient + rest.signum(),
    }
}

/// A quantity's text, cut at its joints.
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    suffix: &'a str,
}

impl<'a> Parts<'a> {
    fn split(text: &'a str) -> Result<Self, QuantityError> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let (whole, rest) = digits(unsigned);
        let (fraction, suffix) = rest.strip_prefix('.').map_or(("", rest), digits);
        if whole.is_empty() && fraction.is_empty() {
            return Err(QuantityError::Format);
        }
        if !suffix.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'-')) {
            return Err(QuantityError::Format);
        }
        Ok(Self { negative: text.starts_with('-'), whole, fraction, suffix })
    }

    /// The amount in billionths, rounded away from zero and cut to the range.
    fn amount(&self, scale: Scale) -> i128 {
        let whole = self.whole.trim_start_matches('0');
        let fraction = self.fraction.trim_end_matches('0');
        let (mantissa, dropped, exact) = significant(whole, fraction);
        let exponent = dropped - i32::try_from(fraction.len()).unwrap_or(i32::MAX);
        let most = MOST_UNITS * NANOS;
        let nanos = scaled(mantissa, exponent.saturating_add(scale.exponent), scale.kibi_steps)
            .map_or(most, |(nanos, even)| if even && exact { nanos } else { nanos.saturating_add(1) }.min(most));
        if self.negative { -nanos } else { nanos }
    }
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

/// The leading digits as a number, how many were left out behind them, and whether those were all zero.
fn significant(whole: &str, fraction: &str) -> (i128, i32, bool) {
    let mut all = whole.bytes().chain(fraction.bytes()).skip_while(|c| *c == b'0');
    let mantissa = all.by_ref().take(KEPT_DIGITS).fold(0_i128, |sum, c| sum * 10 + i128::from(c - b'0'));
    let rest: Vec<u8> = all.collect();
    let dropped = i32::try_from(rest.len()).unwrap_or(i32::MAX);
    (mantissa, dropped, rest.iter().all(|c| *c == b'0'))
}

/// `mantissa × 10^exponent × 1024^kibi_steps` in billionths and whether that is exact; `None` where it is beyond the range.
fn scaled(mut mantissa: i128, exponent: i32, kibi_steps: u32) -> Option<(i128, bool)> {
    let shift = exponent.saturating_sub(FINEST_EXPONENT);
    if mantissa == 0 {
        return Some((0, true));
    }
    if shift >= 0 {
        let power = 10_i128.checked_pow(shift.unsigned_abs())?;
        return Some((mantissa.checked_mul(power)?.checked_mul(1024_i128.pow(kibi_steps))?, true));
    }
    let mut fraction_digits = shift.unsigned_abs();
    let mut exact = true;
    while fraction_digits > KEPT_FRACTION_DIGITS && mantissa != 0 {
        exact &= mantissa % 10 == 0;
        mantissa /= 10;
        fraction_digits -= 1;
    }
    if mantissa == 0 {
        return Some((0, exact));
    }
    let divisor = 10_i128.checked_pow(fraction_digits)?;
    let (mut whole, mut rest) = (mantissa / divisor, mantissa % divisor);
    for _ in 0..kibi_steps {
        rest *= 1024;
        whole = whole.checked_mul(1024)?.checked_add(rest / divisor)?;
        rest %= divisor;
    }
    Some((whole, exact && rest == 0))
}

/// What a suffix multiplies with: `10^exponent × 1024^kibi_steps`.
#[derive(Clone, Copy)]
struct Scale {
    exponent: i32,
    kibi_steps: u32,
}

impl Scale {
    fn of(suffix: &str) -> Result<(Self, QuantityFormat), QuantityError> {
        let decimal = |exponent| Ok((Self { exponent, kibi_steps: 0 }, QuantityFormat::DecimalSuffix));
        let binary = |kibi_steps| Ok((Self { exponent: 0, kibi_steps }, QuantityFormat::BinarySuffix));
        match suffix {
            "n" => decimal(-9),
            "u" => decimal(-6),
            "m" => decimal(-3),
            "" => decimal(0),
            "k" => decimal(3),
            "M" => decimal(6),
            "G" => decimal(9),
            "T" => decimal(12),
            "P" => decimal(15),
            "E" => decimal(18),
            "Ki" => binary(1),
            "Mi" => binary(2),
            "Gi" => binary(3),
            "Ti" => binary(4),
            "Pi" => binary(5),
            "Ei" => binary(6),
            other => Self::of_exponent(other),
        }
    }

    fn of_exponent(suffix: &str) -> Result<(Self, QuantityFormat), QuantityError> {
        let digits = suffix.strip_prefix(['e', 'E']).ok_or(QuantityError::Suffix)?;
        let exponent = digits.parse::<i32>().map_err(|_| QuantityError::Suffix)?;
        Ok((Self { exponent, kibi_steps: 0 }, QuantityFormat::DecimalExponent))
    }
}

impl std::str::FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.spelling {
            Some(spelling) => f.write_str(spelling),
            None => f.write_str(&self.canonical()),
        }
    }
}

impl fmt::Debug for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Quantity({self})")
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quantity(text: &str) -> Quantity {
        Quantity::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn amounts_are_exact() {
        let cases = [
            ("0", 0),
            ("1", NANOS),
            ("+1", NANOS),
            ("-1", -NANOS),
            ("1.", NANOS),
            (".5", NANOS / 2),
            ("100m", NANOS / 10),
            ("1u", 1000),
            ("1n", 1),
            ("0.1n", 1),
            ("-0.1n", -1),
            ("1k", 1000 * NANOS),
            ("1Ki", 1024 * NANOS),
            ("1.5Gi", 1_610_612_736 * NANOS),
            ("0.001Ki", 1_024_000_000),
            ("1e3", 1000 * NANOS),
            ("1E3", 1000 * NANOS),
            ("1e-3", NANOS / 1000),
            ("1E", 1_000_000_000_000_000_000 * NANOS),
            ("7Ei", (7 << 60) * NANOS),
            ("9Ei", MOST_UNITS * NANOS),
            ("123456789012.123456789", 123_456_789_012_123_456_789),
            ("1e2147483647", MOST_UNITS * NANOS),
            ("1e-2147483647", 1),
            ("0e2147483647", 0),
            ("-99999999999999999999999999999999999999999999", -MOST_UNITS * NANOS),
        ];
        for (text, nanos) in cases {
            assert_eq!(quantity(text).nanos, nanos, "{text}");
        }
        let long = format!("0.{}1Ei", "0".repeat(100));
        assert_eq!(quantity(&long).nanos, 1, "a trace is rounded up");
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", ".", "-", "a", "1 ", " 1", "1.2.3", "--1", "1,5", "é"] {
            assert_eq!(Quantity::parse(text).unwrap_err(), QuantityError::Format, "{text}");
        }
        for text in ["1ki", "1mi", "1K", "1Mb", "1e", "1eE3", "1-3", "1e99999999999"] {
            assert_eq!(Quantity::parse(text).unwrap_err(), QuantityError::Suffix, "{text}");
        }
    }

    #[test]
    fn the_canonical_form_has_the_largest_suffix_without_a_fraction() {
        let cases = [
            ("1000m", "1"),
            ("1.5", "1500m"),
            ("0.0", "0"),
            ("2048Ki", "2Mi"),
            ("512Ki", "512Ki"),
            ("0.5Ki", "512"),
            ("1.5Gi", "1536Mi"),
            ("1000Ki", "1000Ki"),
            ("2000M", "2G"),
            ("1e3", "1e3"),
            ("10000e0", "10e3"),
            ("0.1Ki", "102400m"),
        ];
        for (text, canonical) in cases {
            assert_eq!(quantity(text).canonical(), canonical, "{text}");
            assert_eq!(quantity(text).to_string(), text);
        }
    }

    #[test]
    fn values_are_rounded_up() {
        assert_eq!(quantity("1100m").value(), 2);
        assert_eq!(quantity("-1100m").value(), -2);
        assert_eq!(quantity("1.0001").milli_value(), 1001);
        assert_eq!(quantity("8E").milli_value(), i64::MAX);
    }

    #[test]
    fn sums_keep_the_format_of_the_first_that_is_not_zero() {
        assert_eq!(Quantity::ZERO.plus(&quantity("1Ki")).to_string(), "1Ki");
        assert_eq!(quantity("1.5").plus(&quantity("500m")).to_string(), "2");
        assert_eq!(quantity("1Mi").minus(&quantity("1Ki")).to_string(), "1023Ki");
        assert_eq!(quantity("9E").plus(&quantity("9E")).value(), i64::MAX);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic_and_the_canonical_form_is_equal(text in "[-+]?[0-9]{0,30}[.]?[0-9]{0,30}(|n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|e[-+]?[0-9]{1,3})") {
            if let Ok(read) = Quantity::parse(&text) {
                prop_assert_eq!(&quantity(&read.canonical()), &read);
            }
        }
    }
}
