//! Kinds without an operator of their own, through real kubectl: applied, shown, described, explained, deleted.

use anyhow::{Result, ensure};
use sampan_system_tests::{Cluster, Run, Setup};

/// One object of each kind.
const SAMPLES: &str = include_str!("kinds.yaml");

/// What kubectl calls a kind; the row of its sample with `-o wide`, in words, with the age left out where it is in the
/// middle; words of its description; and a field to explain, with words of the explanation.
struct Kind {
    name: &'static str,
    header: &'static str,
    row: &'static str,
    describe: &'static [&'static str],
    explain: (&'static str, &'static str),
}

const fn kind(
    name: &'static str,
    header: &'static str,
    row: &'static str,
    describe: &'static [&'static str],
    explain: (&'static str, &'static str),
) -> Kind {
    Kind { name, header, row, describe, explain }
}

const KINDS: &[Kind] = &[
    kind(
        "svc",
        "NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE SELECTOR",
        "sample ClusterIP <none> 80/TCP <none>",
        &["Type:", "ClusterIP", "IP Families:", "IPv4", "TargetPort:", "web/TCP", "Session Affinity:"],
        ("service.spec.ports.targetPort", "Number or name of the port to access on the pods"),
    ),
    kind("ep", "NAME ENDPOINTS AGE", "sample 10.0.0.1:80", &["Subsets:", "10.0.0.1"], ("ep.subsets", "EndpointSubset")),
    kind(
        "endpointslices",
        "NAME ADDRESSTYPE PORTS ENDPOINTS AGE",
        "sample IPv4 81 10.0.0.2",
        &["AddressType:", "10.0.0.2"],
        ("endpointslice.addressType", "addressType specifies the type of address"),
    ),
    kind(
        "podtemplates",
        "NAME CONTAINERS IMAGES POD LABELS",
        "sample one one:1 app=sample",
        &["Name:"],
        ("podtemplate.template", "PodTemplateSpec"),
    ),
    kind("limits", "NAME CREATED AT", "sample", &["Pod", "cpu", "64"], ("limits.spec.limits", "LimitRangeItem")),
    kind("quota", "NAME REQUEST LIMIT AGE", "sample", &["Resource"], ("quota.spec.hard", "hard is the set")),
    kind(
        "pv",
        "NAME CAPACITY ACCESS MODES RECLAIM POLICY STATUS CLAIM STORAGECLASS VOLUMEATTRIBUTESCLASS REASON AGE VOLUMEMODE",
        "sample 1Gi RWO Retain manual <unset> Filesystem",
        &["StorageClass:", "manual", "HostPath", "/nowhere"],
        ("pv.spec.hostPath.path", "path of the directory on the host"),
    ),
    kind(
        "pvc",
        "NAME STATUS VOLUME CAPACITY ACCESS MODES STORAGECLASS VOLUMEATTRIBUTESCLASS AGE VOLUMEMODE",
        "sample Pending elsewhere <unset> Filesystem",
        &["Status:", "Pending", "VolumeMode:", "Filesystem"],
        ("pvc.spec.accessModes", "accessModes contains the desired access modes"),
    ),
    kind(
        "rc",
        "NAME DESIRED CURRENT READY AGE CONTAINERS IMAGES SELECTOR",
        "sample 0 0 0 one one:1 app=sample",
        &["Replicas:", "0 current / 0 desired"],
        ("rc.spec.selector", "Selector is a label query over pods"),
    ),
    kind(
        "sts",
        "NAME READY AGE CONTAINERS IMAGES",
        "sample 0/0 one one:1",
        &["Replicas:", "0 desired", "Update Strategy:", "RollingUpdate", "Partition:"],
        ("sts.spec.podManagementPolicy", "podManagementPolicy controls how pods are created"),
    ),
    kind(
        "ds",
        "NAME DESIRED CURRENT READY UP-TO-DATE AVAILABLE NODE SELECTOR AGE CONTAINERS IMAGES SELECTOR",
        "sample 0 0 0 0 0 is=nowhere one one:1 app=sample",
        &["Node-Selector:", "is=nowhere"],
        ("ds.spec.updateStrategy", "An update strategy to replace existing DaemonSet pods"),
    ),
    kind(
        "controllerrevisions",
        "NAME CONTROLLER REVISION AGE",
        "sample <none> 3",
        &["Revision:", "3"],
        ("controllerrevision.revision", "Revision indicates the revision of the state"),
    ),
    kind(
        "jobs",
        "NAME STATUS COMPLETIONS DURATION AGE CONTAINERS IMAGES SELECTOR",
        "sample Suspended 0/1 one one:1 batch.kubernetes.io/controller-uid=",
        &["Parallelism:", "Completion Mode:", "NonIndexed", "Suspend:"],
        ("job.spec.backoffLimit", "Specifies the number of retries"),
    ),
    kind(
        "cj",
        "NAME SCHEDULE TIMEZONE SUSPEND ACTIVE LAST SCHEDULE AGE CONTAINERS IMAGES SELECTOR",
        "sample 0 4 * * * Europe/Berlin True 0 <none> one one:1 <none>",
        &["Schedule:", "0 4 * * *", "Concurrency Policy:", "Allow"],
        ("cj.spec.concurrencyPolicy", "how to treat concurrent executions"),
    ),
    kind(
        "pdb",
        "NAME MIN AVAILABLE MAX UNAVAILABLE ALLOWED DISRUPTIONS AGE",
        "sample 50% N/A 0",
        &["Min available:", "50%"],
        ("pdb.spec.minAvailable", "An eviction is allowed if"),
    ),
    kind(
        "hpa",
        "NAME REFERENCE TARGETS MINPODS MAXPODS REPLICAS AGE",
        "sample StatefulSet/sample cpu: <unknown>/80% 1 3 0",
        &["Reference:", "StatefulSet/sample", "Max replicas:", "3"],
        ("hpa.spec.maxReplicas", "maxReplicas is the upper limit"),
    ),
    kind(
        "ing",
        "NAME CLASS HOSTS ADDRESS PORTS AGE",
        "sample sample sample.example.com 80",
        &["Ingress Class:", "sample.example.com", "sample:http"],
        ("ing.spec.rules", "rules is a list of host rules"),
    ),
    kind(
        "ingressclasses",
        "NAME CONTROLLER PARAMETERS AGE",
        "sample example.com/sample <none>",
        &["Controller:", "example.com/sample"],
        ("ingressclass.spec.controller", "controller refers to the name of the controller"),
    ),
    kind(
        "netpol",
        "NAME POD-SELECTOR AGE",
        "sample app=nobody",
        &["PodSelector:", "app=nobody", "Policy Types: Ingress"],
        ("netpol.spec.podSelector", "podSelector selects the pods"),
    ),
    kind(
        "sc",
        "NAME PROVISIONER RECLAIMPOLICY VOLUMEBINDINGMODE ALLOWVOLUMEEXPANSION AGE",
        "sample (default) example.com/sample Delete Immediate false",
        &["IsDefaultClass:", "Yes", "ReclaimPolicy:"],
        ("sc.provisioner", "provisioner indicates the type of the provisioner"),
    ),
    kind(
        "csidrivers",
        "NAME ATTACHREQUIRED PODINFOONMOUNT STORAGECAPACITY TOKENREQUESTS REQUIRESREPUBLISH MODES AGE",
        "sample false false false <unset> false Persistent",
        &["Attach Required:"],
        ("csidriver.spec.attachRequired", "attachRequired indicates"),
    ),
    kind("csinodes", "NAME DRIVERS AGE", "sample 1", &["disk.example.com"], ("csinode.spec.drivers", "CSINodeDriver")),
    kind(
        "volumeattachments",
        "NAME ATTACHER PV NODE ATTACHED AGE",
        "sample disk.example.com sample nowhere false",
        &["Attacher:", "disk.example.com"],
        ("volumeattachment.spec.attacher", "attacher indicates the name"),
    ),
    kind(
        "pc",
        "NAME VALUE GLOBAL-DEFAULT AGE PREEMPTIONPOLICY",
        "sample 1000 false PreemptLowerPriority",
        &["Value:", "1000", "PreemptionPolicy:"],
        ("pc.value", "value represents the integer value"),
    ),
    kind(
        "runtimeclasses",
        "NAME HANDLER AGE",
        "sample runsc",
        &["Handler:"],
        ("runtimeclass.handler", "handler specifies"),
    ),
    kind(
        "mutatingwebhookconfigurations",
        "NAME WEBHOOKS AGE",
        "sample 1",
        &["hooks.example.com", "Reinvocation Policy:"],
        ("mutatingwebhookconfiguration.webhooks", "MutatingWebhook"),
    ),
    kind(
        "validatingwebhookconfigurations",
        "NAME WEBHOOKS AGE",
        "sample 1",
        &["hooks.example.com", "Match Policy:"],
        ("validatingwebhookconfiguration.webhooks", "ValidatingWebhook"),
    ),
    kind(
        "validatingadmissionpolicies",
        "NAME VALIDATIONS PARAMKIND AGE",
        "sample 1 <unset>",
        &["Failure Policy:"],
        ("validatingadmissionpolicy.spec.failurePolicy", "failurePolicy defines how to handle failures"),
    ),
    kind(
        "validatingadmissionpolicybindings",
        "NAME POLICYNAME PARAMREF AGE",
        "sample sample <unset>",
        &["Policy Name:"],
        ("validatingadmissionpolicybinding.spec.policyName", "PolicyName references"),
    ),
    kind(
        "mutatingadmissionpolicies",
        "NAME MUTATIONS PARAMKIND AGE",
        "sample 1 <unset>",
        &["Reinvocation Policy:"],
        ("mutatingadmissionpolicy.spec.reinvocationPolicy", "reinvocationPolicy indicates whether mutations"),
    ),
    kind(
        "mutatingadmissionpolicybindings",
        "NAME POLICYNAME PARAMREF AGE",
        "sample sample <unset>",
        &["Policy Name:"],
        ("mutatingadmissionpolicybinding.spec.policyName", "policyName references"),
    ),
    kind(
        "operatorplugins",
        "NAME PRIMARY STATUS RESTARTS PROBLEM AGE",
        "sample Nothing Waiting 0 the kind Nothing of example.com/v1 is not served yet",
        &["Removal:", "Keep", "Deadline Seconds:"],
        ("operatorplugin.spec.deadlineSeconds", "How long an answer may take"),
    ),
    kind(
        "logoutputs",
        "NAME TARGET DELIVERED WAITING DROPPED PROBLEM AGE",
        "sample fluentd.logging.svc:24224 0 0 0 <none>",
        &["Compression:", "gzip", "Start:", "Creation"],
        ("logoutput.spec.parser.multiline.firstLine", "first line of a record matches"),
    ),
];

