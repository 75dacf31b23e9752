//! A gateway over a snapshot, of which something is asked.

use std::sync::Arc;

use sampan_core::entropy::SeededEntropy;
use sampan_core::gateway::{
    Action, Admission, Answer, Body, Gateway, Identity, Mutation, Options, Subresource, SystemAuthorizer, Target,
    standard_admissions,
};
use sampan_core::object::{Draft, ObjectKey, ResourceType};
use sampan_core::resource::{Registry, builtin};
use sampan_core::status::Status;
use sampan_core::store::{Origin, Snapshot};
use serde_json::{Value, json};

/// Objects a cluster has before anything is asked of it: group, plural, namespace, and the object.
pub(crate) type Given = (&'static str, &'static str, &'static str, Value);

/// What would be stored, and the warnings.
pub(crate) type Answered = (Value, Vec<String>);

/// A cluster of what every one has, and some objects more.
pub(crate) struct World {
    pub(crate) gateway: Gateway,
    pub(crate) snapshot: Snapshot,
}

impl World {
    pub(crate) fn with(given: Vec<Given>) -> Self {
        Self::admitting(standard_admissions(Arc::new(SystemAuthorizer)), given)
    }

    pub(crate) fn admitting(admissions: Vec<Box<dyn Admission>>, given: Vec<Given>) -> Self {
        let mut registry = Registry::default();
        builtin().into_iter().for_each(|definition| registry.register(definition));
        let always: [Given; 2] = [
            ("", "namespaces", "", json!({"metadata": {"name": "team"}})),
            ("", "serviceaccounts", "team", json!({"metadata": {"name": "default"}})),
        ];
        let drafts = always.into_iter().chain(given).map(|(group, plural, namespace, object)| {
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            let resource = ResourceType::intern(group, plural);
            let key = ObjectKey {
                resource,
                namespace: (!namespace.is_empty()).then(|| namespace.into()),
                name: name.as_str().into(),
            };
            let mut object = object;
            object["metadata"]["uid"] = json!(format!("uid-of-{name}"));
            object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
            Draft::new(key, object, Vec::new()).unwrap()
        });
        let snapshot = Snapshot::of(drafts.collect::<Vec<_>>());
        Self { gateway: Gateway::new(registry, Box::new(SystemAuthorizer), admissions), snapshot }
    }

    pub(crate) fn ask(
        &self,
        plural: &str,
        namespace: &str,
        name: Option<&str>,
        action: Action,
    ) -> Result<Answered, Status> {
        self.ask_at(plural, namespace, name, Subresource::Whole, action)
    }

    pub(crate) fn ask_at(
        &self,
        plural: &str,
        namespace: &str,
        name: Option<&str>,
        subresource: Subresource,
        action: Action,
    ) -> Result<Answered, Status> {
        let served = self.gateway.registry().served("", "v1", plural).unwrap();
        let namespace = (!namespace.is_empty()).then(|| namespace.into());
        let mutation = Mutation {
            identity: Identity::new("admin", &["system:masters"]),
            origin: Origin::System { purpose: "test".into() },
            target: Target { served, namespace, name: name.map(Into::into), subresource },
            action,
            options: Options { dry_run: true, ..Options::default() },
        };
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let prepared = self.gateway.prepare(&self.snapshot, now, &mut SeededEntropy::new(1), &mutation)?;
        match prepared.answer {
            Answer::Preview(object) => Ok((*object, prepared.warnings)),
            Answer::Unchanged(object) => Ok((object.value(), prepared.warnings)),
            Answer::Committed => panic!("a dry run commits nothing"),
        }
    }

    pub(crate) fn create(&self, pod: Value) -> Result<Value, Status> {
        self.ask("pods", "team", None, Action::Create(Body::Value(pod))).map(|(object, _)| object)
    }

    pub(crate) fn refusal(&self, pod: Value) -> String {
        let refused = self.create(pod).unwrap_err();
        assert_eq!(refused.code, 403, "{}", refused.message);
        refused.message
    }
}

pub(crate) fn pod(name: &str, resources: Value) -> Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]}})
}
