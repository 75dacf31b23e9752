//! One run: everything in one thread, on virtual time.

mod disturbances;
mod rests;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use sampan_core::gateway::{Mutation, Outcome};
use sampan_core::object::{ObjectKey, Revision};
use sampan_core::store::{Crash, Event, Snapshot};

use sampan_machine::{Crossing, Decision};

use super::agenda::Agenda;
use super::dice::Dice;
use super::laws::{Laws, nothing_is_lost};
use super::node::{News, Reply, Request, Want};
use super::roles::identity_taken;
use super::scenarios::{self, Act, Stall};
use super::server::{Answer, CallId, Server, Stored};
use super::site::Site;
use super::story::{Line, Story};
use super::{Course, Run, Setup, Violation};
use crate::cluster::{Cluster, EPOCH};
use crate::world::World;

/// How many users there are.
const USERS: usize = 2;
/// After this, what nobody answered in a scenario is asked again.
const PLAYED_AGAIN: SignedDuration = SignedDuration::from_millis(500);
/// Before the first fault the nodes have registered.
const PEACE_FIRST: SignedDuration = SignedDuration::from_secs(2);
/// Steps within one second of virtual time at most: more is a loop.
const STEPS_PER_SECOND_MAX: u64 = 20_000;

/// Who waits for an answer.
#[derive(Debug, Clone, Copy)]
enum Caller {
    Node { site: usize, life: u64, ticket: u64 },
    User,
    Scenario(usize),
    Repair,
}

/// What is to happen.
enum Happening {
    /// A user wants something.
    Wish(usize),
    /// An act of a scenario is due.
    Act(usize),
    /// Something goes wrong.
    Fault,
    /// A node's request reaches the server.
    Arrives(usize, u64, Box<Request>),
    /// News reaches a node.
    News { site: usize, connection: u64, news: News, revision: Option<Revision> },
    /// An answer reaches a node.
    Reply { site: usize, life: u64, ticket: u64, reply: Reply },
    /// A node begins or resumes its watches.
    Connects(usize, u64),
    /// The server is up again.
    ServerUp,
    /// A node and the server reach each other again.
    Heals(usize),
    /// A node's power is back.
    PowerBack(usize),
    /// From here on nobody disturbs the cluster.
    Calm,
    /// It is looked whether the cluster is at rest.
    Look,
}

/// The dice of each purpose.
struct Chances {
    wishes: Dice,
    faults: Dice,
    wire: Dice,
    turns: Dice,
}

pub(super) struct Simulation<'w> {
    course: &'w Course,
    now: Timestamp,
    agenda: Agenda<Happening>,
    server: Server<'w>,
    server_clock: SignedDuration,
    server_is_up: bool,
    operators_at: Timestamp,
    store_at: Timestamp,
    next_crash: Option<Crash>,
    /// After what operators get no time.
    next_stall: Option<Stall>,
    sites: Vec<Site>,
    calls: BTreeMap<CallId, Caller>,
    calls_made: u64,
    laws: Laws,
    story: Story,
    dice: Chances,
    acts: Vec<Act>,
    calm_since: Option<Timestamp>,
    repaired: bool,
    counts: BTreeMap<&'static str, u64>,
    crossings: BTreeMap<(&'static str, Crossing), u64>,
    steps_in_second: (i64, u64),
    violation: Option<Violation>,
    is_over: bool,
}

