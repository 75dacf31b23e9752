//! Whom a pod means when it speaks of others: a selector in some namespaces, and how near.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Affinity, Pod, PodAffinityTerm, WeightedPodAffinityTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use sampan_core::object::selector::Selector;
use sampan_core::object::{Name, Object};
use sampan_core::resource::{NAMESPACES, PODS};
use sampan_core::store::{IndexKey, PLACE, ReadKey, Snapshot};

/// How much a pod that had to be near others would rather have them near it, as in Kubernetes (`hardPodAffinityWeight`).
const HAD_TO_BE_NEAR: i64 = 1;

/// Which pods are meant.
#[derive(Debug, Clone)]
pub(crate) struct Meant {
    namespaces: Vec<Name>,
    /// Also those whose labels it matches.
    namespaces_like: Option<Selector>,
    /// `None` means nobody.
    selector: Option<Selector>,
}

/// A term of affinity or anti-affinity.
#[derive(Debug, Clone)]
pub(crate) struct Term {
    pub(crate) meant: Meant,
    /// The label of nodes whose value is the domain.
    pub(crate) topology_key: String,
}

impl Meant {
    /// Pods of one namespace.
    pub(crate) fn within(namespace: &str, selector: Option<&LabelSelector>) -> Self {
        Self { namespaces: vec![namespace.into()], namespaces_like: None, selector: read(selector) }
    }

    fn by_term(term: &PodAffinityTerm, own: &str) -> Self {
        let mut namespaces: Vec<Name> = term.namespaces.iter().flatten().map(|name| name.as_str().into()).collect();
        if namespaces.is_empty() && term.namespace_selector.is_none() {
            namespaces.push(own.into());
        }
        let namespaces_like = read(term.namespace_selector.as_ref());
        Self { namespaces, namespaces_like, selector: read(term.label_selector.as_ref()) }
    }

    /// Whether a pod of that namespace with those labels is meant.
    pub(crate) fn means(&self, namespace: &str, labels: &BTreeMap<Name, Name>, snapshot: &Snapshot) -> bool {
        self.selector.as_ref().is_some_and(|selector| selector.matches(labels)) && self.reaches(namespace, snapshot)
    }

    fn reaches(&self, namespace: &str, snapshot: &Snapshot) -> bool {
        let named = self.namespaces.iter().any(|name| &**name == namespace);
        named
            || self.namespaces_like.as_ref().is_some_and(|like| {
                let key = sampan_core::object::ObjectKey::cluster(NAMESPACES, namespace);
                snapshot.get(&key).is_some_and(|found| like.matches(&found.metadata().labels))
            })
    }

    /// Those meant who stand somewhere.
    pub(crate) fn standing<'s>(&self, snapshot: &'s Snapshot) -> Vec<&'s Arc<Object>> {
        let Some(selector) = &self.selector else { return Vec::new() };
        let is_meant = |pod: &&Arc<Object>| stands(pod) && selector.matches(&pod.metadata().labels);
        let mut found = Vec::new();
        for namespace in self.every_namespace(snapshot) {
            match selector.equality() {
                Some((label, value)) => {
                    found.extend(snapshot.index(&labelled(&namespace, label, value)).filter(is_meant))
                }
                None => found.extend(snapshot.list(PODS, Some(&namespace), None).filter(is_meant)),
            }
        }
        found
    }

    fn every_namespace(&self, snapshot: &Snapshot) -> Vec<Name> {
        let mut namespaces = self.namespaces.clone();
        if let Some(like) = &self.namespaces_like {
            let found = snapshot.list(NAMESPACES, None, None).filter(|it| like.matches(&it.metadata().labels));
            namespaces.extend(found.map(|namespace| namespace.key().name.clone()));
            namespaces.sort_unstable();
            namespaces.dedup();
        }
        namespaces
    }

    /// What changes when one more of them stands somewhere.
    pub(crate) fn placements(&self) -> Vec<ReadKey> {
        let Some(selector) = &self.selector else { return Vec::new() };
        match selector.equality().filter(|_| self.namespaces_like.is_none()) {
            Some((label, value)) => {
                let keys = self.namespaces.iter().map(|namespace| labelled(namespace, label, value));
                keys.map(ReadKey::Placed).collect()
            }
            // Whoever gets a place leaves those that have none.
            None => vec![ReadKey::Placed(IndexKey::Field { resource: PODS, field: PLACE, value: "".into() })],
        }
    }
}

fn labelled(namespace: &Name, label: &Name, value: &Name) -> IndexKey {
    let namespace = Some(namespace.clone());
    IndexKey::Label { resource: PODS, namespace, label: label.clone(), value: value.clone() }
}

/// Validation has refused what is no selector.
fn read(selector: Option<&LabelSelector>) -> Option<Selector> {
    selector.and_then(|written| Selector::try_from(written).ok())
}

/// Whether a pod has a node and takes room there.
pub(crate) fn stands(pod: &Object) -> bool {
    let ended = matches!(pod.field("status.phase"), Some("Succeeded" | "Failed"));
    pod.field(PLACE).is_some_and(|node| !node.is_empty()) && !ended
}

impl Term {
    fn of(term: &PodAffinityTerm, own: &str) -> Self {
        Self { meant: Meant::by_term(term, own), topology_key: term.topology_key.clone() }
    }

    /// Those a pod must be near.
    pub(crate) fn sought(pod: &Pod) -> Vec<Self> {
        let affinity = affinity(pod).and_then(|it| it.pod_affinity.as_ref());
        required(pod, affinity.and_then(|it| it.required_during_scheduling_ignored_during_execution.as_ref()))
    }

    /// Those a pod must not be near.
    pub(crate) fn shunned(pod: &Pod) -> Vec<Self> {
        let affinity = affinity(pod).and_then(|it| it.pod_anti_affinity.as_ref());
        required(pod, affinity.and_then(|it| it.required_during_scheduling_ignored_during_execution.as_ref()))
    }

    /// Those a pod would rather be near, with how much; less than nothing for those it would rather not be.
    pub(crate) fn weighed(pod: &Pod) -> Vec<(i64, Self)> {
        let own = namespace(pod);
        let liked = affinity(pod).and_then(|it| it.pod_affinity.as_ref());
        let liked = liked.and_then(|it| it.preferred_during_scheduling_ignored_during_execution.as_ref());
        let disliked = affinity(pod).and_then(|it| it.pod_anti_affinity.as_ref());
        let disliked = disliked.and_then(|it| it.preferred_during_scheduling_ignored_during_execution.as_ref());
        let weighed = |sign: i64| {
            move |it: &WeightedPodAffinityTerm| (sign * i64::from(it.weight), Self::of(&it.pod_affinity_term, own))
        };
        liked.into_iter().flatten().map(weighed(1)).chain(disliked.into_iter().flatten().map(weighed(-1))).collect()
    }

    /// Those a pod that stands somewhere would rather have near it, with how much.
    pub(crate) fn leaning(pod: &Pod) -> Vec<(i64, Self)> {
        let sought = Self::sought(pod).into_iter().map(|term| (HAD_TO_BE_NEAR, term));
        sought.chain(Self::weighed(pod)).collect()
    }
}

fn required(pod: &Pod, terms: Option<&Vec<PodAffinityTerm>>) -> Vec<Term> {
    terms.into_iter().flatten().map(|term| Term::of(term, namespace(pod))).collect()
}

fn affinity(pod: &Pod) -> Option<&Affinity> {
    pod.spec.as_ref()?.affinity.as_ref()
}

pub(crate) fn namespace(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or_default()
}
