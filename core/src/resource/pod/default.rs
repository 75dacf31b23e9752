//! The defaults of pods and pod templates.

use serde_json::{Map, Value, json};

use crate::object::Quantity;
use crate::resource::fill::{fill, fill_zero, items_mut, object_at, present, set};
use crate::resource::read::{at, is_true, items, text};

/// Files of volumes are readable by all and writable by their owner.
const FILE_MODE: i64 = 0o644;
/// How long a projected service account token is valid, in seconds.
const TOKEN_SECONDS: i64 = 3600;

/// The lists of containers in a pod spec.
const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// The defaults of a pod.
pub fn pod(pod: &mut Value) {
    let Some(spec) = object_at(pod, "spec") else { return };
    pod_spec(spec);
    fill(spec, "enableServiceLinks", true);
    for list in ["initContainers", "containers"] {
        items_mut(spec, list).for_each(requests_from_limits);
    }
    pod_requests(spec);
    if is_true(spec, "/hostNetwork") {
        host_ports(spec);
    }
}

/// The defaults of a pod template: a pod's, but for those that only a pod itself is given.
pub fn pod_template(template: &mut Value) {
    if let Some(spec) = object_at(template, "spec") {
        pod_spec(spec);
    }
}

fn pod_spec(spec: &mut Value) {
    fill(spec, "restartPolicy", "Always");
    fill(spec, "dnsPolicy", "ClusterFirst");
    fill(spec, "schedulerName", "default-scheduler");
    fill(spec, "terminationGracePeriodSeconds", super::DEFAULT_GRACE_SECONDS);
    fill(spec, "securityContext", json!({}));
    service_account(spec);
    for list in CONTAINERS {
        items_mut(spec, list).for_each(container);
    }
    items_mut(spec, "volumes").for_each(volume);
}

/// `serviceAccount` is the old name of `serviceAccountName`.
fn service_account(spec: &mut Value) {
    let old = text(spec, "/serviceAccount").to_owned();
    if !old.is_empty() {
        fill(spec, "serviceAccountName", old);
    }
    let name = text(spec, "/serviceAccountName").to_owned();
    if !name.is_empty() {
        set(spec, "serviceAccount", name);
    }
}

fn container(container: &mut Value) {
    let policy = pull_policy(text(container, "/image"));
    fill(container, "imagePullPolicy", policy);
    fill(container, "terminationMessagePath", "/dev/termination-log");
    fill(container, "terminationMessagePolicy", "File");
    fill(container, "resources", json!({}));
    items_mut(container, "ports").for_each(|port| fill(port, "protocol", "TCP"));
    for variable in items_mut(container, "env") {
        if let Some(source) = present(variable, "valueFrom") {
            field_reference(source);
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(found) = present(container, name) {
            probe(found);
        }
    }
    if let Some(lifecycle) = present(container, "lifecycle") {
        for hook in ["postStart", "preStop"] {
            if let Some(found) = present(lifecycle, hook) {
                http_get(found);
            }
        }
    }
}

/// An image without a tag, or tagged `latest`, may change behind its name: it is always pulled.
fn pull_policy(image: &str) -> &'static str {
    let name = image.rsplit('/').next().unwrap_or_default();
    if name.contains('@') {
        return "IfNotPresent";
    }
    match name.split_once(':') {
        None | Some((_, "latest" | "")) => "Always",
        Some(_) => "IfNotPresent",
    }
}

fn probe(probe: &mut Value) {
    fill_zero(probe, "timeoutSeconds", 1);
    fill_zero(probe, "periodSeconds", 10);
    fill_zero(probe, "successThreshold", 1);
    fill_zero(probe, "failureThreshold", 3);
    http_get(probe);
    if let Some(grpc) = present(probe, "grpc")
        && grpc.get("service").is_none_or(Value::is_null)
    {
        set(grpc, "service", "");
    }
}

fn http_get(handler: &mut Value) {
    if let Some(get) = present(handler, "httpGet") {
        fill(get, "path", "/");
        fill(get, "scheme", "HTTP");
    }
}

