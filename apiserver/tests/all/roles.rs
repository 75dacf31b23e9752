//! Who may do what: roles, bindings, impersonation, and what nobody is given.

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use sampan_apiserver::Caller;
use sampan_core::access::Identity;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::world::{CONFIG_MAPS, Client, PODS, World, config_map};

const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";
const ROLE_BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";
const CLUSTER_ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
const CLUSTER_ROLE_BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";

fn role(name: &str, verbs: &[&str], resources: &[&str]) -> Value {
    json!({"metadata": {"name": name}, "rules": [{"verbs": verbs, "apiGroups": [""], "resources": resources}]})
}

fn binding(name: &str, kind: &str, role: &str, user: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}],
    })
}

/// A user whose role in the namespace `default` has these rules, and none besides what everybody has.
async fn user_with(world: &World, verbs: &[&str], resources: &[&str]) -> Client {
    let mut admin = world.admin().await;
    admin.create(ROLES, role("ann", verbs, resources)).await;
    admin.create(ROLE_BINDINGS, binding("ann", "Role", "ann", "ann")).await;
    world.known("ann", "people").await
}

#[tokio::test]
async fn somebody_without_a_role_learns_what_is_served_and_nothing_else() {
    let world = World::new().await;
    let mut client = world.known("ann", "people").await;
    for path in ["/healthz", "/version", "/api", "/apis", "/api/v1", "/openapi/v3"] {
        assert_eq!(client.get(path).await.code, 200, "{path}");
    }
    for path in
        ["/metrics", "/sampan.dev/v1/why/pods/default/web", "/openid/v1/jwks", CONFIG_MAPS, SECRETS, "/api/v1/nodes"]
    {
        assert_eq!(client.get(path).await.code, 403, "{path}");
    }
    let refused = client.get(&format!("{CONFIG_MAPS}/one")).await.value();
    let expect = "configmaps \"one\" is forbidden: User \"ann\" cannot get resource \"configmaps\" in API group \"\" in the namespace \"default\"";
    assert_eq!(refused["message"], expect);
    let refused = client.get("/metrics").await.value();
    assert_eq!(refused["message"], "forbidden: User \"ann\" cannot get path \"/metrics\"");
}

#[tokio::test]
async fn nobody_without_a_name_gets_more_than_health() {
    let world = World::new().await;
    let mut client = world.connect(sampan_apiserver::Caller::Anonymous).await;
    for path in ["/healthz", "/livez", "/readyz", "/version"] {
        assert_ne!(client.get(path).await.code, 403, "{path}");
    }
    for path in ["/api", "/apis", "/openapi/v3", "/metrics", CONFIG_MAPS, "/nonsense"] {
        assert_eq!(client.get(path).await.code, 403, "{path}");
    }
}

