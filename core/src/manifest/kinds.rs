//! What is said of a kind that nobody serves: whether it may come yet, and what was meant where it cannot.

use strsim::levenshtein;

use super::document::Identity;
use crate::resource::Registry;

/// The most kinds listed of a group and version.
const KINDS_LISTED_MAX: usize = 20;

/// A kind that is served, as documents name it.
struct Offer {
    api_version: String,
    kind: &'static str,
}

/// Why a document is of no kind, and whether it waits: a group of Kubernetes' own never gets another kind, any other may be
/// defined.
pub(super) fn unserved(registry: &Registry, identity: &Identity) -> (String, bool) {
    let (kind, api_version) = (&identity.kind, identity.api_version());
    if !is_kubernetes_own(registry, &identity.group) {
        let message =
            format!("no kind {kind} is known in {api_version}: it waits for a CustomResourceDefinition of it");
        return (message, true);
    }
    (meant(&offers(registry), kind, &api_version), false)
}

/// Whether definitions can add nothing to a group: one without a dot, or one that is built in.
fn is_kubernetes_own(registry: &Registry, group: &str) -> bool {
    let is_built_in =
        || registry.definitions().any(|known| known.defined_by.is_none() && known.resource.group == group);
    !group.contains('.') || (group.ends_with(".k8s.io") && is_built_in())
}

fn offers(registry: &Registry) -> Vec<Offer> {
    let versions = registry.definitions().flat_map(|definition| {
        let served = definition.versions.iter().filter(|version| version.is_served);
        served.map(|version| Offer { api_version: version.api_version(), kind: definition.kind })
    });
    versions.collect()
}

/// The kind by its name elsewhere, then by a name like it here, then elsewhere; else all there are here.
fn meant(offers: &[Offer], kind: &str, api_version: &str) -> String {
    let there: Vec<&str> =
        offers.iter().filter(|offer| offer.kind == kind).map(|offer| offer.api_version.as_str()).collect();
    if !there.is_empty() {
        return format!("no kind {kind} in {api_version}: {kind} is in {}", there.join(" and in "));
    }
    let here = || offers.iter().filter(|offer| offer.api_version == api_version);
    if let Some(offer) = nearest(here(), kind) {
        return format!("no kind {kind} in {api_version}: is {} meant?", offer.kind);
    }
    if let Some(offer) = nearest(offers.iter(), kind) {
        return format!("no kind {kind} in {api_version}: is {} in {} meant?", offer.kind, offer.api_version);
    }
    let kinds: Vec<&str> = here().map(|offer| offer.kind).take(KINDS_LISTED_MAX).collect();
    if kinds.is_empty() {
        return format!("no kind {kind} in {api_version}, and no other: Kubernetes has no such group and version");
    }
    format!("no kind {kind} in {api_version}, which has {}", kinds.join(", "))
}

/// The kind whose name is nearest, where one is near enough to be meant.
fn nearest<'a>(offers: impl Iterator<Item = &'a Offer>, kind: &str) -> Option<&'a Offer> {
    let near = offers.map(|offer| (distance(offer.kind, kind), offer));
    let (_, offer) = near.filter(|(steps, _)| *steps <= 1 + kind.len() / 5).min_by_key(|(steps, _)| *steps)?;
    Some(offer)
}

/// How many letters make one word of the other, upper and lower case being one.
fn distance(one: &str, other: &str) -> usize {
    levenshtein(&one.to_lowercase(), &other.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::tests::definition;
    use crate::resource::{Scope, builtin};

    fn said(group: &str, version: &str, kind: &str) -> (String, bool) {
        let mut registry = Registry::default();
        builtin().into_iter().for_each(|definition| registry.register(definition));
        registry.register(definition("apps", "deployments", "Deployment", Scope::Namespaced));
        registry.register(definition("networking.k8s.io", "ingresses", "Ingress", Scope::Namespaced));
        let identity = Identity {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
            namespace: None,
            name: "web".to_owned(),
        };
        unserved(&registry, &identity)
    }

    fn check(group: &str, version: &str, kind: &str, expect: &str) {
        assert_eq!(said(group, version, kind), (expect.to_owned(), false));
    }

    #[test]
    fn a_kind_in_the_wrong_place_is_told_where_it_is() {
        check("", "v1", "Deployment", "no kind Deployment in v1: Deployment is in apps/v1");
        check("apps", "v1beta1", "Deployment", "no kind Deployment in apps/v1beta1: Deployment is in apps/v1");
        check(
            "extensions",
            "v1beta1",
            "Ingress",
            "no kind Ingress in extensions/v1beta1: Ingress is in networking.k8s.io/v1",
        );
    }

    #[test]
    fn a_kind_written_wrong_is_told_the_one_that_is_meant() {
        check("apps", "v1", "Deploment", "no kind Deploment in apps/v1: is Deployment meant?");
        check("apps", "v1", "deployment", "no kind deployment in apps/v1: is Deployment meant?");
        check("", "v1", "Statefulset", "no kind Statefulset in v1: is StatefulSet in apps/v1 meant?");
    }

    #[test]
    fn of_a_kind_like_no_other_all_there_are_are_told() {
        let (message, waits) = said("apps", "v1", "Widget");
        assert!(message.contains("which has ") && message.contains("DaemonSet, Deployment") && !waits, "{message}");
        let (message, waits) = said("foo", "v1", "Widget");
        assert!(message.contains("no such group and version") && !waits, "{message}");
    }

    #[test]
    fn a_kind_of_a_group_of_somebody_else_is_waited_for() {
        for group in ["example.dev", "gateway.networking.k8s.io", "sampan.dev"] {
            let (message, waits) = said(group, "v1", "Gateway");
            assert!(message.contains("waits for a CustomResourceDefinition") && waits, "{message}");
        }
    }
}
