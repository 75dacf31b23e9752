//! Pods on Docker whose images change, and whose containers somebody removes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, unreachable_pub, reason = "a test that cannot go on fails")]

mod support;

use serde_json::{Value, json};
use support::condition;
use support::docker::{Cluster, IMAGE, docker};

/// A container that runs until it is told to stop, and then says so.
fn forever() -> Value {
    let script = "trap 'exit 0' TERM; touch /hears; while true; do sleep 0.1; done";
    let probe = json!({"exec": {"command": ["test", "-e", "/hears"]}, "periodSeconds": 1});
    json!({"name": "app", "command": ["sh", "-c", script], "readinessProbe": probe})
}

fn container(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]
}

/// The other name of our image, for as long as this lives.
struct OtherName(String);

impl OtherName {
    fn of(cluster: &Cluster) -> Self {
        let name = format!("sampan-nodeagent-test/{}:v2", cluster.id);
        docker(&["tag", IMAGE, &name]);
        Self(name)
    }
}

impl Drop for OtherName {
    fn drop(&mut self) {
        let _ = std::process::Command::new("docker").args(["rmi", &self.0]).output();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_runs_from_the_image_it_names_also_after_the_agent_was_away() {
    let Some(mut cluster) = Cluster::start().await else { return };
    let other = OtherName::of(&cluster);
    cluster.run("changes", json!({"restartPolicy": "Never", "containers": [forever()]}));
    cluster.run("stays", json!({"containers": [forever()]}));
    cluster.api.wait_ready("stays").await;
    let first = cluster.api.wait_ready("changes").await;
    let named = |image: &str| {
        let mut containers = first["spec"]["containers"].clone();
        containers[0]["image"] = json!(image);
        json!({"spec": {"containers": containers}})
    };
    cluster.api.change("pods", "default", "changes", &named(&other.0));
    let runs = |image: String, restarts: u64| {
        move |pod: &Value| {
            let shown = container(pod);
            let is_up = shown["ready"] == true && !shown["state"]["running"].is_null();
            is_up && shown["image"] == *image && shown["restartCount"] == restarts
        }
    };
    cluster.api.wait("changes", "the other image", runs(other.0.clone(), 1)).await;
    let told = cluster.api.event_texts("changes").join("\n");
    assert!(told.contains("Container app definition changed, will be restarted"), "{told}");

    cluster.stop().await;
    cluster.api.change("pods", "default", "changes", &named(IMAGE));
    cluster.restart().await;
    cluster.api.wait("changes", "the first image again", runs(IMAGE.to_owned(), 2)).await;
    let stays = cluster.api.get("pods", "default", "stays").unwrap();
    assert_eq!(container(&stays)["restartCount"], 0, "{:#}", stays["status"]);
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_removed_is_told_as_lost_and_what_had_ended_stays_as_it_was() {
    let Some(mut cluster) = Cluster::start().await else { return };
    let once = json!({"name": "app", "command": ["sh", "-c", "exit 0"]});
    cluster.run("job", json!({"restartPolicy": "Never", "containers": [once]}));
    cluster.run("web", json!({"containers": [forever()]}));
    cluster.api.wait_ready("web").await;
    let is_over = |pod: &Value| condition(pod, "PodReadyToStartContainers") == "False";
    cluster.api.wait("job", "its end", |pod| pod["status"]["phase"] == "Succeeded" && is_over(pod)).await;
    cluster.stop().await;
    let job = cluster.api.get("pods", "default", "job").unwrap();
    let told = cluster.api.status_patches("job").len();
    for id in [cluster.containers("job"), cluster.containers("web")].concat() {
        docker(&["rm", "-f", &id]);
    }
    cluster.restart().await;
    let web = cluster.api.wait("web", "another run", |pod| {
        let shown = container(pod);
        shown["restartCount"] == 1 && !shown["state"]["running"].is_null()
    });
    let web = web.await;
    let last = &container(&web)["lastState"]["terminated"];
    assert_eq!((&last["reason"], &last["exitCode"]), (&json!("ContainerStatusUnknown"), &json!(137)), "{last}");
    let running = container(&web)["containerID"].as_str().unwrap().strip_prefix("docker://").unwrap().to_owned();
    docker(&["rm", "-f", &running]);
    cluster
        .api
        .wait("web", "a third run", |pod| {
            let shown = container(pod);
            shown["restartCount"] == 2 && !shown["state"]["running"].is_null()
        })
        .await;
    let web = cluster.api.get("pods", "default", "web").unwrap();
    assert_eq!(container(&web)["lastState"]["terminated"]["exitCode"], 137, "{:#}", web["status"]);
    let after = cluster.api.get("pods", "default", "job").unwrap();
    assert_eq!(after["status"], job["status"]);
    assert_eq!(cluster.api.status_patches("job").len(), told, "nothing is told of what has ended");
    assert_eq!(cluster.containers("job"), Vec::<String>::new());
    cluster.finish().await;
}
