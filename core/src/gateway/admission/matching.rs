//! Which requests a policy or a webhook is about.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::subject::Subject;
use crate::manifest::MANIFEST_FILES;
use crate::object::selector::Selector;
use crate::object::{Name, ObjectKey};
use crate::resource::{EFFECTS, NAMESPACES, ServedVersion};

/// Which requests a policy, a binding or a webhook is about.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Constraints {
    #[serde(alias = "rules", deserialize_with = "or_none")]
    resource_rules: Vec<Rule>,
    #[serde(deserialize_with = "or_none")]
    exclude_resource_rules: Vec<Rule>,
    #[serde(deserialize_with = "selector")]
    namespace_selector: Selector,
    #[serde(deserialize_with = "selector")]
    object_selector: Selector,
    match_policy: MatchPolicy,
}

/// Whether a request in another version of the resource is meant as well.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
enum MatchPolicy {
    #[default]
    Equivalent,
    Exact,
}

/// Which operations on which resources.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rule {
    operations: Vec<String>,
    api_groups: Vec<String>,
    api_versions: Vec<String>,
    resources: Vec<String>,
    scope: RuleScope,
    #[serde(deserialize_with = "or_none")]
    resource_names: Vec<String>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
enum RuleScope {
    #[default]
    #[serde(rename = "*")]
    All,
    Cluster,
    Namespaced,
}

/// A list that is null is empty.
fn or_none<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A selector that is not there selects everything.
fn selector<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Selector, D::Error> {
    let Some(written) = Option::<Value>::deserialize(deserializer)? else { return Ok(Selector::default()) };
    Selector::from_value(&written).ok_or_else(|| serde::de::Error::custom("a label selector is expected"))
}

impl Constraints {
    /// The version in which a request is meant; `None` where it is not. Without rules, `all` requests are.
    pub(super) fn matched<'s>(&self, subject: &Subject<'s>, all: WithoutRules) -> Option<&'s ServedVersion> {
        let version = match (self.resource_rules.is_empty(), all) {
            (true, WithoutRules::All) => subject.version(),
            _ => self.version_in(&self.resource_rules, subject)?,
        };
        let is_excluded = self.version_in(&self.exclude_resource_rules, subject).is_some();
        let is_selected = !is_excluded && self.selects_namespace(subject) && self.selects_object(subject);
        is_selected.then_some(version)
    }

    /// The version in which one of the rules means the request: the one that is spoken, or else an equivalent.
    fn version_in<'s>(&self, rules: &[Rule], subject: &Subject<'s>) -> Option<&'s ServedVersion> {
        let means = |version: &ServedVersion| rules.iter().any(|rule| rule.means(subject, version));
        let spoken = subject.version();
        if means(spoken) {
            return Some(spoken);
        }
        let others = (self.match_policy == MatchPolicy::Equivalent).then(|| subject.other_versions());
        others.into_iter().flatten().find(|version| means(version))
    }

    /// What is in no namespace is selected, unless it is a namespace.
    fn selects_namespace(&self, subject: &Subject<'_>) -> bool {
        if self.namespace_selector.requirements.is_empty() || subject.namespace().is_empty() {
            return true;
        }
        let is_namespace = subject.request.mutation.target.resource() == NAMESPACES;
        if let Some(object) = subject.object.as_deref().filter(|_| is_namespace) {
            return self.namespace_selector.matches(&labels(object));
        }
        let found = subject.request.snapshot.get(&ObjectKey::cluster(NAMESPACES, subject.namespace()));
        found.is_some_and(|namespace| self.namespace_selector.matches(&namespace.metadata().labels))
    }

    fn selects_object(&self, subject: &Subject<'_>) -> bool {
        let versions = [subject.object.as_deref(), subject.old.as_deref()];
        self.object_selector.requirements.is_empty()
            || versions.into_iter().flatten().any(|object| self.object_selector.matches(&labels(object)))
    }
}

/// What is meant where there are no rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WithoutRules {
    /// Every request.
    All,
    /// None.
    None,
}

impl Rule {
    fn means(&self, subject: &Subject<'_>, version: &ServedVersion) -> bool {
        self.fits_scope(subject)
            && names(&self.operations, subject.operation.as_str())
            && names(&self.api_groups, version.group)
            && names(&self.api_versions, version.version)
            && self.resources.iter().any(|resource| fits_resource(resource, subject))
            && (self.resource_names.is_empty() || self.resource_names.iter().any(|name| name == subject.name()))
    }

    /// A namespace is in itself, and yet none of what is in namespaces.
    fn fits_scope(&self, subject: &Subject<'_>) -> bool {
        let is_namespaced = subject.request.namespace().is_some();
        match self.scope {
            RuleScope::All => true,
            RuleScope::Namespaced => is_namespaced,
            RuleScope::Cluster => !is_namespaced,
        }
    }
}

fn names(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == "*" || item == wanted)
}

/// `pods`, `pods/exec`, `pods/*`, `*/scale`, `*`, `*/*`.
fn fits_resource(rule: &str, subject: &Subject<'_>) -> bool {
    let target = &subject.request.mutation.target;
    let (resource, part) = rule.split_once('/').unwrap_or((rule, ""));
    (resource == "*" || resource == target.resource().plural) && (part == "*" || part == target.subresource.as_str())
}

fn labels(object: &Value) -> BTreeMap<Name, Name> {
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
    let pairs = labels.into_iter().flatten();
    pairs.filter_map(|(label, value)| Some((label.as_str().into(), value.as_str()?.into()))).collect()
}

/// The kinds that say who is asked: were they asked about themselves, a mistake could never be undone.
pub(super) fn is_exempt(subject: &Subject<'_>, plurals: &[&str]) -> bool {
    let resource = subject.request.mutation.target.resource();
    resource.group == "admissionregistration.k8s.io" && plurals.contains(&resource.plural)
}

/// The house's own books are nobody's to change or refuse: what they tell has happened.
pub(super) fn is_bookkeeping(subject: &Subject<'_>) -> bool {
    [EFFECTS, MANIFEST_FILES].contains(&subject.request.mutation.target.resource())
}
