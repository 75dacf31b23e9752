//! What is known of the cluster, change by change: what laws that look at more than one object rest on.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use sampan_core::object::{Object, ObjectKey, Uid};

/// A pod, as far as the laws look at it.
#[derive(Debug, Clone, Default)]
pub(super) struct PodFacts {
    /// The uid of the ReplicaSet that controls it.
    pub(super) set: Option<Uid>,
    pub(super) node: String,
    /// Neither ended nor being deleted.
    pub(super) is_active: bool,
    /// Its containers have ended for good.
    pub(super) has_ended: bool,
    pub(super) ready_since: Option<Timestamp>,
    /// How often each container was restarted.
    pub(super) restarts: BTreeMap<String, i32>,
}

/// A ReplicaSet, as far as the laws look at it.
#[derive(Debug, Clone)]
pub(super) struct SetFacts {
    pub(super) key: ObjectKey,
    /// The uid of the Deployment that controls it.
    pub(super) deployment: Option<Uid>,
    pub(super) replicas: i32,
    /// For how long its pods must have been ready to be available.
    pub(super) min_ready: SignedDuration,
    /// Available pods as its status tells.
    pub(super) told_available: i32,
}

/// A Deployment, as far as the laws look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DeploymentFacts {
    pub(super) key: ObjectKey,
    pub(super) replicas: i32,
    pub(super) surge: i32,
    pub(super) unavailable: i32,
    pub(super) recreates: bool,
    pub(super) is_terminating: bool,
    /// Available pods as its status tells.
    pub(super) told_available: i32,
}

/// Pods, ReplicaSets and Deployments by their uids.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) pods: BTreeMap<ObjectKey, PodFacts>,
    pub(super) sets: BTreeMap<Uid, SetFacts>,
    pub(super) deployments: BTreeMap<Uid, DeploymentFacts>,
    pods_of: BTreeMap<Uid, BTreeSet<ObjectKey>>,
    sets_of: BTreeMap<Uid, BTreeSet<Uid>>,
}

impl Ledger {
    /// Takes in a pod as it is now; gives it as it was.
    pub(super) fn see_pod(&mut self, key: &ObjectKey, now: Option<PodFacts>) -> Option<PodFacts> {
        let before = match now.clone() {
            Some(facts) => self.pods.insert(key.clone(), facts),
            None => self.pods.remove(key),
        };
        let owner = |facts: &Option<PodFacts>| facts.as_ref().and_then(|facts| facts.set.clone());
        move_member(&mut self.pods_of, owner(&before), owner(&now), key.clone());
        before
    }

    /// Takes in a ReplicaSet as it is now; gives it as it was.
    pub(super) fn see_set(&mut self, uid: &Uid, now: Option<SetFacts>) -> Option<SetFacts> {
        let before = match now.clone() {
            Some(facts) => self.sets.insert(uid.clone(), facts),
            None => self.sets.remove(uid),
        };
        let owner = |facts: &Option<SetFacts>| facts.as_ref().and_then(|facts| facts.deployment.clone());
        move_member(&mut self.sets_of, owner(&before), owner(&now), uid.clone());
        before
    }

    /// The Deployment behind a pod's ReplicaSet.
    pub(super) fn deployment_of(&self, set: Option<&Uid>) -> Option<Uid> {
        self.sets.get(set?)?.deployment.clone()
    }

    /// The ReplicaSets of a Deployment.
    pub(super) fn sets_of(&self, deployment: &Uid) -> impl Iterator<Item = (&Uid, &SetFacts)> {
        let uids = self.sets_of.get(deployment).into_iter().flatten();
        uids.filter_map(|uid| Some((uid, self.sets.get(uid)?)))
    }

    /// The pods of a ReplicaSet.
    pub(super) fn pods_of(&self, set: &Uid) -> impl Iterator<Item = (&ObjectKey, &PodFacts)> {
        let keys = self.pods_of.get(set).into_iter().flatten();
        keys.filter_map(|key| Some((key, self.pods.get(key)?)))
    }

    /// How many pods of a Deployment are available.
    pub(super) fn available(&self, deployment: &Uid, now: Timestamp) -> i32 {
        let available = |uid: &Uid, min_ready: SignedDuration| {
            count(self.pods_of(uid).filter(|(_, pod)| pod.is_active && is_available(pod, min_ready, now)).count())
        };
        self.sets_of(deployment).map(|(uid, set)| available(uid, set.min_ready)).sum()
    }

    /// How many pods of a Deployment there are or will be when every ReplicaSet has what it wants.
    pub(super) fn total(&self, deployment: &Uid) -> i32 {
        let active = |uid: &Uid| count(self.pods_of(uid).filter(|(_, pod)| pod.is_active).count());
        self.sets_of(deployment).map(|(uid, set)| set.replicas.max(active(uid))).sum()
    }

