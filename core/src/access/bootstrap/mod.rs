//! The roles and bindings every cluster has, and how they are kept.
//!
//! They are those of Kubernetes 1.35, without the roles of controllers: what Sampan's operators may write is their
//! declaration. At each start what is missing of a role or binding is added, and what was added by hand stays; the annotation
//! `rbac.authorization.kubernetes.io/autoupdate: "false"` leaves one as it is.

mod bindings;
mod reconcile;
mod roles;
mod user_roles;

use serde_json::{Value, json};

use crate::gateway::{Action, Body, Cluster, Subresource, SystemWriter};
use crate::object::{ObjectKey, ResourceType};
use crate::resource::fill::set;
use crate::resource::{CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES};
use crate::status::Status;

use super::PolicyRule;

/// The annotation that says whether an object is kept.
const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// A role as it is listed here.
struct Role {
    name: &'static str,
    /// The roles it becomes part of: `admin`, `edit` or `view`.
    part_of: Option<&'static str>,
    what: Made,
}

/// What a role is made of.
enum Made {
    Rules(Vec<PolicyRule>),
    /// Of all roles that are part of this one.
    OfPartsOf(&'static str),
}

impl Role {
    fn of(name: &'static str, rules: Vec<PolicyRule>) -> Self {
        Self { name, part_of: None, what: Made::Rules(rules) }
    }

    fn to_value(&self) -> Value {
        let mut role = object("ClusterRole", self.name);
        if let (Some(whole), Some(labels)) = (self.part_of, role.pointer_mut("/metadata/labels")) {
            set(labels, &aggregation_label(whole), "true");
        }
        match &self.what {
            Made::Rules(rules) => set(&mut role, "rules", json!(rules)),
            Made::OfPartsOf(whole) => {
                let label = aggregation_label(whole);
                let rule = json!({"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]});
                set(&mut role, "aggregationRule", rule);
            }
        }
        role
    }
}

fn aggregation_label(whole: &str) -> String {
    format!("rbac.authorization.k8s.io/aggregate-to-{whole}")
}

fn object(kind: &str, name: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
        "metadata": {
            "name": name,
            "annotations": {AUTOUPDATE: "true"},
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        },
    })
}

/// The roles, as objects.
pub fn cluster_roles() -> Vec<Value> {
    user_roles::all().iter().chain(&roles::all()).map(Role::to_value).collect()
}

/// The bindings, as objects.
pub fn cluster_role_bindings() -> Vec<Value> {
    bindings::all()
}

/// Creates what is missing of them, and adds what is missing in them.
///
/// # Errors
/// When the store takes no writes.
pub async fn keep(cluster: &Cluster) -> Result<(), Status> {
    for role in cluster_roles() {
        keep_one(cluster, CLUSTER_ROLES, &role, reconcile::role).await?;
    }
    for binding in cluster_role_bindings() {
        keep_one(cluster, CLUSTER_ROLE_BINDINGS, &binding, reconcile::binding).await?;
    }
    Ok(())
}

/// What an object is to become; `None` where it stays.
type Reconcile = fn(&Value, &Value) -> Option<Value>;

async fn keep_one(
    cluster: &Cluster,
    resource: ResourceType,
    wanted: &Value,
    reconcile: Reconcile,
) -> Result<(), Status> {
    let name = wanted.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let key = ObjectKey::cluster(resource, name);
    let existing = cluster.snapshot().get(&key).map(|object| object.value());
    let action = match &existing {
        None => Action::Create(Body::Value(wanted.clone())),
        Some(existing) => match reconcile(existing, wanted) {
            Some(changed) => Action::Update(Body::Value(changed)),
            None => return Ok(()),
        },
    };
    let writer = SystemWriter::new(cluster, "every cluster has these roles and bindings");
    writer.write(&key, Subresource::Whole, action).await.map(drop)
}