#[tokio::test]
async fn each_way_to_read_asks_for_a_right_of_its_own() {
    let cases: [(&[&str], &[&str], [(&str, u16); 5]); 5] = [
        (
            &["get"],
            &["pods"],
            [("/web", 200), ("", 403), ("?watch=1&timeoutSeconds=1", 403), ("/web/log", 403), ("/web/exec", 403)],
        ),
        (
            &["list"],
            &["pods"],
            [("/web", 403), ("", 200), ("?watch=1&timeoutSeconds=1", 403), ("/web/log", 403), ("/web/exec", 403)],
        ),
        (
            &["watch"],
            &["pods"],
            [("/web", 403), ("", 403), ("?watch=1&timeoutSeconds=1", 200), ("/web/log", 403), ("/web/exec", 403)],
        ),
        (&["get"], &["pods/log"], [("/web", 403), ("", 403), ("?watch=1", 403), ("/web/log", 200), ("/web/exec", 403)]),
        // There is no node to run it on: what is refused is the request, no longer the caller.
        (
            &["create"],
            &["pods/exec"],
            [("/web", 403), ("", 403), ("?watch=1", 403), ("/web/log", 403), ("/web/exec", 400)],
        ),
    ];
    for (verbs, resources, expect) in cases {
        let world = World::new().await;
        world.admin().await.create(PODS, crate::world::pod("web", "")).await;
        let mut client = user_with(&world, verbs, resources).await;
        for (path, code) in expect {
            let answer = client.get(&format!("{PODS}{path}")).await;
            assert_eq!(answer.code, code, "{verbs:?} {resources:?} {path}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn each_way_to_write_asks_for_a_right_of_its_own() {
    let verbs = ["create", "update", "patch", "delete", "deletecollection"];
    for held in verbs {
        let world = World::new().await;
        let mut client = user_with(&world, &[held], &["configmaps"]).await;
        world.admin().await.create(CONFIG_MAPS, config_map("one")).await;
        let one = format!("{CONFIG_MAPS}/one");
        let codes = [
            client.post(CONFIG_MAPS, config_map("two")).await.code,
            client.ask(Method::PUT, &one, &[], config_map("one").to_string().as_bytes()).await.code,
            client.patch(&one, "merge-patch+json", json!({"data": {"k": "w"}})).await.code,
            client.delete(&one).await.code,
            client.delete(CONFIG_MAPS).await.code,
        ];
        let expect = verbs.map(|verb| match verb == held {
            false => 403,
            true if verb == "create" => 201,
            true => 200,
        });
        assert_eq!(codes, expect, "{held}");
    }
}

#[tokio::test]
async fn bodies_that_do_not_come_hold_up_nobody() {
    let world = World::new().await;
    let _slow = user_with(&world, &["create"], &["configmaps"]).await;
    let head = format!("POST {CONFIG_MAPS} HTTP/1.1\r\nhost: test\r\ncontent-length: 100\r\n\r\n");
    let ann = Arc::new(Identity::new("ann", &["people"]));
    let mut held = Vec::new();
    for _ in 0..600 {
        let (mut ours, theirs) = tokio::io::duplex(1 << 10);
        ours.write_all(head.as_bytes()).await.unwrap();
        let (server, caller) = (world.server.clone(), Caller::Known(ann.clone()));
        tokio::spawn(async move { server.serve_connection(theirs, caller).await });
        held.push(ours);
    }
    let mut quick = world.known("ann", "people").await;
    let answer = tokio::time::timeout(Duration::from_secs(20), quick.post(CONFIG_MAPS, config_map("a"))).await;
    assert_eq!(answer.expect("no wait for the others").code, 201);
}

#[tokio::test]
async fn a_plugin_may_do_no_more_than_who_installs_it() {
    const PLUGINS: &str = "/apis/sampan.dev/v1/operatorplugins";
    let plugin = |name: &str, field: &str, kind: Value| {
        let mut spec = json!({"command": ["run"], "files": ["run"], "states": [{"name": "Seen", "meaning": "It was."}],
            "primary": {"apiVersion": "v1", "kind": "ConfigMap"}});
        spec[field] = json!([kind]);
        json!({"metadata": {"name": name}, "spec": spec})
    };
    let of = |kind: &str| json!({"apiVersion": "v1", "kind": kind});
    let binding_of =
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "verbs": ["create"]});
    let world = World::new().await;
    let mut admin = world.admin().await;
    let rules = json!([
        {"verbs": ["*"], "apiGroups": ["sampan.dev"], "resources": ["operatorplugins"]},
        {"verbs": ["*"], "apiGroups": [""], "resources": ["configmaps"]},
        {"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["pods"]},
    ]);
    admin.create(CLUSTER_ROLES, json!({"metadata": {"name": "ann"}, "rules": rules})).await;
    admin.create(CLUSTER_ROLE_BINDINGS, binding("ann", "ClusterRole", "ann", "ann")).await;
    let mut ann = world.known("ann", "people").await;
    let looking = |kind: &str| json!({"apiVersion": "v1", "kind": kind, "by": "Everywhere"});
    let cases = [
        (plugin("looks", "watches", looking("Pod")), 201),
        (plugin("spies", "watches", looking("Secret")), 403),
        (plugin("keeps", "owns", of("ConfigMap")), 201),
        (plugin("makes", "owns", of("Pod")), 403),
        (plugin("rises", "writes", binding_of), 403),
        (plugin("guesses", "owns", json!({"apiVersion": "none.dev/v1", "kind": "None"})), 403),
    ];
    for (plugin, code) in cases {
        let answer = ann.post(PLUGINS, plugin.clone()).await;
        assert_eq!(answer.code, code, "{}", answer.text);
        let name = format!("admins-{}", plugin["metadata"]["name"].as_str().unwrap());
        let mut own = plugin;
        own["metadata"]["name"] = json!(name);
        admin.create(PLUGINS, own).await;
    }
}

#[tokio::test]
async fn a_policy_is_given_no_more_than_its_author_may_read() {
    const GROUP: &str = "/apis/admissionregistration.k8s.io";
    let policies = format!("{GROUP}/v1/validatingadmissionpolicies");
    let bindings = format!("{GROUP}/v1/validatingadmissionpolicybindings");
    let policy = |name: &str, kind: &str| {
        let rules =
            json!([{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}]);
        json!({"metadata": {"name": name}, "spec": {"paramKind": {"apiVersion": "v1", "kind": kind},
            "matchConstraints": {"resourceRules": rules}, "validations": [{"expression": "params.data.a == 'b'"}]}})
    };
    let bound = |name: &str, to: &str, parameter: &str| {
        let parameter = json!({"name": parameter, "namespace": "default", "parameterNotFoundAction": "Allow"});
        json!({"metadata": {"name": name},
            "spec": {"policyName": to, "paramRef": parameter, "validationActions": ["Deny"]}})
    };
    let world = World::new().await;
    let mut admin = world.admin().await;
    let writes = json!({"verbs": ["*"], "apiGroups": ["admissionregistration.k8s.io"], "resources": ["*"]});
    let reads = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"]});
    let one = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["own"]});
    let role = json!({"metadata": {"name": "ann"}, "rules": [writes, reads, one]});
    admin.create(CLUSTER_ROLES, role).await;
    admin.create(CLUSTER_ROLE_BINDINGS, binding("ann", "ClusterRole", "ann", "ann")).await;
    let mut ann = world.known("ann", "people").await;
    assert_eq!(ann.post(&policies, policy("maps", "ConfigMap")).await.code, 201);
    let refused = ann.post(&policies, policy("secrets", "Secret")).await;
    assert_eq!(refused.code, 403, "{}", refused.text);
    let why =
        "must have \\\"get\\\" permission on all objects of the referenced paramKind (kind=Secret, apiVersion=v1)";
    assert!(refused.text.contains(why), "{}", refused.text);
    admin.create(&policies, policy("secrets", "Secret")).await;
    for (name, to, parameter, code) in
        [("maps", "maps", "any", 201), ("own", "secrets", "own", 201), ("other", "secrets", "other", 403)]
    {
        let answer = ann.post(&bindings, bound(name, to, parameter)).await;
        assert_eq!(answer.code, code, "{name}: {}", answer.text);
    }
}

