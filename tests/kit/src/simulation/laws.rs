//! What must hold at every revision.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use sampan_core::object::{Object, ObjectKey, ResourceType, Revision, Uid};
use sampan_core::resource::PERSISTENT_VOLUMES;
use sampan_core::store::{Event, Origin, Snapshot, WatchChange};

use super::ledger::{DeploymentFacts, Ledger, PodFacts, SetFacts};
use super::roles::Roles;

/// The resource type of pods.
pub(super) const PODS: ResourceType = ResourceType::new("", "pods");
/// The resource type of nodes.
pub(super) const NODES: ResourceType = ResourceType::new("", "nodes");
/// The resource type of events.
pub(super) const EVENTS: ResourceType = ResourceType::new("", "events");
/// The resource type of leases.
pub(super) const LEASES: ResourceType = ResourceType::new("coordination.k8s.io", "leases");
/// The resource type of ReplicaSets.
pub(super) const REPLICA_SETS: ResourceType = ResourceType::new("apps", "replicasets");
/// The resource type of Deployments.
pub(super) const DEPLOYMENTS: ResourceType = ResourceType::new("apps", "deployments");

type Verdict = Result<(), String>;

/// Which promises of a Deployment hold it now. A disturbance from outside lifts them until they are kept again.
#[derive(Debug, Clone, Copy, Default)]
struct Bound {
    /// As many pods are available as it promises.
    by_available: bool,
    /// No more pods are there than it promises.
    by_total: bool,
}

/// The laws, and what they remember of the history.
pub(super) struct Laws {
    /// The last change that was looked at.
    cursor: Revision,
    /// Every object there ever was, by uid: what it is, and whether it still is.
    known: BTreeMap<Uid, (ObjectKey, bool)>,
    living: BTreeMap<ObjectKey, Uid>,
    ledger: Ledger,
    bound: BTreeMap<Uid, Bound>,
    roles: Roles,
    /// When something was written that is more than a sign of life.
    pub(super) last_write: Timestamp,
}

impl Laws {
    /// Of a cluster as it begins.
    pub(super) fn new(snapshot: &Snapshot, now: Timestamp) -> Self {
        let mut laws = Self {
            cursor: snapshot.revision(),
            known: BTreeMap::new(),
            living: BTreeMap::new(),
            ledger: Ledger::default(),
            bound: BTreeMap::new(),
            roles: Roles::default(),
            last_write: now,
        };
        for object in snapshot.resources().flat_map(|resource| snapshot.list(resource, None, None)) {
            laws.known.insert(object.metadata().uid.clone(), (object.key().clone(), true));
            laws.living.insert(object.key().clone(), object.metadata().uid.clone());
        }
        laws
    }

    /// The revision up to which all changes were looked at.
    pub(super) fn cursor(&self) -> Revision {
        self.cursor
    }

    /// The uids of the objects of that name that are gone.
    pub(super) fn forerunners(&self, key: &ObjectKey) -> BTreeSet<String> {
        let gone = self.known.iter().filter(|(_, (known, lives))| known == key && !lives);
        gone.map(|(uid, _)| uid.as_str().to_owned()).collect()
    }

    /// Looks at the next change.
    ///
    /// # Errors
    /// The law that is broken, and by what.
    pub(super) fn judge(&mut self, event: &Event, now: Timestamp) -> Verdict {
        if event.revision != self.cursor.next() {
            return Err(format!("revisions are dense: {} follows {}", event.revision, self.cursor));
        }
        self.cursor = event.revision;
        if is_noteworthy(event) {
            self.last_write = now;
        }
        self.identity(event)?;
        self.writer(event)?;
        self.roles.judge(event)?;
        match event.key.resource {
            PODS => self.pod(event, now),
            REPLICA_SETS => self.set(event, now),
            DEPLOYMENTS => self.deployment(event, now),
            _ => Ok(()),
        }
    }

    /// Every clock-bound promise is lifted: what was available may not be by the new time.
    pub(super) fn clock_jumped(&mut self) {
        self.bound.values_mut().for_each(|bound| bound.by_available = false);
    }

    /// No two objects of one name or of one uid, and owners that are or were.
    fn identity(&mut self, event: &Event) -> Verdict {
        let object = event.change.object();
        let (key, uid) = (object.key(), &object.metadata().uid);
        match &event.change {
            WatchChange::Added(_) => {
                if let Some((other, _)) = self.known.get(uid) {
                    return Err(format!("a uid is given once: {uid} of {key} was that of {other}"));
                }
                if self.living.contains_key(key) {
                    return Err(format!("a name is given once: {key} is created while it exists"));
                }
                self.known.insert(uid.clone(), (key.clone(), true));
                self.living.insert(key.clone(), uid.clone());
            }
            WatchChange::Modified { .. } if self.living.get(key) != Some(uid) => {
                return Err(format!("{key} is changed and is not the {uid} that lives"));
            }
            WatchChange::Modified { .. } => {}
            WatchChange::Removed(_) => {
                if self.living.remove(key).as_ref() != Some(uid) {
                    return Err(format!("{key} is removed and is not the {uid} that lives"));
                }
                if let Some((_, lives)) = self.known.get_mut(uid) {
                    *lives = false;
                }
                return Ok(());
            }
        }
        self.owners(object)
    }

