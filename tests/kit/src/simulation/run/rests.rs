//! The end of a run: nobody disturbs the cluster any more, and it comes to rest.

use jiff::SignedDuration;

use super::super::clients::{Desk, Wish};
use super::super::laws::is_noteworthy;
use super::super::rest;
use super::{Caller, Happening, Simulation};

/// Without a write for so long a cluster that is complete is at rest.
const AT_REST_AFTER: SignedDuration = SignedDuration::from_secs(120);
/// A cluster nobody disturbs is at rest after this, or never: several times the longest wait for another try.
const CALM_MAX: SignedDuration = SignedDuration::from_secs(3600);
/// How often it is looked whether it is.
const LOOK_EVERY: SignedDuration = SignedDuration::from_secs(20);
/// Steps a driver that starts afresh takes at most on a cluster at rest.
const STEPS_AFRESH_MAX: usize = 100_000;

impl Simulation<'_> {
    /// Faults end: every node is up and reachable, and nothing fails for a while any more.
    pub(super) fn calm_down(&mut self) {
        self.calm_since = Some(self.now);
        self.next_crash = None;
        self.next_stall = None;
        self.story.deed(self.now, format_args!("from here on nobody disturbs the cluster"));
        for index in 0..self.sites.len() {
            self.heal(index);
            self.power_back(index);
            if let Some(site) = self.sites.get_mut(index) {
                site.node.recover();
            }
        }
        self.agenda.note(self.later(LOOK_EVERY), Happening::Look);
    }

    /// Looks whether the cluster is at rest, and if so, whether it is as it should be.
    pub(super) fn look(&mut self) {
        let Some(calm_since) = self.calm_since else { return };
        self.agenda.note(self.later(LOOK_EVERY), Happening::Look);
        if !self.repaired && self.server_is_up {
            return self.repair();
        }
        let now = self.server_time();
        let (calm_for, quiet_for) = (self.now.duration_since(calm_since), now.duration_since(self.laws.last_write));
        let is_quiet = quiet_for >= AT_REST_AFTER && rest::is_complete(&self.server.snapshot()).is_ok();
        if is_quiet || calm_for >= CALM_MAX {
            self.check_rest(quiet_for < AT_REST_AFTER);
        }
    }

    /// Users put right what they did: no rollout is paused or waits for what is not there.
    fn repair(&mut self) {
        self.repaired = true;
        let (snapshot, gateway) = (self.server.snapshot(), self.server.gateway().clone());
        let mut desk = Desk { gateway: &gateway, snapshot: &snapshot, dice: &mut self.dice.wishes };
        let repairs: Vec<Wish> = desk.clearing(&self.acts).into_iter().chain(desk.repairs()).collect();
        for wish in repairs {
            self.story.deed(self.now, format_args!("{}", wish.what));
            self.call(Caller::Repair, wish.mutation, None);
        }
    }

    fn check_rest(&mut self, still_writes: bool) {
        let snapshot = self.server.snapshot();
        if let Err(why) = rest::is_complete(&snapshot) {
            let waits = self.what_waits();
            return self.violate("everything is complete once nobody disturbs it", format!("{why}{waits}"));
        }
        if still_writes {
            return self.violate("nothing is written at rest", format!("the last change is {}", self.laws.cursor()));
        }
        for site in &self.sites {
            if let Err(why) = rest::nodes_hold_their_pods(&snapshot, &site.name, &site.node.holds()) {
                return self.violate("nodes hold their pods and nothing else", why);
            }
        }
        self.check_afresh();
        self.is_over = true;
    }

    /// The guards nobody has met, for a cluster that does not come to rest.
    fn what_waits(&self) -> String {
        let waiting: Vec<String> = self.server.driver().waiting().map(|(name, key)| format!("{name} {key}")).collect();
        if waiting.is_empty() { String::new() } else { format!("; waiting for a step: {}", waiting.join(", ")) }
    }

    /// At rest, a process that begins anew writes nothing.
    fn check_afresh(&mut self) {
        let now = self.server_time();
        self.server.reopen(now);
        for _ in 0..STEPS_AFRESH_MAX {
            if !self.server.operators_are_ready() && !self.server.store_is_due(now) {
                break;
            }
            self.server.turn_operators(true, now);
            self.server.turn_store(None, now);
        }
        match self.server.events_after(self.laws.cursor()) {
            Ok(events) => {
                if let Some(event) = events.iter().find(|event| is_noteworthy(event)) {
                    let detail = format!("{} is written", event.key);
                    self.violate("at rest a process that begins anew writes nothing", detail);
                }
            }
            Err(error) => self.violate("at rest a process that begins anew writes nothing", error.to_string()),
        }
    }
}
