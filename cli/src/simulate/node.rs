//! A node for the simulation: the node agent's own host, requests and retries, over containers in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolume, Pod, Secret};
use kube::runtime::watcher::Event;
use sampan_conformance::simulation::{Mishap, News, Node, Reply, Request, Want};
use sampan_core::gateway::Gateway;
use sampan_core::object::{Object, ObjectKey};
use sampan_core::resource::{CONFIG_MAPS, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, SECRETS};
use sampan_machine::{Chart, Crossing};
use sampan_nodeagent::host::{Answer, Effect, Hands, Host, Listing, Message};
use sampan_nodeagent::pod::source::{Data, SourceKey, SourceKind, TOKEN, config_map_data, secret_data};
use sampan_nodeagent::pod::{ContainerRecord, NodeFacts, Uid, machine};
use sampan_nodeagent::requests::{self, ApiRequest, Fate, NodeDescription, Registration, Scribe};

use super::claims::Claims;
use super::runtime::VirtualRuntime;
use super::translate;

/// CPUs of a node: enough that room is never what is missing.
const CPUS: i64 = 16;
/// Bytes of memory of a node.
const MEMORY_BYTES: i64 = 64 << 30;

/// Where a node says it keeps volumes: nothing is ever written there.
const VOLUMES: &str = "/var/lib/sampan/volumes";

/// What a request was about.
enum Asked {
    Status(Uid),
    Deletion(Uid),
    Event,
    Registration,
    Release(Arc<PersistentVolume>),
}

/// A node.
pub(super) struct VirtualNode {
    name: String,
    agent: Agent,
    runtime: VirtualRuntime,
    tickets: u64,
    /// Transitions taken in the lives before this one.
    crossings_before: BTreeMap<Crossing, u64>,
}

/// One life of the agent's process.
struct Agent {
    host: Host,
    listing: Listing,
    scribe: Scribe,
    registration: Registration,
    inbox: Vec<Message>,
    asked: BTreeMap<u64, Asked>,
    claims: Claims,
    /// What was found out to be wanted between two turns.
    wants: Vec<Want>,
    /// Volumes that are to be let go of.
    released: Vec<Arc<PersistentVolume>>,
}

impl Agent {
    fn new(name: &str, runtime: &VirtualRuntime, now: Timestamp) -> Self {
        let facts = NodeFacts {
            name: name.to_owned(),
            host_ip: "127.0.0.1".to_owned(),
            allocatable_milli_cpu: CPUS * 1000,
            allocatable_memory: MEMORY_BYTES,
            volumes: VOLUMES.into(),
        };
        let mut host = Host::new([facts], true);
        for holding in runtime.holdings() {
            host.adopt(holding.pod.clone(), holding.sandbox.clone(), holding.containers.clone());
        }
        Self {
            host,
            listing: Listing::default(),
            scribe: Scribe::default(),
            registration: Registration::new(describe(name), now),
            inbox: Vec::new(),
            asked: BTreeMap::new(),
            claims: Claims::default(),
            wants: Vec::new(),
            released: Vec::new(),
        }
    }

    fn answered(&mut self, ticket: u64, reply: Reply, now: Timestamp) {
        let Some(asked) = self.asked.remove(&ticket) else { return };
        match asked {
            Asked::Status(uid) => self.inbox.push(Message::Posted(uid, answer(reply))),
            Asked::Deletion(uid) => self.inbox.push(Message::Deleted(uid, answer(reply))),
            Asked::Event => self.scribe.answered(matches!(reply, Reply::Done(_))),
            Asked::Registration => {
                let outcome = match reply {
                    Reply::Done(_) => Ok(()),
                    Reply::Refused(status) => Err(status.code),
                    Reply::Silence => Err(0),
                };
                self.registration.answered(outcome, now);
            }
            // One that was refused has changed: the node is told of it as it is now.
            Asked::Release(volume) => self.released.extend(matches!(reply, Reply::Silence).then_some(volume)),
        }
    }

    fn hear_of(&mut self, key: &ObjectKey, object: Option<&Object>) {
        if matches!(key.resource, PERSISTENT_VOLUME_CLAIMS | PERSISTENT_VOLUMES) {
            let (messages, wants) = self.claims.hear(key, object);
            self.inbox.extend(messages);
            self.wants.extend(wants);
            let volume = object.filter(|_| key.resource == PERSISTENT_VOLUMES).and_then(|object| object.decode().ok());
            self.released.extend(volume.filter(|volume| requests::fate(volume) != Fate::Stays));
        } else {
            self.inbox.extend(source(key, object));
        }
    }
}

