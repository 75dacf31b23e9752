//! Users: they apply, scale, roll, pause, undo, relabel and delete at random.

#![allow(clippy::indexing_slicing, reason = "a JSON value has null where a name is missing")]

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use sampan_core::gateway::{
    Action, Body, DeleteOptions, Gateway, Identity, Mutation, Options, PatchKind, Propagation, Subresource, Target,
};
use sampan_core::object::{Name, Object, ObjectKey, ResourceType};
use sampan_core::resource::{CONFIG_MAPS, NAMESPACES};
use sampan_core::store::{Origin, Snapshot};
use serde_json::{Value, json};

use super::dice::Dice;
use super::kinds::TASK_IMAGE;
use super::laws::{DEPLOYMENTS, NODES, PODS, REPLICA_SETS};

/// The namespace that comes and goes; the other one users work in is `default`.
const TEAM: &str = "team";
/// The workloads of each namespace.
const WORKLOADS: [&str; 3] = ["web", "api", "jobs"];
/// The ConfigMap some workloads read.
const SETTINGS: &str = "settings";
/// The image no registry has.
pub const BROKEN_IMAGE: &str = "example/missing:1";
/// The most replicas a user asks for.
const REPLICAS_MAX: u64 = 6;

/// Something a user wants.
pub(super) struct Wish {
    /// What kind of wish it is, for counting.
    pub(super) kind: &'static str,
    /// For the story.
    pub(super) what: String,
    /// What is asked.
    pub(super) mutation: Mutation,
}

/// What a wish is drawn from.
pub(super) struct Desk<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) snapshot: &'a Snapshot,
    pub(super) dice: &'a mut Dice,
}

/// Every kind of wish, for reports.
pub(super) const WISHES: [&str; 19] = [
    "apply",
    "scale",
    "replace",
    "roll",
    "roll to a broken image",
    "restart",
    "pause",
    "resume",
    "undo",
    "delete",
    "delete a pod",
    "delete a replica set",
    "relabel a pod",
    "relabel back",
    "write settings",
    "delete settings",
    "delete the namespace",
    "cordon a node",
    "uncordon a node",
];

