//! The marks by which endpoints are drawn: a packet carries one from the rule that draws to the rule that leads.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

/// Which endpoint of which Service behind which door.
pub(super) type Led = String;

/// Marks given out, each to one endpoint behind one door. Who has none gets what its name hashes to, so that clients stay where they
/// are when the agent starts again; where that is another's already, by chance or by somebody's wish, the next that is free.
#[derive(Debug, Default)]
pub(super) struct Marks {
    by_led: BTreeMap<Led, u32>,
    taken: BTreeMap<u32, Led>,
}

impl Marks {
    /// The mark of an endpoint. 0 is none.
    pub(super) fn of(&mut self, led: &Led) -> u32 {
        self.by_led.get(led).copied().unwrap_or_else(|| self.give(led))
    }

    fn give(&mut self, led: &Led) -> u32 {
        let mut mark = first_choice(led);
        while self.taken.contains_key(&mark) {
            mark = mark.wrapping_add(1).max(1);
        }
        self.by_led.insert(led.clone(), mark);
        self.taken.insert(mark, led.clone());
        mark
    }

    /// The endpoint is led to no more.
    pub(super) fn release(&mut self, led: &Led) {
        if let Some(mark) = self.by_led.remove(led) {
            self.taken.remove(&mark);
        }
    }
}

fn first_choice(led: &str) -> u32 {
    (xxh3_64(led.as_bytes()) as u32).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_whose_names_hash_to_the_same_have_different_marks() {
        let mut first_by_hash = BTreeMap::new();
        let (one, other) = (0_u32..)
            .find_map(|number| {
                let led = format!("endpoint {number}");
                first_by_hash.insert(first_choice(&led), led.clone()).map(|earlier| (earlier, led))
            })
            .unwrap();
        let mut marks = Marks::default();
        let of_one = marks.of(&one);
        assert_ne!(of_one, marks.of(&other));
        assert_eq!(of_one, marks.of(&one), "it stays");
        marks.release(&one);
        assert_eq!(marks.of(&other), first_choice(&other) + 1, "it stays as well");
        assert_eq!(marks.of(&one), of_one);
    }
}
