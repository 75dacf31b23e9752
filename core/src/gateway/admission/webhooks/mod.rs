//! Webhooks: programs of the user's that are asked before something is written.
//!
//! Preparing a mutation does no I/O. Where a webhook is to be asked that has not answered yet, the preparation ends with the
//! [`Call`]s to make, and runs again with what was [answered](Answers). An answer holds for the question it was given to, to
//! the byte: where the world has moved on, the webhook is asked again. So whoever asks comes back with the same draw and the
//! same clock, see [`Inquiry`].

mod answers;
mod call;
mod configuration;
mod inquiry;
mod port;
mod response;

use std::sync::Arc;

use serde_json::Value;

pub use answers::{Answers, Reply};
pub use call::Call;
pub use inquiry::Inquiry;
pub use port::{NoWebhooks, Told, WebhookClient};

use self::configuration::Webhook;
use self::response::Response;
use super::expressions::Scene;
use super::matching::{WithoutRules, is_exempt};
use super::revised::Revised;
use super::subject::Subject;
use crate::gateway::Unprepared;
use crate::gateway::metadata::{keep_fields, metadata_mut};
use crate::gateway::preparation::Preparation;
use crate::manifest::MANIFEST_FILES;
use crate::object::ResourceType;
use crate::resource::{EFFECTS, MUTATING_WEBHOOK_CONFIGURATIONS, VALIDATING_WEBHOOK_CONFIGURATIONS};
use crate::schema;
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

/// What only the server gives, and a webhook may not take.
const IDENTITY: [&str; 4] = ["name", "namespace", "uid", "creationTimestamp"];

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
    /// Lets webhooks change the object, one after the other. Where one does, the rules and webhooks before it that want to
    /// see the change are asked once more.
    pub(in crate::gateway) fn consult_mutating(
        &mut self,
        object: &mut Value,
        old: Option<&Value>,
    ) -> Result<(), Unprepared> {
        let webhooks = self.gateway.webhooks.mutating(self.snapshot);
        let (mut asked_before, mut again) = (Vec::new(), Vec::new());
        let mut has_changed = false;
        for webhook in &webhooks {
            if self.is_changed_by(webhook, object, old)? {
                again.clone_from(&asked_before);
                has_changed = true;
            }
            if webhook.is_reinvoked {
                asked_before.push(webhook);
            }
        }
        if has_changed {
            self.mutate_by_rules(object, old)?;
        }
        for webhook in again {
            self.is_changed_by(webhook, object, old)?;
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
        let patched = patch.apply(&subject.object_in(version)).map_err(|error| failed(error.to_string()))?;
        let read_by = version.schema.reading_schema().ok_or_else(|| failed("no schema".to_owned()))?;
        let mut changed = schema::conform(&read_by, patched).map_err(|error| failed(error.to_string()))?.value;
        self.definition.strategy.prune(&mut changed);
        let mut changed = self.stored_from(version, changed)?;
        let identity = object.get("metadata").and_then(Value::as_object);
        keep_fields(metadata_mut(&mut changed)?, identity, &IDENTITY);
        self.definition.strategy.default(&mut changed);
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
        let scene = Scene::new(&subject, version);
        match webhook.conditions.hold(&scene.variables()) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(why) if webhook.fails_closed => return Err(request.forbidden(object, why).into()),
            Err(_) => return Ok(None),
        }
        let answered = match webhook.call(scene, self.snapshot, self.answers) {
            Ok(call) => match self.answers.to(&call) {
                None => return Err(Unprepared::Asks(vec![call])),
                Some(answered) => answered.clone(),
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

/// The house's own books are nobody's to refuse: what they tell has happened.
fn is_bookkeeping(subject: &Subject<'_>) -> bool {
    [EFFECTS, MANIFEST_FILES].contains(&subject.request.mutation.target.resource())
}