impl Desk<'_> {
    /// What a user wants next; `None` where there is nothing to want it of.
    pub(super) fn wish(&mut self) -> Option<Wish> {
        match self.dice.below(149) {
            0..=19 => self.apply(),
            20..=31 => self.scale(),
            32..=37 => self.replace(),
            38..=51 => self.roll(),
            52..=54 => self.roll_to("roll to a broken image", BROKEN_IMAGE),
            55..=58 => self.restart(),
            59..=62 => self.pause(true),
            63..=67 => self.pause(false),
            68..=72 => self.undo(),
            73..=76 => self.delete(),
            77..=82 => self.delete_one("delete a pod", PODS),
            83..=84 => self.delete_one("delete a replica set", REPLICA_SETS),
            85..=87 => self.relabel(),
            88..=89 => self.relabel_back(),
            90..=92 => self.write_settings(),
            93..=95 => self.delete_settings(),
            96..=98 => self.delete_namespace(),
            99..=101 => self.cordon(true),
            102..=104 => self.cordon(false),
            _ => self.wish_of_other_kinds(),
        }
    }

    pub(super) fn namespace(&mut self) -> &'static str {
        if self.dice.per_mille(700) { "default" } else { TEAM }
    }

    /// A workload as its manifest says, which is another each time.
    fn apply(&mut self) -> Option<Wish> {
        let (namespace, name) = (self.namespace(), *self.dice.pick(&WORKLOADS)?);
        if !self.exists(&ObjectKey::cluster(NAMESPACES, namespace)) {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            return self.create("apply", NAMESPACES, None, namespace);
        }
        let key = ObjectKey::namespaced(DEPLOYMENTS, namespace, name);
        let manifest = manifest(namespace, name, self.dice);
        let what = format!("{key} is applied with {} replicas", manifest["spec"]["replicas"]);
        self.patch("apply", key, Subresource::Whole, PatchKind::Apply, manifest, what)
    }

    fn scale(&mut self) -> Option<Wish> {
        let key = self.some(DEPLOYMENTS)?.key().clone();
        let replicas = self.dice.below(REPLICAS_MAX + 1);
        let what = format!("{key} is scaled to {replicas}");
        let body = json!({"spec": {"replicas": replicas}});
        self.patch("scale", key, Subresource::Scale, PatchKind::Merge, body, what)
    }

    /// A whole object, as read and changed: refused where somebody else was faster.
    fn replace(&mut self) -> Option<Wish> {
        let object = self.some(DEPLOYMENTS)?;
        let mut value = object.value();
        *value.pointer_mut("/spec/replicas")? = self.dice.below(REPLICAS_MAX + 1).into();
        let what = format!("{} is replaced with {} replicas", object.key(), value["spec"]["replicas"]);
        Some(self.wish_of("replace", object.key(), Subresource::Whole, Action::Update(Body::Value(value)), what))
    }

    fn roll(&mut self) -> Option<Wish> {
        let image = format!("example/app:{}", self.dice.below(5));
        self.roll_to("roll", &image)
    }

    fn roll_to(&mut self, kind: &'static str, image: &str) -> Option<Wish> {
        let key = self.some(DEPLOYMENTS)?.key().clone();
        let what = format!("{key} gets image {image}");
        let containers = json!([{"name": "app", "image": image}]);
        let body = json!({"spec": {"template": {"spec": {"containers": containers}}}});
        self.patch(kind, key, Subresource::Whole, PatchKind::Strategic, body, what)
    }

    fn restart(&mut self) -> Option<Wish> {
        let key = self.some(DEPLOYMENTS)?.key().clone();
        let mark = json!({"kubectl.kubernetes.io/restartedAt": self.dice.any().to_string()});
        let body = json!({"spec": {"template": {"metadata": {"annotations": mark}}}});
        let what = format!("{key} is restarted");
        self.patch("restart", key, Subresource::Whole, PatchKind::Strategic, body, what)
    }

    fn pause(&mut self, paused: bool) -> Option<Wish> {
        let key = self.some(DEPLOYMENTS)?.key().clone();
        let (kind, what) = if paused { ("pause", "paused") } else { ("resume", "resumed") };
        let body = json!({"spec": {"paused": paused}});
        self.patch(kind, key.clone(), Subresource::Whole, PatchKind::Merge, body, format!("{key} is {what}"))
    }

    /// As `kubectl rollout undo` does: the template of another revision, without the label that tells templates apart.
    fn undo(&mut self) -> Option<Wish> {
        let object = self.some(DEPLOYMENTS)?;
        let deployment = object.decode::<Deployment>().ok()?;
        let sets = self.snapshot.list(REPLICA_SETS, object.key().namespace.as_deref(), None);
        let own: Vec<&Arc<Object>> = sets
            .filter(|set| set.metadata().controller().is_some_and(|owner| owner.uid == object.metadata().uid))
            .collect();
        let set = self.dice.pick(&own)?.decode::<ReplicaSet>().ok()?;
        let mut template = serde_json::to_value(set.spec.as_ref()?.template.as_ref()?).ok()?;
        template.pointer_mut("/metadata/labels")?.as_object_mut()?.remove("pod-template-hash");
        deployment.spec.as_ref()?;
        let body = json!([{"op": "replace", "path": "/spec/template", "value": template}]);
        let key = object.key().clone();
        let what = format!("{key} goes back to {}", set.metadata.name.as_deref().unwrap_or_default());
        self.patch("undo", key, Subresource::Whole, PatchKind::Json, body, what)
    }

    fn delete(&mut self) -> Option<Wish> {
        let key = self.some(DEPLOYMENTS)?.key().clone();
        let how = [None, Some(Propagation::Background), Some(Propagation::Foreground), Some(Propagation::Orphan)];
        let propagation = *self.dice.pick(&how)?;
        let what = format!("{key} is deleted, {propagation:?}");
        let options = DeleteOptions { propagation, ..DeleteOptions::default() };
        Some(self.wish_of("delete", &key, Subresource::Whole, Action::Delete(options), what))
    }

    fn delete_one(&mut self, kind: &'static str, resource: ResourceType) -> Option<Wish> {
        let key = self.some(resource)?.key().clone();
        let grace_seconds = if self.dice.per_mille(200) { Some(1) } else { None };
        let options = DeleteOptions { grace_seconds, ..DeleteOptions::default() };
        let what = format!("{key} is deleted");
        Some(self.wish_of(kind, &key, Subresource::Whole, Action::Delete(options), what))
    }

    /// A pod its ReplicaSet no longer selects.
    fn relabel(&mut self) -> Option<Wish> {
        let key = self.some(PODS)?.key().clone();
        let body = json!({"metadata": {"labels": {"app": "elsewhere"}}});
        let what = format!("{key} is labelled away");
        self.patch("relabel a pod", key, Subresource::Whole, PatchKind::Merge, body, what)
    }

    fn relabel_back(&mut self) -> Option<Wish> {
        let pods = self.snapshot.list(PODS, None, None);
        let away: Vec<&Arc<Object>> =
            pods.filter(|pod| pod.metadata().labels.get("app").is_some_and(|app| &**app == "elsewhere")).collect();
        let key = self.dice.pick(&away)?.key().clone();
        let body = json!({"metadata": {"labels": {"app": self.dice.pick(&WORKLOADS)?}}});
        let what = format!("{key} is labelled back");
        self.patch("relabel back", key, Subresource::Whole, PatchKind::Merge, body, what)
    }

    fn write_settings(&mut self) -> Option<Wish> {
        let key = ObjectKey::namespaced(CONFIG_MAPS, self.namespace(), SETTINGS);
        let body = settings(key.namespace.as_deref()?, &self.dice.below(100).to_string());
        let what = format!("{key} is written");
        self.patch("write settings", key, Subresource::Whole, PatchKind::Apply, body, what)
    }

    fn delete_settings(&mut self) -> Option<Wish> {
        let key = ObjectKey::namespaced(CONFIG_MAPS, self.namespace(), SETTINGS);
        let what = format!("{key} is deleted");
        Some(self.wish_of("delete settings", &key, Subresource::Whole, Action::Delete(DeleteOptions::default()), what))
    }

    fn delete_namespace(&mut self) -> Option<Wish> {
        let key = ObjectKey::cluster(NAMESPACES, TEAM);
        let what = format!("{key} is deleted");
        let action = Action::Delete(DeleteOptions::default());
        self.exists(&key).then(|| self.wish_of("delete the namespace", &key, Subresource::Whole, action, what))
    }

    fn cordon(&mut self, cordoned: bool) -> Option<Wish> {
        let key = self.some(NODES)?.key().clone();
        let (kind, what) = if cordoned { ("cordon a node", "cordoned") } else { ("uncordon a node", "uncordoned") };
        let body = json!({"spec": {"unschedulable": cordoned}});
        self.patch(kind, key.clone(), Subresource::Whole, PatchKind::Merge, body, format!("{key} is {what}"))
    }

    /// What has to be put right before everything can be complete.
    pub(super) fn repairs(&mut self) -> Vec<Wish> {
        let mut repairs = Vec::new();
        for namespace in self.snapshot.list(NAMESPACES, None, None).filter(|it| !it.metadata().is_terminating()) {
            let name = &*namespace.key().name;
            if name != "default" && name != TEAM {
                continue;
            }
            let key = ObjectKey::namespaced(CONFIG_MAPS, name, SETTINGS);
            let (body, what) = (settings(name, "last"), format!("{key} is written"));
            repairs.extend(self.patch("repair", key, Subresource::Whole, PatchKind::Apply, body, what));
        }
        for node in self.snapshot.list(NODES, None, None).map(|node| node.key().clone()).collect::<Vec<_>>() {
            let (body, what) = (json!({"spec": {"unschedulable": null}}), format!("{node} is uncordoned"));
            repairs.extend(self.patch("repair", node, Subresource::Whole, PatchKind::Merge, body, what));
        }
        let owned = |object: &&Arc<Object>| object.metadata().controller().is_some();
        let sets = self.snapshot.list(REPLICA_SETS, None, None).filter(|set| !owned(set));
        let pods = self.snapshot.list(PODS, None, None).filter(|pod| !owned(pod));
        for key in sets.chain(pods).map(|object| object.key().clone()).collect::<Vec<_>>() {
            let what = format!("{key}, which nobody owns, is deleted");
            let action = Action::Delete(DeleteOptions::default());
            repairs.push(self.wish_of("repair", &key, Subresource::Whole, action, what));
        }
        for key in self.snapshot.list(DEPLOYMENTS, None, None).map(|it| it.key().clone()).collect::<Vec<_>>() {
            let containers = json!([{"name": "app", "image": "example/app:last"}]);
            let body = json!({"spec": {"paused": false, "template": {"spec": {"containers": containers}}}});
            let what = format!("{key} is resumed with an image that is there");
            repairs.extend(self.patch("repair", key, Subresource::Whole, PatchKind::Strategic, body, what));
        }
        repairs
    }

    fn exists(&self, key: &ObjectKey) -> bool {
        self.snapshot.get(key).is_some()
    }

    /// One of the objects of the namespaces users work in.
    pub(super) fn some(&mut self, resource: ResourceType) -> Option<Arc<Object>> {
        let objects: Vec<&Arc<Object>> = self.snapshot.list(resource, None, None).collect();
        self.dice.pick(&objects).map(|object| (*object).clone())
    }

    fn create(
        &self,
        kind: &'static str,
        resource: ResourceType,
        namespace: Option<Name>,
        object: Value,
    ) -> Option<Wish> {
        let name = object.pointer("/metadata/name")?.as_str()?;
        let what = format!("{resource} {name} is created");
        let target = self.target(resource, namespace, None, Subresource::Whole)?;
        Some(Wish { kind, what, mutation: mutation(target, Action::Create(Body::Value(object))) })
    }

    pub(super) fn patch(
        &self,
        kind: &'static str,
        key: ObjectKey,
        subresource: Subresource,
        how: PatchKind,
        body: Value,
        what: String,
    ) -> Option<Wish> {
        let target = self.target(key.resource, key.namespace, Some(key.name), subresource)?;
        Some(Wish { kind, what, mutation: mutation(target, Action::Patch(how, Body::Value(body))) })
    }

    pub(super) fn wish_of(
        &self,
        kind: &'static str,
        key: &ObjectKey,
        subresource: Subresource,
        action: Action,
        what: String,
    ) -> Wish {
        let target = self.target(key.resource, key.namespace.clone(), Some(key.name.clone()), subresource);
        Wish { kind, what, mutation: mutation(target.expect("what is stored is served"), action) }
    }

    fn target(
        &self,
        resource: ResourceType,
        namespace: Option<Name>,
        name: Option<Name>,
        subresource: Subresource,
    ) -> Option<Target> {
        let served = self.gateway.registry().served(resource.group, "v1", resource.plural)?;
        Some(Target { served, namespace, name, subresource })
    }
}

