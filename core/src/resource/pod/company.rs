//! What pods say of each other that decides where they stand: how those are found whom it concerns.
//!
//! A pod may want no other of some kind in its zone, and who comes later has to keep to that as well. So that a pod is held
//! against those alone that may mean it, and not against every pod there is, these are found by one label of whom they
//! mean, together with the namespace.

use serde_json::Value;

use super::super::read::{items, size, text};
use crate::object::Name;

/// What a pod that stands somewhere is found by if it keeps others out of a domain larger than its node: values made by
/// [`may_mean`]. Who keeps others off its node is found on the node.
pub const REPELS: &str = "repels";
/// What a pod that stands somewhere is found by if it would rather have others near it or not, or had to be near some itself:
/// values made by [`may_mean`].
pub const LEANS: &str = "leans";
/// What a pod without a node is found by, under the empty text, if others decide where it may go.
pub const SEEKS_COMPANY: &str = "seeksCompany";

/// The label by which each node is a domain of its own.
pub const HOSTNAME: &str = "kubernetes.io/hostname";

const ANY: &str = "*";
const AFFINITY: &str = "/spec/affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution";
const ANTI_AFFINITY: &str = "/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution";
const PREFERENCES: [&str; 2] = [
    "/spec/affinity/podAffinity/preferredDuringSchedulingIgnoredDuringExecution",
    "/spec/affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution",
];

/// The values of [`REPELS`] and [`LEANS`] under which every pod is found that may mean one with these labels.
pub fn may_mean<'l>(namespace: &str, labels: impl Iterator<Item = (&'l Name, &'l Name)>) -> Vec<String> {
    let mut means: Vec<String> = labels.map(|(label, value)| means(label, value)).collect();
    means.push(ANY.to_owned());
    let within = |namespace: &str| means.iter().map(|meant| format!("{namespace}/{meant}")).collect::<Vec<_>>();
    [within(namespace), within(ANY)].concat()
}

fn means(label: &str, value: &str) -> String {
    format!("{label}={value}")
}

/// Under which values of [`REPELS`] a pod is found.
pub(super) fn repels(pod: &Value) -> Vec<String> {
    found_by_any(pod, items(pod, ANTI_AFFINITY).filter(|term| text(term, "/topologyKey") != HOSTNAME))
}

/// Under which values of [`LEANS`] a pod is found.
pub(super) fn leans(pod: &Value) -> Vec<String> {
    let preferences = PREFERENCES.into_iter().flat_map(|preferences| items(pod, preferences));
    found_by_any(pod, items(pod, AFFINITY).chain(preferences.filter_map(|it| it.get("podAffinityTerm"))))
}

/// Whether others decide where a pod goes that stands nowhere yet.
pub(super) fn seeks_company(pod: &Value) -> Vec<String> {
    let mut constraints = items(pod, "/spec/topologySpreadConstraints");
    let decide = size(pod, AFFINITY) > 0
        || size(pod, ANTI_AFFINITY) > 0
        || constraints.any(|it| text(it, "/whenUnsatisfiable") == "DoNotSchedule");
    let seeks = decide && text(pod, "/spec/nodeName").is_empty();
    seeks.then(String::new).into_iter().collect()
}

/// One label of whom any of the pod's terms means, while it stands somewhere.
fn found_by_any<'p>(pod: &'p Value, terms: impl Iterator<Item = &'p Value>) -> Vec<String> {
    let mut terms = terms.peekable();
    if terms.peek().is_none() || !stands(pod) {
        return Vec::new();
    }
    let own = text(pod, "/metadata/namespace");
    let mut values: Vec<String> = terms.flat_map(|term| found_by(term, own)).collect();
    values.sort_unstable();
    values.dedup();
    values
}

fn stands(pod: &Value) -> bool {
    let ended = matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
    !text(pod, "/spec/nodeName").is_empty() && !ended
}

/// One label of whom the term means, in each namespace it means; whoever is chosen by more than one value is found under each.
fn found_by(term: &Value, own: &str) -> Vec<String> {
    let Some(selector) = term.get("labelSelector").filter(|selector| selector.is_object()) else { return Vec::new() };
    let mut namespaces: Vec<&str> = items(term, "/namespaces").filter_map(Value::as_str).collect();
    if term.get("namespaceSelector").is_some_and(Value::is_object) {
        namespaces = vec![ANY];
    } else if namespaces.is_empty() {
        namespaces = vec![own];
    }
    let meant = meant(selector);
    namespaces.iter().flat_map(|namespace| meant.iter().map(move |meant| format!("{namespace}/{meant}"))).collect()
}

