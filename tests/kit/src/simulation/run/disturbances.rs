//! What users want and what goes wrong, as it happens.

use jiff::SignedDuration;
use sampan_core::store::Crash;

use super::super::clients::Desk;
use super::super::faults::{self, Fault};
use super::super::node::{News, Reply};
use super::super::scenarios::{self, Move};
use super::{Caller, Happening, Simulation};

/// Between two wishes of a user.
const BETWEEN_WISHES: SignedDuration = SignedDuration::from_secs(14);
/// Between two faults, in runs where little goes wrong and in those where much does: what takes a while is met in the former.
const BETWEEN_FAULTS: [SignedDuration; 3] =
    [SignedDuration::from_secs(30), SignedDuration::from_secs(7), SignedDuration::from_secs(30)];

impl Simulation<'_> {
    /// What is on the agenda happens.
    pub(super) fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Wish(user) => self.wish(user),
            Happening::Act(index) => self.play(index),
            Happening::Fault => self.fault(),
            Happening::Arrives(site, life, request) => {
                let ticket = request.ticket;
                let caller = Caller::Node { site, life, ticket };
                match self.server_is_up {
                    true => self.call(caller, request.mutation, request.decision),
                    false => self.silence(caller),
                }
            }
            Happening::News { site, connection, news, revision } => {
                let now = self.now;
                let Some(site) = self.sites.get_mut(site).filter(|site| site.connection == connection) else { return };
                // A list reaches up to its revision once all of it is there.
                let is_partial = matches!(news, News::ListBegins | News::Listed(_));
                site.heard(revision.filter(|_| !is_partial));
                let time = site.time(now);
                site.node.hear(news, time);
            }
            Happening::Reply { site, life, ticket, reply } => {
                let now = self.now;
                let Some(site) = self.sites.get_mut(site).filter(|site| site.is_powered && site.life == life) else {
                    return;
                };
                let reply = if site.is_cut_off { Reply::Silence } else { reply };
                let time = site.time(now);
                site.node.hear(News::Answer(ticket, reply), time);
            }
            Happening::Connects(site, connection) => self.connect(site, connection),
            Happening::ServerUp => self.server_is_up = true,
            Happening::Heals(site) => self.heal(site),
            Happening::PowerBack(site) => self.power_back(site),
            Happening::Calm => self.calm_down(),
            Happening::Look => self.look(),
        }
    }

    fn wish(&mut self, user: usize) {
        if self.calm_since.is_some() {
            return;
        }
        let wait = self.dice.wishes.around(BETWEEN_WISHES);
        let next = self.later(wait);
        self.agenda.note(next, Happening::Wish(user));
        let (snapshot, gateway) = (self.server.snapshot(), self.server.gateway().clone());
        let wish = Desk { gateway: &gateway, snapshot: &snapshot, dice: &mut self.dice.wishes }.wish();
        let Some(wish) = wish.filter(|wish| self.server_is_up && !self.course.is_without(wish.kind)) else { return };
        self.count(wish.kind);
        self.story.deed(self.now, format_args!("user {user}: {}", wish.what));
        self.call(Caller::User, wish.mutation, None);
    }

    fn play(&mut self, index: usize) {
        let act = self.acts.get(index).cloned();
        let Some(act) = act.filter(|act| self.calm_since.is_none() && !self.course.is_without(act.scenario)) else {
            return;
        };
        if !self.server_is_up {
            return self.silence(Caller::Scenario(index));
        }
        let (snapshot, gateway) = (self.server.snapshot(), self.server.gateway().clone());
        let desk = Desk { gateway: &gateway, snapshot: &snapshot, dice: &mut self.dice.wishes };
        let Some(next) = desk.play(&act) else { return };
        self.count(act.scenario);
        match next {
            Move::Wish(wish) => {
                self.story.deed(self.now, format_args!("scenario {}: {}", wish.kind, wish.what));
                self.call(Caller::Scenario(index), wish.mutation, None);
            }
            Move::Stall(stall) => {
                self.story.deed(self.now, format_args!("scenario {}: {stall}", act.scenario));
                self.next_stall = Some(stall);
            }
            Move::Mishap(name, mishap) => {
                let now = self.now;
                let Some(site) = self.sites.iter_mut().find(|site| site.name == name && site.is_powered) else {
                    return;
                };
                let time = site.time(now);
                site.node.suffer(mishap, 0, time);
                self.story.deed(now, format_args!("scenario {}: {name}: {}", act.scenario, mishap.name()));
            }
        }
    }

    pub(super) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn fault(&mut self) {
        if self.calm_since.is_some() {
            return;
        }
        let wait = self.dice.faults.around(between_faults(self.course.seed));
        let next = self.later(wait);
        self.agenda.note(next, Happening::Fault);
        let fault = faults::draw(&mut self.dice.faults);
        let index = usize::try_from(self.dice.faults.below(self.sites.len() as u64)).unwrap_or_default();
        let chance = self.dice.faults.any();
        if self.course.is_without(fault.name()) {
            return;
        }
        if let Some(what) = self.strike(fault, index, chance) {
            self.count(fault.name());
            self.story.deed(self.now, format_args!("fault: {what}"));
        }
    }

    /// Lets a fault happen, to this node where it is one of a node. Answers what, or `None` where it could not.
    fn strike(&mut self, fault: Fault, index: usize, chance: u64) -> Option<String> {
        match fault {
            Fault::ServerKilled if self.server_is_up => {
                self.die(None);
                Some("the server is killed".to_owned())
            }
            Fault::CrashTorn if self.server_is_up => {
                self.next_crash = Some(Crash::BeforeDurable);
                Some("the server will die over a group, which is torn".to_owned())
            }
            Fault::CrashUnheard if self.server_is_up => {
                self.next_crash = Some(Crash::AfterDurable);
                Some("the server will die over a group, which is durable".to_owned())
            }
            Fault::ServerClock(by) => {
                self.server_clock += by;
                self.laws.clock_jumped();
                Some(format!("the server's clock is set by {by}"))
            }
            Fault::OperatorsStall(lasting) => {
                self.operators_at = self.later(lasting);
                Some(format!("the operators get no time for {lasting}"))
            }
            Fault::WokenForNothing if self.server_is_up => {
                let now = self.server_time();
                self.server.wake_for_nothing(chance, now)
            }
            Fault::ServerKilled | Fault::CrashTorn | Fault::CrashUnheard | Fault::WokenForNothing => None,
            Fault::AgentRestarts
            | Fault::PowerLost(_)
            | Fault::Partition(_)
            | Fault::WatchBreaks
            | Fault::WatchExpires
            | Fault::NodeClock(_)
            | Fault::Node(_) => self.strike_node(fault, index, chance),
        }
    }

    fn strike_node(&mut self, fault: Fault, index: usize, chance: u64) -> Option<String> {
        let now = self.now;
        let site = self.sites.get_mut(index).filter(|site| site.is_powered)?;
        let (name, time) = (site.name.clone(), site.time(now));
        match fault {
            Fault::AgentRestarts => {
                site.end_life();
                site.node.restart(time);
                self.reconnect(index, false);
                Some(format!("{name}: the agent begins anew"))
            }
            Fault::PowerLost(lasting) => {
                site.end_life();
                site.is_powered = false;
                self.agenda.note(self.later(lasting), Happening::PowerBack(index));
                Some(format!("{name} loses its power for {lasting}"))
            }
            Fault::Partition(lasting) if !site.is_cut_off => {
                site.is_cut_off = true;
                self.reconnect(index, true);
                self.agenda.note(self.later(lasting), Happening::Heals(index));
                Some(format!("{name} is cut off for {lasting}"))
            }
            Fault::WatchBreaks | Fault::WatchExpires => {
                self.reconnect(index, fault == Fault::WatchBreaks);
                Some(format!("{name}: {}", fault.name()))
            }
            Fault::NodeClock(by) => {
                site.clock += by;
                self.laws.clock_jumped();
                Some(format!("{name}: the clock is set by {by}"))
            }
            Fault::Node(mishap) => site.node.suffer(mishap, chance, time).map(|what| format!("{name}: {what}")),
            _ => None,
        }
    }

    pub(super) fn heal(&mut self, index: usize) {
        if let Some(site) = self.sites.get_mut(index)
            && std::mem::replace(&mut site.is_cut_off, false)
        {
            self.story.deed(self.now, format_args!("{} is reachable again", site.name));
        }
    }

    pub(super) fn power_back(&mut self, index: usize) {
        let now = self.now;
        let Some(site) = self.sites.get_mut(index).filter(|site| !site.is_powered) else { return };
        site.is_powered = true;
        let time = site.time(now);
        site.node.lose_power(time);
        self.story.deed(self.now, format_args!("{} has power again", site.name));
        self.reconnect(index, false);
    }
}

/// How long nothing goes wrong in the run of a seed. Each scenario is played in runs of every kind.
fn between_faults(seed: u64) -> SignedDuration {
    let kind = usize::try_from(seed / scenarios::APART % 3).unwrap_or_default();
    BETWEEN_FAULTS.get(kind).copied().unwrap_or(SignedDuration::from_secs(10))
}
