//! What is proved of every operator, each by name, with a count of how often it was checked.

use std::collections::BTreeMap;

/// Something that must be true of every operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Property {
    /// No step is void and nothing panics.
    Soundness,
    /// It reads, creates, changes and deletes only what it declared.
    Declared,
    /// It changes and deletes nothing that belongs to others.
    Ownership,
    /// Every transition taken is declared.
    DeclaredEdges,
    /// The author's laws hold: those of every revision, and those of rest.
    Laws,
    /// What it creates is bounded.
    BoundedCreation,
    /// One commit holds no more than a commit may.
    BoundedCommits,
    /// From every reached state it comes to rest by itself.
    Convergence,
    /// At rest it writes nothing, also when it starts afresh.
    Rest,
    /// A simulated day at rest costs few steps and writes nothing.
    QuietDay,
    /// At rest a fresh machine is in the state of the live one.
    DerivedState,
    /// A crash before, at or after a commit changes nothing of what becomes of the world.
    Crashes,
    /// An effect that is interrupted, fails, or takes its time comes to the same as one that goes through.
    Effects,
    /// Wake-ups that come late, merged, twice or in another order change nothing.
    WakeUps,
    /// A conflict with another writer's change is resolved.
    Conflicts,
    /// What is committed on an older snapshot is what a newer one asks for.
    StaleSnapshots,
    /// A creation that is refused is told of and survived.
    Refusals,
    /// A clock that jumps forward or a little back changes nothing for good.
    Clock,
    /// The status follows from what is observed.
    Status,
    /// From every reached state a new spec leads to what a fresh deploy of it leads to.
    NewSpec,
    /// From every reached state a deletion leaves nothing behind.
    Deletion,
    /// The same seed gives the same history.
    Determinism,
    /// Every declared transition is taken somewhere.
    CrossedEdges,
    /// Every fault was met in some history.
    Faults,
}

impl Property {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 24] = [
        Self::Soundness,
        Self::Declared,
        Self::Ownership,
        Self::DeclaredEdges,
        Self::Laws,
        Self::BoundedCreation,
        Self::BoundedCommits,
        Self::Convergence,
        Self::Rest,
        Self::QuietDay,
        Self::DerivedState,
        Self::Crashes,
        Self::Effects,
        Self::WakeUps,
        Self::Conflicts,
        Self::StaleSnapshots,
        Self::Refusals,
        Self::Clock,
        Self::Status,
        Self::NewSpec,
        Self::Deletion,
        Self::Determinism,
        Self::CrossedEdges,
        Self::Faults,
    ];

    /// The property in a few words, as tables and failures name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Soundness => "steps are sound",
            Self::Declared => "writes and reads what it declared",
            Self::Ownership => "touches only what it owns",
            Self::DeclaredEdges => "takes declared transitions only",
            Self::Laws => "keeps its own laws",
            Self::BoundedCreation => "creates a bounded number",
            Self::BoundedCommits => "commits are bounded",
            Self::Convergence => "comes to rest from everywhere",
            Self::Rest => "writes nothing at rest",
            Self::QuietDay => "a day at rest is quiet",
            Self::DerivedState => "states are derived",
            Self::Crashes => "survives a crash at every commit",
            Self::Effects => "effects may be cut short, fail, be run again",
            Self::WakeUps => "wake-ups may be late, merged, doubled, reordered",
            Self::Conflicts => "conflicts resolve",
            Self::StaleSnapshots => "nothing stale is committed",
            Self::Refusals => "survives refused creations and tells",
            Self::Clock => "clock jumps change nothing for good",
            Self::Status => "the status can be rebuilt",
            Self::NewSpec => "a new spec leads to its own end",
            Self::Deletion => "deletion leaves nothing behind",
            Self::Determinism => "the same seed, the same history",
            Self::CrossedEdges => "every declared transition is taken",
            Self::Faults => "every fault was met",
        }
    }
}

impl std::fmt::Display for Property {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A property found not to hold, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Breach {
    pub(crate) property: Property,
    pub(crate) problem: String,
}

impl Breach {
    pub(crate) fn of(property: Property, problem: impl Into<String>) -> Self {
        Self { property, problem: problem.into() }
    }
}

/// How often each property was checked.
#[derive(Debug, Clone, Default)]
pub struct Tally(BTreeMap<Property, u64>);

impl Tally {
    /// Notes one check.
    pub(crate) fn checked(&mut self, property: Property) {
        *self.0.entry(property).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (property, count) in &other.0 {
            *self.0.entry(*property).or_default() += count;
        }
    }

    /// How often a property was checked.
    pub fn of(&self, property: Property) -> u64 {
        self.0.get(&property).copied().unwrap_or_default()
    }
}