#[test]
fn every_kind_is_applied_shown_described_explained_and_deleted() -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    cluster.try_kubectl(&["apply", "-f", "-"], SAMPLES)?.succeeded()?;
    let mut broken = Vec::new();
    for kind in KINDS {
        check(&cluster, kind, &mut broken)?;
    }
    ensure!(broken.is_empty(), "{} broken:\n{}", broken.len(), broken.join("\n"));
    let before = revisions(&cluster)?;
    cluster.try_kubectl(&["apply", "-f", "-"], SAMPLES)?.succeeded()?;
    let after = revisions(&cluster)?;
    ensure!(before.lines().count() == KINDS.len(), "some are missing:\n{before}");
    ensure!(before == after, "a second apply changed something:\n{before}\nis now\n{after}");
    cluster.try_kubectl(&["delete", "-f", "-", "--wait=false"], SAMPLES)?.succeeded()?;
    for kind in KINDS {
        let gone = cluster.try_kubectl(&["wait", kind.name, "sample", "--for=delete", "--timeout=60s"], "")?;
        ensure!(gone.code == 0 || gone.stderr.contains("not found"), "{} stays: {gone:?}", kind.name);
    }
    Ok(())
}

/// The revision of each sample. What kubectl says of an apply is no answer: it calls an object configured wherever the
/// manifest leaves out a default within a list that is replaced as a whole, though nothing of it changes.
fn revisions(cluster: &Cluster) -> Result<String> {
    let each = "jsonpath={range .items[*]}{.kind} {.metadata.resourceVersion}{\"\\n\"}{end}";
    Ok(cluster.try_kubectl(&["get", "-f", "-", "-o", each], SAMPLES)?.succeeded()?.stdout)
}