impl VirtualNode {
    pub(super) fn new(name: &str, seed: u64, now: Timestamp) -> Self {
        let runtime = VirtualRuntime::new(seed);
        let agent = Agent::new(name, &runtime, now);
        Self { name: name.to_owned(), agent, runtime, tickets: 0, crossings_before: BTreeMap::new() }
    }

    fn begin_life(&mut self, now: Timestamp) {
        self.crossings_before = self.crossings();
        self.agent = Agent::new(&self.name, &self.runtime, now);
    }

    fn ask(&mut self, request: Result<ApiRequest, http::Error>, asked: Asked, gateway: &Gateway) -> Option<Want> {
        let request = request.ok()?;
        let mutation = translate::mutation(&self.name, &request, gateway)?;
        self.tickets += 1;
        self.agent.asked.insert(self.tickets, asked);
        let decision = translate::decision(&request);
        Some(Want::Request(Box::new(Request { ticket: self.tickets, mutation, decision })))
    }
}

impl Node for VirtualNode {
    fn hear(&mut self, news: News, now: Timestamp) {
        let agent = &mut self.agent;
        let event = match news {
            News::ListBegins => Event::Init,
            News::Listed(object) => Event::InitApply(pod(&object)),
            News::ListEnds => Event::InitDone,
            News::Changed(object) => Event::Apply(pod(&object)),
            News::Gone(object) => Event::Delete(pod(&object)),
            News::Source(key, object) => {
                agent.hear_of(&key, object.as_deref());
                return;
            }
            News::Answer(ticket, reply) => return agent.answered(ticket, reply, now),
        };
        agent.inbox.extend(agent.listing.take(event));
    }

    fn advance(&mut self, now: Timestamp, gateway: &Gateway) -> Vec<Want> {
        let mut messages = self.runtime.advance(now);
        messages.append(&mut self.agent.inbox);
        let mut desk = Desk { runtime: &mut self.runtime, scribe: &mut self.agent.scribe, now, effects: Vec::new() };
        self.agent.host.turn(messages, || now, &mut desk);
        let mut wants = std::mem::take(&mut self.agent.wants);
        let effects = desk.effects;
        for volume in std::mem::take(&mut self.agent.released) {
            wants.extend(self.ask(requests::release(&volume), Asked::Release(volume), gateway));
        }
        for effect in effects {
            wants.extend(match effect {
                Effect::Post(post) => {
                    let uid = post.pod.uid.clone();
                    self.ask(requests::status(*post), Asked::Status(uid), gateway)
                }
                Effect::Delete(pod) => {
                    let request = requests::deletion(&pod);
                    self.ask(request, Asked::Deletion(pod.uid), gateway)
                }
                Effect::Watch(key) => {
                    let object = object_key(&key);
                    if key.kind == SourceKind::Claim {
                        self.agent.claims.watch(key);
                    } else if object.is_none() {
                        let data = if key.kind == SourceKind::Services { Data::new() } else { token() };
                        self.agent.inbox.push(Message::Source(key, Some(Arc::new(data))));
                    }
                    object.map(Want::Watch)
                }
                Effect::Unwatch(key) => {
                    self.agent.claims.unwatch(&key);
                    object_key(&key).map(Want::Unwatch)
                }
                Effect::Run(..) | Effect::Probe(..) | Effect::Event(..) => None,
            });
        }
        if let Some(request) = self.agent.scribe.begin() {
            wants.extend(self.ask(Ok(request), Asked::Event, gateway));
        }
        if let Some(request) = self.agent.registration.begin(now) {
            wants.extend(self.ask(Ok(request), Asked::Registration, gateway));
        }
        wants
    }

    fn wake_at(&self) -> Option<Timestamp> {
        let agent = &self.agent;
        let has_work = !agent.inbox.is_empty() || !agent.wants.is_empty() || !agent.released.is_empty();
        if has_work || agent.scribe.has_work() {
            return Some(Timestamp::MIN);
        }
        let own = [self.agent.host.wake_at(), self.runtime.wake_at(), self.agent.registration.wake_at()];
        own.into_iter().flatten().min()
    }

