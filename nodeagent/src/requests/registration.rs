//! A node's object, its status and its Lease.

use std::collections::BTreeMap;
use std::path::PathBuf;

use http::Method;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::DaemonEndpoint;
use k8s_openapi::api::core::v1::{NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeStatus, NodeSystemInfo};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::{Value, json};

use super::{ApiRequest, request};
use crate::pod::moment::{micro_time, time};

/// How long a Lease holds, in seconds.
const LEASE_SECONDS: i32 = 40;
/// How often a Lease is renewed.
const LEASE_PERIOD: SignedDuration = SignedDuration::from_secs(10);
/// After so many renewals a status is sent that has not changed but for its time: every 5 minutes.
const RENEWALS_PER_STATUS: u32 = 30;
/// After so many renewals the status is sent as it was: it is written only where somebody else has changed it.
const RENEWALS_PER_REPETITION: u32 = 3;
/// Whoever was not heard of for longer may have been given up, and tells how it is as soon as it is heard of again.
const GAP: SignedDuration = SignedDuration::from_secs(20);
/// The first wait after a refused request, doubling to [`LEASE_PERIOD`].
const FIRST_RETRY: SignedDuration = SignedDuration::from_millis(50);
/// Pods a node takes at most: Kubernetes' default.
const MOST_PODS: &str = "110";
/// Where Leases of nodes live.
const LEASE_NAMESPACE: &str = "kube-node-lease";
/// The path of that place.
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

/// Says where a node keeps volumes, so that one can be made there.
const VOLUMES_FOLDER: &str = "sampan.dev/volumes-folder";

/// What a node says of itself.
#[derive(Debug, Clone)]
pub struct NodeDescription {
    /// Its name.
    pub name: String,
    /// Its address.
    pub host_ip: String,
    /// Its CPUs.
    pub cpus: i64,
    /// Its memory.
    pub memory_bytes: i64,
    /// Its disk.
    pub disk_bytes: i64,
    /// The port of its kubelet API, where it has one.
    pub kubelet_port: Option<u16>,
    /// What runs its containers.
    pub runtime_version: String,
    /// Its system.
    pub os_image: String,
    /// Its kernel.
    pub kernel_version: String,
    /// Names the machine.
    pub machine_id: String,
    /// Names this run of the machine.
    pub boot_id: String,
    /// The folder it keeps volumes in that outlive pods.
    pub volumes: PathBuf,
    /// The node runs pods in memory only.
    pub simulated: bool,
    /// How much later than others it renews its Lease, so that many nodes do not do so at once.
    pub lease_offset: SignedDuration,
}

impl NodeDescription {
    fn labels(&self) -> BTreeMap<&'static str, String> {
        let mut labels = BTreeMap::from([
            ("kubernetes.io/hostname", self.name.clone()),
            ("kubernetes.io/os", "linux".to_owned()),
            ("kubernetes.io/arch", architecture().to_owned()),
        ]);
        if self.simulated {
            labels.insert("sampan.dev/simulated", "true".to_owned());
        }
        labels
    }

    fn annotations(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::from([(VOLUMES_FOLDER, self.volumes.to_string_lossy().into_owned())])
    }

    fn status(&self, moment: Timestamp) -> NodeStatus {
        let quantity = |text: String| Quantity(text);
        let capacity = BTreeMap::from([
            ("cpu".to_owned(), quantity(self.cpus.to_string())),
            ("memory".to_owned(), quantity(format!("{}Ki", self.memory_bytes / 1024))),
            ("ephemeral-storage".to_owned(), quantity(format!("{}Ki", self.disk_bytes / 1024))),
            ("pods".to_owned(), quantity(MOST_PODS.to_owned())),
        ]);
        let address = |kind: &str, address: &str| NodeAddress { type_: kind.to_owned(), address: address.to_owned() };
        let endpoint = self.kubelet_port.map(|port| DaemonEndpoint { port: i32::from(port) });
        NodeStatus {
            addresses: Some(vec![address("InternalIP", &self.host_ip), address("Hostname", &self.name)]),
            allocatable: Some(capacity.clone()),
            capacity: Some(capacity),
            conditions: Some(conditions(moment)),
            daemon_endpoints: Some(NodeDaemonEndpoints { kubelet_endpoint: endpoint }),
            node_info: Some(NodeSystemInfo {
                architecture: architecture().to_owned(),
                boot_id: self.boot_id.clone(),
                container_runtime_version: self.runtime_version.clone(),
                kernel_version: self.kernel_version.clone(),
                kube_proxy_version: String::new(),
                kubelet_version: format!("v1.35.0-sampan.{}", env!("CARGO_PKG_VERSION")),
                machine_id: self.machine_id.clone(),
                operating_system: "linux".to_owned(),
                os_image: self.os_image.clone(),
                system_uuid: self.machine_id.clone(),
                swap: None,
            }),
            ..NodeStatus::default()
        }
    }
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn conditions(moment: Timestamp) -> Vec<NodeCondition> {
    let condition = |name: &str, status: &str, reason: &str, message: &str| NodeCondition {
        type_: name.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_heartbeat_time: Some(time(moment)),
        last_transition_time: Some(time(moment)),
    };
    vec![
        condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ]
}

