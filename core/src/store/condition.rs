//! What must hold of the cluster, beyond the objects themselves, when a change is made.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::IndexKey;
use super::snapshot::Head;
use crate::object::{Name, Object, ObjectKey, ResourceType, Uid};

/// What must hold of the cluster when a change is made, after the changes before it in the same request.
///
/// Nothing of it is written down: it is decided on the objects alone, so that a crash can neither lose a claim nor leave
/// one behind.
#[derive(Debug, Clone)]
pub enum CommitCondition {
    /// The object exists and is not being deleted, such as the namespace something is created in.
    Active(ObjectKey),
    /// No other object is found under this key: an address or a port is given out once.
    Unique(IndexKey),
    /// With the object as it is put, the counter stays within a limit. What does not grow is never refused.
    Charge {
        /// What is counted.
        counter: Counter,
        /// What the object counts for as it is put.
        amount: i64,
        /// The most the counter may come to.
        limit: i64,
    },
}

/// Why a condition does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unmet {
    /// The object does not exist.
    #[error("{0} not found")]
    Missing(ObjectKey),
    /// The object is being deleted.
    #[error("{0} is being terminated")]
    Terminating(ObjectKey),
    /// Another object is found under the key already.
    #[error("{index:?} is taken by {by}")]
    Taken {
        /// What was claimed.
        index: Box<IndexKey>,
        /// Who has it.
        by: ObjectKey,
    },
    /// Counters would exceed their limits: all of one owner.
    #[error("{owner} is exceeded: {excesses:?}")]
    Exceeded {
        /// Who set the limits.
        owner: ObjectKey,
        /// Which limits, in order of their names.
        excesses: Vec<Excess>,
    },
}

/// By what a counter would exceed its limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excess {
    /// What is limited, such as `requests.cpu`.
    pub of: Name,
    /// What the counter comes to without the change.
    pub used: i64,
    /// What the change adds.
    pub requested: i64,
    /// The most it may come to.
    pub limit: i64,
}

/// What an object counts for.
pub type Measure = Arc<dyn Fn(&Object) -> i64 + Send + Sync>;

/// A sum over the objects of a resource type in a namespace, or everywhere.
#[derive(Clone)]
pub struct Counter {
    /// Who limits it: a quota. With its uid, because another of the same name may count otherwise.
    pub owner: (ObjectKey, Uid),
    /// What is counted, such as `requests.cpu`. Of one owner, one name measures one thing.
    pub of: Name,
    /// Whose objects are counted.
    pub resource: ResourceType,
    /// In which namespace; `None` counts all.
    pub namespace: Option<Name>,
    /// Which of them are counted, as the measure sees it: another choice is another count.
    pub scope: Name,
    /// What each counts for.
    pub measure: Measure,
}

/// What tells a counter from others.
pub(crate) type CounterId = (Uid, Name, ResourceType, Name);

impl Counter {
    /// Whether the object is one of those counted.
    pub(super) fn counts(&self, key: &ObjectKey) -> bool {
        key.resource == self.resource && (self.namespace.is_none() || key.namespace == self.namespace)
    }

    pub(crate) fn id(&self) -> CounterId {
        (self.owner.1.clone(), self.of.clone(), self.resource, self.scope.clone())
    }

    /// What an object counts for, as it is added up: in a sum as wide as any number of amounts needs.
    pub(super) fn weigh(&self, object: Option<&Object>) -> i128 {
        object.map_or(0, |object| (self.measure)(object).into())
    }

    fn sum(&self, head: &Head) -> i128 {
        head.list(self.resource, self.namespace.as_ref()).map(|object| self.weigh(Some(object))).sum()
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Counter({} {})", self.owner.0, self.of)
    }
}

/// How many sums are kept: one for each limited resource of each quota. Beyond it all are let go, and taken anew as needed.
const SUMS_MAX: usize = 4096;

/// The sums that were asked for, kept in step with the objects: the first question costs a look at every object counted,
/// later ones none.
#[derive(Clone, Default)]
pub(super) struct Counters(BTreeMap<CounterId, Sum>);

#[derive(Clone)]
struct Sum {
    counter: Counter,
    value: i128,
}

impl Counters {
    /// What the counter comes to on head.
    pub(super) fn value(&mut self, counter: &Counter, head: &Head) -> i128 {
        let id = counter.id();
        if let Some(sum) = self.0.get(&id) {
            return sum.value;
        }
        if self.0.len() >= SUMS_MAX {
            self.0.clear();
        }
        let value = counter.sum(head);
        self.0.insert(id, Sum { counter: counter.clone(), value });
        value
    }

    /// An object of head was replaced.
    pub(super) fn changed(&mut self, key: &ObjectKey, old: Option<&Object>, new: Option<&Object>) {
        for Sum { counter, value } in self.0.values_mut().filter(|sum| sum.counter.counts(key)) {
            *value += counter.weigh(new) - counter.weigh(old);
        }
    }

    /// Forgets every sum: head is another than the one they were kept in step with.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}
