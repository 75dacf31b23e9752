//! Nobody grants what they do not hold.

use std::sync::Arc;

use serde::Deserialize as _;
use serde_json::{Value, json};

use super::policies::ParameterKind;
use super::{Admission, AdmissionRequest, Operation, Verdict};
use crate::access::{
    Attributes, Authorizer, MASTERS, PolicyRule, ResourceAttributes, What, forbidden_grant, uncovered,
};
use crate::gateway::Unprepared;
use crate::object::{ObjectKey, ResourceType};
use crate::plugin::PluginSpec;
use crate::resource::read::text;
use crate::resource::{
    CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, LOG_OUTPUTS, MUTATING_ADMISSION_POLICIES, MUTATING_ADMISSION_POLICY_BINDINGS,
    OPERATOR_PLUGINS, ROLE_BINDINGS, ROLES, Registry, VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS, secrets_of,
};
use crate::status::Status;

/// The metadata that gives nobody anything: what keeps an object, and what every write changes.
const KEEPING: [&str; 4] = ["ownerReferences", "finalizers", "managedFields", "resourceVersion"];

/// What may give away what its author does not hold.
const CHECKED: [ResourceType; 10] = [
    ROLES,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    CLUSTER_ROLE_BINDINGS,
    OPERATOR_PLUGINS,
    LOG_OUTPUTS,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
    MUTATING_ADMISSION_POLICIES,
    MUTATING_ADMISSION_POLICY_BINDINGS,
];

/// A role is written by those who may do all it says, or may `escalate` it; a binding by those who may do all its role says,
/// or may `bind` the role; a plugin by those who may do all that it declares to do, for it does so as the cluster itself; and an
/// output of logs by those who may read the logs it sends and the secrets it sends with them. A policy or its binding is written by
/// those who may read its parameters.
pub struct EscalationCheck {
    authorizer: Arc<dyn Authorizer>,
}

impl EscalationCheck {
    /// By what this authorizer says somebody may do.
    pub fn new(authorizer: Arc<dyn Authorizer>) -> Self {
        Self { authorizer }
    }
}

impl Admission for EscalationCheck {
    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        matches!(request.operation, Operation::Create | Operation::Update)
            && CHECKED.contains(&request.mutation.target.resource())
            && !request.mutation.identity.is_in(MASTERS)
    }

    fn validate(&self, request: &AdmissionRequest<'_>, object: &Value) -> Result<Verdict, Unprepared> {
        let (check, old) = (Check { authorizer: &*self.authorizer, request, object }, request.old);
        match request.mutation.target.resource() {
            ROLES | CLUSTER_ROLES if check.may_grant() => check.role()?,
            ROLE_BINDINGS | CLUSTER_ROLE_BINDINGS if check.may_grant() => check.binding()?,
            OPERATOR_PLUGINS if check.may_grant() => {
                check.require(&rules_of_plugin(object, &request.gateway.registry()))?
            }
            VALIDATING_ADMISSION_POLICIES | MUTATING_ADMISSION_POLICIES if has_new_spec(old, object) => {
                check.parameters(object, "*", None)?;
            }
            VALIDATING_ADMISSION_POLICY_BINDINGS | MUTATING_ADMISSION_POLICY_BINDINGS if has_new_spec(old, object) => {
                check.bound_parameters()?;
            }
            LOG_OUTPUTS if has_new_spec(old, object) => {
                check.require(&rules_of_output(object))?;
            }
            _ => {}
        }
        Ok(Verdict::default())
    }
}

struct Check<'a> {
    authorizer: &'a dyn Authorizer,
    request: &'a AdmissionRequest<'a>,
    object: &'a Value,
}

