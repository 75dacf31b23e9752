//! May somebody do something?

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::set_status;
use crate::access::{Attributes, Identity, ResourceAttributes, What};
use crate::object::Object;
use crate::resource::check::{Faults, Field};
use crate::resource::fill::set;
use crate::resource::{AnswerContext, Question};
use crate::status::Status;

/// May somebody do something?
pub(super) enum AccessQuestion {
    /// May I?
    Own,
    /// May they?
    Any,
    /// May they, in this namespace?
    Local,
}

#[derive(Deserialize)]
struct Review {
    #[serde(default)]
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    user: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
    resource_attributes: Option<Asked>,
    non_resource_attributes: Option<AskedPath>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Asked {
    namespace: String,
    verb: String,
    group: String,
    resource: String,
    subresource: String,
    name: String,
    field_selector: Option<FieldSelector>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct FieldSelector {
    raw_selector: String,
    requirements: Vec<FieldRequirement>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FieldRequirement {
    key: String,
    operator: String,
    values: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AskedPath {
    path: String,
    verb: String,
}

impl Question for AccessQuestion {
    fn answer(&self, asked: &mut Value, _: Option<&Object>, cx: &mut AnswerContext<'_>) -> Result<(), Status> {
        self.check(asked, cx.namespace)?;
        let review = Review::deserialize(&*asked);
        let spec = review.map_err(|error| Status::bad_request(format!("failed to decode the review: {error}")))?.spec;
        let other = Identity { user: spec.user, uid: spec.uid, groups: spec.groups, extra: spec.extra };
        let identity = if matches!(self, Self::Own) { cx.identity } else { &other };
        let (verb, what) = match (&spec.resource_attributes, &spec.non_resource_attributes) {
            (Some(asked), _) => (asked.verb.as_str(), What::Resource(asked.attributes())),
            (None, Some(path)) => (path.verb.as_str(), What::Path(&path.path)),
            (None, None) => unreachable!("one of both was checked to be there"),
        };
        let verdict = cx.authorizer.authorize(cx.snapshot, &Attributes { identity, verb, what });
        let mut status = json!({"allowed": verdict.allowed});
        if !verdict.reason.is_empty() {
            set(&mut status, "reason", verdict.reason);
        }
        set_status(asked, status);
        Ok(())
    }
}

impl AccessQuestion {
    fn check(&self, asked: &Value, namespace: Option<&str>) -> Result<(), Status> {
        let mut faults = Faults::default();
        let spec = Field::root(asked).at("spec");
        let (resource, path) = (spec.at("resourceAttributes"), spec.at("nonResourceAttributes"));
        match (resource.is_set(), path.is_set()) {
            (true, true) => {
                faults.invalid_hidden(&path, "cannot be specified in combination with resourceAttributes");
            }
            (false, false) => faults.invalid_hidden(
                &resource,
                "exactly one of nonResourceAttributes or resourceAttributes must be specified",
            ),
            _ => {}
        }
        let is_own = matches!(self, Self::Own);
        if !is_own && spec.at("user").text().is_empty() && spec.at("groups").count() == 0 {
            faults.invalid_hidden(&spec.at("user"), "at least one of user or group must be specified");
        }
        if matches!(self, Self::Local) {
            if path.is_set() {
                faults.invalid_hidden(&path, "disallowed on this kind of request");
            }
            if resource.is_set() && resource.at("namespace").text() != namespace.unwrap_or_default() {
                faults.invalid(&resource.at("namespace"), "must match metadata.namespace");
            }
        }
        if faults.errors.is_empty() {
            return Ok(());
        }
        let kind = asked.get("kind").and_then(Value::as_str).unwrap_or("SubjectAccessReview");
        Err(Status::invalid(&format!("{kind}.{}", super::AUTHORIZATION), "", faults.errors.causes()))
    }
}

impl Asked {
    fn attributes(&self) -> ResourceAttributes<'_> {
        let given = |text: &'_ str| !text.is_empty();
        ResourceAttributes {
            group: &self.group,
            resource: &self.resource,
            subresource: &self.subresource,
            namespace: Some(self.namespace.as_str()).filter(|it| given(it)),
            name: Some(self.name.as_str()).filter(|it| given(it)),
            of_node: self.field_selector.as_ref().and_then(FieldSelector::node),
        }
    }
}

impl FieldSelector {
    /// The node whose objects alone are selected.
    fn node(&self) -> Option<&str> {
        let raw = self.raw_selector.split(',').find_map(|it| it.trim().strip_prefix("spec.nodeName="));
        let raw = raw.map(|node| node.trim_start_matches('='));
        let exact = |it: &&FieldRequirement| it.key == "spec.nodeName" && it.operator == "In" && it.values.len() == 1;
        raw.or_else(|| self.requirements.iter().find(exact)?.values.first().map(String::as_str))
    }
}
