//! Bindings: who has a role.

use jiff::Timestamp;
use serde_json::Value;

use super::{CLUSTER_ROLE_BINDINGS, GROUP, ROLE_BINDINGS};
use crate::object::names;
use crate::resource::check::{Faults, Field};
use crate::resource::fill::{fill, items_mut, present};
use crate::resource::read::{items, text};
use crate::resource::{Cell, Column, ResourceDefinition, Scope, ServedVersion, Strategy, table};
use crate::status::StatusCause;

struct BindingStrategy {
    scope: Scope,
}

/// What a RoleBinding is.
pub(super) fn role_binding() -> ResourceDefinition {
    let version = ServedVersion::stored(GROUP, "v1", "io.k8s.api.rbac.v1.RoleBinding");
    let strategy = BindingStrategy { scope: Scope::Namespaced };
    ResourceDefinition::plain(ROLE_BINDINGS, "RoleBinding", "rolebinding", version, strategy)
}

/// What a ClusterRoleBinding is.
pub(super) fn cluster_role_binding() -> ResourceDefinition {
    let version = ServedVersion::stored(GROUP, "v1", "io.k8s.api.rbac.v1.ClusterRoleBinding");
    let strategy = BindingStrategy { scope: Scope::Cluster };
    ResourceDefinition {
        scope: Scope::Cluster,
        ..ResourceDefinition::plain(
            CLUSTER_ROLE_BINDINGS,
            "ClusterRoleBinding",
            "clusterrolebinding",
            version,
            strategy,
        )
    }
}

impl Strategy for BindingStrategy {
    fn default(&self, object: &mut Value) {
        if let Some(role) = present(object, "roleRef") {
            fill(role, "apiGroup", GROUP);
        }
        for subject in items_mut(object, "subjects") {
            if matches!(text(subject, "/kind"), "User" | "Group") {
                fill(subject, "apiGroup", GROUP);
            }
        }
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let binding = Field::root(object);
        let role = binding.at("roleRef");
        check_one_of(&role.at("apiGroup"), &[GROUP], &mut faults);
        let kinds: &[&str] = if self.scope == Scope::Namespaced { &["ClusterRole", "Role"] } else { &["ClusterRole"] };
        check_one_of(&role.at("kind"), kinds, &mut faults);
        faults.required_rule(&role.at("name"), names::path_segment);
        for subject in binding.at("subjects").items() {
            check_subject(&subject, self.scope, &mut faults);
        }
        faults.errors.causes()
    }

    fn validate_update(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let role = Field::root(object).at("roleRef");
        if role.value != Field::root(old).at("roleRef").value {
            faults.invalid(&role, "cannot change roleRef");
        }
        faults.errors.causes()
    }

    fn name_faults(&self, name: &str) -> Vec<String> {
        names::path_segment(name)
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::text("Role", "The role that is bound."),
            Column::age(),
            Column::text("Users", "The users who have it.").wide(),
            Column::text("Groups", "The groups whose members have it.").wide(),
            Column::text("ServiceAccounts", "The service accounts that have it.").wide(),
        ]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        let role = format!("{}/{}", text(object, "/roleRef/kind"), text(object, "/roleRef/name"));
        let [users, groups, accounts] =
            ["User", "Group", "ServiceAccount"].map(|kind| Cell::from(listed(object, kind)));
        vec![role.into(), table::age(object, now), users, groups, accounts]
    }
}

/// A text that is one of those known; that it is missing is a fault of the same sort.
fn check_one_of(field: &Field<'_>, known: &[&str], faults: &mut Faults) {
    if !known.contains(&field.text()) {
        faults.errors.push(crate::object::FieldError::not_supported(field.path.clone(), field.text(), known));
    }
}

fn check_subject(subject: &Field<'_>, scope: Scope, faults: &mut Faults) {
    let (name, group) = (subject.at("name"), subject.at("apiGroup"));
    faults.required_text(&name);
    match subject.at("kind").text() {
        "ServiceAccount" => {
            faults.optional_rule(&name, names::dns_1123_subdomain);
            check_one_of(&group, &[""], faults);
            if scope == Scope::Cluster {
                faults.required_text(&subject.at("namespace"));
            }
        }
        "User" | "Group" => check_one_of(&group, &[GROUP], faults),
        _ => check_one_of(&subject.at("kind"), &["Group", "ServiceAccount", "User"], faults),
    }
}