    fn owners(&self, object: &Object) -> Verdict {
        let key = object.key();
        let owners = &object.metadata().owner_references;
        if owners.iter().filter(|owner| owner.controller).count() > 1 {
            return Err(format!("at most one owner controls: {key} has more"));
        }
        for owner in owners {
            let Some((known, _)) = self.known.get(&owner.uid) else {
                return Err(format!(
                    "an owner exists or existed: that of {key}, {} {}, never did",
                    owner.kind, owner.name
                ));
            };
            if known.name != owner.name || (known.namespace.is_some() && known.namespace != key.namespace) {
                return Err(format!(
                    "an owner is what its uid says: {key} calls {known} {} {}",
                    owner.kind, owner.name
                ));
            }
        }
        Ok(())
    }

    /// A node writes about itself, its pods and the volumes on its disk alone.
    fn writer(&self, event: &Event) -> Verdict {
        let Origin::Node { name } = &*event.origin else { return Ok(()) };
        let is_own = match event.key.resource {
            PODS => self.ledger.pods.get(&event.key).is_some_and(|pod| pod.node == *name),
            NODES | LEASES => *event.key.name == **name,
            PERSISTENT_VOLUMES => event.change.object().field("spec.nodeName") == Some(name),
            EVENTS => true,
            _ => false,
        };
        if is_own { Ok(()) } else { Err(format!("a node writes what is its own: {name} wrote {}", event.key)) }
    }

    fn pod(&mut self, event: &Event, now: Timestamp) -> Verdict {
        let key = &event.key;
        let facts = living(event).and_then(|object| PodFacts::of(object));
        let before = self.ledger.see_pod(key, facts.clone());
        if let (Some(before), Some(facts)) = (&before, &facts) {
            if !before.node.is_empty() && before.node != facts.node {
                return Err(format!("a pod is bound once: {key} went from {} to {}", before.node, facts.node));
            }
            for (container, count) in &before.restarts {
                if facts.restarts.get(container).is_some_and(|now| now < count) {
                    return Err(format!("restarts are counted upwards: {container} of {key} fell from {count}"));
                }
            }
        }
        let sets = [&before, &facts].into_iter().flatten().filter_map(|facts| facts.set.clone());
        let deployments: BTreeSet<Uid> = sets.filter_map(|set| self.ledger.deployment_of(Some(&set))).collect();
        for deployment in deployments {
            if disturbs(event, before.as_ref(), facts.as_ref()) {
                self.lift(&deployment);
            }
            self.promises(&deployment, event, now)?;
        }
        self.recreation(event, facts.as_ref())
    }

    /// A Deployment that recreates has no pod of a new template beside one of an old.
    fn recreation(&self, event: &Event, pod: Option<&PodFacts>) -> Verdict {
        let (WatchChange::Added(_), Some(set)) = (&event.change, pod.and_then(|pod| pod.set.as_ref())) else {
            return Ok(());
        };
        let Some(deployment) = self.ledger.deployment_of(Some(set)) else { return Ok(()) };
        if !self.ledger.deployments.get(&deployment).is_some_and(|facts| facts.recreates) {
            return Ok(());
        }
        let others = self.ledger.sets_of(&deployment).filter(|(uid, _)| *uid != set);
        match others.flat_map(|(uid, _)| self.ledger.pods_of(uid)).find(|(_, pod)| !pod.has_ended) {
            None => Ok(()),
            Some((old, _)) => Err(format!("old pods go before new ones come: {} beside {old}", event.key)),
        }
    }

    fn set(&mut self, event: &Event, now: Timestamp) -> Verdict {
        let uid = event.change.object().metadata().uid.clone();
        let facts = living(event).and_then(|object| SetFacts::of(object));
        let before = self.ledger.see_set(&uid, facts.clone());
        let owners = [&before, &facts].into_iter().flatten().filter_map(|facts| facts.deployment.clone());
        let deployments: BTreeSet<Uid> = owners.collect();
        let same_owner = before.as_ref().map(|it| &it.deployment) == facts.as_ref().map(|it| &it.deployment);
        let same_patience =
            before.as_ref().is_none_or(|it| facts.as_ref().is_none_or(|facts| it.min_ready == facts.min_ready));
        let is_new = matches!(event.change, WatchChange::Added(_));
        for deployment in deployments {
            if !(same_owner || is_new) || !same_patience || !(is_of(event, "deployment") || is_of(event, "replicaset"))
            {
                self.lift(&deployment);
            }
            self.promises(&deployment, event, now)?;
        }
        Ok(())
    }

    fn deployment(&mut self, event: &Event, now: Timestamp) -> Verdict {
        let uid = event.change.object().metadata().uid.clone();
        let Some(facts) = living(event).and_then(|object| DeploymentFacts::of(object)) else {
            self.ledger.deployments.remove(&uid);
            self.bound.remove(&uid);
            return Ok(());
        };
        let before = self.ledger.deployments.insert(uid.clone(), facts.clone());
        if before.is_none_or(|before| !facts.promises_as(&before)) {
            self.lift(&uid);
        }
        self.promises(&uid, event, now)
    }