fn field_reference(holder: &mut Value) {
    if let Some(reference) = present(holder, "fieldRef") {
        fill(reference, "apiVersion", "v1");
    }
    if let Some(reference) = present(holder, "resourceFieldRef") {
        fill(reference, "divisor", "0");
    }
}

fn volume(volume: &mut Value) {
    let has_source =
        volume.as_object().into_iter().flatten().any(|(name, source)| name != "name" && source.is_object());
    if !has_source {
        set(volume, "emptyDir", json!({}));
    }
    for source in ["configMap", "secret", "downwardAPI", "projected"] {
        if let Some(found) = present(volume, source) {
            fill(found, "defaultMode", FILE_MODE);
            items_mut(found, "items").for_each(field_reference);
            items_mut(found, "sources").for_each(projection);
        }
    }
    if let Some(host_path) = present(volume, "hostPath")
        && host_path.get("type").is_none_or(Value::is_null)
    {
        set(host_path, "type", "");
    }
    if let Some(image) = present(volume, "image") {
        let policy = pull_policy(text(image, "/reference"));
        fill(image, "pullPolicy", policy);
    }
    if let Some(template) = present(volume, "ephemeral").and_then(|it| present(it, "volumeClaimTemplate"))
        && let Some(spec) = present(template, "spec")
    {
        fill(spec, "volumeMode", "Filesystem");
    }
    for (source, field, default) in SOURCE_DEFAULTS {
        if let Some(found) = present(volume, source) {
            fill(found, field, default);
        }
    }
    if let Some(disk) = present(volume, "azureDisk") {
        fill(disk, "readOnly", false);
    }
}

/// Defaults of texts in the sources of volumes that belong to storage systems.
const SOURCE_DEFAULTS: [(&str, &str, &str); 9] = [
    ("iscsi", "iscsiInterface", "default"),
    ("rbd", "pool", "rbd"),
    ("rbd", "user", "admin"),
    ("rbd", "keyring", "/etc/ceph/keyring"),
    ("azureDisk", "cachingMode", "ReadWrite"),
    ("azureDisk", "kind", "Shared"),
    ("azureDisk", "fsType", "ext4"),
    ("scaleIO", "storageMode", "ThinProvisioned"),
    ("scaleIO", "fsType", "xfs"),
];

fn projection(source: &mut Value) {
    if let Some(token) = present(source, "serviceAccountToken") {
        fill(token, "expirationSeconds", TOKEN_SECONDS);
    }
    if let Some(downward) = present(source, "downwardAPI") {
        items_mut(downward, "items").for_each(field_reference);
    }
}

/// A container asks for as much as its limit where it asks for nothing.
fn requests_from_limits(container: &mut Value) {
    let Some(resources) = present(container, "resources") else { return };
    let Some(Value::Object(limits)) = resources.get("limits").cloned() else { return };
    let Some(requests) = object_at(resources, "requests") else { return };
    for (resource, limit) in limits {
        fill(requests, &resource, limit);
    }
}

/// A pod with limits of its own asks for what its containers ask for, else for its limits.
fn pod_requests(spec: &mut Value) {
    let Some(Value::Object(limits)) = at(spec, "/resources/limits").cloned() else { return };
    let of_containers = container_requests(spec, &limits);
    let Some(requests) = present(spec, "resources").and_then(|resources| object_at(resources, "requests")) else {
        return;
    };
    for (resource, limit) in of_containers.into_iter().chain(limits) {
        fill(requests, &resource, limit);
    }
}

fn container_requests(spec: &Value, limits: &Map<String, Value>) -> Map<String, Value> {
    let mut sums = Map::new();
    for resource in limits.keys() {
        let pointer = format!("/resources/requests/{}", resource.replace('~', "~0").replace('/', "~1"));
        let asked = items(spec, "/containers").filter_map(|container| Quantity::parse(text(container, &pointer)).ok());
        let sum = asked.fold(Quantity::ZERO, |sum, amount| sum.plus(&amount));
        if !sum.is_zero() {
            sums.insert(resource.clone(), sum.to_string().into());
        }
    }
    sums
}