impl<'w> Simulation<'w> {
    pub(super) fn new(setup: &'w Setup, course: &'w Course, world: &'w World) -> Self {
        let server = Server::new(Cluster::new(world));
        let snapshot = server.snapshot();
        let now = EPOCH;
        let sites: Vec<Site> = (0..course.nodes)
            .map(|index| {
                let name = format!("node-{index}");
                let node = (setup.node)(&name, course.seed.wrapping_add(index as u64), now);
                Site::new(name, node, now)
            })
            .collect();
        let dice = |purpose| Dice::new(course.seed, purpose);
        let mut simulation = Self {
            course,
            now,
            agenda: Agenda::default(),
            server,
            server_clock: SignedDuration::ZERO,
            server_is_up: true,
            operators_at: now,
            store_at: now,
            next_crash: None,
            next_stall: None,
            sites,
            calls: BTreeMap::new(),
            calls_made: 0,
            laws: Laws::new(&snapshot, now),
            story: Story::default(),
            dice: Chances { wishes: dice("wishes"), faults: dice("faults"), wire: dice("wire"), turns: dice("turns") },
            acts: scenarios::acts(course.seed),
            calm_since: None,
            repaired: false,
            counts: BTreeMap::new(),
            crossings: BTreeMap::new(),
            steps_in_second: (0, 0),
            violation: None,
            is_over: false,
        };
        simulation.begin();
        simulation
    }

    fn begin(&mut self) {
        for site in 0..self.sites.len() {
            self.agenda.note(self.now, Happening::Connects(site, 0));
        }
        for user in 0..USERS {
            let at = self.later(SignedDuration::from_millis(100 * (user as i64 + 1)));
            self.agenda.note(at, Happening::Wish(user));
        }
        for index in 0..self.acts.len() {
            self.expect(index);
        }
        let first = self.later(PEACE_FIRST);
        self.agenda.note(first, Happening::Fault);
        let calm = self.later(self.course.lasting);
        self.agenda.note(calm, Happening::Calm);
    }

    fn expect(&mut self, index: usize) {
        if let Some(at) = self.acts.get(index).map(|act| act.at) {
            self.agenda.note(self.later(at), Happening::Act(index));
        }
    }

    /// Goes on until the cluster is at rest or a law is broken.
    pub(super) fn run(mut self) -> Run {
        while self.violation.is_none() && !self.is_over {
            self.go_on();
        }
        for site in &self.sites {
            for (crossing, count) in site.node.crossings() {
                *self.crossings.entry((site.node.chart().name, crossing)).or_default() += count;
            }
        }
        Run {
            course: self.course.clone(),
            hash: self.story.hash(),
            simulated: self.now.duration_since(EPOCH),
            steps: self.server.steps(),
            commits: self.server.commits(),
            revisions: self.laws.cursor().0,
            counts: self.counts,
            crossings: self.crossings,
            charts: self.server.driver().charts().chain(self.sites.first().map(|site| site.node.chart())).collect(),
            violation: self.violation,
            story: self.story.lines(),
        }
    }

    /// What comes next: a turn of the operators, of the store, of a node, or something on the agenda.
    fn go_on(&mut self) {
        let mut next = (self.agenda.next().unwrap_or(Timestamp::MAX), Turn::Agenda);
        let mut offer = |at: Option<Timestamp>, turn: Turn| {
            if let Some(at) = at.filter(|at| *at < next.0) {
                next = (at, turn);
            }
        };
        if self.server_is_up {
            offer(self.operators_due(), Turn::Operators);
            offer(self.store_due(), Turn::Store);
        }
        for (index, site) in self.sites.iter().enumerate() {
            offer(site.wake_at(), Turn::Node(index));
        }
        let (at, turn) = next;
        self.now = self.now.max(at);
        match turn {
            Turn::Agenda => match self.agenda.take() {
                Some(happening) => self.happen(happening),
                None => self.is_over = true,
            },
            Turn::Operators => self.turn_operators(),
            Turn::Store => self.turn_store(),
            Turn::Node(index) => self.turn_node(index),
        }
    }

    fn later(&self, wait: SignedDuration) -> Timestamp {
        self.now.saturating_add(wait).unwrap_or(self.now)
    }

    /// The time by the server's clock.
    fn server_time(&self) -> Timestamp {
        self.later(self.server_clock)
    }

    fn true_time(&self, by_server: Timestamp) -> Timestamp {
        by_server.saturating_sub(self.server_clock).unwrap_or(by_server)
    }