#[tokio::test]
async fn an_output_of_logs_sends_no_more_than_who_makes_it_may_read_and_nodes_tell_of_themselves() {
    const OUTPUTS: &str = "/apis/sampan.dev/v1/logoutputs";
    let file = |name: &str| json!({"metadata": {"name": name}, "spec": {"file": {"path": "all"}}});
    let keyed = |name: &str| {
        let key = json!({"namespace": "default", "name": "fluentd", "key": "shared"});
        json!({"metadata": {"name": name}, "spec": {"forward": {"host": "fluentd", "sharedKey": key}}})
    };
    let world = World::new().await;
    let mut admin = world.admin().await;
    let outputs = json!({"verbs": ["*"], "apiGroups": ["sampan.dev"], "resources": ["logoutputs"]});
    let logs = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/log"]});
    for (name, rules) in [("ann", json!([outputs, logs])), ("bob", json!([outputs]))] {
        admin.create(CLUSTER_ROLES, json!({"metadata": {"name": name}, "rules": rules})).await;
        admin.create(CLUSTER_ROLE_BINDINGS, binding(name, "ClusterRole", name, name)).await;
    }
    let (mut ann, mut bob) = (world.known("ann", "people").await, world.known("bob", "people").await);
    assert_eq!(ann.post(OUTPUTS, file("all")).await.code, 201);
    assert_eq!(ann.post(OUTPUTS, keyed("central")).await.code, 403, "ann may read no secret");
    assert_eq!(bob.post(OUTPUTS, file("other")).await.code, 403, "bob may read no logs");
    for secret in ["fluentd", "other"] {
        admin.create(SECRETS, json!({"metadata": {"name": secret}})).await;
    }
    let mut node = world.known("system:node:here", "system:nodes").await;
    let named = format!("{SECRETS}/fluentd");
    assert_eq!(node.get(&named).await.code, 403, "no output names it yet");
    admin.create(OUTPUTS, keyed("central")).await;
    let status = |node: &str| json!({"status": {"nodes": {node: {"delivered": 1}}}});
    let patches = [
        (format!("{OUTPUTS}/central/status"), status("here"), 200),
        (format!("{OUTPUTS}/central/status"), status("there"), 403),
        (format!("{OUTPUTS}/central"), json!({"spec": {"forward": {"host": "elsewhere"}}}), 403),
    ];
    for (path, patch, code) in patches {
        let answer = node.patch(&path, "merge-patch+json", patch).await;
        assert_eq!(answer.code, code, "{path}: {}", answer.text);
    }
    let reads = [(named.as_str(), 200), (&format!("{SECRETS}/other"), 403), (SECRETS, 403), (OUTPUTS, 200)];
    for (path, code) in reads {
        assert_eq!(node.get(path).await.code, code, "{path}");
    }
}

