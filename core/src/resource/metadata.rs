//! The rules every object's metadata follows.

use serde_json::Value;

use super::check::{Faults, Field};
use super::custom::CUSTOM_RESOURCE_DEFINITIONS;
use super::{ResourceDefinition, Scope};
use crate::object::names;
use crate::status::StatusCause;

/// Finalizers Kubernetes itself knows; every other has a domain.
const KNOWN_FINALIZERS: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];
/// The most bytes of a field manager's name.
const MANAGER_MAX_BYTES: usize = 128;

/// Checks an object's metadata, and what of it may not change where `old` is given.
pub fn validate_metadata(definition: &ResourceDefinition, object: &Value, old: Option<&Value>) -> Vec<StatusCause> {
    let mut faults = Faults::default();
    let metadata = Field::root(object).at("metadata");
    validate(definition, &metadata, &mut faults);
    if let Some(old) = old {
        validate_update(&metadata, &Field::root(old).at("metadata"), &mut faults);
    }
    faults.errors.causes()
}

fn validate(definition: &ResourceDefinition, metadata: &Field<'_>, faults: &mut Faults) {
    let name_faults = |name: &str| definition.strategy.name_faults(name);
    faults.optional_rule(&metadata.at("generateName"), |prefix| name_faults(&names::as_generated_prefix(prefix)));
    let name = metadata.at("name");
    if name.text().is_empty() {
        faults.required(&name, "name or generateName is required");
    } else {
        faults.rule(&name, name_faults);
    }
    validate_namespace(definition, &metadata.at("namespace"), faults);
    faults.nonnegative(&metadata.at("generation"));
    validate_labels_and_annotations(metadata, faults);
    validate_owners(&metadata.at("ownerReferences"), faults);
    validate_finalizers(definition, &metadata.at("finalizers"), faults);
    for entry in metadata.at("managedFields").items() {
        let manager = entry.at("manager");
        if manager.text().len() > MANAGER_MAX_BYTES {
            faults.errors.push(crate::object::FieldError::too_long(manager.path, MANAGER_MAX_BYTES));
        }
    }
}

fn validate_namespace(definition: &ResourceDefinition, namespace: &Field<'_>, faults: &mut Faults) {
    match (definition.scope, namespace.text()) {
        (Scope::Cluster, "") => {}
        (Scope::Cluster, _) => faults.forbidden(namespace, "not allowed on this type"),
        (Scope::Namespaced, _) => faults.required_rule(namespace, names::dns_1123_label),
    }
}

/// The labels and annotations of an object or a template.
pub(super) fn validate_labels_and_annotations(metadata: &Field<'_>, faults: &mut Faults) {
    let (labels, annotations) = (metadata.at("labels"), metadata.at("annotations"));
    names::labels(labels.texts(), &labels.path, &mut faults.errors);
    names::annotations(annotations.texts(), &annotations.path, &mut faults.errors);
}

fn validate_owners(owners: &Field<'_>, faults: &mut Faults) {
    let mut controller: Option<String> = None;
    for owner in owners.items() {
        let [version, kind, name, uid] = ["apiVersion", "kind", "name", "uid"].map(|field| owner.at(field));
        match version.text().split_once('/').unwrap_or(("", version.text())) {
            (_, "") => faults.invalid(&version, "version must not be empty"),
            (_, rest) if rest.contains('/') => faults.invalid(&version, "must be <group>/<version>"),
            _ => {}
        }
        for (field, why) in [(&kind, "must not be empty"), (&name, "must not be empty"), (&uid, "must not be empty")] {
            if field.text().is_empty() {
                faults.invalid(field, why);
            }
        }
        if version.text() == "v1" && kind.text() == "Event" {
            faults.invalid(&owner, "/v1, Kind=Event is disallowed from being an owner");
        }
        if !owner.at("controller").is_true() {
            continue;
        }
        if let Some(first) = &controller {
            let why = format!(
                "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {}",
                name.text()
            );
            faults.invalid_hidden(owners, why);
        } else {
            controller = Some(name.text().to_owned());
        }
    }
}

/// Custom objects and their definitions may have finalizers without a domain of their own, as in Kubernetes.
fn validate_finalizers(definition: &ResourceDefinition, finalizers: &Field<'_>, faults: &mut Faults) {
    let is_custom = definition.defined_by.is_some() || definition.resource == CUSTOM_RESOURCE_DEFINITIONS;
    for finalizer in finalizers.items() {
        let name = finalizer.text();
        faults.errors.push_messages(&finalizers.path, name, names::qualified_name(name));
        if !is_custom && !name.contains('/') && !KNOWN_FINALIZERS.contains(&name) {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            faults.errors.push(crate::object::FieldError::invalid(finalizers.path.clone(), name, why));
        }
    }
    let has = |known: &str| finalizers.items().any(|finalizer| finalizer.text() == known);
    if has("orphan") && has("foregroundDeletion") {
        faults.invalid(finalizers, "finalizer orphan and foregroundDeletion cannot be both set");
    }
}