/// On the host's network a container's port is the host's.
fn host_ports(spec: &mut Value) {
    for list in ["initContainers", "containers"] {
        for port in items_mut(spec, list).flat_map(|container| items_mut(container, "ports")) {
            let number = port.get("containerPort").and_then(Value::as_i64).unwrap_or_default();
            fill_zero(port, "hostPort", number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minimal_pod_is_stored_as_kubernetes_stores_it() {
        let mut minimal = json!({"spec": {"containers": [{"name": "a", "image": "web"}]}});
        pod(&mut minimal);
        let expected = json!({"spec": {
            "containers": [{
                "name": "a", "image": "web", "imagePullPolicy": "Always", "resources": {},
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}],
            "dnsPolicy": "ClusterFirst", "enableServiceLinks": true, "restartPolicy": "Always",
            "schedulerName": "default-scheduler", "securityContext": {}, "terminationGracePeriodSeconds": 30}});
        assert_eq!(minimal, expected);
    }

    #[test]
    fn a_template_is_given_less_than_a_pod() {
        let mut template = json!({"spec": {"containers": [
            {"name": "a", "image": "web", "resources": {"limits": {"cpu": "1"}}}]}});
        pod_template(&mut template);
        assert_eq!(template.pointer("/spec/enableServiceLinks"), None);
        assert_eq!(template["spec"]["containers"][0]["resources"], json!({"limits": {"cpu": "1"}}));
    }

    #[test]
    fn defaulting_twice_changes_nothing() {
        let mut once = json!({"spec": {"hostNetwork": true, "serviceAccount": "robot",
            "containers": [{"name": "a", "image": "r/web:1", "ports": [{"containerPort": 80}],
                "readinessProbe": {"httpGet": {"port": 80}, "periodSeconds": 0},
                "env": [{"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                "resources": {"limits": {"cpu": "1"}}}],
            "volumes": [{"name": "e"}, {"name": "h", "hostPath": {"path": "/a"}},
                {"name": "p", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]}});
        pod(&mut once);
        let mut twice = once.clone();
        pod(&mut twice);
        assert_eq!(once, twice);
        let container = &once["spec"]["containers"][0];
        assert_eq!(container["ports"][0], json!({"containerPort": 80, "hostPort": 80, "protocol": "TCP"}));
        assert_eq!(
            container["readinessProbe"],
            json!({"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "periodSeconds": 10, "timeoutSeconds": 1,
                "successThreshold": 1, "failureThreshold": 3})
        );
        assert_eq!(container["env"][0]["valueFrom"]["fieldRef"]["apiVersion"], "v1");
        assert_eq!(container["resources"]["requests"], json!({"cpu": "1"}));
        assert_eq!(container["imagePullPolicy"], "IfNotPresent");
        let volumes = &once["spec"]["volumes"];
        assert_eq!(volumes[0], json!({"name": "e", "emptyDir": {}}));
        assert_eq!(volumes[1]["hostPath"], json!({"path": "/a", "type": ""}));
        assert_eq!(volumes[2]["projected"]["defaultMode"], 420);
        assert_eq!(volumes[2]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"], 3600);
        assert_eq!(once["spec"]["serviceAccountName"], "robot");
    }

    #[test]
    fn a_tag_or_digest_fixes_an_image() {
        let cases = [
            ("web", "Always"),
            ("web:latest", "Always"),
            ("host:5000/web", "Always"),
            ("host:5000/web:1", "IfNotPresent"),
            ("web@sha256:00", "IfNotPresent"),
            ("web:1", "IfNotPresent"),
        ];
        for (image, policy) in cases {
            assert_eq!(pull_policy(image), policy, "{image}");
        }
    }

    #[test]
    fn a_pod_with_limits_asks_for_what_its_containers_ask() {
        let mut spec = json!({"resources": {"limits": {"cpu": "2", "memory": "1Gi"}}, "containers": [
            {"resources": {"requests": {"cpu": "300m"}}}, {"resources": {"requests": {"cpu": "200m"}}}]});
        pod_requests(&mut spec);
        assert_eq!(spec["resources"]["requests"], json!({"cpu": "500m", "memory": "1Gi"}));
    }
}
