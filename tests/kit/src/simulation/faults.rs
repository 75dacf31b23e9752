//! What goes wrong.

use jiff::SignedDuration;

use super::dice::Dice;
use super::node::Mishap;

/// What goes wrong next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The server's process ends between two groups.
    ServerKilled,
    /// It ends in the middle of a group, of which nothing is there afterwards: the tail of the log was torn.
    CrashTorn,
    /// It ends when the group is durable and nobody has heard of it.
    CrashUnheard,
    /// The server's clock is set.
    ServerClock(SignedDuration),
    /// The operators' thread gets no time for a while.
    OperatorsStall(SignedDuration),
    /// Somebody wakes an operator for nothing.
    WokenForNothing,
    /// A node's agent begins anew.
    AgentRestarts,
    /// A node's power goes for a while.
    PowerLost(SignedDuration),
    /// A node and the server cannot reach each other for a while.
    Partition(SignedDuration),
    /// A node's watches end and are resumed.
    WatchBreaks,
    /// A node's watches end and must begin with a list.
    WatchExpires,
    /// A node's clock is set.
    NodeClock(SignedDuration),
    /// Something befalls a node's containers or runtime.
    Node(Mishap),
}

impl Fault {
    /// As reports name it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ServerKilled => "server killed",
            Self::CrashTorn => "crash, group torn",
            Self::CrashUnheard => "crash, group durable",
            Self::ServerClock(by) if by.is_negative() => "server clock set back",
            Self::ServerClock(_) => "server clock set forward",
            Self::OperatorsStall(_) => "operators stall",
            Self::WokenForNothing => "woken for nothing",
            Self::AgentRestarts => "agent restarts",
            Self::PowerLost(_) => "node loses power",
            Self::Partition(_) => "node cut off",
            Self::WatchBreaks => "watch breaks",
            Self::WatchExpires => "watch expires",
            Self::NodeClock(by) if by.is_negative() => "node clock set back",
            Self::NodeClock(_) => "node clock set forward",
            Self::Node(mishap) => mishap.name(),
        }
    }
}

/// The names of all faults, for reports.
pub(super) fn names() -> Vec<&'static str> {
    let (dice, mut names) = (&mut Dice::new(0, "names of faults"), Vec::new());
    for _ in 0..NAMING_DRAWS {
        names.push(draw(dice).name());
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// Enough to draw each fault at least once from the seed used for it.
const NAMING_DRAWS: usize = 1000;

/// A fault drawn by its weight.
pub(super) fn draw(dice: &mut Dice) -> Fault {
    let seconds = SignedDuration::from_secs;
    let mut lasting = |usual: i64| dice.time(seconds(1), seconds(2 * usual));
    let (short, long, jump) = (lasting(20), lasting(60), lasting(60));
    match dice.below(100) {
        0..=3 => Fault::ServerKilled,
        4..=8 => Fault::CrashTorn,
        9..=13 => Fault::CrashUnheard,
        14..=15 => Fault::ServerClock(if dice.per_mille(300) { jump * 30 } else { jump }),
        16..=17 => Fault::ServerClock(-jump),
        18..=20 => Fault::OperatorsStall(short / 4),
        21..=24 => Fault::WokenForNothing,
        25..=30 => Fault::AgentRestarts,
        31..=34 => Fault::PowerLost(long),
        35..=41 => Fault::Partition(if dice.per_mille(100) { long * 8 } else { short }),
        42..=44 => Fault::WatchBreaks,
        45..=47 => Fault::WatchExpires,
        48..=49 => Fault::NodeClock(jump),
        50..=51 => Fault::NodeClock(-jump / 4),
        _ => Fault::Node(mishap(dice, short)),
    }
}

fn mishap(dice: &mut Dice, lasting: SignedDuration) -> Mishap {
    match dice.below(50) {
        0..=9 => Mishap::ContainerFails,
        10..=12 => Mishap::ContainerFinishes,
        13..=16 => Mishap::OutOfMemory,
        17..=20 => Mishap::ContainerVanishes,
        21..=23 => Mishap::SandboxDies,
        24..=27 => Mishap::PullsFail(lasting),
        28..=30 => Mishap::StartsFail(lasting),
        31..=32 => Mishap::SandboxesFail(lasting),
        33..=34 => Mishap::VolumesFail(lasting),
        35..=37 => Mishap::StopsAreIgnored(lasting * 2),
        38..=39 => Mishap::RemovalsFail(lasting),
        40..=46 => Mishap::ProbesFail(lasting),
        _ => Mishap::Slow(lasting * 2),
    }
}
