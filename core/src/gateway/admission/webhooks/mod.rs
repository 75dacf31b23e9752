//! Webhooks: programs of the user's that are asked before something is written.

mod configuration;
mod response;

use std::sync::Arc;

use serde_json::Value;

pub(in crate::gateway) use self::configuration::Webhook;
use self::response::Response;
use super::expressions::Scene;
use super::matching::{WithoutRules, is_bookkeeping, is_exempt};
use super::revised::Revised;
use super::round::Round;
use super::subject::Subject;
use crate::gateway::Unprepared;
use crate::gateway::preparation::Preparation;
use crate::object::ResourceType;
use crate::resource::{MUTATING_WEBHOOK_CONFIGURATIONS, VALIDATING_WEBHOOK_CONFIGURATIONS};
use crate::status::Status;
use crate::store::Snapshot;

/// The kinds that say who is asked.
const EXEMPT: [&str; 6] = [
    "mutatingwebhookconfigurations",
    "validatingwebhookconfigurations",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
];

/// The webhooks of a cluster, compiled once for each revision of their configurations.
pub(in crate::gateway) struct Webhooks {
    mutating: Revised<Vec<Arc<Webhook>>>,
    validating: Revised<Vec<Arc<Webhook>>>,
}

impl Default for Webhooks {
    fn default() -> Self {
        Self {
            mutating: Revised::new(MUTATING_WEBHOOK_CONFIGURATIONS, Webhook::all_of),
            validating: Revised::new(VALIDATING_WEBHOOK_CONFIGURATIONS, Webhook::all_of),
        }
    }
}

impl Webhooks {
    fn mutating(&self, snapshot: &Snapshot) -> Vec<Arc<Webhook>> {
        all(&self.mutating, MUTATING_WEBHOOK_CONFIGURATIONS, snapshot)
    }

    fn validating(&self, snapshot: &Snapshot) -> Vec<Arc<Webhook>> {
        all(&self.validating, VALIDATING_WEBHOOK_CONFIGURATIONS, snapshot)
    }
}

fn all(made: &Revised<Vec<Arc<Webhook>>>, configurations: ResourceType, snapshot: &Snapshot) -> Vec<Arc<Webhook>> {
    // Asked of every write: without configurations it costs next to nothing.
    if snapshot.count(configurations) == 0 {
        return Vec::new();
    }
    made.all(snapshot).iter().flat_map(|webhooks| webhooks.iter().cloned()).collect()
}

impl Preparation<'_> {
    /// Lets webhooks change the object, one after the other.
    pub(in crate::gateway) fn consult_mutating(
        &mut self,
        object: &mut Value,
        old: Option<&Value>,
    ) -> Result<Round<Arc<Webhook>>, Unprepared> {
        let mut round = Round::default();
        for webhook in self.gateway.webhooks.mutating(self.snapshot) {
            let has_changed = self.is_changed_by(&webhook, object, old)?;
            round.heard(webhook.is_reinvoked.then_some(webhook), has_changed);
        }
        Ok(round.end(object))
    }

    /// Lets those of a round that are to see the object once more change it.
    pub(in crate::gateway) fn consult_mutating_again(
        &mut self,
        round: Round<Arc<Webhook>>,
        object: &mut Value,
        old: Option<&Value>,
    ) -> Result<(), Unprepared> {
        for webhook in round.again(object) {
            self.is_changed_by(&webhook, object, old)?;
        }
        Ok(())
    }

    /// Asks the webhooks that may change objects about what they cannot: a deletion, a connection, a binding.
    pub(in crate::gateway) fn consult_mutating_unchangeable(
        &mut self,
        object: &Value,
        old: &Value,
    ) -> Result<(), Unprepared> {
        for webhook in self.gateway.webhooks.mutating(self.snapshot) {
            if let Some(response) = self.consult(&webhook, object, Some(old))? {
                response.patch.map_or(Ok(()), |_| Err(webhook.cannot_modify()))?;
                self.warnings.extend(response.warnings);
            }
        }
        Ok(())
    }

    /// Asks the webhooks that may only refuse, all at once.
    pub(in crate::gateway) fn consult_validating(
        &mut self,
        object: &Value,
        old: Option<&Value>,
    ) -> Result<(), Unprepared> {
        let mut calls = Vec::new();
        for webhook in self.gateway.webhooks.validating(self.snapshot) {
            match self.consult(&webhook, object, old) {
                Ok(response) => self.warnings.extend(response.into_iter().flat_map(|response| response.warnings)),
                Err(Unprepared::Asks(more)) => calls.extend(more),
                Err(refused) => return Err(refused),
            }
        }
        if calls.is_empty() { Ok(()) } else { Err(Unprepared::Asks(calls)) }
    }

    fn is_changed_by(
        &mut self,
        webhook: &Webhook,
        object: &mut Value,
        old: Option<&Value>,
    ) -> Result<bool, Unprepared> {
        let Some(Response { patch, warnings }) = self.consult(webhook, object, old)? else { return Ok(false) };
        self.warnings.extend(warnings);
        let Some(patch) = patch else { return Ok(false) };
        let request = self.request(old);
        let subject = Subject::new(&request, object);
        let version = subject.is_of_resource().then(|| webhook.meant(&subject)).flatten();
        let version = version.ok_or_else(|| webhook.cannot_modify())?;
        let failed = |why: String| Status::internal(format!("Internal error occurred: {why}"));
        let patched = patch.apply(&subject.object_in(version)?).map_err(|error| failed(error.to_string()))?;
        let changed = self.taken_over(object, version, patched)?;
        let is_changed = changed != *object;
        *object = changed;
        Ok(is_changed)
    }

    /// What a webhook says; `None` where it is not about such requests, or could not say anything and need not.
    fn consult(&self, webhook: &Webhook, object: &Value, old: Option<&Value>) -> Result<Option<Response>, Unprepared> {
        let request = self.request(old);
        let subject = Subject::new(&request, object);
        if is_exempt(&subject, &EXEMPT) || is_bookkeeping(&subject) {
            return Ok(None);
        }
        let Some(version) = webhook.meant(&subject) else { return Ok(None) };
        let scene = Scene::new(&subject, version)?;
        match webhook.conditions.hold(&scene.variables()) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(why) if webhook.fails_closed => return Err(request.forbidden(object, why).into()),
            Err(_) => return Ok(None),
        }
        let answered = match webhook.call(scene, self.snapshot, self.answers) {
            Ok(call) => match self.answers.to(&call) {
                None => return Err(Unprepared::Asks(vec![call])),
                Some(reply) => response::answered(&webhook.asked(&call), reply),
            },
            Err(why) => Err(why),
        };
        match answered {
            Ok(Ok(response)) => Ok(Some(response)),
            Ok(Err(denied)) => Err(denied.into()),
            Err(why) if webhook.fails_closed => Err(webhook.failed(&why).into()),
            Err(why) => {
                tracing::warn!(webhook = webhook.name, why, "a webhook could not be asked, which need not be");
                Ok(None)
            }
        }
    }
}
