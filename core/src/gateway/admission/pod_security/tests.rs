//! What is found at pods that ask for too much.

use serde_json::{Value, json};

use super::*;

fn good() -> Value {
    let context = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    json!({"spec": {
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "a", "securityContext": context}, {"name": "b", "securityContext": context}],
        "volumes": [{"name": "v", "emptyDir": {}}],
    }})
}

fn with(pointer: &str, value: Value) -> Value {
    let mut pod = good();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    match pod.pointer_mut(parent).unwrap() {
        Value::Array(list) => list.push(value),
        object => object[field] = value,
    }
    pod
}

fn found(level: Level, pod: &Value) -> Vec<String> {
    level.findings(pod).iter().map(ToString::to_string).collect()
}

#[test]
fn a_pod_that_asks_for_little_is_let_in_everywhere() {
    for level in [Level::Privileged, Level::Baseline, Level::Restricted] {
        assert_eq!(found(level, &good()), Vec::<String>::new());
    }
}

#[test]
fn the_baseline_refuses_what_leads_out_of_a_container() {
    let cases = [
        ("/spec/hostNetwork", json!(true), "host namespaces (hostNetwork=true)"),
        (
            "/spec/containers/0/securityContext/privileged",
            json!(true),
            "privileged (container \"a\" must not set securityContext.privileged=true)",
        ),
        (
            "/spec/containers/0/securityContext/capabilities/add",
            json!(["SYS_ADMIN", "CHOWN"]),
            "non-default capabilities (container \"a\" must not include \"SYS_ADMIN\" in securityContext.capabilities.add)",
        ),
        ("/spec/volumes/-", json!({"name": "h", "hostPath": {"path": "/"}}), "hostPath volumes (volume \"h\")"),
        ("/spec/containers/0/ports", json!([{"hostPort": 80}]), "hostPort (container \"a\" uses hostPort 80)"),
        (
            "/spec/containers/1/securityContext/procMount",
            json!("Unmasked"),
            "procMount (container \"b\" must not set securityContext.procMount to \"Unmasked\")",
        ),
        (
            "/spec/securityContext/seccompProfile",
            json!({"type": "Unconfined"}),
            "seccompProfile (pod must not set securityContext.seccompProfile.type to \"Unconfined\")",
        ),
        (
            "/spec/securityContext/seLinuxOptions",
            json!({"type": "spc_t", "user": "u"}),
            "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type \"spc_t\"; user may not be set)",
        ),
        ("/spec/securityContext/sysctls", json!([{"name": "kernel.msgmax"}]), "forbidden sysctls (kernel.msgmax)"),
    ];
    for (pointer, value, expect) in cases {
        assert_eq!(found(Level::Baseline, &with(pointer, value)), [expect]);
    }
}

#[test]
fn the_restricted_level_asks_for_what_current_practice_does() {
    let bare = json!({"spec": {"containers": [{"name": "c"}]}});
    let expect = [
        "allowPrivilegeEscalation != false (container \"c\" must set securityContext.allowPrivilegeEscalation=false)",
        "unrestricted capabilities (container \"c\" must set securityContext.capabilities.drop=[\"ALL\"])",
        "runAsNonRoot != true (pod or container \"c\" must set securityContext.runAsNonRoot=true)",
        "seccompProfile (pod or container \"c\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")",
    ];
    assert_eq!(found(Level::Restricted, &bare), expect);
    assert_eq!(found(Level::Baseline, &bare), Vec::<String>::new());
    let cases = [
        ("/spec/securityContext/runAsUser", json!(0), "runAsUser=0 (pod must not set runAsUser=0)"),
        (
            "/spec/volumes/-",
            json!({"name": "n", "nfs": {}}),
            "restricted volume types (volume \"n\" uses restricted volume type \"nfs\")",
        ),
        (
            "/spec/containers/0/securityContext/runAsNonRoot",
            json!(false),
            "runAsNonRoot != true (container \"a\" must not set securityContext.runAsNonRoot=false)",
        ),
    ];
    for (pointer, value, expect) in cases {
        assert_eq!(found(Level::Restricted, &with(pointer, value)), [expect]);
    }
}
