//! Pods that are accepted and pods that are refused, each with the field and the words.

use serde_json::{Value, json};

use super::{Faults, creation, pod, status_update, update};
use crate::resource::pod::default;

/// A pod with two containers, an init container and a volume, its defaults filled in.
fn base() -> Value {
    let mut pod = json!({"metadata": {"name": "web", "namespace": "default"}, "spec": {
        "initContainers": [{"name": "init", "image": "init:1"}],
        "containers": [
            {"name": "web", "image": "web:1", "ports": [{"name": "http", "containerPort": 80}],
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                "readinessProbe": {"httpGet": {"port": "http"}}, "livenessProbe": {"exec": {"command": ["true"]}},
                "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}}},
            {"name": "log", "image": "log:1"}],
        "volumes": [{"name": "data", "emptyDir": {}}]}});
    default::pod(&mut pod);
    pod
}

/// The base with `value` at `pointer`; a last step of `-` appends, a null removes.
fn with(pointer: &str, value: Value) -> Value {
    let mut pod = base();
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    match pod.pointer_mut(parent).unwrap_or_else(|| panic!("{parent} is missing")) {
        Value::Array(items) if last == "-" => items.push(value),
        Value::Array(items) => items[last.parse::<usize>().unwrap()] = value,
        Value::Object(fields) if value.is_null() => drop(fields.remove(last)),
        parent => parent[last] = value,
    }
    pod
}

fn shown(faults: Faults) -> Vec<String> {
    faults.errors.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn check(pointer: &str, value: Value, expected: &str) {
    let found = shown(pod(&with(pointer, value.clone())));
    assert!(found.iter().any(|fault| fault.starts_with(expected)), "{pointer} = {value}: {found:#?}");
}

#[track_caller]
fn accepts(pointer: &str, value: Value) {
    let found = shown(pod(&with(pointer, value.clone())));
    assert_eq!(found, Vec::<String>::new(), "{pointer} = {value}");
}

const WEB: &str = "/spec/containers/0";

fn web(field: &str) -> String {
    format!("{WEB}/{field}")
}

#[test]
fn what_is_right_is_accepted() {
    accepts("/spec/hostname", json!("web-0"));
    accepts(
        &web("env"),
        json!([{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.labels['app']"}}}]),
    );
    accepts(
        &web("env"),
        json!([{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}}]),
    );
    accepts(&web("envFrom"), json!([{"configMapRef": {"name": "c"}, "prefix": "X_"}]));
    accepts(
        &web("resources"),
        json!({"limits": {"example.com/gpu": "1", "cpu": "1"}, "requests": {"example.com/gpu": "1"}}),
    );
    accepts(&web("securityContext"), json!({"runAsUser": 1000, "allowPrivilegeEscalation": false}));
    accepts(
        "/spec/tolerations",
        json!([{"operator": "Exists"}, {"key": "a", "value": "b", "effect": "NoExecute", "tolerationSeconds": 3}]),
    );
    accepts("/spec/initContainers/0/restartPolicy", json!("Always"));
    accepts(
        "/spec/dnsConfig",
        json!({"nameservers": ["10.0.0.1"], "searches": ["_tcp.example.com."], "options": [{"name": "ndots"}]}),
    );
    accepts(
        "/spec/topologySpreadConstraints",
        json!([{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]),
    );
    accepts(
        "/spec/volumes/-",
        json!({"name": "c", "configMap": {"name": "c", "defaultMode": 420, "items": [{"key": "k", "path": "d/f"}]}}),
    );
}

#[test]
fn containers_are_named_and_have_an_image() {
    check("/spec/containers", json!([]), "spec.containers: Required value");
    check(&web("name"), json!(""), "spec.containers[0].name: Required value");
    check(
        &web("name"),
        json!("A"),
        "spec.containers[0].name: Invalid value: \"A\": a lowercase RFC 1123 label must consist",
    );
    check(&web("name"), json!("log"), "spec.containers[1].name: Duplicate value: \"log\"");
    check("/spec/initContainers/0/name", json!("web"), "spec.initContainers[0].name: Duplicate value: \"web\"");
    check(&web("image"), json!(""), "spec.containers[0].image: Required value");
    check(
        &web("image"),
        json!(" a"),
        "spec.containers[0].image: Invalid value: \" a\": must not have leading or trailing whitespace",
    );
    check(
        &web("imagePullPolicy"),
        json!("Sometimes"),
        "spec.containers[0].imagePullPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
    );
    check(
        &web("terminationMessagePolicy"),
        json!("X"),
        "spec.containers[0].terminationMessagePolicy: Unsupported value: \"X\": supported values: \"File\", \"FallbackToLogsOnError\"",
    );
    check(
        &web("restartPolicy"),
        json!("Always"),
        "spec.containers[0].restartPolicy: Forbidden: may not be set for non-init containers",
    );
    check(
        "/spec/initContainers/0/restartPolicy",
        json!("Never"),
        "spec.initContainers[0].restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
    );
    check(
        "/spec/initContainers/0/lifecycle",
        json!({}),
        "spec.initContainers[0].lifecycle: Forbidden: may not be set for init containers without restartPolicy=Always",
    );
}

#[test]
fn ports_are_numbers_of_their_own() {
    let port = |extra: Value| {
        let mut port = json!({"containerPort": 80, "protocol": "TCP"});
        extra.as_object().unwrap().iter().for_each(|(field, value)| port[field] = value.clone());
        json!([{"name": "http", "containerPort": 80, "protocol": "TCP"}, port])
    };
    let at = |field: &str| format!("spec.containers[0].ports[1].{field}");
    let check_port =
        |extra: Value, field: &str, why: &str| check(&web("ports"), port(extra), &format!("{}: {why}", at(field)));
    check_port(json!({"name": "http"}), "name", "Duplicate value: \"http\"");
    check_port(json!({"name": "HTTP"}), "name", "Invalid value: \"HTTP\": must contain only alpha-numeric characters");
    check_port(json!({"containerPort": 0}), "containerPort", "Required value");
    check_port(
        json!({"containerPort": 70000}),
        "containerPort",
        "Invalid value: 70000: must be between 1 and 65535, inclusive",
    );
    check_port(json!({"hostPort": -1}), "hostPort", "Invalid value: -1: must be between 1 and 65535, inclusive");
    check_port(
        json!({"protocol": "ICMP"}),
        "protocol",
        "Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
    );
    let twice = json!([{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}, {"containerPort": 81, "hostPort": 80, "protocol": "TCP"}]);
    check(&web("ports"), twice, "spec.containers[0].ports[1].hostPort: Duplicate value: \"TCP//80\"");
    let mut shared = with(&web("ports"), json!([{"containerPort": 80, "hostPort": 81, "protocol": "TCP"}]));
    shared["spec"]["hostNetwork"] = json!(true);
    assert_eq!(
        shown(pod(&shared)),
        [
            "spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true"
        ]
    );
}

#[test]
fn variables_have_one_source() {
    let from = |source: Value| json!([{"name": "A", "valueFrom": source}]);
    check(&web("env"), json!([{"name": ""}]), "spec.containers[0].env[0].name: Required value");
    check(
        &web("env"),
        json!([{"name": "a=b"}]),
        "spec.containers[0].env[0].name: Invalid value: \"a=b\": a valid environment variable name",
    );
    check(
        &web("env"),
        from(json!({})),
        "spec.containers[0].env[0].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`",
    );
    let both = json!({"configMapKeyRef": {"name": "a", "key": "b"}, "secretKeyRef": {"name": "a", "key": "b"}});
    check(
        &web("env"),
        from(both),
        "spec.containers[0].env[0].valueFrom: Invalid value: \"\": may not have more than one field specified at a time",
    );
    let set = json!([{"name": "A", "value": "1", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}}]);
    check(
        &web("env"),
        set,
        "spec.containers[0].env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty",
    );
    check(
        &web("env"),
        from(json!({"configMapKeyRef": {"name": "a"}})),
        "spec.containers[0].env[0].valueFrom.configMapKeyRef.key: Required value",
    );
    let field = |path: &str| from(json!({"fieldRef": {"apiVersion": "v1", "fieldPath": path}}));
    check(
        &web("env"),
        field("metadata.labels"),
        "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: \"metadata.labels\": supported values: \"metadata.name\"",
    );
    check(
        &web("env"),
        field("spec.x"),
        "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"spec.x\": error converting fieldPath",
    );
    check(
        &web("env"),
        from(json!({"resourceFieldRef": {"resource": "limits.gold"}})),
        "spec.containers[0].env[0].valueFrom.resourceFieldRef.resource: Unsupported value: \"limits.gold\"",
    );
    check(
        &web("envFrom"),
        json!([{}]),
        "spec.containers[0].envFrom: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`",
    );
    check(&web("envFrom"), json!([{"secretRef": {}}]), "spec.containers[0].envFrom[0].secretRef.name: Required value");
}

#[test]
fn mounts_name_a_volume() {
    check(
        &web("volumeMounts/0/name"),
        json!("nothing"),
        "spec.containers[0].volumeMounts[0].name: Not found: \"nothing\"",
    );
    check(&web("volumeMounts/0/mountPath"), json!(""), "spec.containers[0].volumeMounts[0].mountPath: Required value");
    check(
        &web("volumeMounts/-"),
        json!({"name": "data", "mountPath": "/data"}),
        "spec.containers[0].volumeMounts[1].mountPath: Invalid value: \"/data\": must be unique",
    );
    check(
        &web("volumeMounts/0/subPath"),
        json!("../x"),
        "spec.containers[0].volumeMounts.subPath: Invalid value: \"../x\": must not contain '..'",
    );
    check(
        &web("volumeMounts/0/mountPropagation"),
        json!("Bidirectional"),
        "spec.containers[0].volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation",
    );
    check(
        &web("volumeDevices"),
        json!([{"name": "data", "devicePath": "/dev/x"}]),
        "spec.containers[0].volumeDevices[0].name: Invalid value: \"data\": can only use volume source type",
    );
}

#[test]
fn probes_ask_in_one_way() {
    check(
        &web("livenessProbe/exec"),
        Value::Null,
        "spec.containers[0].livenessProbe: Required value: must specify a handler type",
    );
    check(
        &web("livenessProbe/exec/command"),
        json!([]),
        "spec.containers[0].livenessProbe.exec.command: Required value",
    );
    check(
        &web("livenessProbe/tcpSocket"),
        json!({"port": 80}),
        "spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
    );
    check(
        &web("livenessProbe/successThreshold"),
        json!(2),
        "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
    );
    check(
        &web("livenessProbe/periodSeconds"),
        json!(-1),
        "spec.containers[0].livenessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0",
    );
    check(
        &web("readinessProbe/httpGet/port"),
        json!(0),
        "spec.containers[0].readinessProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive",
    );
    check(
        &web("readinessProbe/httpGet/scheme"),
        json!("FTP"),
        "spec.containers[0].readinessProbe.httpGet.scheme: Unsupported value: \"FTP\": supported values: \"HTTP\", \"HTTPS\"",
    );
    check(
        &web("readinessProbe/terminationGracePeriodSeconds"),
        json!(3),
        "spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 3: must not be set for readinessProbes",
    );
    check(
        &web("lifecycle"),
        json!({"preStop": {}}),
        "spec.containers[0].lifecycle.preStop: Required value: must specify a handler type",
    );
    check(
        &web("lifecycle"),
        json!({"preStop": {"sleep": {"seconds": 31}}}),
        "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)",
    );
}

#[test]
fn amounts_are_quantities_of_known_resources() {
    let at = |field: &str| format!("spec.containers[0].resources.{field}");
    let resources = |limits: Value, requests: Value| json!({"limits": limits, "requests": requests});
    check(
        &web("resources"),
        resources(json!({"cpu": "1"}), json!({"cpu": "2"})),
        &format!("{}: Invalid value: \"2\": must be less than or equal to cpu limit of 1", at("requests")),
    );
    check(
        &web("resources"),
        resources(json!({"cpu": "-1"}), json!({})),
        &format!("{}: Invalid value: \"-1\": must be greater than or equal to 0", at("limits[cpu]")),
    );
    check(
        &web("resources"),
        resources(json!({"cpu": "one"}), json!({})),
        &format!("{}: Invalid value: \"one\": quantities must match", at("limits[cpu]")),
    );
    check(
        &web("resources"),
        resources(json!({"gold": "1"}), json!({})),
        &format!(
            "{}: Invalid value: \"gold\": must be a standard resource type or fully qualified",
            at("limits[gold]")
        ),
    );
    check(
        &web("resources"),
        resources(json!({}), json!({"example.com/gpu": "1"})),
        &format!("{}: Required value: Limit must be set for non overcommitable resources", at("limits")),
    );
    check(
        &web("resources"),
        resources(json!({"example.com/gpu": "1500m"}), json!({})),
        &format!("{}: Invalid value: \"1500m\": must be an integer", at("limits[example.com/gpu]")),
    );
    check(
        "/spec/resources",
        json!({"requests": {"cpu": "50m"}, "limits": {"cpu": "2"}}),
        "spec.resources.requests[cpu]: Invalid value: \"50m\": must be greater than or equal to aggregate container requests of 100m",
    );
}

#[test]
fn volumes_have_a_name_and_one_source() {
    check(
        "/spec/volumes/-",
        json!({"name": "data", "emptyDir": {}}),
        "spec.volumes[1].name: Duplicate value: \"data\"",
    );
    check(
        "/spec/volumes/-",
        json!({"name": "a.b", "emptyDir": {}}),
        "spec.volumes[1].name: Invalid value: \"a.b\": must not contain dots",
    );
    check("/spec/volumes/-", json!({"name": "x"}), "spec.volumes[1]: Required value: must specify a volume type");
    check(
        "/spec/volumes/-",
        json!({"name": "x", "emptyDir": {}, "hostPath": {"path": "/"}}),
        "spec.volumes[1].hostPath: Forbidden: may not specify more than 1 volume type",
    );
    check(
        "/spec/volumes/-",
        json!({"name": "x", "hostPath": {"path": "/a/../b"}}),
        "spec.volumes[1].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
    );
    check(
        "/spec/volumes/-",
        json!({"name": "x", "hostPath": {"path": "/a", "type": "Shelf"}}),
        "spec.volumes[1].hostPath.type: Unsupported value: \"Shelf\"",
    );
    check("/spec/volumes/-", json!({"name": "x", "configMap": {}}), "spec.volumes[1].configMap.name: Required value");
    check(
        "/spec/volumes/-",
        json!({"name": "x", "secret": {"secretName": "s", "defaultMode": 512}}),
        "spec.volumes[1].secret.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
    );
    check(
        "/spec/volumes/-",
        json!({"name": "x", "secret": {"secretName": "s", "items": [{"key": "k", "path": "/a"}]}}),
        "spec.volumes[1].secret.items[0].path: Invalid value: \"/a\": must be a relative path",
    );
    check(
        "/spec/volumes/-",
        json!({"name": "x", "persistentVolumeClaim": {}}),
        "spec.volumes[1].persistentVolumeClaim.claimName: Required value",
    );
    check(
        "/spec/volumes/-",
        json!({"name": "x", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 10}}]}}),
        "spec.volumes[1].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 10: may not specify a duration less than 10 minutes",
    );
    check(
        "/spec/volumes/-",
        json!({"name": "x", "downwardAPI": {"items": [{"path": "p"}]}}),
        "spec.volumes[1].downwardAPI.items[0]: Required value: one of fieldRef and resourceFieldRef is required",
    );
}