    fn lift(&mut self, deployment: &Uid) {
        self.bound.insert(deployment.clone(), Bound::default());
    }

    /// available ≥ replicas − maxUnavailable, and total ≤ replicas + maxSurge, once they are so and until somebody from
    /// outside has a hand in it.
    fn promises(&mut self, uid: &Uid, event: &Event, now: Timestamp) -> Verdict {
        let Some(facts) = self.ledger.deployments.get(uid).filter(|facts| !facts.is_terminating) else { return Ok(()) };
        let (fewest, most) = (facts.replicas - facts.unavailable, facts.replicas + facts.surge);
        let available = self.ledger.available(uid, now);
        let total = self.ledger.total(uid);
        let bound = self.bound.entry(uid.clone()).or_default();
        if bound.by_available && available < fewest {
            return Err(format!(
                "available ≥ replicas − maxUnavailable: {available} of {}, at least {fewest}, after {}",
                facts.key, event.key
            ));
        }
        if bound.by_total && total > most {
            let names: Vec<String> = self.ledger.sets_of(uid).map(|(_, set)| set.key.name.to_string()).collect();
            return Err(format!(
                "total ≤ replicas + maxSurge: {total} of {} in {names:?}, at most {most}, after {}",
                facts.key, event.key
            ));
        }
        bound.by_total = total <= most;
        if available >= fewest && self.ledger.tells_available(uid, available) {
            bound.by_available = true;
        }
        Ok(())
    }
}

fn living(event: &Event) -> Option<&Arc<Object>> {
    match &event.change {
        WatchChange::Added(object) | WatchChange::Modified { after: object, .. } => Some(object),
        WatchChange::Removed(_) => None,
    }
}

/// Whether the change follows from a decision of this operator.
pub(super) fn is_of(event: &Event, name: &str) -> bool {
    matches!(&*event.origin, Origin::Decision { operator, .. } if operator == name)
}

/// Whether somebody but the pod's own operators took a pod, or its readiness, from its Deployment, or gave it one.
fn disturbs(event: &Event, before: Option<&PodFacts>, after: Option<&PodFacts>) -> bool {
    let counts =
        |facts: Option<&PodFacts>| facts.filter(|pod| pod.is_active).map(|pod| (pod.set.clone(), pod.ready_since));
    let (before, after) = (counts(before), counts(after));
    let became_ready = matches!((&before, &after), (Some((set, None)), Some((same, Some(_)))) if set == same);
    // A ReplicaSet lets go of what somebody labelled away: that it takes a while to do so changes nothing.
    let is_released = matches!((&before, &after), (Some((Some(_), _)), Some((None, _))));
    // Nor does it make the pods that it takes again when somebody labels them back.
    let is_taken = matches!((&before, &after), (Some((None, _)), Some((Some(_), _))));
    before != after && !became_ready && (is_released || is_taken || !is_of(event, "replicaset"))
}

/// Whether a change is more than that a node still lives.
pub(super) fn is_noteworthy(event: &Event) -> bool {
    match event.key.resource {
        LEASES => false,
        NODES => !matches!((&event.change, &*event.origin), (WatchChange::Modified { .. }, Origin::Node { .. })),
        EVENTS => !matches!((&event.change, &*event.origin), (WatchChange::Removed(_), Origin::System { .. })),
        _ => true,
    }
}

/// Whether everything acknowledged before a crash is there after it. `published` is what every client could have seen;
/// `since` are the changes found beyond it.
///
/// # Errors
/// What is lost.
pub(super) fn nothing_is_lost(published: &Snapshot, recovered: &Snapshot, since: &[Arc<Event>]) -> Verdict {
    if recovered.revision() < published.revision() {
        let (is, was) = (recovered.revision(), published.revision());
        return Err(format!("acknowledged writes are never lost: revision {is} after a crash at {was}"));
    }
    let changed: BTreeSet<&ObjectKey> = since.iter().map(|event| &event.key).collect();
    let all = |snapshot: &Snapshot| -> BTreeMap<ObjectKey, Arc<Object>> {
        let resources: Vec<_> = snapshot.resources().collect();
        let objects = resources.into_iter().flat_map(|resource| snapshot.list(resource, None, None));
        objects.map(|object| (object.key().clone(), object.clone())).collect()
    };
    let (before, after) = (all(published), all(recovered));
    let keys: BTreeSet<&ObjectKey> = before.keys().chain(after.keys()).filter(|key| !changed.contains(key)).collect();
    for key in keys {
        let bytes = |objects: &BTreeMap<ObjectKey, Arc<Object>>| objects.get(key).map(|object| object.bytes().clone());
        if bytes(&before) != bytes(&after) {
            return Err(format!("acknowledged writes are never lost: {key} is another after a crash"));
        }
    }
    Ok(())
}
