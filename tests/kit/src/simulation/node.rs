//! The boundary to the nodes: what runs pods plugs in from the outside.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use sampan_core::gateway::{Gateway, Mutation};
use sampan_core::object::{Object, ObjectKey};
use sampan_core::status::Status;
use sampan_machine::{Chart, Crossing, Decision};

/// A node as the rest of the cluster meets it: an agent that hears news and sends requests, and a machine with containers
/// under it, to which things happen. Times are by the node's own clock.
pub trait Node {
    /// Hears something.
    fn hear(&mut self, news: News, now: Timestamp);

    /// Does what there is to do now, and says what it wants of the API server.
    fn advance(&mut self, now: Timestamp, gateway: &Gateway) -> Vec<Want>;

    /// When [`advance`](Self::advance) has something to do though nothing was heard.
    fn wake_at(&self) -> Option<Timestamp>;

    /// The agent's process ends and another begins, while containers run on.
    fn restart(&mut self, now: Timestamp);

    /// The power goes and comes back: no container runs any more, and the agent begins anew.
    fn lose_power(&mut self, now: Timestamp);

    /// Something befalls it. Answers what, or `None` where there was nothing it could befall.
    fn suffer(&mut self, mishap: Mishap, chance: u64, now: Timestamp) -> Option<String>;

    /// Whatever was wrong for a while is so no longer.
    fn recover(&mut self);

    /// The uids of the pods of which something is on the node.
    fn holds(&self) -> BTreeSet<String>;

    /// The uids of the pods of which a container runs.
    fn runs(&self) -> BTreeSet<String>;

    /// A law of its own that was broken.
    fn broken(&self) -> Option<String>;

    /// How often the pods' machines took each transition.
    fn crossings(&self) -> BTreeMap<Crossing, u64>;

    /// The chart of the pods' machines.
    fn chart(&self) -> &'static Chart;
}

/// What a node hears.
#[derive(Debug, Clone)]
pub enum News {
    /// A list of its pods begins.
    ListBegins,
    /// One of them.
    Listed(Arc<Object>),
    /// These were all.
    ListEnds,
    /// A pod of it is new or has changed.
    Changed(Arc<Object>),
    /// A pod of it is gone.
    Gone(Arc<Object>),
    /// An object it asked to be told of, or that there is none; or a volume on its disk.
    Source(ObjectKey, Option<Arc<Object>>),
    /// The answer to a request.
    Answer(u64, Reply),
}

/// The answer to a request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Done; the object afterwards.
    Done(Arc<Object>),
    /// Refused.
    Refused(Status),
    /// Nobody answered: it may have been done or not.
    Silence,
}

/// What a node wants.
pub enum Want {
    /// A write.
    Request(Box<Request>),
    /// To be told of an object.
    Watch(ObjectKey),
    /// No longer.
    Unwatch(ObjectKey),
}

/// A write a node asks for.
pub struct Request {
    /// To tell the answer by.
    pub ticket: u64,
    /// What is asked.
    pub mutation: Mutation,
    /// What led to it.
    pub decision: Option<Decision>,
}

/// What can befall a node's containers and its runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    /// A container ends with an error.
    ContainerFails,
    /// A container ends well though it should run.
    ContainerFinishes,
    /// The kernel kills a container for want of memory.
    OutOfMemory,
    /// Somebody removes a container behind the node's back.
    ContainerVanishes,
    /// A pod's sandbox ends, and with it its containers.
    SandboxDies,
    /// Images cannot be pulled for a while.
    PullsFail(SignedDuration),
    /// Containers cannot be started for a while.
    StartsFail(SignedDuration),
    /// Sandboxes cannot be made for a while.
    SandboxesFail(SignedDuration),
    /// Volumes cannot be written for a while.
    VolumesFail(SignedDuration),
    /// Containers ignore that they are told to stop, for a while.
    StopsAreIgnored(SignedDuration),
    /// Stopping and removing is refused for a while.
    RemovalsFail(SignedDuration),
    /// Probes of some containers fail for a while.
    ProbesFail(SignedDuration),
    /// Everything takes much longer for a while.
    Slow(SignedDuration),
}

impl Mishap {
    /// The one of that name which lasts a while.
    pub(super) fn lasting(name: &str, lasting: SignedDuration) -> Option<Self> {
        let all = [
            Self::PullsFail(lasting),
            Self::StartsFail(lasting),
            Self::SandboxesFail(lasting),
            Self::VolumesFail(lasting),
        ];
        all.into_iter().find(|mishap| mishap.name() == name)
    }

    /// As reports name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ContainerFails => "container fails",
            Self::ContainerFinishes => "container finishes",
            Self::OutOfMemory => "out of memory",
            Self::ContainerVanishes => "container vanishes",
            Self::SandboxDies => "sandbox dies",
            Self::PullsFail(_) => "pulls fail",
            Self::StartsFail(_) => "starts fail",
            Self::SandboxesFail(_) => "sandboxes fail",
            Self::VolumesFail(_) => "volumes fail",
            Self::StopsAreIgnored(_) => "stops are ignored",
            Self::RemovalsFail(_) => "removals fail",
            Self::ProbesFail(_) => "probes fail",
            Self::Slow(_) => "node is slow",
        }
    }
}
