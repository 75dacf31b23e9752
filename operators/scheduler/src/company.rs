//! Which pods a pod must or must not be near, or would rather be, and which would rather have it near them, or must not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use sampan_core::object::{Name, Object, ObjectKey};
use sampan_core::resource::pod::company::{HOSTNAME, LEANS, REPELS, may_mean};
use sampan_core::resource::{NODES, PODS};
use sampan_core::store::{IndexKey, PLACE, ReadKey, Snapshot};

use crate::plan::Refusal;
use crate::term::{Term, namespace, stands};

/// A label of nodes and a value of it: the nodes that carry it.
type Domain = (String, String);

/// What other pods mean for where a pod may go: taken once, and held against each node.
pub(crate) struct Company<'s> {
    snapshot: &'s Snapshot,
    namespace: Name,
    labels: BTreeMap<Name, Name>,
    sought: Vec<Sought>,
    /// Nobody is there whom it seeks, and it is of them itself: somebody has to be first.
    is_first: bool,
    shunned: Vec<Term>,
    /// Where those are that it shuns.
    avoided: BTreeSet<Domain>,
    /// Where those are that shun it; those that shun it on their node alone are found there.
    closed: BTreeSet<Domain>,
    /// How much it would rather be where, and how much those who are there would rather have it.
    liked: BTreeMap<Domain, i64>,
}

/// Those a pod must be near, and where they are.
struct Sought {
    term: Term,
    domains: BTreeSet<String>,
}

impl<'s> Company<'s> {
    /// The pods that matter to `pod`, as if those of `without` were gone.
    pub(crate) fn of(pod: &Pod, snapshot: &'s Snapshot, without: &BTreeSet<ObjectKey>) -> Self {
        let labels = pod.metadata.labels.iter().flatten();
        let labels = labels.map(|(label, value)| (label.as_str().into(), value.as_str().into())).collect();
        let mut company = Self {
            snapshot,
            namespace: namespace(pod).into(),
            labels,
            sought: Vec::new(),
            is_first: false,
            shunned: Term::shunned(pod),
            avoided: BTreeSet::new(),
            closed: BTreeSet::new(),
            liked: BTreeMap::new(),
        };
        company.seek(Term::sought(pod), without);
        company.avoided = company.shunned_domains(without);
        company.closed = company.shunning_domains(without);
        for (domain, weight) in [company.likings(Term::weighed(pod), without), company.leanings(without)].concat() {
            *company.liked.entry(domain).or_default() += weight;
        }
        company
    }

    /// Somebody counts where all terms mean him.
    fn seek(&mut self, terms: Vec<Term>, without: &BTreeSet<ObjectKey>) {
        let Some(first) = terms.first() else { return };
        let candidates = present(first.meant.standing(self.snapshot), without);
        let meant_by_all = |pod: &&&Arc<Object>| terms.iter().all(|term| self.means(term, pod));
        let found: Vec<&Arc<Object>> = candidates.iter().filter(meant_by_all).copied().collect();
        let itself = terms.iter().all(|term| term.meant.means(&self.namespace, &self.labels, self.snapshot));
        let domains = |term: &Term| {
            let of = |pod: &&Arc<Object>| self.domain_of(pod, &term.topology_key).map(|(_, value)| value);
            found.iter().filter_map(of).collect::<BTreeSet<String>>()
        };
        let sought: Vec<Sought> =
            terms.iter().map(|term| Sought { domains: domains(term), term: term.clone() }).collect();
        self.is_first = itself && sought.iter().all(|sought| sought.domains.is_empty());
        self.sought = sought;
    }

    fn shunned_domains(&self, without: &BTreeSet<ObjectKey>) -> BTreeSet<Domain> {
        let mut domains = BTreeSet::new();
        for term in &self.shunned {
            let found = present(term.meant.standing(self.snapshot), without);
            domains.extend(found.iter().filter_map(|pod| self.domain_of(pod, &term.topology_key)));
        }
        domains
    }

    /// What others say of it.
    fn shunning_domains(&self, without: &BTreeSet<ObjectKey>) -> BTreeSet<Domain> {
        let mut domains = BTreeSet::new();
        for index in self.may_mean_it(REPELS) {
            for pod in present(self.snapshot.index(&index).collect(), without) {
                let Ok(typed) = pod.decode::<Pod>() else { continue };
                let terms = Term::shunned(&typed).into_iter().filter(|term| self.is_meant_by(term));
                domains.extend(terms.filter_map(|term| self.domain_of(pod, &term.topology_key)));
            }
        }
        domains
    }

    fn likings(&self, terms: Vec<(i64, Term)>, without: &BTreeSet<ObjectKey>) -> Vec<(Domain, i64)> {
        let mut likings = Vec::new();
        for (weight, term) in terms {
            let found = present(term.meant.standing(self.snapshot), without);
            let domains = found.iter().filter_map(|pod| self.domain_of(pod, &term.topology_key));
            likings.extend(domains.map(|domain| (domain, weight)));
        }
        likings
    }