    fn operators_due(&self) -> Option<Timestamp> {
        let ready = self.server.operators_are_ready().then_some(self.now);
        let due = ready.or_else(|| self.server.operators_wake_at().map(|at| self.true_time(at)))?;
        Some(due.max(self.operators_at))
    }

    fn store_due(&self) -> Option<Timestamp> {
        let ready = self.server.store_is_due(self.server_time()).then_some(self.now);
        let due = ready.or_else(|| self.server.store_wakes_at().map(|at| self.true_time(at)))?;
        Some(due.max(self.store_at))
    }

    fn turn_operators(&mut self) {
        let (settles_first, now) = (self.dice.turns.per_mille(500), self.server_time());
        let report = self.server.turn_operators(settles_first, now);
        let pause = SignedDuration::from_micros(i64::try_from(20 + self.dice.turns.below(200)).unwrap_or_default());
        self.operators_at = self.later(pause);
        if let Some(report) = report {
            self.count_step();
            for crossing in report.crossings {
                if crossing.from != crossing.to {
                    self.story.tell(
                        self.now,
                        format_args!(
                            "{} {}: {} → {} ({})",
                            report.operator, report.key, crossing.from, crossing.to, crossing.guard
                        ),
                    );
                }
                *self.crossings.entry((report.operator, crossing)).or_default() += 1;
            }
        }
        if let Some(fault) = self.server.fault().cloned() {
            self.violate("no step is void and no operator panics", fault);
        }
    }

    fn count_step(&mut self) {
        let second = self.now.as_second();
        let (of, steps) = self.steps_in_second;
        self.steps_in_second = if of == second { (of, steps + 1) } else { (second, 1) };
        if self.steps_in_second.1 > STEPS_PER_SECOND_MAX {
            self.violate("no hot loop", format!("more than {STEPS_PER_SECOND_MAX} steps in a second"));
        }
    }

    fn turn_store(&mut self) {
        let now = self.server_time();
        let crash = self.next_crash.take();
        let published = crash.map(|_| self.server.snapshot());
        match self.server.turn_store(crash, now) {
            Stored::Decided(answers) => {
                let sync = self.dice.turns.time(SignedDuration::from_micros(150), SignedDuration::from_millis(3));
                self.store_at = self.later(sync);
                self.publish();
                answers.into_iter().for_each(|(id, answer)| self.answer(id, answer));
                // The group may have held decisions alone: the next one with changes is where the crash is due.
                self.next_crash = crash;
            }
            Stored::Died => self.die(published.as_ref()),
        }
    }

    /// Looks at what a group changed, and tells the nodes.
    fn publish(&mut self) {
        match self.server.events_after(self.laws.cursor()) {
            Ok(events) => self.publish_events(&events),
            Err(error) => self.violate("the log reaches back to what was just written", error.to_string()),
        }
    }

    fn publish_events(&mut self, events: &[Arc<Event>]) {
        let now = self.server_time();
        for event in events {
            self.story.tell(self.now, format_args!("{}", Line(event)));
            if let Some(stall) = self.next_stall.take_if(|stall| stall.follows(event)) {
                self.operators_at = self.later(stall.lasting);
            }
            if let Err(why) = self.laws.judge(event, now) {
                let (law, detail) = why.split_once(": ").unwrap_or((&why, ""));
                self.violate(law, detail.to_owned());
                return;
            }
            if let Some(problem) = identity_taken(event).and_then(|key| self.second_of(key)) {
                self.violate("at most one pod of a StatefulSet's identity runs", problem);
                return;
            }
            for index in 0..self.sites.len() {
                let news = self.sites.get(index).filter(|site| site.is_watching).and_then(|site| site.news(event));
                if let Some(news) = news {
                    self.send(index, news, Some(event.revision));
                }
            }
        }
        let head = self.laws.cursor();
        self.sites.iter_mut().filter(|site| site.is_watching).for_each(|site| site.is_sent(head));
    }

