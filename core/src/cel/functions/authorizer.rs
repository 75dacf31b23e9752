//! What somebody may do: `authorizer.group('apps').resource('deployments').namespace('x').check('get').allowed()`.

use std::fmt;
use std::sync::Arc;

use super::super::{EvalError, Value};
use super::{Answer, Call};
use crate::object::names;

pub(super) const NAMES: &[&str] = &[
    "path",
    "group",
    "serviceAccount",
    "resource",
    "subresource",
    "namespace",
    "name",
    "fieldSelector",
    "labelSelector",
    "check",
    "allowed",
    "reason",
    "errored",
    "error",
];

/// What a check costs, as in Kubernetes: two of them are all an expression can afford.
const CHECK_COST: u64 = 350_000;

/// Decides for expressions what somebody may do.
pub trait Authority: fmt::Debug + Send + Sync {
    /// Whether `who` may do `verb` with `what`.
    fn decide(&self, who: &Who, what: &What, verb: &str) -> Decision;

    /// The resource the request is for.
    fn request_resource(&self) -> &Resource;
}

/// Whose rights are asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Those of whose request it is.
    Requester,
    /// Those of a service account: its namespace and name.
    ServiceAccount(String, String),
}

/// What somebody may or may not do something with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A path that is no resource.
    Path(String),
    /// A resource.
    Resource(Resource),
}

/// A resource, or many of a type; what is not said is empty.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Resource {
    /// The API group.
    pub group: String,
    /// The plural name; empty where only the group is known so far.
    pub resource: String,
    /// The part of the object.
    pub subresource: String,
    /// The namespace.
    pub namespace: String,
    /// The object.
    pub name: String,
    /// The fields of those it is about.
    pub field_selector: String,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may be.
    pub allowed: bool,
    /// Why; may be empty.
    pub reason: String,
}

/// Whom to ask, about whom.
#[derive(Debug, Clone)]
pub struct Authorizer<'a> {
    authority: &'a dyn Authority,
    who: Arc<Who>,
}

/// A question that only lacks its verb.
#[derive(Debug, Clone)]
pub struct Check<'a> {
    authorizer: Authorizer<'a>,
    what: Arc<What>,
}

impl<'a> Authorizer<'a> {
    /// Asks about whose request it is.
    pub(crate) fn of(authority: &'a dyn Authority) -> Self {
        Self { authority, who: Arc::new(Who::Requester) }
    }

    /// What it has beside functions.
    pub(in super::super) fn field(&self, name: &str) -> Option<Value<'a>> {
        (name == "requestResource").then(|| self.check(What::Resource(self.authority.request_resource().clone())))
    }

    fn check(&self, what: What) -> Value<'a> {
        Value::Check(Check { authorizer: self.clone(), what: Arc::new(what) })
    }

    fn answer(&self, name: &str, arguments: &[&str]) -> Answer<'a> {
        Some(Ok(match (name, arguments) {
            ("path", [path]) if path.trim().is_empty() => {
                return Some(Err(EvalError::failed("path must not be empty")));
            }
            ("path", [path]) => self.check(What::Path((*path).to_owned())),
            ("group", [group]) => {
                self.check(What::Resource(Resource { group: (*group).to_owned(), ..Resource::default() }))
            }
            ("serviceAccount", [_, name]) if !names::dns_1123_subdomain(name).is_empty() => {
                return Some(Err(EvalError::failed("Invalid service account name")));
            }
            ("serviceAccount", [namespace, _]) if !names::dns_1123_label(namespace).is_empty() => {
                return Some(Err(EvalError::failed("Invalid service account namespace")));
            }
            ("serviceAccount", [namespace, name]) => {
                let who = Who::ServiceAccount((*namespace).to_owned(), (*name).to_owned());
                Value::Authorizer(Self { who: Arc::new(who), ..self.clone() })
            }
            _ => return None,
        }))
    }
}

impl<'a> Check<'a> {
    /// The name of its type in Kubernetes.
    pub(in super::super) fn type_name(&self) -> &'static str {
        match &*self.what {
            What::Path(_) => "kubernetes.authorization.PathCheck",
            What::Resource(it) if it.resource.is_empty() => "kubernetes.authorization.GroupCheck",
            What::Resource(_) => "kubernetes.authorization.ResourceCheck",
        }
    }

    fn answer(&self, name: &str, argument: &str) -> Option<Value<'a>> {
        let resource = match &*self.what {
            What::Resource(resource) if resource.resource.is_empty() => {
                let named = Resource { resource: argument.to_owned(), ..resource.clone() };
                return (name == "resource").then(|| self.authorizer.check(What::Resource(named)));
            }
            what if name == "check" => {
                let Authorizer { authority, who } = &self.authorizer;
                return Some(Value::Decision(Arc::new(authority.decide(who, what, argument))));
            }
            What::Path(_) => return None,
            What::Resource(resource) => resource,
        };
        let mut narrowed = resource.clone();
        let field = match name {
            "subresource" => &mut narrowed.subresource,
            "namespace" => &mut narrowed.namespace,
            "name" => &mut narrowed.name,
            "fieldSelector" => &mut narrowed.field_selector,
            // Nothing that decides here looks at labels.
            "labelSelector" => return Some(Value::Check(self.clone())),
            _ => return None,
        };
        argument.clone_into(field);
        Some(self.authorizer.check(What::Resource(narrowed)))
    }
}