#[test]
fn a_pod_says_where_and_how_it_runs() {
    check(
        "/spec/restartPolicy",
        json!("Maybe"),
        "spec.restartPolicy: Unsupported value: \"Maybe\": supported values: \"Always\", \"OnFailure\", \"Never\"",
    );
    check("/spec/dnsPolicy", json!("Any"), "spec.dnsPolicy: Unsupported value: \"Any\"");
    check(
        "/spec/dnsPolicy",
        json!("None"),
        "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
    );
    check(
        "/spec/dnsConfig",
        json!({"nameservers": ["a"]}),
        "spec.dnsConfig.nameservers[0]: Invalid value: \"a\": must be a valid IP address",
    );
    check(
        "/spec/activeDeadlineSeconds",
        json!(0),
        "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive",
    );
    check("/spec/hostname", json!("a.b"), "spec.hostname: Invalid value: \"a.b\": must not contain dots");
    check("/spec/nodeName", json!("A"), "spec.nodeName: Invalid value: \"A\": a lowercase RFC 1123 subdomain");
    check("/spec/nodeSelector", json!({"a b": "c"}), "spec.nodeSelector: Invalid value: \"a b\"");
    check(
        "/spec/hostAliases",
        json!([{"ip": "x", "hostnames": ["a"]}]),
        "spec.hostAliases[0].ip: Invalid value: \"x\": must be a valid IP address",
    );
    check(
        "/spec/schedulingGates",
        json!([{"name": "a"}, {"name": "a"}]),
        "spec.schedulingGates[1]: Duplicate value: \"a\"",
    );
    check(
        "/spec/readinessGates",
        json!([{"conditionType": "a b"}]),
        "spec.readinessGates[0].conditionType: Invalid value: \"a b\"",
    );
    check("/spec/preemptionPolicy", json!("Always"), "spec.preemptionPolicy: Unsupported value: \"Always\"");
    check(
        "/spec/os",
        json!({"name": "beos"}),
        "spec.os.name: Unsupported value: \"beos\": supported values: \"linux\", \"windows\"",
    );
}