    fn restart(&mut self, now: Timestamp) {
        self.runtime.lose_agent(now);
        self.begin_life(now);
    }

    fn lose_power(&mut self, now: Timestamp) {
        self.runtime.lose_power(now);
        self.begin_life(now);
    }

    fn suffer(&mut self, mishap: Mishap, chance: u64, now: Timestamp) -> Option<String> {
        self.runtime.suffer(mishap, chance, now)
    }

    fn recover(&mut self) {
        self.runtime.recover();
    }

    fn holds(&self) -> BTreeSet<String> {
        self.runtime.holdings().map(|holding| holding.pod.uid.to_string()).collect()
    }

    fn runs(&self) -> BTreeSet<String> {
        let running =
            self.runtime.holdings().filter(|holding| holding.containers.iter().any(ContainerRecord::is_running));
        running.map(|holding| holding.pod.uid.to_string()).collect()
    }

    fn broken(&self) -> Option<String> {
        self.runtime.broken()
    }

    fn crossings(&self) -> BTreeMap<Crossing, u64> {
        let mut crossings = self.crossings_before.clone();
        for (crossing, count) in self.agent.host.crossings() {
            *crossings.entry(*crossing).or_default() += count;
        }
        crossings
    }

    fn chart(&self) -> &'static Chart {
        &machine::CHART
    }
}

/// Takes effects: the runtime's are begun, the others are noted.
struct Desk<'a> {
    runtime: &'a mut VirtualRuntime,
    scribe: &'a mut Scribe,
    now: Timestamp,
    effects: Vec<Effect>,
}

impl Hands for Desk<'_> {
    fn carry_out(&mut self, effect: Effect) -> Option<Message> {
        match effect {
            Effect::Run(pod, command) => self.runtime.run(pod, command, self.now),
            Effect::Probe(pod, order) => self.runtime.probe(&pod, order, self.now),
            Effect::Event(pod, note) => self.scribe.record(pod, note),
            other => self.effects.push(other),
        }
        None
    }
}

fn answer(reply: Reply) -> Answer {
    match reply {
        Reply::Done(object) => Answer::Accepted(object.decode::<Pod>().ok()),
        Reply::Refused(status) => requests::refused(status.code, status.message),
        Reply::Silence => Answer::Failed("nobody answered".to_owned()),
    }
}

fn pod(object: &Object) -> Pod {
    object.decode::<Pod>().map(|pod| Pod::clone(&pod)).unwrap_or_default()
}

/// Tokens are granted at once: what they are worth is not simulated.
fn token() -> Data {
    Data::from([(TOKEN.to_owned(), b"simulated".to_vec())])
}

fn source(key: &ObjectKey, object: Option<&Object>) -> Option<Message> {
    let kind = if key.resource == SECRETS { SourceKind::Secret } else { SourceKind::ConfigMap };
    let data: Option<Data> = match object {
        None => None,
        Some(object) if kind == SourceKind::Secret => Some(secret_data(&*object.decode::<Secret>().ok()?)),
        Some(object) => Some(config_map_data(&*object.decode::<ConfigMap>().ok()?)),
    };
    let key = SourceKey::object(kind, key.namespace.as_deref().unwrap_or_default(), &key.name);
    Some(Message::Source(key, data.map(Arc::new)))
}

/// The object a source is; `None` for a token, which is none.
fn object_key(key: &SourceKey) -> Option<ObjectKey> {
    let object = |resource| Some(ObjectKey::namespaced(resource, &key.namespace, &key.name));
    match key.kind {
        SourceKind::ConfigMap => object(CONFIG_MAPS),
        SourceKind::Secret => object(SECRETS),
        SourceKind::Claim => Some(Claims::key(key)),
        SourceKind::Token | SourceKind::Services => None,
    }
}

fn describe(name: &str) -> NodeDescription {
    NodeDescription {
        name: name.to_owned(),
        host_ip: "127.0.0.1".to_owned(),
        cpus: CPUS,
        memory_bytes: MEMORY_BYTES,
        disk_bytes: 256 << 30,
        kubelet_port: None,
        runtime_version: "simulated://0".to_owned(),
        os_image: "simulated".to_owned(),
        kernel_version: String::new(),
        machine_id: name.to_owned(),
        boot_id: name.to_owned(),
        simulated: true,
        volumes: VOLUMES.into(),
        lease_offset: SignedDuration::ZERO,
    }
}