    /// A pod that runs somewhere although another takes its name.
    fn second_of(&self, key: &ObjectKey) -> Option<String> {
        let before = self.laws.forerunners(key);
        let mut powered = self.sites.iter().filter(|site| site.is_powered);
        powered.find_map(|site| {
            let still = site.node.runs().intersection(&before).next().cloned()?;
            Some(format!("{key} is created while {still} of that name runs on {}", site.name))
        })
    }

    /// The server's process ends and another begins a little later.
    fn die(&mut self, published: Option<&Snapshot>) {
        let now = self.server_time();
        let published = published.cloned().unwrap_or_else(|| self.server.snapshot());
        self.server.reopen(now);
        self.server_is_up = false;
        let recovered = self.server.snapshot();
        match self.server.events_after(published.revision()) {
            Ok(events) => {
                if let Err(why) = nothing_is_lost(&published, &recovered, &events) {
                    self.violate("acknowledged writes are never lost", why);
                }
            }
            Err(error) => self.violate("acknowledged writes are never lost", error.to_string()),
        }
        for (_, caller) in std::mem::take(&mut self.calls) {
            self.silence(caller);
        }
        for index in 0..self.sites.len() {
            self.reconnect(index, true);
        }
        let up = self.dice.turns.time(SignedDuration::from_millis(50), SignedDuration::from_secs(3));
        self.agenda.note(self.later(up), Happening::ServerUp);
    }

    fn turn_node(&mut self, index: usize) {
        let gateway = self.server.gateway().clone();
        let now = self.now;
        let Some(site) = self.sites.get_mut(index) else { return };
        let wants = site.advance(now, &gateway);
        if let Some(why) = site.node.broken() {
            let detail = format!("{}: {why}", site.name);
            self.violate("a container is started once per restart", detail);
        }
        for want in wants {
            self.want(index, want);
        }
    }

    fn want(&mut self, index: usize, want: Want) {
        let Some(site) = self.sites.get_mut(index) else { return };
        match want {
            Want::Request(request) => {
                let (life, ticket) = (site.life, request.ticket);
                if site.is_cut_off || !self.server_is_up {
                    return self.silence(Caller::Node { site: index, life, ticket });
                }
                let wait = self.latency();
                let at = self.later(wait);
                self.agenda.note(at, Happening::Arrives(index, life, request));
            }
            Want::Watch(key) => {
                site.watch(key.clone());
                if site.is_watching {
                    let object = self.server.snapshot().get(&key).cloned();
                    self.send(index, News::Source(key, object), None);
                }
            }
            Want::Unwatch(key) => site.unwatch(&key),
        }
    }

    fn call(&mut self, caller: Caller, mutation: Mutation, decision: Option<Decision>) {
        self.calls_made += 1;
        let (id, now) = (self.calls_made, self.server_time());
        self.calls.insert(id, caller);
        if let Some(answer) = self.server.ask(id, mutation, decision, now) {
            self.answer(id, answer);
        }
    }

    fn answer(&mut self, id: CallId, answer: Answer) {
        let Some(caller) = self.calls.remove(&id) else { return };
        if let Err(status) = &answer {
            self.story.tell(self.now, format_args!("refused: {}", status.message));
        }
        match caller {
            Caller::User | Caller::Scenario(_) | Caller::Repair => {}
            Caller::Node { site, life, ticket } => {
                let reply = match answer {
                    Ok(Outcome::Object { object, .. }) => Reply::Done(object),
                    Ok(Outcome::Preview { .. }) => Reply::Silence,
                    Err(status) => Reply::Refused(status),
                };
                let wait = self.latency();
                let at = self.later(wait);
                self.agenda.note(at, Happening::Reply { site, life, ticket, reply });
            }
        }
    }

    fn violate(&mut self, law: &str, detail: String) {
        let at = self.now.duration_since(EPOCH);
        self.violation.get_or_insert(Violation { law: law.to_owned(), detail, at });
    }
}

/// Whose turn it is.
enum Turn {
    Agenda,
    Operators,
    Store,
    Node(usize),
}
