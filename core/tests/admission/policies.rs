//! Policies of the user's, in expressions.

use serde_json::{Value, json};

use crate::world::{Given, World, pod};

const REGISTRATION: &str = "admissionregistration.k8s.io";

/// A policy of these rules on pods, and its binding with those actions.
fn policy(spec: Value, actions: &[&str]) -> Vec<Given> {
    let mut spec = spec;
    spec["matchConstraints"]["resourceRules"] =
        json!([{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}]);
    let binding = json!({"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": actions}});
    vec![
        (REGISTRATION, "validatingadmissionpolicies", "", json!({"metadata": {"name": "p"}, "spec": spec})),
        (REGISTRATION, "validatingadmissionpolicybindings", "", binding),
    ]
}

#[test]
fn a_policy_says_no_in_its_words() {
    let rules = json!({"validations": [{"expression": "object.metadata.name != 'web'", "message": "not that one"}]});
    let world = World::with(policy(rules, &["Deny"]));
    let refused = world.create(pod("web", json!({}))).unwrap_err();
    let expect = "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: not that one";
    assert_eq!((refused.code, refused.reason), (422, "Invalid"));
    assert!(refused.message.ends_with(expect), "{}", refused.message);
    assert!(world.create(pod("db", json!({}))).is_ok());
}

#[test]
fn a_policy_asks_what_who_writes_may_do() {
    let pods = "authorizer.group('').resource('pods').namespace('team')";
    for (rule, is_let) in [
        // Who writes here is an administrator.
        (format!("{pods}.check('create').allowed()"), true),
        ("authorizer.requestResource.check('delete').allowed()".to_owned(), true),
        ("authorizer.path('/metrics').check('get').allowed()".to_owned(), true),
        ("authorizer.serviceAccount('team', 'default').requestResource.check('create').allowed()".to_owned(), false),
        ("authorizer.serviceAccount('team', 'default').path('/metrics').check('get').allowed()".to_owned(), false),
        (format!("{pods}.check('create').errored()"), false),
    ] {
        for rules in [
            json!({"validations": [{"expression": rule}]}),
            json!({"variables": [{"name": "may", "expression": rule}], "validations": [{"expression": "variables.may"}]}),
            json!({
                "matchConditions": [{"name": "may-not", "expression": format!("!({rule})")}],
                "validations": [{"expression": "false"}],
            }),
        ] {
            let world = World::with(policy(rules.clone(), &["Deny"]));
            assert_eq!(world.create(pod("web", json!({}))).is_ok(), is_let, "{rules}");
        }
    }
}

#[test]
fn a_policy_that_fails_refuses_unless_it_says_that_it_may() {
    for (failure, is_refused) in [("Fail", true), ("Ignore", false)] {
        let rules = json!({"failurePolicy": failure, "validations": [{"expression": "object.spec.none.none"}]});
        let world = World::with(policy(rules, &["Deny"]));
        assert_eq!(world.create(pod("web", json!({}))).is_err(), is_refused, "{failure}");
    }
}

#[test]
fn a_variable_is_evaluated_for_who_looks_at_it_alone() {
    let rules = json!({
        "variables": [{"name": "broken", "expression": "object.spec.none"}, {"name": "fine", "expression": "1"}],
        "validations": [{"expression": "variables.fine == 1"}],
    });
    assert!(World::with(policy(rules, &["Deny"])).create(pod("web", json!({}))).is_ok());
    let rules = json!({
        "variables": [{"name": "broken", "expression": "object.spec.none"}],
        "validations": [{"expression": "variables.broken == 1"}],
    });
    assert!(World::with(policy(rules, &["Deny"])).create(pod("web", json!({}))).is_err());
}

#[test]
fn a_policy_that_only_audits_lets_pass() {
    let rules = json!({"validations": [{"expression": "false"}]});
    assert!(World::with(policy(rules, &["Audit"])).create(pod("web", json!({}))).is_ok());
}

#[test]
fn a_variable_that_is_no_expression_lets_nothing_pass() {
    let rules = json!({
        "variables": [{"name": "broken", "expression": "object."}],
        "validations": [{"expression": "variables.broken == null"}],
    });
    assert!(World::with(policy(rules, &["Deny"])).create(pod("web", json!({}))).is_err());
}