/// What a node owes the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Duty {
    /// That it exists.
    CreateNode,
    /// Its labels, where it existed before.
    Relabel,
    /// How it is.
    SendStatus,
    /// That it lives.
    Renew,
    /// The Lease, where it has none yet.
    CreateLease,
}

/// Registers a node, then keeps its Lease and its status alive: one request at a time, repeated until it is accepted.
#[derive(Debug)]
pub struct Registration {
    node: NodeDescription,
    duty: Duty,
    due: Timestamp,
    under_way: bool,
    /// How long to wait should the request be refused.
    patience: SignedDuration,
    ready_since: Timestamp,
    /// When it was told how it is, as the status says.
    told_at: Timestamp,
    renewed_at: Timestamp,
    renewals_left: u32,
    /// The first renewal is followed by this node's own offset.
    is_new: bool,
}

impl Registration {
    /// A node that has told nothing yet.
    pub fn new(node: NodeDescription, now: Timestamp) -> Self {
        Self {
            node,
            duty: Duty::CreateNode,
            due: now,
            under_way: false,
            patience: FIRST_RETRY,
            ready_since: now,
            told_at: now,
            renewed_at: now,
            renewals_left: RENEWALS_PER_STATUS,
            is_new: true,
        }
    }

    /// When [`begin`](Self::begin) has a request, unless one is under way.
    pub fn wake_at(&self) -> Option<Timestamp> {
        (!self.under_way).then_some(self.due)
    }

    /// The next request, if it is due.
    pub fn begin(&mut self, now: Timestamp) -> Option<ApiRequest> {
        // A clock that was set back must not keep the Lease waiting.
        self.due = self.due.min(after(now, LEASE_PERIOD + self.node.lease_offset));
        if self.under_way || self.due > now {
            return None;
        }
        self.under_way = true;
        self.request(now).ok()
    }

    /// Hears whether the request under way was accepted, or with which code it was refused; 0 where nobody answered.
    pub fn answered(&mut self, outcome: Result<(), u16>, now: Timestamp) {
        self.under_way = false;
        match (outcome, self.duty) {
            (Ok(()), duty) => self.accepted(duty, now),
            (Err(409), Duty::CreateNode) => self.at_once(Duty::Relabel, now),
            (Err(404), Duty::Relabel) => self.at_once(Duty::CreateNode, now),
            (Err(404), Duty::Renew) => self.at_once(Duty::CreateLease, now),
            (Err(_), _) => {
                self.due = after(now, self.patience);
                self.patience = (self.patience * 2).min(LEASE_PERIOD);
            }
        }
    }