#[test]
fn tolerations_and_affinity_are_well_formed() {
    let toleration = |it: Value| json!([it]);
    check(
        "/spec/tolerations",
        toleration(json!({"value": "a"})),
        "spec.tolerations[0].operator: Invalid value: \"\": operator must be Exists when `key` is empty",
    );
    check(
        "/spec/tolerations",
        toleration(json!({"key": "a", "operator": "Exists", "value": "b"})),
        "spec.tolerations[0].operator: Invalid value: \"b\": value must be empty when `operator` is 'Exists'",
    );
    check(
        "/spec/tolerations",
        toleration(json!({"key": "a", "operator": "Like"})),
        "spec.tolerations[0].operator: Unsupported value: \"Like\": supported values: \"Equal\", \"Exists\"",
    );
    check(
        "/spec/tolerations",
        toleration(json!({"key": "a", "effect": "Never"})),
        "spec.tolerations[0].effect: Unsupported value: \"Never\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
    );
    check(
        "/spec/tolerations",
        toleration(json!({"key": "a", "tolerationSeconds": 1})),
        "spec.tolerations[0].effect: Invalid value: \"\": effect must be 'NoExecute' when `tolerationSeconds` is set",
    );
    let node = |term: Value| json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": term}}});
    let at = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    check(
        "/spec/affinity",
        node(json!([])),
        &format!("{at}: Required value: must have at least one node selector term"),
    );
    check(
        "/spec/affinity",
        node(json!([{"matchExpressions": [{"key": "a", "operator": "In"}]}])),
        &format!(
            "{at}[0].matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"
        ),
    );
    check(
        "/spec/affinity",
        node(json!([{"matchExpressions": [{"key": "a", "operator": "Near"}]}])),
        &format!("{at}[0].matchExpressions[0].operator: Invalid value: \"Near\": not a valid selector operator"),
    );
    check(
        "/spec/affinity",
        json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}}),
        "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Required value: can not be empty",
    );
    let term = json!({"topologyKey": "z", "labelSelector": {}, "matchLabelKeys": ["a"], "mismatchLabelKeys": ["a"]});
    check(
        "/spec/affinity",
        json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}),
        "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].matchLabelKeys[0]: Invalid value: \"a\": exists in both matchLabelKeys and mismatchLabelKeys",
    );
    check(
        "/spec/topologySpreadConstraints",
        json!([{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule", "matchLabelKeys": ["a"]}]),
        "spec.topologySpreadConstraints[0].matchLabelKeys: Forbidden: must not be specified when labelSelector is not set",
    );
    let spread = |it: Value| json!([it]);
    check(
        "/spec/topologySpreadConstraints",
        spread(json!({"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"})),
        "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
    );
    check(
        "/spec/topologySpreadConstraints",
        spread(json!({"maxSkew": 1, "topologyKey": "z"})),
        "spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: \"\": supported values: \"DoNotSchedule\", \"ScheduleAnyway\"",
    );
}

#[test]
fn security_contexts_are_consistent() {
    check(
        &web("securityContext"),
        json!({"runAsUser": -1}),
        "spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
    );
    check(
        &web("securityContext"),
        json!({"privileged": true, "allowPrivilegeEscalation": false}),
        "spec.containers[0].securityContext: Invalid value: {\"allowPrivilegeEscalation\":false,\"privileged\":true}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
    );
    check(
        "/spec/securityContext",
        json!({"seccompProfile": {"type": "Localhost"}}),
        "spec.securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost",
    );
    check(
        "/spec/securityContext",
        json!({"sysctls": [{"name": "a b", "value": "1"}]}),
        "spec.securityContext.sysctls[0].name: Invalid value: \"a b\": must have at most 253 characters",
    );
    check(
        "/spec/securityContext",
        json!({"fsGroupChangePolicy": "Never"}),
        "spec.securityContext.fsGroupChangePolicy: Unsupported value: \"Never\"",
    );
}

#[test]
fn some_fields_are_not_for_new_pods() {
    let debugged = with("/spec/ephemeralContainers", json!([{"name": "d", "image": "d"}]));
    assert_eq!(shown(creation(&debugged)), ["spec.ephemeralContainers: Forbidden: cannot be set on create"]);
    let mut gated = with("/spec/schedulingGates", json!([{"name": "a"}]));
    gated["spec"]["nodeName"] = json!("here");
    assert_eq!(
        shown(creation(&gated)),
        ["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"]
    );
}

#[track_caller]
fn check_update(pointer: &str, value: Value, expected: Option<&str>) {
    let found = shown(update(&with(pointer, value.clone()), &base()));
    match expected {
        None => assert_eq!(found, Vec::<String>::new(), "{pointer} = {value}"),
        Some(expected) => assert!(found.iter().any(|fault| fault.starts_with(expected)), "{pointer}: {found:#?}"),
    }
}

#[test]
fn almost_nothing_of_a_pod_may_change() {
    const CLOSED: &str = "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,";
    check_update(&web("image"), json!("web:2"), None);
    check_update("/spec/initContainers/0/image", json!("init:2"), None);
    check_update("/spec/activeDeadlineSeconds", json!(10), None);
    check_update("/spec/tolerations", json!([{"operator": "Exists"}]), None);
    check_update("/spec/nodeName", json!("here"), Some(CLOSED));
    check_update("/spec/restartPolicy", json!("Never"), Some(CLOSED));
    check_update("/spec/terminationGracePeriodSeconds", json!(1), Some(CLOSED));
    check_update(&web("resources/limits/cpu"), json!("2"), Some(CLOSED));
    check_update("/spec/volumes/-", json!({"name": "x", "emptyDir": {}}), Some(CLOSED));
    check_update("/spec/nodeSelector", json!({"a": "b"}), Some(CLOSED));
    check_update(
        "/spec/containers/-",
        json!({"name": "x", "image": "x"}),
        Some("spec.containers: Forbidden: pod updates may not add or remove containers"),
    );
    check_update(
        "/spec/schedulingGates",
        json!([{"name": "a"}]),
        Some("spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'a'"),
    );
    let found = shown(update(&with("/spec/nodeName", json!("here")), &base()));
    assert!(found[0].contains("spec.nodeName: null → \"here\""), "{found:?}");
}

#[test]
fn deadlines_come_nearer_and_tolerations_stay() {
    let old = with("/spec/activeDeadlineSeconds", json!(10));
    let deadline = |seconds: Value| shown(update(&with("/spec/activeDeadlineSeconds", seconds), &old));
    assert_eq!(deadline(json!(5)), Vec::<String>::new());
    assert_eq!(
        deadline(json!(11)),
        ["spec.activeDeadlineSeconds: Invalid value: 11: must be less than or equal to previous value"]
    );
    assert_eq!(
        deadline(Value::Null),
        ["spec.activeDeadlineSeconds: Invalid value: \"null\": must not update from a positive integer to nil value"]
    );
    let old = with(
        "/spec/tolerations",
        json!([{"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 3}]),
    );
    let tolerations = |it: Value| shown(update(&with("/spec/tolerations", it), &old));
    assert_eq!(
        tolerations(json!([{"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 9}])),
        Vec::<String>::new()
    );
    assert_eq!(
        tolerations(json!([])),
        ["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"]
    );
}

#[test]
fn a_gated_pod_may_be_narrowed() {
    let gated = |selector: Value| {
        let mut pod = with("/spec/schedulingGates", json!([{"name": "a"}]));
        pod["spec"]["nodeSelector"] = selector;
        pod
    };
    let old = gated(json!({"zone": "a"}));
    assert_eq!(shown(update(&gated(json!({"zone": "a", "ssd": "yes"})), &old)), Vec::<String>::new());
    let found = shown(update(&gated(json!({"zone": "b"})), &old));
    assert!(
        found[0].starts_with("spec.nodeSelector[zone]: Invalid value: \"b\": only additions are allowed"),
        "{found:?}"
    );
}

#[test]
fn what_has_ended_for_good_stays_ended() {
    let pod = |policy: &str, state: Value| json!({"spec": {"restartPolicy": policy}, "status": {"qosClass": "Burstable", "containerStatuses": [{"name": "a", "state": state}]}});
    let after = |policy: &str, code: i64| {
        shown(status_update(
            &pod(policy, json!({"running": {}})),
            &pod(policy, json!({"terminated": {"exitCode": code}})),
        ))
    };
    let refused = ["status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"];
    assert_eq!(after("Always", 0), Vec::<String>::new());
    assert_eq!(after("OnFailure", 1), Vec::<String>::new());
    assert_eq!(after("OnFailure", 0), refused);
    assert_eq!(after("Never", 1), refused);
    let mut other = pod("Always", json!({}));
    other["status"]["qosClass"] = json!("BestEffort");
    assert_eq!(
        shown(status_update(&other, &pod("Always", json!({})))),
        ["status.qosClass: Invalid value: \"BestEffort\": field is immutable"]
    );
}