#[tokio::test]
async fn what_became_of_manifest_files_is_sampans_to_say() {
    const FILES: &str = "/apis/sampan.dev/v1/manifestfiles";
    let world = World::new().await;
    let mut admin = world.admin().await;
    let file = json!({"metadata": {"name": "web.yaml"}, "spec": {"path": "/etc/shadow"}});
    let refused = admin.post(FILES, file).await;
    let why = "manifestfiles.sampan.dev \"web.yaml\" is forbidden: manifest files are told of by Sampan";
    assert!(refused.code == 403 && refused.text.contains(&why.replace('"', "\\\"")), "{}", refused.text);
}

#[tokio::test]
async fn an_apply_that_creates_needs_the_right_to_create() {
    let world = World::new().await;
    let mut client = user_with(&world, &["patch"], &["configmaps"]).await;
    let apply = async |client: &mut Client, name: &str| {
        let uri = format!("{CONFIG_MAPS}/{name}?fieldManager=m");
        client.patch(&uri, "apply-patch+yaml", config_map(name)).await.code
    };
    world.admin().await.create(CONFIG_MAPS, config_map("one")).await;
    assert_eq!(apply(&mut client, "one").await, 200);
    assert_eq!(apply(&mut client, "two").await, 403);
}

#[tokio::test]
async fn an_eviction_needs_no_right_to_delete() {
    let world = World::new().await;
    world.admin().await.create(PODS, crate::world::pod("web", "")).await;
    let mut client = user_with(&world, &["create"], &["pods/eviction"]).await;
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web"}});
    assert_eq!(client.delete(&format!("{PODS}/web")).await.code, 403);
    let answer = client.post(&format!("{PODS}/web/eviction"), eviction).await;
    assert_eq!(answer.code, 201, "{}", answer.text);
}

#[tokio::test]
async fn a_name_limits_a_role_also_for_lists_and_watches_of_that_name() {
    let world = World::new().await;
    let mut admin = world.admin().await;
    let mut named = role("ann", &["get", "list", "watch"], &["configmaps"]);
    named["rules"][0]["resourceNames"] = json!(["one"]);
    admin.create(ROLES, named).await;
    admin.create(ROLE_BINDINGS, binding("ann", "Role", "ann", "ann")).await;
    admin.create(CONFIG_MAPS, config_map("one")).await;
    admin.create(CONFIG_MAPS, config_map("two")).await;
    let mut client = world.known("ann", "people").await;
    let cases = [
        ("/one", 200),
        ("/two", 403),
        ("", 403),
        ("?fieldSelector=metadata.name%3Done", 200),
        ("?fieldSelector=metadata.name%3Dtwo", 403),
        ("?fieldSelector=metadata.name!%3Dtwo", 403),
    ];
    for (path, code) in cases {
        assert_eq!(client.get(&format!("{CONFIG_MAPS}{path}")).await.code, code, "{path}");
    }
}

#[tokio::test]
async fn a_binding_holds_from_the_next_request_on_and_ends_with_it() {
    let world = World::new().await;
    let (mut admin, mut client) = (world.admin().await, world.known("ann", "people").await);
    assert_eq!(client.get(CONFIG_MAPS).await.code, 403);
    admin.create(ROLES, role("ann", &["list"], &["configmaps"])).await;
    assert_eq!(client.get(CONFIG_MAPS).await.code, 403);
    admin.create(ROLE_BINDINGS, binding("ann", "Role", "ann", "ann")).await;
    assert_eq!(client.get(CONFIG_MAPS).await.code, 200);
    assert_eq!(client.get("/api/v1/configmaps").await.code, 403, "the role is for one namespace");
    assert_eq!(client.get("/api/v1/namespaces/other/configmaps").await.code, 403);
    admin.delete(&format!("{ROLES}/ann")).await;
    assert_eq!(client.get(CONFIG_MAPS).await.code, 403, "a binding to a role that is gone gives nothing");
}