    /// Whether the statuses of a Deployment and its ReplicaSets tell this many available pods.
    pub(super) fn tells_available(&self, deployment: &Uid, available: i32) -> bool {
        let told = self.deployments.get(deployment).map(|facts| facts.told_available);
        let sum: i32 = self.sets_of(deployment).map(|(_, set)| set.told_available).sum();
        told == Some(available) && sum == available
    }
}

fn move_member<T: Ord>(members: &mut BTreeMap<Uid, BTreeSet<T>>, before: Option<Uid>, now: Option<Uid>, member: T) {
    if before == now {
        return;
    }
    if let Some(before) = before
        && let Some(group) = members.get_mut(&before)
    {
        group.remove(&member);
        if group.is_empty() {
            members.remove(&before);
        }
    }
    if let Some(now) = now {
        members.entry(now).or_default().insert(member);
    }
}

fn is_available(pod: &PodFacts, min_ready: SignedDuration, now: Timestamp) -> bool {
    pod.ready_since.is_some_and(|since| min_ready.is_zero() || since.checked_add(min_ready).is_ok_and(|at| at <= now))
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// The uid of the owner that controls an object, where it is of that kind.
fn controlled_by(object: &Object, kind: &str) -> Option<Uid> {
    object.metadata().controller().filter(|owner| &*owner.kind == kind).map(|owner| owner.uid.clone())
}

impl PodFacts {
    /// What the laws look at; `None` where the object is no pod.
    pub(super) fn of(object: &Object) -> Option<Self> {
        let pod = object.decode::<Pod>().ok()?;
        let status = pod.status.as_ref();
        let phase = status.and_then(|status| status.phase.as_deref());
        let has_ended = matches!(phase, Some("Succeeded" | "Failed"));
        let ready = status.and_then(|status| status.conditions.as_ref()?.iter().find(|it| it.type_ == "Ready"));
        let ready = ready.filter(|ready| ready.status == "True");
        let containers = status.and_then(|status| status.container_statuses.as_ref()).into_iter().flatten();
        let restarts = |status: &ContainerStatus| (status.name.clone(), status.restart_count);
        Some(Self {
            set: controlled_by(object, "ReplicaSet"),
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default(),
            is_active: !has_ended && !object.metadata().is_terminating(),
            has_ended,
            ready_since: ready.map(|ready| ready.last_transition_time.as_ref().map_or(Timestamp::MIN, |time| time.0)),
            restarts: containers.map(restarts).collect(),
        })
    }
}

impl SetFacts {
    /// What the laws look at; `None` where the object is no ReplicaSet.
    pub(super) fn of(object: &Object) -> Option<Self> {
        let set = object.decode::<ReplicaSet>().ok()?;
        let min_ready = set.spec.as_ref().and_then(|spec| spec.min_ready_seconds);
        Some(Self {
            key: object.key().clone(),
            deployment: controlled_by(object, "Deployment"),
            replicas: set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
            min_ready: SignedDuration::from_secs(min_ready.unwrap_or_default().into()),
            told_available: set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or_default(),
        })
    }
}

impl DeploymentFacts {
    /// What the laws look at; `None` where the object is no Deployment.
    pub(super) fn of(object: &Object) -> Option<Self> {
        let deployment = object.decode::<Deployment>().ok()?;
        let spec = deployment.spec.as_ref()?;
        let replicas = spec.replicas.unwrap_or(1);
        let strategy = spec.strategy.as_ref();
        let recreates = strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate");
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        let (surge, unavailable) = match recreates {
            true => (0, replicas),
            false => bounds(
                replicas,
                rolling.and_then(|rolling| rolling.max_surge.as_ref()),
                rolling.and_then(|rolling| rolling.max_unavailable.as_ref()),
            ),
        };
        let told = deployment.status.as_ref().and_then(|status| status.available_replicas);
        Some(Self {
            key: object.key().clone(),
            replicas,
            surge,
            unavailable,
            recreates,
            is_terminating: object.metadata().is_terminating(),
            told_available: told.unwrap_or_default(),
        })
    }

    /// Whether what the laws promise is another than before.
    pub(super) fn promises_as(&self, before: &Self) -> bool {
        let told_available = before.told_available;
        Self { told_available, ..self.clone() } == *before
    }
}

/// Surge rounds up, unavailability down; a rollout must be able to move at all.
fn bounds(replicas: i32, surge: Option<&IntOrString>, unavailable: Option<&IntOrString>) -> (i32, i32) {
    let surge = share(surge, replicas, |parts| (parts + 99) / 100);
    let unavailable = share(unavailable, replicas, |parts| parts / 100);
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable.min(replicas)) }
}

fn share(share: Option<&IntOrString>, replicas: i32, round: fn(i32) -> i32) -> i32 {
    match share {
        None => round(25 * replicas),
        Some(IntOrString::Int(count)) => *count,
        Some(IntOrString::String(text)) => {
            let percent: i32 = text.trim_end_matches('%').parse().unwrap_or_default();
            round(percent * replicas)
        }
    }
}
