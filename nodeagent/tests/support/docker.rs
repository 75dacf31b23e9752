//! A node agent on the Docker of this machine.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sampan_nodeagent::{DockerEndpoint, KubeletApi, NodeAgent, NodeConfig, remove_everything};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::FakeApi;

/// The image the tests run: busybox, imported from the one installed here.
pub const IMAGE: &str = "sampan-nodeagent-test/busybox:v1";

/// A cluster of one node.
pub struct Cluster {
    pub api: FakeApi,
    pub id: String,
    data: tempfile::TempDir,
    running: Option<(CancellationToken, tokio::task::JoinHandle<()>)>,
    pub kubelet: std::sync::Arc<KubeletApi>,
}

/// Whether Docker answers. A test that cannot run says so and fails where `SAMPAN_TEST_DOCKER=required`.
pub fn docker_answers() -> bool {
    let answers = std::process::Command::new("docker").args(["info", "-f", "{{.ServerVersion}}"]).output();
    let answers = answers.is_ok_and(|output| output.status.success());
    if !answers {
        let required = std::env::var("SAMPAN_TEST_DOCKER").is_ok_and(|value| value == "required");
        assert!(!required, "Docker does not answer, and this test needs it");
        eprintln!("NOT RUN: Docker does not answer");
    }
    answers
}

/// Runs the docker command; its output.
pub fn docker(arguments: &[&str]) -> String {
    let output = std::process::Command::new("docker").args(arguments).output().expect("docker runs");
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn import_image() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let found = std::process::Command::new("docker").args(["image", "inspect", IMAGE]).output();
        if found.is_ok_and(|output| output.status.success()) {
            return;
        }
        let script = format!(
            "set -e; d=$(mktemp -d); mkdir -p $d/bin $d/tmp $d/etc $d/proc; cp /bin/busybox $d/bin/; \
             for a in sh cat sleep echo wget nc httpd touch rm ls mkdir kill trap hostname env head dd id ps test true false; do \
             ln -s busybox $d/bin/$a; done; tar -C $d -c . | docker import - {IMAGE}; rm -rf $d"
        );
        let status = std::process::Command::new("sh").args(["-c", &script]).status().expect("sh runs");
        assert!(status.success(), "the test image is imported; is busybox-static installed?");
    });
}

impl Cluster {
    /// Starts a node; nothing where Docker does not answer.
    pub async fn start() -> Option<Self> {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        if !docker_answers() {
            return None;
        }
        import_image();
        let id = format!("nodetest-{}-{}", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed));
        let data = tempfile::tempdir().unwrap();
        let api = FakeApi::new();
        let (running, kubelet) = launch(&api, &id, data.path().to_owned()).await;
        Some(Self { api, id, data, running: Some(running), kubelet })
    }

    /// Stops the agent, as a crash does as far as containers are concerned, and starts another.
    pub async fn restart(&mut self) {
        self.stop().await;
        let (running, kubelet) = launch(&self.api, &self.id, self.data.path().to_owned()).await;
        self.running = Some(running);
        self.kubelet = kubelet;
    }

    /// Stops the agent and leaves its pods running.
    pub async fn stop(&mut self) {
        if let Some((stop, task)) = self.running.take() {
            stop.cancel();
            task.await.unwrap();
        }
    }

    /// Creates a pod with these fields of its spec; `containers` runs our image unless it says otherwise.
    pub fn run(&self, name: &str, mut spec: Value) {
        spec["nodeName"] = json!("one");
        for list in ["containers", "initContainers"] {
            for container in spec[list].as_array_mut().into_iter().flatten() {
                if container["image"].is_null() {
                    container["image"] = json!(IMAGE);
                }
            }
        }
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "labels": {"app": name}, "generation": 1},
            "spec": spec,
        });
        self.api.add("pods", pod);
    }

    /// The ids of this cluster's app containers, dead or alive.
    pub fn containers(&self, pod: &str) -> Vec<String> {
        let label = format!("label=dev.sampan.cluster={}", self.id);
        let pod = format!("label=io.kubernetes.pod.name={pod}");
        let list = docker(&["ps", "-aq", "--no-trunc", "--filter", &label, "--filter", &pod]);
        list.lines().map(str::to_owned).collect()
    }

    /// Removes everything of this cluster. Runs on failure too, from `Drop`.
    pub async fn finish(mut self) {
        self.stop().await;
        remove_everything(&DockerEndpoint::default(), &self.id, None).await.unwrap();
    }
}

impl Drop for Cluster {
    /// On failure. The agent is ended first: it would start anew what is removed.
    fn drop(&mut self) {
        let Some((stop, task)) = self.running.take() else { return };
        stop.cancel();
        let until = Instant::now() + Duration::from_secs(10);
        while !task.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
        let id = self.id.clone();
        let removal = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(remove_everything(&DockerEndpoint::default(), &id, None)).unwrap();
        });
        if removal.join().is_err() {
            eprintln!("not all of the cluster {} was removed", self.id);
        }
    }
}

type Running = (CancellationToken, tokio::task::JoinHandle<()>);

async fn launch(api: &FakeApi, id: &str, data: PathBuf) -> (Running, std::sync::Arc<KubeletApi>) {
    let agent = NodeAgent::new(NodeConfig::new("one", id, data), api.client()).await.unwrap();
    let kubelet = agent.kubelet_api();
    let stop = CancellationToken::new();
    let task = tokio::spawn({
        let stop = stop.clone();
        async move { agent.run(stop).await.unwrap() }
    });
    ((stop, task), kubelet)
}
