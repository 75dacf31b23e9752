//! Whether rules allow all that other rules do: nobody grants what they do not hold.

use super::PolicyRule;
use super::rule::{ALL, path_matches};
use crate::access::Identity;
use crate::object::ResourceType;
use crate::status::Status;

/// Whether `held` together allow everything that `wanted` do.
pub fn covers(held: &[PolicyRule], wanted: &[PolicyRule]) -> bool {
    uncovered(held, wanted).is_empty()
}

/// The parts of `wanted` that none of `held` allows, each of one verb and one resource or path.
pub fn uncovered(held: &[PolicyRule], wanted: &[PolicyRule]) -> Vec<PolicyRule> {
    let parts = wanted.iter().flat_map(parts);
    parts.filter(|part| !held.iter().any(|rule| rule_covers(rule, part))).collect()
}

/// The refusal of a role or binding that would give somebody's rights away that they do not have.
pub fn forbidden_grant(identity: &Identity, resource: ResourceType, name: &str, missing: Vec<PolicyRule>) -> Status {
    let groups: Vec<String> = identity.groups.iter().map(|group| format!("{group:?}")).collect();
    let rules: Vec<String> = compact(missing).iter().map(ToString::to_string).collect();
    Status::forbidden(format!(
        "{resource} {name:?} is forbidden: user {:?} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
        identity.user,
        groups.join(" "),
        rules.join("\n"),
    ))
}

/// Rules that differ in their verbs alone become one.
fn compact(rules: Vec<PolicyRule>) -> Vec<PolicyRule> {
    let mut compacted: Vec<PolicyRule> = Vec::new();
    for rule in rules {
        let same = compacted.iter_mut().find(|it| {
            it.api_groups == rule.api_groups
                && it.resources == rule.resources
                && it.resource_names == rule.resource_names
                && it.non_resource_urls == rule.non_resource_urls
        });
        match same {
            Some(same) => same.verbs.extend(rule.verbs.into_iter().filter(|verb| verb != ALL)),
            None => compacted.push(rule),
        }
    }
    compacted
}

/// A rule cut into rules of one verb, one group and one resource and name, or of one verb and one path.
fn parts(rule: &PolicyRule) -> Vec<PolicyRule> {
    let one = |word: &String| vec![word.clone()];
    let names: Vec<Vec<String>> = match rule.resource_names.is_empty() {
        true => vec![Vec::new()],
        false => rule.resource_names.iter().map(one).collect(),
    };
    let mut parts = Vec::new();
    for verb in &rule.verbs {
        for path in &rule.non_resource_urls {
            parts.push(PolicyRule { verbs: one(verb), non_resource_urls: one(path), ..PolicyRule::default() });
        }
        for group in &rule.api_groups {
            for resource in &rule.resources {
                parts.extend(names.iter().map(|names| PolicyRule {
                    verbs: one(verb),
                    api_groups: one(group),
                    resources: one(resource),
                    resource_names: names.clone(),
                    non_resource_urls: Vec::new(),
                }));
            }
        }
    }
    parts
}

/// Whether one rule allows all of a part.
fn rule_covers(rule: &PolicyRule, part: &PolicyRule) -> bool {
    let has = |held: &[String], wanted: &[String]| {
        held.iter().any(|word| word == ALL) || wanted.iter().all(|word| held.contains(word))
    };
    if !has(&rule.verbs, &part.verbs) {
        return false;
    }
    if !part.non_resource_urls.is_empty() {
        return part
            .non_resource_urls
            .iter()
            .all(|path| rule.non_resource_urls.iter().any(|it| path_matches(it, path)));
    }
    let names = match (rule.resource_names.is_empty(), part.resource_names.is_empty()) {
        (true, _) => true,
        (false, true) => false,
        (false, false) => part.resource_names.iter().all(|name| rule.resource_names.contains(name)),
    };
    names && has(&rule.api_groups, &part.api_groups) && part.resources.iter().all(|it| covers_resource(rule, it))
}

fn covers_resource(rule: &PolicyRule, wanted: &str) -> bool {
    rule.resources.iter().any(|held| {
        held == ALL
            || held == wanted
            || held.strip_prefix("*/").is_some_and(|part| wanted.split_once('/').is_some_and(|(_, it)| it == part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(verbs: &[&str], groups: &[&str], resources: &[&str]) -> PolicyRule {
        PolicyRule::of_resources(verbs, groups, resources)
    }

    #[test]
    fn what_is_held_covers_itself_and_less() {
        let held = [rule(&["get", "list"], &[""], &["pods", "*/scale"]), PolicyRule::of_paths(&["get"], &["/api/*"])];
        let cases = [
            (rule(&["get"], &[""], &["pods"]), true),
            (rule(&["list", "get"], &[""], &["pods"]), true),
            (rule(&["get"], &[""], &["pods"]).named(&["one"]), true),
            (rule(&["get"], &[""], &["deployments/scale"]), true),
            (rule(&["get"], &["apps"], &["pods"]), false),
            (rule(&["*"], &[""], &["pods"]), false),
            (rule(&["get"], &[""], &["*"]), false),
            (rule(&["get"], &[""], &["pods/log"]), false),
            (PolicyRule::of_paths(&["get"], &["/api/v1"]), true),
            (PolicyRule::of_paths(&["get"], &["/api/*"]), true),
            (PolicyRule::of_paths(&["get"], &["*"]), false),
        ];
        for (wanted, expect) in cases {
            assert_eq!(covers(&held, std::slice::from_ref(&wanted)), expect, "{wanted}");
        }
    }

    #[test]
    fn a_rule_is_covered_by_several_together() {
        let held = [rule(&["get"], &[""], &["pods"]), rule(&["list"], &[""], &["pods"])];
        assert!(covers(&held, &[rule(&["get", "list"], &[""], &["pods"])]));
        let missing = uncovered(&held, &[rule(&["get", "watch"], &[""], &["pods"])]);
        assert_eq!(missing, [rule(&["watch"], &[""], &["pods"])]);
    }

    #[test]
    fn names_held_cover_no_other_and_not_all() {
        let held = [rule(&["get"], &[""], &["secrets"]).named(&["a", "b"])];
        assert!(covers(&held, &[rule(&["get"], &[""], &["secrets"]).named(&["b"])]));
        assert!(!covers(&held, &[rule(&["get"], &[""], &["secrets"]).named(&["c"])]));
        assert!(!covers(&held, &[rule(&["get"], &[""], &["secrets"])]));
    }
}
