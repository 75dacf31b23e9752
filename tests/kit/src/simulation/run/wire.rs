//! The wire between the nodes and the server: what is sent takes a while, connections break and are made again.

use jiff::SignedDuration;
use sampan_core::object::Revision;

use super::super::node::{News, Reply};
use super::{Caller, Happening, PLAYED_AGAIN, Simulation};

impl Simulation<'_> {
    pub(super) fn send(&mut self, index: usize, news: News, revision: Option<Revision>) {
        let wait = self.latency();
        let at = self.later(wait);
        let Some(site) = self.sites.get_mut(index) else { return };
        let (at, connection) = (site.arrival(at), site.connection);
        self.agenda.note(at, Happening::News { site: index, connection, news, revision });
    }

    /// How long a message takes on the wire.
    pub(super) fn latency(&mut self) -> SignedDuration {
        self.dice.wire.time(SignedDuration::from_micros(80), SignedDuration::from_millis(2))
    }

    /// Nobody answers.
    pub(super) fn silence(&mut self, caller: Caller) {
        if let Caller::Node { site, life, ticket } = caller {
            let wait = self.dice.wire.time(SignedDuration::from_millis(1), SignedDuration::from_secs(5));
            self.agenda.note(self.later(wait), Happening::Reply { site, life, ticket, reply: Reply::Silence });
        }
        match caller {
            Caller::Repair => self.repaired = false,
            Caller::Scenario(index) => self.agenda.note(self.later(PLAYED_AGAIN), Happening::Act(index)),
            Caller::User | Caller::Node { .. } => {}
        }
    }

    /// A connection breaks, and is made again as soon as it can be.
    pub(super) fn reconnect(&mut self, index: usize, can_resume: bool) {
        let wait = self.dice.wire.time(SignedDuration::from_millis(1), SignedDuration::from_millis(900));
        let at = self.later(wait);
        let Some(site) = self.sites.get_mut(index) else { return };
        site.disconnect(can_resume);
        self.agenda.note(at, Happening::Connects(index, site.connection));
    }

    pub(super) fn connect(&mut self, index: usize, connection: u64) {
        let Some(site) = self.sites.get(index).filter(|site| site.connection == connection) else { return };
        if !site.is_reachable() || !self.server_is_up {
            let again = self.later(SignedDuration::from_millis(800));
            self.agenda.note(again, Happening::Connects(index, connection));
            return;
        }
        let snapshot = self.server.snapshot();
        let resumed = site.cursor().and_then(|cursor| self.server.events_after(cursor).ok());
        let revision = snapshot.revision();
        let news: Vec<(News, Option<Revision>)> = match &resumed {
            None => site.list(&snapshot).into_iter().map(|news| (news, Some(revision))).collect(),
            Some(events) => {
                let own = events.iter().filter_map(|event| Some((site.news(event)?, Some(event.revision))));
                own.chain(site.sources(&snapshot).into_iter().map(|news| (news, None))).collect()
            }
        };
        let how = if resumed.is_some() { "resumes its watches" } else { "lists its pods" };
        self.story.tell(self.now, format_args!("{} {how} at {revision}", site.name));
        for (news, revision) in news {
            self.send(index, news, revision);
        }
        if let Some(site) = self.sites.get_mut(index) {
            site.is_sent(revision);
        }
    }
}