fn told<'a>(decision: &Decision, name: &str) -> Option<Value<'a>> {
    Some(match name {
        "allowed" => Value::Bool(decision.allowed),
        "reason" => Value::text(&decision.reason),
        // What decides here is at hand and never fails.
        "errored" => Value::Bool(false),
        "error" => Value::text(""),
        _ => return None,
    })
}

pub(super) fn call<'a>(call: &mut Call<'a, '_>) -> Answer<'a> {
    let texts = call.arguments.iter().map(|argument| match argument {
        Value::Text(text) => Some(&**text),
        _ => None,
    });
    let arguments = texts.collect::<Option<Vec<&str>>>()?;
    match (&call.target, arguments.as_slice()) {
        (Some(Value::Authorizer(authorizer)), arguments) => authorizer.answer(call.name, arguments),
        (Some(Value::Check(check)), [argument]) => {
            if call.name == "check"
                && let Err(stopped) = call.budget.spend(CHECK_COST)
            {
                return Some(Err(stopped));
            }
            check.answer(call.name, argument).map(Ok)
        }
        (Some(Value::Decision(decision)), []) => told(decision, call.name).map(Ok),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Budget, COST_MAX, Program, Variables};
    use super::*;

    /// Allows what its own text names.
    #[derive(Debug)]
    struct Book(Resource);

    impl Authority for Book {
        fn decide(&self, who: &Who, what: &What, verb: &str) -> Decision {
            let asked = match what {
                What::Path(path) => format!("{verb} {path}"),
                What::Resource(it) => format!(
                    "{verb} {}/{}/{} in {} named {} where {}",
                    it.group, it.resource, it.subresource, it.namespace, it.name, it.field_selector
                ),
            };
            Decision { allowed: *who == Who::Requester, reason: format!("{who:?} {asked}") }
        }

        fn request_resource(&self) -> &Resource {
            &self.0
        }
    }

    fn evaluate(source: &str) -> Result<String, String> {
        let own = Resource { resource: "pods".into(), name: "web".into(), ..Resource::default() };
        let book = Book(own);
        let program = Program::compile(source, &[("authorizer", None)]).map_err(|error| error.to_string())?;
        let variables = Variables::default().with("authorizer", Value::Authorizer(Authorizer::of(&book)));
        let value = program.evaluate(variables, &mut Budget::new(COST_MAX)).map_err(|error| error.to_string())?;
        Ok(super::super::text_of(&value).unwrap_or_else(|| format!("a {}", value.type_name())))
    }

    #[test]
    fn a_check_asks_for_all_that_was_said() {
        let of_all = "authorizer.group('apps').resource('deployments').subresource('scale').namespace('n').name('w')\
                      .fieldSelector('spec.nodeName=a').labelSelector('x').check('patch').reason()";
        for (source, expect) in [
            (of_all, "Requester patch apps/deployments/scale in n named w where spec.nodeName=a"),
            ("authorizer.path('/healthz').check('get').reason()", "Requester get /healthz"),
            ("authorizer.path('/healthz').check('get').allowed()", "true"),
            ("authorizer.serviceAccount('n', 'a').path('/x').check('get').allowed()", "false"),
            (
                "authorizer.serviceAccount('n', 'a').path('/x').check('get').reason()",
                "ServiceAccount(\"n\", \"a\") get /x",
            ),
            ("authorizer.requestResource.check('delete').reason()", "Requester delete /pods/ in  named web where "),
            ("authorizer.requestResource.name('db').check('get').reason()", "Requester get /pods/ in  named db where "),
            ("authorizer.path('/x').check('get').errored()", "false"),
            ("authorizer.path('/x').check('get').error()", ""),
            ("authorizer.group('')", "a kubernetes.authorization.GroupCheck"),
            ("authorizer.group('').resource('pods')", "a kubernetes.authorization.ResourceCheck"),
            ("authorizer.path('/x')", "a kubernetes.authorization.PathCheck"),
            ("authorizer.path('/x').check('get')", "a kubernetes.authorization.Decision"),
        ] {
            assert_eq!(evaluate(source).as_deref(), Ok(expect), "{source}");
        }
    }

    #[test]
    fn what_makes_no_question_is_a_fault() {
        for (source, why) in [
            ("authorizer.path(' ')", "path must not be empty"),
            ("authorizer.serviceAccount('n', 'A')", "Invalid service account name"),
            ("authorizer.serviceAccount('N', 'a')", "Invalid service account namespace"),
            ("authorizer.group('').check('get')", "no such overload"),
            ("authorizer.group('').namespace('n')", "no such overload"),
            ("authorizer.path('/x').namespace('n')", "no such overload"),
            ("authorizer.nothing", "no such key: nothing"),
        ] {
            let fault = evaluate(source).unwrap_err();
            assert!(fault.contains(why), "{source}: {fault}");
        }
    }

    #[test]
    fn two_checks_are_all_an_expression_can_afford() {
        let check = "authorizer.path('/x').check('get').allowed()";
        assert_eq!(evaluate(&[check; 2].join(" && ")).as_deref(), Ok("true"));
        assert!(evaluate(&[check; 3].join(" && ")).unwrap_err().contains("costs more"));
    }
}
