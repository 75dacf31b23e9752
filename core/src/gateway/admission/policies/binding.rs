//! Where a policy holds, and with which parameters.

use serde::Deserialize;
use serde_json::Value as Json;

use crate::gateway::admission::matching::{Constraints, WithoutRules};
use crate::gateway::admission::subject::Subject;
use crate::object::Object;
use crate::resource::read::text;

/// Where a policy holds, with which parameters, and what comes of it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Binding {
    #[serde(skip)]
    pub(super) name: String,
    pub(super) policy_name: String,
    pub(super) match_resources: Option<Constraints>,
    pub(super) param_ref: Option<ParameterReference>,
    pub(super) validation_actions: Vec<String>,
    /// Why it cannot be read.
    #[serde(skip)]
    pub(super) fault: Option<String>,
}

/// Which objects are parameters.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ParameterReference {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) selector: Option<Json>,
    pub(super) parameter_not_found_action: String,
}

impl Binding {
    pub(super) fn of(object: &Object) -> Self {
        let spec = object.value().get_mut("spec").map(Json::take).unwrap_or_default();
        let policy_name = text(&spec, "/policyName").to_owned();
        let binding = serde_json::from_value(spec);
        let binding =
            binding.unwrap_or_else(|error| Self { fault: Some(error.to_string()), policy_name, ..Self::default() });
        Self { name: object.key().name.to_string(), ..binding }
    }

    /// Whether the policy holds for a request by way of it.
    pub(super) fn holds(&self, subject: &Subject<'_>) -> bool {
        self.match_resources.as_ref().is_none_or(|resources| resources.matched(subject, WithoutRules::All).is_some())
    }
}