fn check(cluster: &Cluster, kind: &Kind, broken: &mut Vec<String>) -> Result<()> {
    let mut lacks = |said: &Run, what: &str, missing: Vec<&str>| {
        if said.code != 0 || !missing.is_empty() {
            broken.push(format!("{what} {} lacks {missing:?}:\n{}{}", kind.name, said.stdout, said.stderr));
        }
    };
    let shown = cluster.try_kubectl(&["get", kind.name, "sample", "-o", "wide"], "")?;
    let mut lines = shown.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let (header, row) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let wrong_header = (header != kind.header).then_some(kind.header);
    lacks(&shown, "get", wrong_header.into_iter().chain(missing_in_order(&row, kind.row)).collect());
    let described = cluster.try_kubectl(&["describe", kind.name, "sample"], "")?;
    let missing = kind.describe.iter().copied().filter(|word| !described.stdout.contains(word));
    lacks(&described, "describe", missing.collect());
    let (field, words) = kind.explain;
    let explained = cluster.try_kubectl(&["explain", field], "")?;
    // Explanations are broken into lines.
    let text = explained.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    lacks(&explained, "explain", (!text.contains(words)).then_some(words).into_iter().collect());
    Ok(())
}

/// The words that are not in a row, or not in their order: what stands between them, as an age, is passed over.
fn missing_in_order<'w>(row: &str, words: &'w str) -> Vec<&'w str> {
    let mut rest = row.split(' ');
    words.split(' ').filter(|word| !rest.any(|found| found.starts_with(word))).collect()
}