fn mutation(target: Target, action: Action) -> Mutation {
    let origin = Origin::Request { user: "user".into(), client: "simulation".into(), verb: "write".into() };
    let identity = Identity::new("user", &["system:masters"]);
    let options = Options { field_manager: "user".into(), force: true, ..Options::default() };
    let force = matches!(action, Action::Patch(PatchKind::Apply, _));
    Mutation { identity, origin, target, action, options: Options { force, ..options } }
}

fn settings(namespace: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": SETTINGS, "namespace": namespace},
        "data": {"greeting": value},
    })
}

/// A manifest of a workload. How it rolls follows from its name: a Deployment that changes its strategy in the middle of a
/// rollout promises nothing.
fn manifest(namespace: &str, name: &str, dice: &mut Dice) -> Value {
    let rolling: [(Value, Value); 5] = [
        (json!(1), json!(0)),
        (json!(0), json!(1)),
        (json!(2), json!(1)),
        (json!("25%"), json!("25%")),
        (json!("100%"), json!(0)),
    ];
    let (surge, unavailable) = dice.pick(&rolling).cloned().unwrap_or_default();
    let strategy = match name {
        "jobs" => json!({"type": "Recreate"}),
        _ => json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}),
    };
    let mut container = json!({
        "name": "app", "image": format!("example/app:{}", dice.below(5)),
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
    });
    if dice.per_mille(600) {
        container["readinessProbe"] = json!({"httpGet": {"path": "/", "port": 80}, "periodSeconds": 5});
    }
    if dice.per_mille(300) {
        container["livenessProbe"] = json!({"exec": {"command": ["true"]}, "periodSeconds": 10, "failureThreshold": 2});
    }
    if dice.per_mille(200) {
        container["startupProbe"] = json!({"tcpSocket": {"port": 80}, "periodSeconds": 1, "failureThreshold": 5});
    }
    if dice.per_mille(300) {
        container["envFrom"] = json!([{"configMapRef": {"name": SETTINGS}}]);
    }
    let mut pod = json!({"containers": [container], "terminationGracePeriodSeconds": dice.below(20)});
    if dice.per_mille(200) {
        pod["initContainers"] = json!([{"name": "first", "image": format!("{TASK_IMAGE}:first")}]);
    }
    if dice.per_mille(200) {
        pod["volumes"] =
            json!([{"name": "settings", "configMap": {"name": SETTINGS, "optional": dice.per_mille(500)}}]);
    }
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": dice.below(REPLICAS_MAX + 1), "selector": {"matchLabels": {"app": name}}, "strategy": strategy,
            "minReadySeconds": if dice.per_mille(700) { 0 } else { 5 },
            "progressDeadlineSeconds": if dice.per_mille(500) { 30 } else { 600 },
            "revisionHistoryLimit": dice.below(4),
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
        },
    })
}
