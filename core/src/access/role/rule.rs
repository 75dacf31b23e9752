//! One rule of a role.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::access::{Attributes, ResourceAttributes, What};

/// Stands for everything in a list of a rule.
pub(super) const ALL: &str = "*";

/// One rule of a role: these verbs with these resources, or at these paths.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyRule {
    /// The verbs, or `*`.
    pub verbs: Vec<String>,
    /// The API groups, or `*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    /// The resources: `pods`, `pods/log`, `*/scale`, or `*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// The only objects it is about; empty for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    /// Paths that are no resources; one may end in `*`.
    #[serde(rename = "nonResourceURLs", skip_serializing_if = "Vec::is_empty")]
    pub non_resource_urls: Vec<String>,
}

impl PolicyRule {
    /// These verbs with these resources of these groups.
    pub fn of_resources(verbs: &[&str], api_groups: &[&str], resources: &[&str]) -> Self {
        Self { verbs: owned(verbs), api_groups: owned(api_groups), resources: owned(resources), ..Self::default() }
    }

    /// These verbs at these paths.
    pub fn of_paths(verbs: &[&str], paths: &[&str]) -> Self {
        Self { verbs: owned(verbs), non_resource_urls: owned(paths), ..Self::default() }
    }

    /// The same for these objects alone.
    #[must_use]
    pub fn named(self, names: &[&str]) -> Self {
        Self { resource_names: owned(names), ..self }
    }

    /// Whether it allows what is asked.
    pub fn allows(&self, asked: &Attributes<'_>) -> bool {
        has_or_all(&self.verbs, asked.verb)
            && match &asked.what {
                What::Resource(resource) => self.allows_resource(resource),
                What::Path(path) => self.non_resource_urls.iter().any(|it| path_matches(it, path)),
            }
    }

    fn allows_resource(&self, asked: &ResourceAttributes<'_>) -> bool {
        has_or_all(&self.api_groups, asked.group)
            && self.resources.iter().any(|it| resource_matches(it, asked))
            && (self.resource_names.is_empty()
                || asked.name.is_some_and(|name| self.resource_names.iter().any(|it| it == name)))
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn has_or_all(words: &[String], wanted: &str) -> bool {
    words.iter().any(|word| word == ALL || word == wanted)
}

/// Whether a rule's resource is what is asked for: `pods/log` is not `pods`, and `*/log` is the log of anything.
fn resource_matches(rule: &str, asked: &ResourceAttributes<'_>) -> bool {
    match rule.split_once('/') {
        _ if rule == ALL => true,
        None => asked.subresource.is_empty() && rule == asked.resource,
        Some((resource, part)) => part == asked.subresource && (resource == ALL || resource == asked.resource),
    }
}

pub(super) fn path_matches(rule: &str, path: &str) -> bool {
    match rule.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => rule == path,
    }
}

impl fmt::Display for PolicyRule {
    /// As Kubernetes shows a rule in a refusal: `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.non_resource_urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ];
        let shown = lists.iter().filter(|(_, words)| !words.is_empty()).map(|(name, words)| {
            let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
            format!("{name}:[{}]", words.join(" "))
        });
        write!(formatter, "{{{}}}", shown.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Identity;

    fn allows(rule: &PolicyRule, verb: &str, asked: ResourceAttributes<'_>) -> bool {
        let identity = Identity::default();
        rule.allows(&Attributes { identity: &identity, verb, what: What::Resource(asked) })
    }

    fn asked<'a>(
        group: &'a str,
        resource: &'a str,
        subresource: &'a str,
        name: Option<&'a str>,
    ) -> ResourceAttributes<'a> {
        ResourceAttributes { group, resource, subresource, name, ..ResourceAttributes::default() }
    }

    #[test]
    fn a_rule_is_about_what_it_names_and_no_part_beyond() {
        let rule = |resources: &[&str]| PolicyRule::of_resources(&["get"], &[""], resources);
        let cases = [
            (rule(&["pods"]), "pods", "", true),
            (rule(&["pods"]), "pods", "log", false),
            (rule(&["pods/log"]), "pods", "log", true),
            (rule(&["pods/log"]), "pods", "", false),
            (rule(&["*"]), "pods", "log", true),
            (rule(&["*/log"]), "pods", "log", true),
            (rule(&["*/log"]), "pods", "", false),
            (rule(&["pods/*"]), "pods", "log", false),
            (rule(&["secrets"]), "pods", "", false),
        ];
        for (rule, resource, part, expect) in cases {
            assert_eq!(allows(&rule, "get", asked("", resource, part, None)), expect, "{rule} {resource}/{part}");
            assert!(!allows(&rule, "list", asked("", resource, part, None)), "{rule}");
            assert!(!allows(&rule, "get", asked("apps", resource, part, None)), "{rule}");
        }
    }

    #[test]
    fn names_limit_a_rule_and_leave_nothing_for_requests_without_one() {
        let rule = PolicyRule::of_resources(&["*"], &["*"], &["configmaps"]).named(&["one"]);
        assert!(allows(&rule, "delete", asked("", "configmaps", "", Some("one"))));
        assert!(!allows(&rule, "delete", asked("", "configmaps", "", Some("two"))));
        assert!(!allows(&rule, "list", asked("", "configmaps", "", None)));
    }

    #[test]
    fn a_path_is_matched_whole_or_by_its_beginning() {
        let identity = Identity::default();
        let cases = [
            ("/healthz", "/healthz", true),
            ("/healthz", "/healthz/x", false),
            ("/api/*", "/api/v1", true),
            ("/api/*", "/api", false),
            ("*", "/x", true),
        ];
        for (rule, path, expect) in cases {
            let rule = PolicyRule::of_paths(&["get"], &[rule]);
            assert_eq!(rule.allows(&Attributes::path(&identity, "get", path)), expect, "{rule} {path}");
            assert!(!rule.allows(&Attributes::path(&identity, "post", path)), "{rule} {path}");
        }
    }
}