    fn accepted(&mut self, duty: Duty, now: Timestamp) {
        self.patience = FIRST_RETRY;
        match duty {
            Duty::CreateNode | Duty::Relabel => {
                self.ready_since = now;
                self.tell(now);
            }
            Duty::SendStatus if self.is_new => self.at_once(Duty::Renew, now),
            Duty::SendStatus => self.renew_later(now),
            Duty::Renew | Duty::CreateLease => self.renewed(now),
        }
    }

    fn renewed(&mut self, now: Timestamp) {
        let silent_for = now.duration_since(std::mem::replace(&mut self.renewed_at, now));
        if std::mem::take(&mut self.is_new) {
            self.renew_later(now);
            self.due = after(self.due, self.node.lease_offset);
            return;
        }
        self.renewals_left -= 1;
        if silent_for > GAP {
            self.ready_since = now;
        }
        if silent_for > GAP || self.renewals_left == 0 {
            self.tell(now);
        } else if self.renewals_left.is_multiple_of(RENEWALS_PER_REPETITION) {
            self.at_once(Duty::SendStatus, now);
        } else {
            self.renew_later(now);
        }
    }

    /// How it is now is to be sent.
    fn tell(&mut self, now: Timestamp) {
        self.told_at = now;
        self.renewals_left = RENEWALS_PER_STATUS;
        self.at_once(Duty::SendStatus, now);
    }

    fn at_once(&mut self, duty: Duty, now: Timestamp) {
        self.duty = duty;
        self.due = now;
    }

    fn renew_later(&mut self, now: Timestamp) {
        self.duty = Duty::Renew;
        self.due = after(now, LEASE_PERIOD);
    }

    fn request(&self, now: Timestamp) -> Result<ApiRequest, http::Error> {
        const MERGE: &str = "application/merge-patch+json";
        const STRATEGIC: &str = "application/strategic-merge-patch+json";
        let name = &self.node.name;
        let node_path = format!("/api/v1/nodes/{name}");
        match self.duty {
            Duty::CreateNode => request(Method::POST, "/api/v1/nodes", "application/json", &self.node_object()),
            Duty::Relabel => {
                let patch =
                    json!({ "metadata": { "labels": self.node.labels(), "annotations": self.node.annotations() } });
                request(Method::PATCH, &node_path, MERGE, &patch)
            }
            Duty::SendStatus => {
                let patch = json!({ "status": self.status() });
                request(Method::PATCH, &format!("{node_path}/status"), STRATEGIC, &patch)
            }
            Duty::Renew => {
                let patch = json!({ "spec": { "renewTime": micro_time(now) } });
                request(Method::PATCH, &format!("{LEASES}/{name}"), MERGE, &patch)
            }
            Duty::CreateLease => request(Method::POST, LEASES, "application/json", &self.lease(now)),
        }
    }

    fn node_object(&self) -> Value {
        let (name, labels) = (&self.node.name, self.node.labels());
        let annotations = self.node.annotations();
        let metadata = json!({ "name": name, "labels": labels, "annotations": annotations });
        json!({ "apiVersion": "v1", "kind": "Node", "metadata": metadata })
    }

    fn status(&self) -> NodeStatus {
        let mut status = self.node.status(self.told_at);
        for condition in status.conditions.iter_mut().flatten() {
            condition.last_transition_time = Some(time(self.ready_since));
        }
        status
    }

    fn lease(&self, now: Timestamp) -> Value {
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": { "name": self.node.name, "namespace": LEASE_NAMESPACE },
            "spec": {
                "holderIdentity": self.node.name,
                "leaseDurationSeconds": LEASE_SECONDS,
                "renewTime": micro_time(now),
            },
        })
    }
}