impl Check<'_> {
    /// Whether a write may give rights away. A label can: it puts a role's rules into the roles made of others. What keeps an
    /// object or lets it go cannot.
    fn may_grant(&self) -> bool {
        self.request.old.is_none_or(|old| without_keeping(old) != without_keeping(self.object))
    }

    /// Whether a verb that exists for this alone is allowed.
    fn may(&self, verb: &str, resource: ResourceType, name: &str) -> bool {
        self.allows(verb, ResourceAttributes::of(resource, self.request.namespace(), Some(name)))
    }

    /// Whether who writes may do that.
    fn allows(&self, verb: &str, what: ResourceAttributes<'_>) -> bool {
        let asked = Attributes { identity: &self.request.mutation.identity, verb, what: What::Resource(what) };
        self.authorizer.authorize(self.request.snapshot, &asked).allowed
    }

    fn role(&self) -> Result<(), Status> {
        if self.may("escalate", self.request.mutation.target.resource(), text(self.object, "/metadata/name")) {
            return Ok(());
        }
        // What a role made of others will allow is not known: it takes someone who may do anything.
        let aggregates = |object: &Value| object.get("aggregationRule").is_some_and(|rule| !rule.is_null());
        if aggregates(self.object) || self.request.old.is_some_and(aggregates) {
            self.require(&[PolicyRule::of_resources(&["*"], &["*"], &["*"]), PolicyRule::of_paths(&["*"], &["*"])])?;
        }
        self.require(&rules_of(self.object))
    }

    fn binding(&self) -> Result<(), Status> {
        let name = text(self.object, "/roleRef/name");
        let key = match (text(self.object, "/roleRef/kind"), self.request.namespace()) {
            ("Role", Some(namespace)) => ObjectKey::namespaced(ROLES, namespace, name),
            ("ClusterRole", _) => ObjectKey::cluster(CLUSTER_ROLES, name),
            // Validation names the fault.
            _ => return Ok(()),
        };
        if self.may("bind", key.resource, name) {
            return Ok(());
        }
        let role = self.request.snapshot.get(&key).ok_or_else(|| Status::not_found(&key.resource.to_string(), name))?;
        self.require(&rules_of(&role.value()))
    }

    /// What a policy is given as `params` it may show to whoever reads what it says, and what it changes: its author must be allowed
    /// to read it.
    fn parameters(&self, policy: &Value, name: &str, namespace: Option<&str>) -> Result<(), Status> {
        // Validation names the fault of one that names no kind.
        let parameters = ParameterKind::of(policy.get("spec").unwrap_or(&Value::Null));
        let Ok(Some(parameters)) = parameters else { return Ok(()) };
        let served = parameters.served(&self.request.gateway.registry());
        let resource = served.map_or("*", |served| served.definition.resource.plural);
        let (group, _) = parameters.group_version();
        let what = ResourceAttributes { group, resource, subresource: "", namespace, name: Some(name), of_node: None };
        if self.allows("get", what) {
            return Ok(());
        }
        let which = if name == "*" { "all objects of the referenced paramKind" } else { "the referenced param" };
        let (user, ParameterKind { api_version, kind }) = (&self.request.mutation.identity.user, &parameters);
        let which = format!("{which} (kind={kind}, apiVersion={api_version})");
        let why = format!("user {user:?} must have \"get\" permission on {which}");
        Err(self.request.forbidden(self.object, why))
    }

    /// The same of a binding: of the parameter it names, or of all of the kind of its policy.
    fn bound_parameters(&self) -> Result<(), Status> {
        let policies = match self.request.mutation.target.resource() {
            MUTATING_ADMISSION_POLICY_BINDINGS => MUTATING_ADMISSION_POLICIES,
            _ => VALIDATING_ADMISSION_POLICIES,
        };
        if self.object.pointer("/spec/paramRef").is_none_or(Value::is_null) {
            return Ok(());
        }
        let policy = self.request.snapshot.get(&ObjectKey::cluster(policies, text(self.object, "/spec/policyName")));
        let [name, namespace] =
            ["name", "namespace"].map(|field| text(self.object, &format!("/spec/paramRef/{field}")));
        let name = if name.is_empty() { "*" } else { name };
        let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
        // Without its policy it gives nothing, and whoever writes that is asked about its kind.
        policy.map_or(Ok(()), |policy| self.parameters(&policy.value(), name, namespace))
    }

    fn require(&self, wanted: &[PolicyRule]) -> Result<(), Status> {
        let mutation = self.request.mutation;
        let held = self.authorizer.rules(self.request.snapshot, &mutation.identity, self.request.namespace());
        let missing = uncovered(&held, wanted).map_err(|error| self.request.forbidden(self.object, error))?;
        if missing.is_empty() {
            return Ok(());
        }
        let (resource, name) = (mutation.target.resource(), text(self.object, "/metadata/name"));
        Err(forbidden_grant(&mutation.identity, resource, name, missing))
    }
}

fn has_new_spec(old: Option<&Value>, object: &Value) -> bool {
    old.is_none_or(|old| old.get("spec") != object.get("spec"))
}

/// An object without what says what keeps it, and who wrote which of its fields when.
fn without_keeping(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|field, _| !KEEPING.contains(&field.as_str()));
    }
    object
}

fn rules_of(role: &Value) -> Vec<PolicyRule> {
    let rules = role.get("rules").filter(|rules| !rules.is_null()).cloned();
    // Rules that do not read are refused by validation; until then they stand for everything.
    serde_json::from_value(rules.unwrap_or_else(|| json!([])))
        .unwrap_or_else(|_| vec![PolicyRule::of_resources(&["*"], &["*"], &["*"])])
}

/// What an output of logs reads, in whatever namespace: logs, and the secrets it names.
fn rules_of_output(output: &Value) -> Vec<PolicyRule> {
    let secrets =
        secrets_of(output).map(|(_, name)| PolicyRule::of_resources(&["get"], &[""], &["secrets"]).named(&[name]));
    std::iter::once(PolicyRule::of_resources(&["get"], &[""], &["pods/log"])).chain(secrets).collect()
}

/// What a plugin declares to read and write. What cannot be told stands for everything.
fn rules_of_plugin(plugin: &Value, registry: &Registry) -> Vec<PolicyRule> {
    let spec = PluginSpec::deserialize(plugin.get("spec").unwrap_or(&Value::Null));
    let Ok(spec) = spec else { return vec![PolicyRule::of_resources(&["*"], &["*"], &["*"])] };
    let needs = spec.needs();
    let rules = needs.iter().map(|(kind, verbs)| match kind.served(registry) {
        Some(served) => {
            let resource = served.definition.resource;
            PolicyRule::of_resources(verbs, &[resource.group], &[resource.plural])
        }
        None => PolicyRule::of_resources(verbs, &[kind.group_version().0], &["*"]),
    });
    rules.collect()
}