#[tokio::test]
async fn nobody_grants_what_they_do_not_hold() {
    let world = World::new().await;
    let mut admin = world.admin().await;
    let rules = json!([
        {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]},
        {"verbs": ["create", "update"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"]},
    ]);
    admin.create(ROLES, json!({"metadata": {"name": "keeper"}, "rules": rules})).await;
    admin.create(ROLE_BINDINGS, binding("keeper", "Role", "keeper", "ann")).await;
    let mut client = world.known("ann", "people").await;

    client.create(ROLES, role("less", &["get"], &["pods"])).await;
    let refused = client.post(ROLES, role("more", &["get", "list"], &["pods", "secrets"])).await;
    assert_eq!(refused.code, 403);
    let expect = "roles.rbac.authorization.k8s.io \"more\" is forbidden: user \"ann\" (groups=[\"people\" \"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n\
        {APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"list\"]}\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"list\"]}";
    assert_eq!(refused.value()["message"], expect);

    client.create(ROLE_BINDINGS, binding("less", "Role", "less", "bob")).await;
    let refused = client.post(ROLE_BINDINGS, binding("all", "ClusterRole", "cluster-admin", "ann")).await;
    assert_eq!(refused.code, 403, "{}", refused.text);
    assert_eq!(client.post(ROLE_BINDINGS, binding("none", "Role", "missing", "ann")).await.code, 404);

    let mut bind = role("binder", &["bind"], &["clusterroles"]);
    bind["rules"][0]["apiGroups"] = json!(["rbac.authorization.k8s.io"]);
    bind["rules"][0]["resourceNames"] = json!(["view"]);
    admin.create(ROLES, bind).await;
    admin.create(ROLE_BINDINGS, binding("binder", "Role", "binder", "ann")).await;
    client.create(ROLE_BINDINGS, binding("viewer", "ClusterRole", "view", "bob")).await;
    assert_eq!(client.post(ROLE_BINDINGS, binding("all", "ClusterRole", "cluster-admin", "ann")).await.code, 403);

    let mut escalate = role("escalator", &["escalate"], &["roles"]);
    escalate["rules"][0]["apiGroups"] = json!(["rbac.authorization.k8s.io"]);
    admin.create(ROLES, escalate).await;
    admin.create(ROLE_BINDINGS, binding("escalator", "Role", "escalator", "ann")).await;
    client.create(ROLES, role("more", &["get", "list"], &["pods", "secrets"])).await;
}

#[tokio::test]
async fn a_change_of_what_gives_rights_is_checked_whatever_it_changes() {
    let world = World::new().await;
    let mut admin = world.admin().await;
    let rules = json!([{"verbs": ["update", "patch", "get"], "apiGroups": ["rbac.authorization.k8s.io"],
        "resources": ["clusterroles", "clusterrolebindings"]}]);
    admin.create(CLUSTER_ROLES, json!({"metadata": {"name": "keeper"}, "rules": rules})).await;
    admin.create(CLUSTER_ROLE_BINDINGS, binding("keeper", "ClusterRole", "keeper", "ann")).await;
    let mut client = world.known("ann", "people").await;
    let labelled = json!({"metadata": {"labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}}});
    let kept = json!({"metadata": {"finalizers": ["example.com/kept"]}});
    for (uri, patch, code) in [
        (format!("{CLUSTER_ROLES}/cluster-admin"), &labelled, 403),
        (format!("{CLUSTER_ROLES}/keeper"), &labelled, 200),
        (format!("{CLUSTER_ROLES}/cluster-admin"), &kept, 200),
        (format!("{CLUSTER_ROLE_BINDINGS}/cluster-admin"), &labelled, 403),
        (format!("{CLUSTER_ROLE_BINDINGS}/keeper"), &labelled, 200),
        (format!("{CLUSTER_ROLE_BINDINGS}/cluster-admin"), &kept, 200),
    ] {
        let answer = client.patch(&uri, "merge-patch+json", patch.clone()).await;
        assert_eq!(answer.code, code, "{uri} {patch}: {}", answer.text);
    }
    let words: Vec<String> = (0..1000).map(|index| format!("w{index}")).collect();
    let vast = json!([{"verbs": words, "apiGroups": words, "resources": words, "resourceNames": words}]);
    let answer = client.patch(&format!("{CLUSTER_ROLES}/keeper"), "merge-patch+json", json!({"rules": vast})).await;
    assert_eq!(answer.code, 403, "{}", answer.text);
    assert!(answer.text.contains("more than 100000 single things"), "{}", answer.text);
}

#[tokio::test]
async fn a_role_that_grows_by_others_takes_someone_who_may_do_anything() {
    let world = World::new().await;
    let mut admin = world.admin().await;
    let rules = json!([{"verbs": ["*"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "resourceNames": []}]);
    let mut keeper = json!({"metadata": {"name": "keeper"}, "rules": rules});
    keeper["rules"][0]["verbs"] = json!(["create", "update"]);
    admin.create(CLUSTER_ROLES, keeper).await;
    admin.create(CLUSTER_ROLE_BINDINGS, binding("keeper", "ClusterRole", "keeper", "ann")).await;
    let growing = json!({"metadata": {"name": "growing"}, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}});
    assert_eq!(world.known("ann", "people").await.post(CLUSTER_ROLES, growing.clone()).await.code, 403);
    admin.create(CLUSTER_ROLES, growing).await;
}

#[tokio::test]
async fn acting_as_somebody_else_takes_the_right_to_each_of_their_names() {
    let world = World::new().await;
    let mut client = user_with(&world, &["list"], &["configmaps"]).await;
    let mut admin = world.admin().await;
    let as_ann: &[(&str, &str)] = &[("impersonate-user", "ann")];
    assert_eq!(admin.ask(Method::GET, CONFIG_MAPS, as_ann, b"").await.code, 200);
    assert_eq!(admin.ask(Method::GET, SECRETS, as_ann, b"").await.code, 403, "as ann, with ann's rights alone");

    let masters: &[(&str, &str)] = &[("impersonate-user", "bob"), ("impersonate-group", "system:masters")];
    let refused = client.ask(Method::GET, SECRETS, masters, b"").await;
    assert_eq!(refused.code, 403);
    let expect = "users \"bob\" is forbidden: User \"ann\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope";
    assert_eq!(refused.value()["message"], expect);

    let mut may_be_bob = role("bob", &["impersonate"], &["users"]);
    may_be_bob["rules"][0]["resourceNames"] = json!(["bob"]);
    admin.create(CLUSTER_ROLES, may_be_bob).await;
    admin.create(CLUSTER_ROLE_BINDINGS, binding("bob", "ClusterRole", "bob", "ann")).await;
    let cases: [(&[(&str, &str)], u16); 6] = [
        (&[("impersonate-user", "bob")], 201),
        (&[("impersonate-user", "eve")], 403),
        (&[("impersonate-user", "bob"), ("impersonate-group", "system:masters")], 403),
        (&[("impersonate-user", "bob"), ("impersonate-uid", "1")], 403),
        (&[("impersonate-user", "bob"), ("impersonate-extra-scope", "all")], 403),
        (&[("impersonate-group", "system:masters")], 400),
    ];
    for (headers, code) in cases {
        let uri = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
        let answer = client.ask(Method::POST, uri, headers, b"{}").await;
        assert_eq!(answer.code, code, "{headers:?}: {}", answer.text);
        if code == 201 {
            let expect = json!({"username": "bob", "groups": ["system:authenticated"]});
            assert_eq!(answer.value()["status"]["userInfo"], expect);
        }
    }
}

#[tokio::test]
async fn a_service_account_that_is_acted_as_has_its_groups() {
    let world = World::new().await;
    let headers =
        [("impersonate-user", "system:serviceaccount:default:default"), ("impersonate-extra-Team%2FName", "a")];
    let uri = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let answer = world.admin().await.ask(Method::POST, uri, &headers, b"{}").await.value();
    let info = &answer["status"]["userInfo"];
    let groups = ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"];
    assert_eq!(info["groups"], json!(groups));
    assert_eq!(info["extra"], json!({"team/name": ["a"]}));
}

#[tokio::test]
async fn the_role_of_a_binding_cannot_be_changed() {
    let world = World::new().await;
    let mut admin = world.admin().await;
    admin.create(ROLE_BINDINGS, binding("one", "ClusterRole", "view", "ann")).await;
    let changed = binding("one", "ClusterRole", "edit", "ann").to_string();
    let answer = admin.ask(Method::PUT, &format!("{ROLE_BINDINGS}/one"), &[], changed.as_bytes()).await;
    assert_eq!(answer.code, 422, "{}", answer.text);
    assert!(answer.text.contains("cannot change roleRef"), "{}", answer.text);
}