fn after(moment: Timestamp, wait: SignedDuration) -> Timestamp {
    moment.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> NodeDescription {
        let text = |text: &str| text.to_owned();
        NodeDescription {
            name: text("here"),
            host_ip: text("127.0.0.1"),
            cpus: 1,
            memory_bytes: 1 << 30,
            disk_bytes: 1 << 30,
            kubelet_port: None,
            runtime_version: String::new(),
            os_image: String::new(),
            kernel_version: String::new(),
            machine_id: String::new(),
            boot_id: String::new(),
            volumes: PathBuf::new(),
            simulated: true,
            lease_offset: SignedDuration::ZERO,
        }
    }

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// The requests a node makes at these seconds, each answered so.
    fn asked(script: &[(i64, Result<(), u16>)]) -> Vec<String> {
        let mut registration = Registration::new(node(), second(0));
        let mut asked = Vec::new();
        for (at, answer) in script {
            let Some(request) = registration.begin(second(*at)) else {
                asked.push("nothing".to_owned());
                continue;
            };
            let path = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            asked.push(format!("{} {path}", request.method()));
            assert!(registration.begin(second(*at)).is_none(), "one request at a time");
            registration.answered(*answer, second(*at));
        }
        asked
    }

    #[test]
    fn a_node_registers_tells_how_it_is_and_renews_its_lease() {
        let script = [(0, Ok(())), (0, Ok(())), (0, Err(404)), (0, Ok(())), (9, Ok(())), (10, Ok(()))];
        assert_eq!(
            asked(&script),
            ["POST nodes", "PATCH status", "PATCH here", "POST leases", "nothing", "PATCH here"]
        );
    }

    #[test]
    fn a_node_that_exists_gets_its_labels() {
        assert_eq!(asked(&[(0, Err(409)), (0, Ok(())), (0, Ok(()))]), ["POST nodes", "PATCH here", "PATCH status"]);
    }

    #[test]
    fn what_nobody_answers_is_asked_again_later() {
        assert_eq!(asked(&[(0, Err(0)), (0, Ok(())), (1, Ok(()))]), ["POST nodes", "nothing", "POST nodes"]);
    }

    /// What the node says from second to second, while the API server answers from `answers_from` on: the seconds at which it
    /// tells how it is, and since when it has been so.
    fn told(until: i64, answers_from: i64) -> Vec<(i64, String)> {
        let mut registration = Registration::new(node(), second(0));
        let mut told = Vec::new();
        for at in 0..=until {
            while let Some(request) = registration.begin(second(at)) {
                let is_heard = at < 5 || at >= answers_from;
                if request.uri().path().ends_with("/status") && is_heard {
                    let body: Value = serde_json::from_slice(request.body()).unwrap();
                    let time =
                        |field: &str| body.pointer(&format!("/status/conditions/3/{field}")).unwrap().to_string();
                    told.push((at, format!("{} {}", time("lastHeartbeatTime"), time("lastTransitionTime"))));
                }
                registration.answered(if is_heard { Ok(()) } else { Err(0) }, second(at));
            }
        }
        told
    }

    fn said(at: i64, since: i64) -> String {
        format!(
            "\"1970-01-01T00:{:02}:{:02}Z\" \"1970-01-01T00:{:02}:{:02}Z\"",
            at / 60,
            at % 60,
            since / 60,
            since % 60
        )
    }

    #[test]
    fn a_status_is_repeated_as_it_was_and_anew_after_five_minutes() {
        let told = told(310, 0);
        assert_eq!(told.first(), Some(&(0, said(0, 0))));
        assert_eq!(told.get(1), Some(&(30, said(0, 0))));
        assert_eq!(told.last(), Some(&(300, said(300, 0))));
    }

    #[test]
    fn a_node_that_was_not_heard_of_tells_how_it_is_at_once() {
        let told = told(80, 60);
        let again = told.iter().find(|(at, _)| *at > 5).unwrap();
        assert!((60..70).contains(&again.0), "{told:?}");
        assert_eq!(again.1, said(again.0, again.0));
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_no_lease_waiting() {
        let up = [(1000, Ok(())), (1000, Ok(())), (1000, Ok(()))];
        let then = [(0, Ok(())), (10, Ok(()))];
        let script: Vec<_> = up.into_iter().chain(then).collect();
        assert_eq!(asked(&script)[3..], ["nothing", "PATCH here"]);
    }
}