    /// What others would rather have. Each is heard once, by however many labels it is found.
    fn leanings(&self, without: &BTreeSet<ObjectKey>) -> Vec<(Domain, i64)> {
        let found = self.may_mean_it(LEANS).flat_map(|index| present(self.snapshot.index(&index).collect(), without));
        let others: BTreeMap<&ObjectKey, &Arc<Object>> = found.map(|pod| (pod.key(), pod)).collect();
        let mut leanings = Vec::new();
        for pod in others.into_values() {
            let Ok(typed) = pod.decode::<Pod>() else { continue };
            let terms = Term::leaning(&typed).into_iter().filter(|(_, term)| self.is_meant_by(term));
            leanings
                .extend(terms.filter_map(|(weight, term)| Some((self.domain_of(pod, &term.topology_key)?, weight))));
        }
        leanings
    }

    fn means(&self, term: &Term, pod: &Object) -> bool {
        let namespace = pod.key().namespace.as_deref().unwrap_or_default();
        term.meant.means(namespace, &pod.metadata().labels, self.snapshot)
    }

    fn is_meant_by(&self, term: &Term) -> bool {
        term.meant.means(&self.namespace, &self.labels, self.snapshot)
    }

    /// The domain a pod stands in.
    fn domain_of(&self, pod: &Object, topology_key: &str) -> Option<Domain> {
        let node = self.snapshot.get(&ObjectKey::cluster(NODES, pod.field(PLACE)?))?;
        let value = node.metadata().labels.get(topology_key)?;
        Some((topology_key.to_owned(), value.to_string()))
    }

    /// The indexes `field` in which those are found who may mean it.
    fn may_mean_it(&self, field: &'static str) -> impl Iterator<Item = IndexKey> + use<> {
        let values = may_mean(&self.namespace, self.labels.iter());
        values.into_iter().map(move |value| IndexKey::Field { resource: PODS, field, value: value.into() })
    }

    /// Why the pod may not go to the node on which `pods` stand.
    pub(crate) fn refusal(&self, node: &Node, pods: &[Arc<Pod>]) -> Option<Refusal> {
        if !self.is_near_those_sought(node) {
            return Some(Refusal::lasting("node(s) didn't match pod affinity rules"));
        }
        if self.avoided.iter().any(|domain| is_in(node, domain)) {
            return Some(Refusal::passing("node(s) didn't match pod anti-affinity rules"));
        }
        let closed = self.closed.iter().any(|domain| is_in(node, domain)) || self.is_shunned_on(node, pods);
        closed.then(|| Refusal::passing("node(s) didn't satisfy existing pods anti-affinity rules"))
    }

    fn is_near_those_sought(&self, node: &Node) -> bool {
        self.sought.iter().all(|sought| {
            let value = label(node, &sought.term.topology_key);
            value.is_some_and(|value| self.is_first || sought.domains.contains(value))
        })
    }

    fn is_shunned_on(&self, node: &Node, pods: &[Arc<Pod>]) -> bool {
        let shuns = |term: &Term| term.topology_key == HOSTNAME && self.is_meant_by(term);
        label(node, HOSTNAME).is_some() && pods.iter().any(|pod| Term::shunned(pod).iter().any(shuns))
    }

    /// How much the pod would rather be on the node, and others would rather have it there.
    pub(crate) fn preference(&self, node: &Node) -> i64 {
        self.liked.iter().filter(|(domain, _)| is_in(node, domain)).map(|(_, weight)| *weight).sum()
    }

    /// Whether nobody matters but who stands on the node.
    pub(crate) fn is_nobody(&self) -> bool {
        self.sought.is_empty() && self.avoided.is_empty() && self.closed.is_empty()
    }

    /// Whether it matters to it, or to others, whom it is near.
    pub(crate) fn has_preference(&self) -> bool {
        !self.liked.is_empty()
    }

    /// What a placement rests on, beyond who is on the node.
    ///
    /// Whoever comes to stand in a domain larger than a node may be one the pod shuns, or shun it. That one it seeks leaves is
    /// none of it: he could as well have left later. Only whoever is first rests on nobody having come before.
    pub(crate) fn rests_on(&self) -> Vec<ReadKey> {
        let mut reads: Vec<ReadKey> = self.may_mean_it(REPELS).map(ReadKey::Placed).collect();
        let wide = self.shunned.iter().filter(|term| term.topology_key != HOSTNAME);
        reads.extend(wide.flat_map(|term| term.meant.placements()));
        let first = self.sought.iter().filter(|_| self.is_first);
        reads.extend(first.flat_map(|sought| sought.term.meant.placements()));
        reads
    }
}

fn present<'s>(mut pods: Vec<&'s Arc<Object>>, without: &BTreeSet<ObjectKey>) -> Vec<&'s Arc<Object>> {
    pods.retain(|pod| stands(pod) && !without.contains(pod.key()));
    pods
}

fn label<'n>(node: &'n Node, name: &str) -> Option<&'n String> {
    node.metadata.labels.as_ref()?.get(name)
}

fn is_in(node: &Node, (name, value): &Domain) -> bool {
    label(node, name) == Some(value)
}
