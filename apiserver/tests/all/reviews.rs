//! Questions about who somebody is and what they may do.

use hyper::Method;
use serde_json::{Value, json};

use crate::world::{Client, World};

const AUTHORIZATION: &str = "/apis/authorization.k8s.io/v1";
const AUTHENTICATION: &str = "/apis/authentication.k8s.io/v1";

async fn allowed(client: &mut Client, uri: &str, spec: Value) -> Value {
    client.create(uri, json!({"spec": spec})).await["status"]["allowed"].clone()
}

#[tokio::test]
async fn everybody_may_ask_what_they_may_and_nobody_about_others() {
    let world = World::new().await;
    let own = format!("{AUTHORIZATION}/selfsubjectaccessreviews");
    let any = format!("{AUTHORIZATION}/subjectaccessreviews");
    let pods = json!({"resourceAttributes": {"namespace": "default", "verb": "list", "resource": "pods"}});
    let mut about_ann = pods.clone();
    about_ann["user"] = "ann".into();
    let (mut admin, mut ann) = (world.admin().await, world.known("ann", "people").await);
    assert_eq!(allowed(&mut admin, &own, pods.clone()).await, true);
    assert_eq!(allowed(&mut ann, &own, pods.clone()).await, false);
    assert_eq!(allowed(&mut admin, &any, about_ann.clone()).await, false);
    assert_eq!(ann.post(&any, json!({"spec": about_ann.clone()})).await.code, 403);
    about_ann["groups"] = json!(["system:masters"]);
    assert_eq!(allowed(&mut admin, &any, about_ann).await, true);
    let path = json!({"nonResourceAttributes": {"path": "/healthz", "verb": "get"}});
    assert_eq!(allowed(&mut ann, &own, path).await, true);
}

#[tokio::test]
async fn an_answer_says_by_which_binding() {
    let world = World::new().await;
    let uri = format!("{AUTHORIZATION}/selfsubjectaccessreviews");
    let spec = json!({"nonResourceAttributes": {"path": "/healthz", "verb": "get"}});
    let answer = world.known("ann", "people").await.create(&uri, json!({"spec": spec})).await;
    let expect = "RBAC: allowed by ClusterRoleBinding \"system:discovery\" of ClusterRole \"system:discovery\" to Group \"system:authenticated\"";
    assert_eq!(answer["status"]["reason"], expect);
    assert_eq!(answer["kind"], "SelfSubjectAccessReview");
}

#[tokio::test]
async fn a_question_that_asks_nothing_or_two_things_is_refused() {
    let world = World::new().await;
    let resource = json!({"verb": "get", "resource": "pods", "namespace": "default"});
    let path = json!({"path": "/x", "verb": "get"});
    let local = format!("{AUTHORIZATION}/namespaces/default/localsubjectaccessreviews");
    let cases = [
        (format!("{AUTHORIZATION}/selfsubjectaccessreviews"), json!({}), "spec.resourceAttributes"),
        (
            format!("{AUTHORIZATION}/selfsubjectaccessreviews"),
            json!({"resourceAttributes": resource, "nonResourceAttributes": path}),
            "spec.nonResourceAttributes",
        ),
        (format!("{AUTHORIZATION}/subjectaccessreviews"), json!({"resourceAttributes": resource}), "spec.user"),
        (local.clone(), json!({"user": "ann", "nonResourceAttributes": path}), "spec.nonResourceAttributes"),
        (
            local,
            json!({"user": "ann", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "other"}}),
            "spec.resourceAttributes.namespace",
        ),
    ];
    let mut admin = world.admin().await;
    for (uri, spec, field) in cases {
        let answer = admin.post(&uri, json!({"spec": spec})).await;
        assert_eq!(answer.code, 422, "{uri} {spec}: {}", answer.text);
        assert_eq!(answer.value()["details"]["causes"][0]["field"], field, "{uri} {spec}");
    }
}

#[tokio::test]
async fn a_question_is_answered_and_not_kept() {
    let world = World::new().await;
    let mut admin = world.admin().await;
    let uri = format!("{AUTHENTICATION}/selfsubjectreviews");
    admin.create(&uri, json!({})).await;
    assert_eq!(admin.get(&uri).await.code, 405);
    assert_eq!(admin.get(&format!("{uri}/x")).await.code, 405);
    assert_eq!(admin.ask(Method::DELETE, &uri, &[], b"").await.code, 405);
    let served = admin.get(AUTHENTICATION).await.value();
    let verbs: Vec<&Value> = served["resources"].as_array().unwrap().iter().map(|it| &it["verbs"]).collect();
    assert_eq!(verbs, [&json!(["create"]), &json!(["create"])]);
}

#[tokio::test]
async fn everybody_may_ask_who_they_are_and_for_all_they_may_do() {
    let world = World::new().await;
    let mut ann = world.known("ann", "people").await;
    let own = ann.create(&format!("{AUTHENTICATION}/selfsubjectreviews"), json!({})).await;
    assert_eq!(own["status"]["userInfo"], json!({"username": "ann", "groups": ["people", "system:authenticated"]}));
    let uri = format!("{AUTHORIZATION}/selfsubjectrulesreviews");
    assert_eq!(ann.post(&uri, json!({"spec": {}})).await.code, 400);
    let rules = ann.create(&uri, json!({"spec": {"namespace": "default"}})).await["status"].clone();
    assert_eq!(rules["incomplete"], false);
    let resources: Vec<&Value> =
        rules["resourceRules"].as_array().unwrap().iter().map(|rule| &rule["resources"]).collect();
    assert_eq!(
        resources,
        [&json!(["selfsubjectaccessreviews", "selfsubjectrulesreviews"]), &json!(["selfsubjectreviews"])]
    );
    assert!(rules["nonResourceRules"].to_string().contains("/healthz"));
}