fn meant(selector: &Value) -> Vec<String> {
    let equal = selector.get("matchLabels").and_then(Value::as_object).and_then(|labels| labels.iter().next());
    if let Some((label, value)) = equal {
        return vec![means(label, value.as_str().unwrap_or_default())];
    }
    let mut expressions = items(selector, "/matchExpressions");
    let Some(one_of) = expressions.find(|it| text(it, "/operator") == "In" && size(it, "/values") > 0) else {
        return vec![ANY.to_owned()];
    };
    let values = items(one_of, "/values").filter_map(Value::as_str);
    values.map(|value| means(text(one_of, "/key"), value)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(term: Value) -> Value {
        let affinity = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
        json!({"metadata": {"namespace": "shop"}, "spec": {"nodeName": "n1", "affinity": affinity}})
    }

    /// Whoever a term may mean finds the pod by one of its own values.
    #[test]
    fn whoever_may_be_meant_finds_who_means_it() {
        let asked = |namespace: &str, app: &str| {
            let (label, value): (Name, Name) = ("app".into(), app.into());
            may_mean(namespace, [(&label, &value)].into_iter())
        };
        let by_label = json!({"matchLabels": {"app": "web"}});
        let one_of = json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "api"]}]});
        let cases = [
            (json!({"topologyKey": "zone", "labelSelector": by_label}), "shop", "web", true),
            (json!({"topologyKey": "zone", "labelSelector": by_label}), "shop", "db", false),
            (json!({"topologyKey": "zone", "labelSelector": by_label}), "other", "web", false),
            (json!({"topologyKey": "zone", "labelSelector": one_of}), "shop", "api", true),
            (json!({"topologyKey": "zone", "labelSelector": {}}), "shop", "db", true),
            (json!({"topologyKey": "zone", "labelSelector": by_label, "namespaces": ["a", "b"]}), "b", "web", true),
            (json!({"topologyKey": "zone", "labelSelector": by_label, "namespaceSelector": {}}), "other", "web", true),
            (json!({"topologyKey": "zone"}), "shop", "web", false),
            (json!({"topologyKey": HOSTNAME, "labelSelector": by_label}), "shop", "web", false),
        ];
        for (term, namespace, app, expected) in cases {
            let found = repels(&pod(term.clone()));
            let asked = asked(namespace, app);
            assert_eq!(found.iter().any(|value| asked.contains(value)), expected, "{term} {namespace} {app}");
        }
    }

    #[test]
    fn who_would_rather_have_others_near_is_found_by_whom_it_means() {
        let term = |app: &str| json!({"topologyKey": HOSTNAME, "labelSelector": {"matchLabels": {"app": app}}});
        let rather = |app: &str| json!({"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": term(app)}]});
        let mut affinity = json!({"podAffinity": rather("web"), "podAntiAffinity": rather("api")});
        affinity["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = json!([term("db"), term("web")]);
        let mut pod = json!({"metadata": {"namespace": "shop"}, "spec": {"nodeName": "n1", "affinity": affinity}});
        assert_eq!(leans(&pod), ["shop/app=api", "shop/app=db", "shop/app=web"]);
        pod["spec"]["nodeName"] = json!("");
        assert_eq!(leans(&pod), Vec::<String>::new());
    }

    #[test]
    fn who_stands_nowhere_repels_nobody_and_may_seek_company() {
        let term = json!({"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "web"}}});
        let mut waiting = pod(term.clone());
        waiting["spec"]["nodeName"] = json!("");
        assert_eq!((repels(&waiting).len(), seeks_company(&waiting).len()), (0, 1));
        assert_eq!((repels(&pod(term.clone())).len(), seeks_company(&pod(term.clone())).len()), (1, 0));
        let mut ended = pod(term);
        ended["status"]["phase"] = json!("Failed");
        assert_eq!(repels(&ended), Vec::<String>::new());
        let spread = |when: &str| json!({"spec": {"topologySpreadConstraints": [{"whenUnsatisfiable": when}]}});
        assert_eq!(seeks_company(&spread("DoNotSchedule")).len(), 1);
        assert_eq!(seeks_company(&spread("ScheduleAnyway")).len(), 0);
    }
}
