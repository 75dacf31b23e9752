//! Pods on the Docker of this machine.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, unreachable_pub, reason = "a test that cannot go on fails")]

mod support;

use serde_json::{Value, json};
use support::condition;
use support::docker::{Cluster, IMAGE, docker};

/// A container that runs until SIGTERM comes, does then what `on_term` says, and is ready once it would: a shell that is told to end before its
/// trap stands ends by the signal.
fn hearing(name: &str, on_term: &str) -> Value {
    json!({
        "name": name,
        "command": ["sh", "-c", format!("trap '{on_term}' TERM; touch /hears; while true; do sleep 0.1; done")],
        "readinessProbe": {"exec": {"command": ["test", "-e", "/hears"]}, "periodSeconds": 1},
    })
}

/// A container that runs until it is told to stop, and stops at once then.
fn forever(name: &str) -> Value {
    hearing(name, "exit 0")
}

fn state(pod: &Value, container: usize) -> &Value {
    &pod["status"]["containerStatuses"][container]["state"]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_comes_up_ready_and_goes_without_a_trace() {
    let Some(cluster) = Cluster::start().await else { return };
    cluster.run("web", json!({"containers": [forever("app"), forever("side")]}));
    let pod = cluster.api.wait_ready("web").await;
    let status = &pod["status"];
    assert_eq!(status["phase"], "Running");
    assert_eq!(status["qosClass"], "BestEffort");
    let address = status["podIP"].as_str().expect("the pod has an address");
    assert_eq!(status["podIPs"], json!([{"ip": address}]));
    for container in status["containerStatuses"].as_array().unwrap() {
        assert_eq!(container["ready"], true);
        assert_eq!(container["started"], true);
        assert_eq!(container["restartCount"], 0);
        assert!(container["containerID"].as_str().unwrap().starts_with("docker://"));
        assert!(container["imageID"].as_str().unwrap().contains("sha256:"));
        assert!(!container["state"]["running"]["startedAt"].is_null());
    }
    for name in ["PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready", "PodScheduled"] {
        assert_eq!(condition(&pod, name), "True", "{name}");
    }
    cluster.api.wait_told("web", &["Pulled", "Created", "Started"]).await;
    assert!(
        cluster
            .api
            .decisions()
            .iter()
            .any(|decision| decision["to"] == "Ready" && decision["object"] == "pods/default/web")
    );
    cluster.api.delete_pod("web", 30);
    cluster.api.wait_gone("web").await;
    assert_eq!(cluster.containers("web"), Vec::<String>::new());
    assert!(cluster.api.status_patches("web").iter().any(|patch| patch["phase"] == "Succeeded"));
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_agent_adopts_what_runs_and_removes_what_is_no_longer_wanted() {
    let Some(mut cluster) = Cluster::start().await else { return };
    cluster.run("stays", json!({"containers": [forever("app")]}));
    cluster.run("orphan", json!({"containers": [forever("app")]}));
    cluster.api.wait_ready("stays").await;
    cluster.api.wait_ready("orphan").await;
    let before = docker(
        &["inspect", "-f", "{{.Id}} {{.State.StartedAt}}", &cluster.containers("stays").join(" ")]
            .iter()
            .flat_map(
                |text| if text.contains(' ') && !text.contains('{') { text.split(' ').collect() } else { vec![*text] },
            )
            .collect::<Vec<_>>(),
    );
    cluster.stop().await;
    let patches = cluster.api.status_patches("stays").len();
    // The object goes while no agent looks.
    let client = cluster.api.client();
    let pods: kube::Api<k8s_openapi::api::core::v1::Pod> = kube::Api::namespaced(client, "default");
    pods.delete("orphan", &kube::api::DeleteParams::default()).await.unwrap();
    cluster.restart().await;
    let deadline = tokio::time::Instant::now() + support::DEADLINE;
    while !cluster.containers("orphan").is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "the orphan's containers are removed");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let ids = cluster.containers("stays");
    let mut arguments = vec!["inspect", "-f", "{{.Id}} {{.State.StartedAt}}"];
    arguments.extend(ids.iter().map(String::as_str));
    assert_eq!(docker(&arguments), before);
    assert_eq!(
        cluster.api.status_patches("stays").len(),
        patches,
        "nothing changed: {:#?}",
        cluster.api.status_patches("stays").last()
    );
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_crashes_is_restarted_and_then_backs_off() {
    let Some(cluster) = Cluster::start().await else { return };
    cluster.run(
        "crash",
        json!({"containers": [{"name": "app", "command": ["sh", "-c", "echo gone > /dev/termination-log; exit 3"]}]}),
    );
    let pod =
        cluster.api.wait("crash", "a back-off", |pod| state(pod, 0)["waiting"]["reason"] == "CrashLoopBackOff").await;
    let container = &pod["status"]["containerStatuses"][0];
    assert_eq!(container["restartCount"], 1);
    assert_eq!(container["lastState"]["terminated"]["exitCode"], 3);
    assert_eq!(container["lastState"]["terminated"]["reason"], "Error");
    assert_eq!(container["lastState"]["terminated"]["message"], "gone\n");
    assert!(
        container["state"]["waiting"]["message"]
            .as_str()
            .unwrap()
            .starts_with("back-off 10s restarting failed container=app pod=crash_default(")
    );
    assert_eq!(condition(&pod, "Ready"), "False");
    assert_eq!(pod["status"]["phase"], "Running");
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_end_succeeded_or_failed_and_init_containers_come_first() {
    let Some(cluster) = Cluster::start().await else { return };
    let volume = json!([{"name": "shared", "emptyDir": {}}]);
    let mount = json!([{"name": "shared", "mountPath": "/shared"}]);
    cluster.run("good", json!({
        "restartPolicy": "Never", "volumes": volume,
        "initContainers": [{"name": "first", "command": ["sh", "-c", "echo one > /shared/a"], "volumeMounts": mount},
                           {"name": "second", "command": ["sh", "-c", "test -s /shared/a && echo two >> /shared/a"], "volumeMounts": mount}],
        "containers": [{"name": "app", "command": ["sh", "-c", "cat /shared/a > /dev/termination-log"], "volumeMounts": mount}],
    }));
    cluster.run("bad", json!({"restartPolicy": "Never", "containers": [{"name": "app", "command": ["false"]}]}));
    cluster.run(
        "badinit",
        json!({"restartPolicy": "Never",
        "initContainers": [{"name": "first", "command": ["false"]}], "containers": [forever("app")]}),
    );
    let good = cluster.api.wait("good", "success", |pod| pod["status"]["phase"] == "Succeeded").await;
    assert_eq!(state(&good, 0)["terminated"]["message"], "one\ntwo\n");
    assert_eq!(state(&good, 0)["terminated"]["reason"], "Completed");
    assert_eq!(condition(&good, "Ready"), "False");
    let bad = cluster.api.wait("bad", "failure", |pod| pod["status"]["phase"] == "Failed").await;
    assert_eq!(state(&bad, 0)["terminated"]["exitCode"], 1, "{:#}", bad["status"]);
    let badinit = cluster.api.wait("badinit", "failure", |pod| pod["status"]["phase"] == "Failed").await;
    assert_eq!(state(&badinit, 0)["waiting"]["reason"], "PodInitializing");
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_volume_is_seen_and_never_what_a_link_in_it_leads_to() {
    let Some(cluster) = Cluster::start().await else { return };
    let mount = |part: &str| json!([{"name": "shared", "mountPath": "/part", "subPath": part}]);
    let links =
        "mkdir /shared/there && echo kept > /shared/there/file && ln -s there /shared/near && ln -s /usr /shared/out";
    let look = "cat /part/file > /dev/termination-log";
    let pod = |part: &str| {
        json!({"restartPolicy": "Never", "volumes": [{"name": "shared", "emptyDir": {}}],
            "initContainers": [{"name": "links", "command": ["sh", "-c", links],
                "volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}],
            "containers": [{"name": "app", "command": ["sh", "-c", look], "volumeMounts": mount(part)}]})
    };
    cluster.run("near", pod("near"));
    cluster.run("out", pod("out/share"));
    let near = cluster.api.wait("near", "success", |pod| pod["status"]["phase"] == "Succeeded").await;
    assert_eq!(state(&near, 0)["terminated"]["message"], "kept\n");
    let refused = |pod: &Value| state(pod, 0)["waiting"]["reason"] == "CreateContainerError";
    let out = cluster.api.wait("out", "refusal", refused).await;
    let why = state(&out, 0)["waiting"]["message"].as_str().unwrap();
    assert!(why.starts_with("failed to prepare subPath for volumeMount \"shared\""), "{why}");
    cluster.api.delete_pod("near", 0);
    cluster.api.wait_gone("near").await;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let uid = near["metadata"]["uid"].as_str().unwrap();
    assert!(!mounts.contains(uid), "nothing stays mounted: {mounts}");
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_added_to_a_running_pod_finds_what_it_refers_to() {
    let Some(cluster) = Cluster::start().await else { return };
    cluster.api.add(
        "configmaps",
        json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": "default"}, "data": {"COLOUR": "red"}}),
    );
    cluster.run("app", json!({"containers": [forever("app")]}));
    cluster.api.wait_ready("app").await;
    let debugger = json!({"name": "debug", "image": IMAGE, "envFrom": [{"configMapRef": {"name": "settings"}}],
        "command": ["sh", "-c", "echo $COLOUR > /dev/termination-log"]});
    cluster.api.change("pods", "default", "app", &json!({"spec": {"ephemeralContainers": [debugger]}}));
    let ended = |pod: &Value| pod["status"]["ephemeralContainerStatuses"][0]["state"]["terminated"].is_object();
    let pod = cluster.api.wait("app", "the debugger's end", ended).await;
    assert_eq!(pod["status"]["ephemeralContainerStatuses"][0]["state"]["terminated"]["message"], "red\n");
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn environment_and_config_map_volumes_reach_the_container_and_follow_changes() {
    let Some(cluster) = Cluster::start().await else { return };
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "default"},
        "data": {"colour": "red", "size": "big"}});
    cluster.run("app", json!({
        "hostname": "boat", "subdomain": "harbour",
        "volumes": [{"name": "files", "configMap": {"name": "settings", "items": [{"key": "colour", "path": "deep/colour"}]}}],
        "containers": [{
            "name": "app",
            "command": ["sh", "-c", "echo $(COLOUR) $GREETING $POD $ADDRESS $CPU $SIZE > /dev/termination-log; hostname >> /dev/termination-log; trap 'exit 0' TERM; while [ $(cat /files/deep/colour) = $COLOUR ]; do sleep 0.1; done; exit 7"],
            "env": [
                {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}},
                {"name": "GREETING", "value": "hello-$(COLOUR)"},
                {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
            ],
            "envFrom": [{"configMapRef": {"name": "settings"}, "prefix": "X_"}],
            "resources": {"limits": {"cpu": "500m", "memory": "64Mi"}},
            "volumeMounts": [{"name": "files", "mountPath": "/files"}],
        }],
    }));
    let waiting =
        cluster.api.wait("app", "creation", |pod| state(pod, 0)["waiting"]["reason"] == "ContainerCreating").await;
    assert_eq!(waiting["status"]["phase"], "Pending");
    cluster.api.wait_told("app", &["FailedMount"]).await;
    cluster.api.add("configmaps", map);
    let pod = cluster.api.wait_ready("app").await;
    let address = pod["status"]["podIP"].as_str().unwrap().to_owned();
    cluster.api.change("configmaps", "default", "settings", &json!({"data": {"colour": "blue"}}));
    let ended = cluster
        .api
        .wait("app", "the end of the loop", |pod| pod["status"]["containerStatuses"][0]["restartCount"] == 1)
        .await;
    let last = &ended["status"]["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!(last["exitCode"], 7);
    assert_eq!(last["message"], format!("red hello-red app {address} 500\nboat\n"));
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_decide_readiness_and_restarts() {
    let Some(cluster) = Cluster::start().await else { return };
    cluster.run("probed", json!({"containers": [{
        "name": "app",
        "command": ["sh", "-c", "trap 'exit 0' TERM; mkdir -p /www; echo ok > /www/index.html; httpd -p 8080 -h /www; sleep 1; touch /tmp/ready; while true; do sleep 0.1; done"],
        "ports": [{"name": "http", "containerPort": 8080}],
        "startupProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        "readinessProbe": {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1},
        "livenessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1, "failureThreshold": 2},
    }]}));
    let pod = cluster
        .api
        .wait("probed", "a start without readiness", |pod| {
            pod["status"]["containerStatuses"][0]["started"] == true && condition(pod, "Ready") == "False"
        })
        .await;
    assert_eq!(pod["status"]["phase"], "Running");
    cluster.api.wait_ready("probed").await;
    let id = cluster.api.get("pods", "default", "probed").unwrap()["status"]["containerStatuses"][0]["containerID"]
        .as_str()
        .unwrap()
        .to_owned();
    docker(&["exec", id.trim_start_matches("docker://"), "rm", "/www/index.html"]);
    let pod =
        cluster.api.wait("probed", "a restart", |pod| pod["status"]["containerStatuses"][0]["restartCount"] == 1).await;
    assert_eq!(
        pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"],
        0,
        "{:#} {:?}",
        pod["status"],
        cluster.api.event_texts("probed")
    );
    cluster.api.wait_told("probed", &["Unhealthy", "Killing"]).await;
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grace_hooks_and_forced_deletion_end_a_pod_in_time() {
    let Some(cluster) = Cluster::start().await else { return };
    cluster.run("stubborn", json!({"containers": [hearing("app", "")]}));
    let mut hooked = forever("app");
    hooked["volumeMounts"] = json!([{"name": "out", "mountPath": "/out"}]);
    hooked["lifecycle"] = json!({"preStop": {"exec": {"command": ["touch", format!("/out/{}-prestop", cluster.id)]}}});
    let out = json!([{"name": "out", "hostPath": {"path": "/tmp", "type": "Directory"}}]);
    cluster.run("hooked", json!({"volumes": out, "containers": [hooked]}));
    cluster.api.wait_ready("stubborn").await;
    cluster.api.wait_ready("hooked").await;
    let began = std::time::Instant::now();
    cluster.api.delete_pod("stubborn", 2);
    cluster.api.delete_pod("hooked", 30);
    cluster.api.wait_gone("hooked").await;
    let mark = format!("/tmp/{}-prestop", cluster.id);
    assert!(std::fs::remove_file(&mark).is_ok(), "the hook ran");
    cluster.api.wait_gone("stubborn").await;
    let took = began.elapsed().as_secs_f64();
    assert!((1.9..8.0).contains(&took), "SIGKILL comes after the grace of 2 s, came after {took} s");
    assert!(
        cluster
            .api
            .status_patches("stubborn")
            .iter()
            .any(|patch| { patch["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137 })
    );
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_start_says_why() {
    let Some(cluster) = Cluster::start().await else { return };
    cluster.run(
        "absent",
        json!({"containers": [{"name": "app", "image": "sampan-nodeagent-test/none:v1", "imagePullPolicy": "Never"}]}),
    );
    cluster.run(
        "nocmd",
        json!({"restartPolicy": "Never", "containers": [{"name": "app", "command": ["/no/such/program"]}]}),
    );
    cluster.run("nokey", json!({"containers": [{"name": "app", "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "nomap", "key": "k"}}}]}]}));
    cluster.run("oom", json!({"restartPolicy": "Never", "containers": [{"name": "app",
        "command": ["sh", "-c", "dd if=/dev/zero of=/dev/null bs=512M count=1"], "resources": {"limits": {"memory": "32Mi"}}}]}));
    let absent =
        cluster.api.wait("absent", "a refusal", |pod| state(pod, 0)["waiting"]["reason"] == "ErrImageNeverPull").await;
    assert_eq!(absent["status"]["phase"], "Pending");
    let nocmd = cluster.api.wait("nocmd", "a failure", |pod| pod["status"]["phase"] == "Failed").await;
    assert_eq!(state(&nocmd, 0)["terminated"]["reason"], "ContainerCannotRun");
    assert!(state(&nocmd, 0)["terminated"]["message"].as_str().unwrap().contains("/no/such/program"));
    let nokey = cluster
        .api
        .wait("nokey", "a refusal", |pod| state(pod, 0)["waiting"]["reason"] == "CreateContainerConfigError")
        .await;
    assert_eq!(state(&nokey, 0)["waiting"]["message"], "configmap \"nomap\" not found");
    // Docker may learn of the end before it learns what the kernel had against it.
    let oom = cluster.api.wait("oom", "a kill", |pod| state(pod, 0)["terminated"]["reason"] == "OOMKilled").await;
    assert_eq!(oom["status"]["phase"], "Failed");
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_container_and_a_killed_sandbox_come_back() {
    let Some(cluster) = Cluster::start().await else { return };
    cluster.run("web", json!({"containers": [forever("app")]}));
    let pod = cluster.api.wait_ready("web").await;
    let id = pod["status"]["containerStatuses"][0]["containerID"]
        .as_str()
        .unwrap()
        .trim_start_matches("docker://")
        .to_owned();
    docker(&["kill", &id]);
    let pod = cluster
        .api
        .wait("web", "a restart", |pod| {
            pod["status"]["containerStatuses"][0]["restartCount"] == 1 && condition(pod, "Ready") == "True"
        })
        .await;
    assert_eq!(pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 137);
    let label = format!("label=dev.sampan.cluster={}", cluster.id);
    let hardware_address = |pod: &Value| {
        let id = pod["status"]["containerStatuses"][0]["containerID"].as_str().unwrap().to_owned();
        docker(&["exec", id.trim_start_matches("docker://"), "cat", "/sys/class/net/eth0/address"])
    };
    let before = hardware_address(&pod);
    docker(&["kill", &docker(&["ps", "-q", "--filter", &label, "--filter", "label=dev.sampan.kind=sandbox"])]);
    let pod = cluster
        .api
        .wait("web", "a new sandbox", |pod| {
            pod["status"]["containerStatuses"][0]["restartCount"].as_i64() >= Some(2)
                && condition(pod, "Ready") == "True"
        })
        .await;
    assert_eq!(hardware_address(&pod), before, "neighbours would go on sending to who is gone");
    cluster.finish().await;
}
