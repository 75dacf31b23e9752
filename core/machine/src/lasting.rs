//! Names that are learnt at run time and used like those written in the source.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Every name asked for so far. Its size is that of the vocabulary.
static KNOWN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

/// The text, for as long as the process lives.
///
/// For the vocabulary of operators learnt at run time: their names, states, guards and pointers. These are compared and
/// copied at every step, so they are plain references as those of the operators built in are.
///
/// # Caveats
/// Each distinct text is kept for ever, once. Names that are declared are few; what a step *says* (messages, reasons) has
/// no bound and must not pass here.
pub fn lasting(text: &str) -> &'static str {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kept) = known.get(text) {
        return kept;
    }
    let kept: &'static str = Box::leak(text.into());
    known.insert(kept);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_learnt_twice_is_kept_once() {
        let (one, other) = (lasting("Brewing"), lasting(&["Brew", "ing"].concat()));
        assert_eq!(one, "Brewing");
        assert!(std::ptr::eq(one, other));
    }
}