fn validate_update(metadata: &Field<'_>, old: &Field<'_>, faults: &mut Faults) {
    for field in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        faults.immutable(&metadata.at(field), &old.at(field));
    }
    let generation = metadata.at("generation");
    if generation.number().unwrap_or_default() < old.at("generation").number().unwrap_or_default() {
        faults.invalid(&generation, "must not be decremented");
    }
    if old.at("deletionTimestamp").is_set() {
        let kept = old.at("finalizers");
        let finalizers = metadata.at("finalizers");
        let added = finalizers.items().filter(|new| !kept.items().any(|known| known.value == new.value));
        let added: Vec<String> = added.map(|new| new.text().to_owned()).collect();
        if !added.is_empty() {
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers {added:?}"
            );
            faults.forbidden(&finalizers, why);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resource::{ServedVersion, Strategy};

    struct Plain;
    impl Strategy for Plain {}

    fn faults(metadata: Value, old: Option<Value>) -> Vec<String> {
        let resource = crate::object::ResourceType::new("", "configmaps");
        let version = ServedVersion::stored("", "v1", "io.k8s.api.core.v1.ConfigMap");
        let definition = ResourceDefinition::plain(resource, "ConfigMap", "configmap", version, Plain);
        let (object, old) = (json!({"metadata": metadata}), old.map(|old| json!({"metadata": old})));
        let causes = validate_metadata(&definition, &object, old.as_ref());
        causes.into_iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
    }

    fn check(extra: Value, expected: &str) {
        let mut metadata = json!({"name": "a", "namespace": "default"});
        for (field, value) in extra.as_object().unwrap() {
            metadata[field] = value.clone();
        }
        let found = faults(metadata, None);
        assert_eq!(found.len(), usize::from(!expected.is_empty()), "{extra}: {found:?}");
        assert!(found.iter().all(|fault| fault.starts_with(expected)), "{extra}: {found:?}");
    }

    #[test]
    fn metadata_follows_the_rules_of_kubernetes() {
        check(json!({"labels": {"app": "web"}, "finalizers": ["example.com/x", "orphan"]}), "");
        check(json!({"name": ""}), "metadata.name: Required value: name or generateName is required");
        check(json!({"name": "A"}), "metadata.name: Invalid value: \"A\": a lowercase RFC 1123 subdomain");
        check(json!({"generateName": "web-"}), "");
        check(json!({"generateName": "Web-"}), "metadata.generateName: Invalid value");
        check(json!({"namespace": "a.b"}), "metadata.namespace: Invalid value: \"a.b\": must not contain dots");
        check(json!({"labels": {"a b": "c"}}), "metadata.labels: Invalid value: \"a b\": name part must consist");
        check(json!({"labels": {"a": "c d"}}), "metadata.labels: Invalid value: \"c d\": a valid label must be");
        check(
            json!({"annotations": {"/a": ""}}),
            "metadata.annotations: Invalid value: \"/a\": prefix part must be non-empty",
        );
        check(json!({"finalizers": ["own"]}), "metadata.finalizers: Invalid value: \"own\": name is neither");
        let owner = |controller: bool| json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "w", "uid": "u", "controller": controller});
        check(json!({"ownerReferences": [owner(true), owner(false)]}), "");
        check(
            json!({"ownerReferences": [owner(true), owner(true)]}),
            "metadata.ownerReferences: Invalid value: \"\": Only one",
        );
        let nameless = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "", "uid": "u"});
        check(
            json!({"ownerReferences": [nameless]}),
            "metadata.ownerReferences[0].name: Invalid value: \"\": must not be",
        );
    }

    #[test]
    fn identity_does_not_change() {
        let old = json!({"name": "a", "namespace": "default", "uid": "1", "generation": 3});
        assert_eq!(faults(old.clone(), Some(old.clone())), Vec::<String>::new());
        let mut other = old.clone();
        other["uid"] = json!("2");
        assert_eq!(faults(other, Some(old.clone())), ["metadata.uid: Invalid value: \"2\": field is immutable"]);
        let mut older = old.clone();
        older["generation"] = json!(2);
        assert_eq!(faults(older, Some(old)), ["metadata.generation: Invalid value: 2: must not be decremented"]);
    }

    #[test]
    fn nobody_joins_a_deletion_that_has_begun() {
        let old = json!({"name": "a", "namespace": "default", "deletionTimestamp": "t", "finalizers": ["x.io/a"]});
        let mut more = old.clone();
        more["finalizers"] = json!(["x.io/a", "x.io/b"]);
        let found = faults(more, Some(old.clone()));
        assert!(found[0].starts_with("metadata.finalizers: Forbidden: no new finalizers"), "{found:?}");
        let mut fewer = old.clone();
        fewer["finalizers"] = json!([]);
        assert_eq!(faults(fewer, Some(old)), Vec::<String>::new());
    }
}
