//! Webhooks are asked about what operators write, as about what anybody writes.

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use super::super::{Context, Kind, Turn, Wake};
use super::fixture::{Scripted, World, key};
use crate::gateway::Reply;

/// `[{"op": "add", "path": "/data/seen", "value": "yes"}]`, as webhooks answer it.
const PATCH: &str = "W3sib3AiOiAiYWRkIiwgInBhdGgiOiAiL2RhdGEvc2VlbiIsICJ2YWx1ZSI6ICJ5ZXMifV0=";

/// Creates a map of a drawn name where there is but its own; tells in its own what refused it.
fn twin(wake: &Wake, cx: &mut Context<'_>) {
    let Some(own) = cx.primary::<ConfigMap>().filter(|_| &*wake.key.name == "seed") else { return };
    if let Some(refused) = &wake.refusal {
        let mut told = (*own).clone();
        told.data = Some([("k".to_owned(), refused.status.message.clone())].into());
        cx.update(&told);
    } else if cx.objects(ConfigMap::RESOURCE, None).len() == 1 {
        let name = format!("twin-{}", cx.random().name_suffix());
        let metadata = ObjectMeta { name: Some(name), namespace: Some("default".to_owned()), ..ObjectMeta::default() };
        let data = Some([("k".to_owned(), "made".to_owned())].into());
        cx.create(&ConfigMap { metadata, data, ..ConfigMap::default() });
    }
}

/// The operator's step waits for a webhook.
fn asking() -> World {
    let mut world = World::new(|driver| driver.add(Scripted::new("twins", twin)));
    world.put("seed", "new");
    world.configure_webhook();
    world.run_to_rest();
    assert_eq!((world.questions.len(), world.operators.is_at_rest()), (1, false));
    world
}

fn review(review: &Value, response: Value) -> Reply {
    let mut response = response;
    response["uid"] = review["request"]["uid"].clone();
    Ok(json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}).to_string().into())
}

#[test]
fn a_step_waits_for_webhooks_and_draws_again_what_it_drew() {
    let mut world = asking();
    let asked: Value = serde_json::from_slice(&world.questions[0].calls[0].body).unwrap();
    let name = asked["request"]["name"].as_str().unwrap().to_owned();
    // Time goes on, and the operator looks again at another world: the question stays the same.
    world.now += std::time::Duration::from_secs(5);
    world.put("seed", "another");
    world.run_to_rest();
    world.reply(|asked| review(asked, json!({"allowed": true, "patch": PATCH, "patchType": "JSONPatch"})));
    world.run_to_rest();
    assert!(world.questions.is_empty(), "an answer holds for its question");
    let made = world.snapshot().get(&key(&name)).expect("the map that was asked about is made").value();
    assert_eq!(made["data"], json!({"k": "made", "seen": "yes"}));
    assert!(world.operators.is_at_rest());
}

#[test]
fn a_webhooks_refusal_is_told_to_the_operator() {
    let mut world = asking();
    world.reply(|asked| review(asked, json!({"allowed": false, "status": {"message": "not here", "code": 403}})));
    world.run_to_rest();
    let told = "admission webhook \"guard.example.com\" denied the request: not here";
    assert_eq!(world.values(), [("seed".to_owned(), told.to_owned())]);
}

#[test]
fn a_webhook_that_cannot_be_reached_is_asked_again_later() {
    let mut world = asking();
    world.reply(|_| Err("connection refused".to_owned()));
    world.run_to_rest();
    assert!(world.questions.is_empty(), "not at once");
    world.now = world.operators.next_deadline().expect("a timer runs");
    world.run_to_rest();
    world.reply(|asked| review(asked, json!({"allowed": true})));
    world.run_to_rest();
    assert_eq!(world.values().len(), 2);
}

#[test]
fn replies_to_steps_that_are_no_more_are_nobodys() {
    let mut world = asking();
    world.delete(ConfigMap::RESOURCE, "seed");
    let questions = std::mem::take(&mut world.questions);
    world.install(Scripted::new("twins", twin));
    world.questions = questions;
    world.reply(|asked| review(asked, json!({"allowed": true})));
    assert_eq!(world.turn().0, Turn::Idle);
    assert!(world.values().is_empty());
}
