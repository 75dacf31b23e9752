//! What of a webhook's answer is taken, and what is wrong with the rest.

use sampan_core::gateway::Action;
use serde_json::{Value, json};

use crate::world::{Answering, World, answer, definition, unreachable};

#[test]
fn what_is_wrong_with_an_answer_is_told_in_the_words_of_kubernetes() {
    let world = World::new();
    world.create_in_v2();
    let cases: [(Answering, &str); 15] = [
        (unreachable, "failed: nobody is there"),
        (
            |_| json!({}),
            "failed: expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got /, Kind=",
        ),
        (|review| answer(review, |it| it["response"] = Value::Null), "failed: no response provided"),
        (|review| answer(review, |it| it["response"]["uid"] = json!("x")), "failed: expected response.uid="),
        (
            |review| answer(review, |it| it["response"]["result"] = json!({"status": "Failure"})),
            "failed: response.result.status was 'Failure', not 'Success'",
        ),
        (
            |review| answer(review, |it| it["response"]["result"] = json!({"status": "Failed", "message": "no doors"})),
            "failed: no doors",
        ),
        (
            |review| answer(review, |it| it["response"]["convertedObjects"] = json!([])),
            "returned 0 objects, expected 1",
        ),
        (
            |review| answer(review, |it| it["response"]["convertedObjects"][0]["apiVersion"] = json!("example.com/v1")),
            "returned invalid object at index 0: invalid groupVersion (expected example.com/v2, received example.com/v1)",
        ),
        (
            |review| answer(review, |it| it["response"]["convertedObjects"][0]["kind"] = json!("Gate")),
            "returned invalid object at index 0: invalid kind (expected Door, received Gate)",
        ),
        (
            |review| answer(review, |it| it["response"]["convertedObjects"][0]["metadata"]["name"] = json!("back")),
            "returned invalid object: must have the same name: front != back",
        ),
        (
            |review| {
                answer(review, |it| it["response"]["convertedObjects"][0]["metadata"]["namespace"] = json!("other"))
            },
            "returned invalid object: must have the same namespace: default != other",
        ),
        (
            |review| answer(review, |it| it["response"]["convertedObjects"][0]["metadata"]["uid"] = json!("other")),
            "returned invalid object: must have the same UID: ",
        ),
        (
            |review| answer(review, |it| it["response"]["convertedObjects"][0]["metadata"]["labels"] = json!({"a": 1})),
            "returned invalid metadata: metadata.labels[a] must be a string",
        ),
        (
            |review| {
                answer(review, |it| it["response"]["convertedObjects"][0]["metadata"]["labels"] = json!({"a b": "c"}))
            },
            "returned invalid metadata: metadata.labels: Invalid value: \"a b\": name part must consist",
        ),
        (
            |review| answer(review, |it| it["response"]["convertedObjects"][0]["metadata"]["annotations"] = json!(7)),
            "returned invalid metadata: invalid metadata.annotations",
        ),
    ];
    for (answering, why) in cases {
        world.answer_by(answering);
        let refused = world.spoken_all("v2", vec![world.stored()]).unwrap_err();
        let told = format!("conversion webhook for example.com/v1, Kind=Door {why}");
        assert!(refused.message.starts_with(&told), "{}\n{told}", refused.message);
        assert_eq!(refused.code, 500);
    }
    let mut foreign = world.stored();
    foreign["apiVersion"] = json!("example.com/v0");
    let refused = world.spoken_all("v2", vec![foreign]).unwrap_err();
    assert_eq!(refused.message, "request to convert CR from an invalid group/version: example.com/v0");
}

#[test]
fn of_metadata_labels_and_annotations_alone_are_converted() {
    let world = World::new();
    world.create_in_v2();
    world.answer_by(|review| {
        answer(review, |it| {
            let metadata = &mut it["response"]["convertedObjects"][0]["metadata"];
            metadata["labels"] = json!({"converted": "yes"});
            metadata["finalizers"] = json!(["example.com/forged"]);
            metadata["resourceVersion"] = json!("1");
        })
    });
    let (stored, mut shown) = (world.stored(), world.spoken("v2"));
    assert_eq!(shown["metadata"]["labels"], json!({"converted": "yes"}));
    shown["metadata"].as_object_mut().unwrap().remove("labels");
    assert_eq!(shown["metadata"], stored["metadata"]);
}

#[test]
fn a_webhook_of_the_older_protocol_needs_no_uid() {
    let world = World::new();
    world.create_in_v2();
    let webhook =
        json!({"clientConfig": {"url": "https://doors.example.com"}, "conversionReviewVersions": ["v9", "v1beta1"]});
    world.define_as(Action::Update, &definition("v1", &webhook));
    world.answer_by(|review| {
        assert_eq!(review["apiVersion"], "apiextensions.k8s.io/v1beta1");
        answer(review, |it| it["response"]["uid"] = Value::Null.as_str().map_or(json!(""), Value::from))
    });
    assert_eq!(world.spoken("v2")["spec"], json!({"host": "a", "port": "80"}));
}
