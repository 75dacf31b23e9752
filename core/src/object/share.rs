//! An object's share in a sum, written beside its selectable fields.

use std::fmt::Write as _;

/// The field a share is written in. No selector names it and no index holds it.
pub const SHARE: &str = "share";

/// What an object adds to sums its type keeps: whose sums, and how much to each, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share<'o>(&'o str);

/// A share as it is written: whose sums, then a line for each amount, which comes last in it. A name that holds a line end is left
/// out: names may be what a client wrote, such as an owner's uid, and would add to sums they are not of.
pub fn written_share<'a>(of: &str, amounts: impl IntoIterator<Item = (&'a str, i64)>) -> String {
    let mut text = of.to_owned();
    for (name, amount) in amounts.into_iter().filter(|(name, _)| !name.contains('\n')) {
        write!(text, "\n{name}={amount}").expect("writing to memory cannot fail");
    }
    text
}

impl<'o> Share<'o> {
    pub(crate) fn read(fields: &'o [(&'static str, String)]) -> Option<Self> {
        fields.iter().find(|(name, _)| *name == SHARE).map(|(_, text)| Self(text))
    }

    /// A share by its text.
    pub(crate) fn written(text: &'o str) -> Self {
        Self(text)
    }

    /// As it is written.
    pub(crate) fn text(self) -> &'o str {
        self.0
    }

    /// Whose sums.
    pub fn of(&self) -> &'o str {
        self.0.split_once('\n').map_or(self.0, |(of, _)| of)
    }

    /// How much it adds, by name.
    pub fn amounts(&self) -> impl Iterator<Item = (&'o str, i64)> + use<'o> {
        let lines = self.0.split_once('\n').map_or("", |(_, lines)| lines).lines();
        lines.filter_map(|line| line.rsplit_once('=')).filter_map(|(name, amount)| Some((name, amount.parse().ok()?)))
    }

    /// Whether it is of other sums than `before`, or adds more to one of them.
    pub fn exceeds(&self, before: Share<'_>) -> bool {
        let had = |name: &str| before.amounts().find(|(known, _)| *known == name).map_or(0, |(_, amount)| amount);
        self != &before && (self.of() != before.of() || self.amounts().any(|(name, amount)| amount > had(name)))
    }
}
