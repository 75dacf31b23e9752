//! What objects amount to together: sums that are kept as objects change, so that reading one costs the same however many
//! objects are behind it.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::OrdMap;

use crate::object::{Name, Object, ResourceType, Share};

/// Sums by name, such as the thousandths of CPUs that the pods of a node ask for. They are wider than the amounts, so that what
/// was added can be taken away again whatever it was; who reads one that fits no amount is told the nearest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums(BTreeMap<Name, i128>);

impl Sums {
    /// A sum; 0 where no object adds to it.
    pub fn get(&self, name: &str) -> i64 {
        self.0.get(name).copied().map_or(0, nearest)
    }

    /// The sums that are not 0.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().map(|(name, amount)| (&**name, nearest(*amount)))
    }

    /// Puts a sum that is 0 away: only what is there costs.
    fn add(&mut self, name: &str, amount: i128) {
        let known = self.0.get_mut(name);
        let sum = known.as_deref().copied().unwrap_or_default() + amount;
        match known {
            _ if sum == 0 => drop(self.0.remove(name)),
            Some(known) => *known = sum,
            None => drop(self.0.insert(name.into(), sum)),
        }
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A sum as an amount: the nearest one.
pub(super) fn nearest(sum: i128) -> i64 {
    i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX })
}

impl FromIterator<(String, i64)> for Sums {
    fn from_iter<I: IntoIterator<Item = (String, i64)>>(amounts: I) -> Self {
        let mut sums = Self::default();
        amounts.into_iter().for_each(|(name, amount)| sums.add(&name, amount.into()));
        sums
    }
}

/// The sums of all resource types, by what their objects have a share in.
#[derive(Clone, Default)]
pub(super) struct Totals(OrdMap<(ResourceType, Name), Arc<Sums>>);

impl Totals {
    pub(super) fn get(&self, resource: ResourceType, of: &str) -> Option<&Arc<Sums>> {
        self.0.get(&(resource, of.into()))
    }

    /// Takes away what `old` had a share in, and adds what `new` has.
    pub(super) fn replace(&mut self, old: Option<&Object>, new: Option<&Object>) {
        let (before, after) = (old.and_then(Object::share), new.and_then(Object::share));
        if before == after {
            return;
        }
        for (object, share, sign) in [(old, before, -1), (new, after, 1)] {
            if let (Some(object), Some(share)) = (object, share) {
                self.add(object.key().resource, share, sign);
            }
        }
    }

    fn add(&mut self, resource: ResourceType, share: Share<'_>, sign: i128) {
        let key = (resource, share.of().into());
        let mut sums = self.0.get(&key).cloned().unwrap_or_default();
        let own = Arc::make_mut(&mut sums);
        share.amounts().for_each(|(name, amount)| own.add(name, i128::from(amount) * sign));
        if own.is_empty() {
            self.0.remove(&key);
        } else {
            self.0.insert(key, sums);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::object::{Draft, ObjectKey, Revision, SHARE, written_share};

    const PODS: ResourceType = ResourceType::new("", "pods");

    fn pod(name: &str, node: Option<&str>, cpu: i64) -> Object {
        let key = ObjectKey::namespaced(PODS, "default", name);
        let value = json!({"metadata": {"name": name, "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}});
        let fields = node.map(|node| (SHARE, written_share(node, [("cpu", cpu), ("pods", 1)])));
        Draft::new(key, value, fields.into_iter().collect()).unwrap().at(Revision(1))
    }

    /// Few, so that many are equal, and some of which two fit no amount.
    fn cpu() -> impl Strategy<Value = i64> {
        prop_oneof![3 => 0..5_i64, 1 => Just(i64::MAX)]
    }

    #[test]
    fn a_sum_that_fits_no_amount_is_told_as_the_greatest_one() {
        let sums: Sums =
            [("cpu", i64::MAX), ("cpu", 1)].map(|(name, amount)| (name.to_owned(), amount)).into_iter().collect();
        assert_eq!((sums.get("cpu"), sums.iter().next()), (i64::MAX, Some(("cpu", i64::MAX))));
    }

    proptest! {
        /// Whatever comes and goes: the sums are those of what is there.
        #[test]
        fn the_sums_are_those_of_the_objects(steps in prop::collection::vec((0..4_usize, prop::option::of(0..3_usize), cpu()), 0..40)) {
            let nodes = ["a", "b", "c"];
            let mut there: BTreeMap<usize, Object> = BTreeMap::new();
            let mut totals = Totals::default();
            for (name, node, cpu) in steps {
                let new = (cpu > 0).then(|| pod(&name.to_string(), node.map(|node| nodes[node]), cpu));
                totals.replace(there.get(&name), new.as_ref());
                match new {
                    Some(new) => there.insert(name, new),
                    None => there.remove(&name),
                };
            }
            for node in nodes {
                let shares = there.values().filter_map(Object::share).filter(|share| share.of() == node);
                let expect: Sums = shares.flat_map(|share| share.amounts().map(|(name, amount)| (name.to_owned(), amount)).collect::<Vec<_>>()).collect();
                prop_assert_eq!(totals.get(PODS, node).map(|sums| (**sums).clone()).unwrap_or_default(), expect);
            }
        }
    }
}