/// The subjects of a kind, comma-separated; service accounts with their namespaces.
fn listed(binding: &Value, kind: &str) -> String {
    let subjects = items(binding, "/subjects").filter(|subject| text(subject, "/kind") == kind);
    let names: Vec<String> = subjects
        .map(|subject| match kind {
            "ServiceAccount" => format!("{}/{}", text(subject, "/namespace"), text(subject, "/name")),
            _ => text(subject, "/name").to_owned(),
        })
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn binding(scope: Scope, role: Value, subject: Value) -> (BindingStrategy, Value) {
        let strategy = BindingStrategy { scope };
        let mut object = json!({"roleRef": role, "subjects": [subject]});
        strategy.default(&mut object);
        (strategy, object)
    }

    fn faults(scope: Scope, role: Value, subject: Value) -> Vec<String> {
        let (strategy, object) = binding(scope, role, subject);
        strategy.validate(&object).into_iter().map(|cause| cause.field).collect()
    }

    #[test]
    fn a_binding_names_a_role_and_who_has_it() {
        let cluster_role = json!({"kind": "ClusterRole", "name": "view"});
        let role = json!({"kind": "Role", "name": "view"});
        let user = json!({"kind": "User", "name": "ann"});
        let account = json!({"kind": "ServiceAccount", "name": "default"});
        let none = Vec::<String>::new();
        assert_eq!(faults(Scope::Namespaced, role.clone(), user.clone()), none);
        assert_eq!(faults(Scope::Namespaced, cluster_role.clone(), account.clone()), none);
        assert_eq!(faults(Scope::Cluster, cluster_role.clone(), user.clone()), none);
        assert_eq!(faults(Scope::Cluster, role, user.clone()), ["roleRef.kind"]);
        assert_eq!(faults(Scope::Cluster, cluster_role.clone(), account), ["subjects[0].namespace"]);
        let cases = [
            (json!({"kind": "Robot", "name": "r"}), "subjects[0].kind"),
            (json!({"kind": "User"}), "subjects[0].name"),
            (json!({"kind": "User", "name": "ann", "apiGroup": "apps"}), "subjects[0].apiGroup"),
            (json!({"kind": "ServiceAccount", "name": "A", "namespace": "x"}), "subjects[0].name"),
        ];
        for (subject, field) in cases {
            assert_eq!(faults(Scope::Cluster, cluster_role.clone(), subject.clone()), [field], "{subject}");
        }
        assert_eq!(faults(Scope::Cluster, json!({}), user), ["roleRef.kind", "roleRef.name"]);
    }

    #[test]
    fn the_role_of_a_binding_stays() {
        let (strategy, old) = binding(
            Scope::Cluster,
            json!({"kind": "ClusterRole", "name": "view"}),
            json!({"kind": "User", "name": "a"}),
        );
        let mut new = old.clone();
        new["roleRef"]["name"] = "admin".into();
        let faults = strategy.validate_update(&new, &old);
        assert_eq!(faults.len(), 1);
        assert!(faults[0].message.ends_with("cannot change roleRef"), "{}", faults[0].message);
        assert!(strategy.validate_update(&old, &old).is_empty());
    }

    #[test]
    fn a_binding_shows_its_role_and_subjects() {
        let (strategy, mut object) = binding(
            Scope::Namespaced,
            json!({"kind": "Role", "name": "r"}),
            json!({"kind": "ServiceAccount", "name": "s", "namespace": "n"}),
        );
        object["metadata"] = json!({"creationTimestamp": "1970-01-01T00:00:00Z"});
        assert_eq!(strategy.cells(&object, Timestamp::UNIX_EPOCH), ["Role/r", "0s", "", "", "n/s"]);
        assert_eq!(strategy.columns().len(), 5);
    }
}
