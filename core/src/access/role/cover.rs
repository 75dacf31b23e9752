//! Whether rules allow all that other rules do: nobody grants what they do not hold.

use super::PolicyRule;
use super::rule::{ALL, path_matches};
use crate::access::Identity;
use crate::object::ResourceType;
use crate::status::Status;

/// The most parts that rules are cut into to be compared: the roles of a cluster have some hundreds. A rule of a few
/// kilobytes can have a thousand million, since its verbs, groups, resources and names multiply.
const PARTS_MAX: usize = 100_000;
/// The most parts that a refusal lists: enough to see what is meant.
const TOLD_MAX: usize = 50;

/// Rules that have too many parts to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("failed to compare rules: together they allow more than {PARTS_MAX} single things; use \"*\" or several roles")]
pub struct TooManyParts;

/// Whether `held` together allow everything that `wanted` do. Rules with too many parts are covered by nothing.
pub fn covers(held: &[PolicyRule], wanted: &[PolicyRule]) -> bool {
    missing(held, wanted).is_ok_and(|mut missing| missing.next().is_none())
}

/// The parts of `wanted` that none of `held` allows, each of one verb and one resource or path.
///
/// # Errors
/// Where there are too many to look at.
pub fn uncovered(held: &[PolicyRule], wanted: &[PolicyRule]) -> Result<Vec<PolicyRule>, TooManyParts> {
    Ok(missing(held, wanted)?.collect())
}

fn missing(held: &[PolicyRule], wanted: &[PolicyRule]) -> Result<impl Iterator<Item = PolicyRule>, TooManyParts> {
    let count = wanted.iter().fold(0, |sum: usize, rule| sum.saturating_add(count_parts(rule)));
    if count > PARTS_MAX {
        return Err(TooManyParts);
    }
    let parts = wanted.iter().flat_map(parts);
    Ok(parts.filter(|part| !held.iter().any(|rule| rule_covers(rule, part))))
}

/// How many parts a rule is cut into.
fn count_parts(rule: &PolicyRule) -> usize {
    let names = rule.resource_names.len().max(1);
    let of_resources = [rule.resources.len(), names].into_iter().fold(rule.api_groups.len(), usize::saturating_mul);
    rule.verbs.len().saturating_mul(of_resources.saturating_add(rule.non_resource_urls.len()))
}

/// The refusal of a role or binding that would give somebody's rights away that they do not have.
pub fn forbidden_grant(identity: &Identity, resource: ResourceType, name: &str, missing: Vec<PolicyRule>) -> Status {
    let groups: Vec<String> = identity.groups.iter().map(|group| format!("{group:?}")).collect();
    let left_out = missing.len().saturating_sub(TOLD_MAX);
    let told = compact(missing.into_iter().take(TOLD_MAX).collect());
    let mut rules: Vec<String> = told.iter().map(ToString::to_string).collect();
    if left_out > 0 {
        rules.push(format!("and {left_out} more"));
    }
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
fn parts(rule: &PolicyRule) -> impl Iterator<Item = PolicyRule> {
    rule.verbs.iter().flat_map(|verb| paths_of(rule, verb).chain(resources_of(rule, verb)))
}

fn one(word: &str) -> Vec<String> {
    vec![word.to_owned()]
}

fn paths_of(rule: &PolicyRule, verb: &str) -> impl Iterator<Item = PolicyRule> {
    let part = |path: &String| PolicyRule { non_resource_urls: one(path), verbs: one(verb), ..PolicyRule::default() };
    rule.non_resource_urls.iter().map(part)
}

fn resources_of(rule: &PolicyRule, verb: &str) -> impl Iterator<Item = PolicyRule> {
    let pairs = rule.api_groups.iter().flat_map(|group| rule.resources.iter().map(move |resource| (group, resource)));
    pairs.flat_map(move |(group, resource)| {
        let part = move |names: Vec<String>| PolicyRule {
            verbs: one(verb),
            api_groups: one(group),
            resources: one(resource),
            resource_names: names,
            non_resource_urls: Vec::new(),
        };
        let all = rule.resource_names.is_empty().then(Vec::new);
        all.into_iter().chain(rule.resource_names.iter().map(|name| one(name))).map(part)
    })
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
        let missing = uncovered(&held, &[rule(&["get", "watch"], &[""], &["pods"])]).unwrap();
        assert_eq!(missing, [rule(&["watch"], &[""], &["pods"])]);
    }

    #[test]
    fn rules_whose_words_multiply_beyond_measure_are_refused_unseen() {
        let words: Vec<String> = (0..1000).map(|index| index.to_string()).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let everything = [rule(&["*"], &["*"], &["*"])];
        let vast = [rule(&words, &words, &words).named(&words)];
        assert_eq!(uncovered(&everything, &vast), Err(TooManyParts));
        assert!(!covers(&everything, &vast));
        let many = vec![rule(&words, &[""], &["pods"]); PARTS_MAX / 1000];
        assert_eq!(uncovered(&everything, &many), Ok(Vec::new()));
        assert_eq!(uncovered(&everything, &[many, everything.to_vec()].concat()), Err(TooManyParts));
    }

    #[test]
    fn a_refusal_lists_the_first_of_what_is_missing_and_counts_the_rest() {
        let missing: Vec<PolicyRule> =
            (0..TOLD_MAX + 7).map(|index| rule(&["get"], &[""], &[&index.to_string()])).collect();
        let told = forbidden_grant(&Identity::default(), crate::resource::ROLES, "r", missing).message;
        assert_eq!(told.lines().count(), 1 + TOLD_MAX + 1);
        assert!(told.ends_with("and 7 more"), "{told}");
    }

    #[test]
    fn names_held_cover_no_other_and_not_all() {
        let held = [rule(&["get"], &[""], &["secrets"]).named(&["a", "b"])];
        assert!(covers(&held, &[rule(&["get"], &[""], &["secrets"]).named(&["b"])]));
        assert!(!covers(&held, &[rule(&["get"], &[""], &["secrets"]).named(&["c"])]));
        assert!(!covers(&held, &[rule(&["get"], &[""], &["secrets"])]));
    }
}
