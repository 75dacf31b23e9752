//! Who may do what, asked with kubectl.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use sampan_system_tests::cluster::SOON;
use sampan_system_tests::{Cluster, Run, Setup, eventually, run};

/// Runs kubectl with a token and nothing else that says who asks.
fn with_token(cluster: &Cluster, token: &str, arguments: &[&str]) -> Result<Run> {
    let path = anonymous_kubeconfig(cluster)?;
    let mut command = cluster.kubectl_command()?;
    run(command.arg("--kubeconfig").arg(path).args(["--token", token]).args(arguments), "")
}

/// The kubeconfig without the administrator's certificate.
fn anonymous_kubeconfig(cluster: &Cluster) -> Result<PathBuf> {
    let text = std::fs::read_to_string(cluster.kubeconfig()?)?;
    let of_client = |line: &&str| !line.contains("client-certificate-data") && !line.contains("client-key-data");
    let text: String = text.lines().filter(of_client).flat_map(|line| [line, "\n"]).collect();
    let path = cluster.folder().join("anonymous-kubeconfig");
    std::fs::write(&path, text.replace("  user:\n", "  user: {}\n"))?;
    Ok(path)
}

#[test]
fn roles_are_made_bound_asked_for_and_obeyed() -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    for arguments in [
        &["create", "role", "reader", "--verb=get,list", "--resource=configmaps"][..],
        &["create", "rolebinding", "reader", "--role=reader", "--user=ann", "--serviceaccount=default:default"],
        &["create", "clusterrole", "nodes", "--verb=list", "--resource=nodes"],
        &["create", "clusterrolebinding", "nodes", "--clusterrole=nodes", "--group=operators"],
    ] {
        cluster.kubectl(arguments)?;
    }
    let table: &[(&[&str], &str)] = &[
        (&["auth", "can-i", "list", "configmaps", "--as", "ann"], "yes"),
        (&["auth", "can-i", "delete", "configmaps", "--as", "ann"], "no"),
        (&["auth", "can-i", "list", "secrets", "--as", "ann"], "no"),
        (&["auth", "can-i", "list", "configmaps", "--as", "ann", "-n", "kube-system"], "no"),
        (&["auth", "can-i", "list", "nodes", "--as", "ann"], "no"),
        (&["auth", "can-i", "list", "nodes", "--as", "ann", "--as-group", "operators"], "yes"),
        (&["auth", "can-i", "get", "/metrics", "--as", "ann"], "no"),
        (&["auth", "can-i", "*", "*"], "yes"),
        (&["auth", "can-i", "--list", "--as", "ann"], "configmaps"),
        (&["auth", "whoami"], "kubernetes-admin"),
        (&["get", "role", "reader", "-o", "wide"], "CREATED AT"),
        (&["get", "rolebinding", "reader", "-o", "wide"], "Role/reader"),
        (&["describe", "clusterrole", "nodes"], "nodes"),
        (&["describe", "rolebinding", "reader"], "ann"),
    ];
    for (arguments, expected) in table {
        let said = cluster.try_kubectl(arguments, "")?;
        ensure!(said.stdout.contains(expected), "`{}` lacks {expected:?}: {said:?}", said.command);
    }
    let manifest = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: reader, namespace: default}\n\
        rules: [{apiGroups: [\"\"], resources: [secrets], verbs: [get]}]\n";
    cluster.try_kubectl(&["auth", "reconcile", "-f", "-"], manifest)?.succeeded()?;
    cluster.try_kubectl(&["auth", "can-i", "get", "secrets", "--as", "ann"], "")?.says("yes")?;
    cluster.try_kubectl(&["auth", "can-i", "get", "configmaps", "--as", "ann"], "")?.says("yes").map(drop)
}

#[test]
fn admin_edit_and_view_show_what_they_are_made_of() -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    let own = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: crontabs\n  labels: {rbac.authorization.k8s.io/aggregate-to-view: \"true\"}\n\
        rules: [{apiGroups: [stable.example.com], resources: [crontabs], verbs: [get]}]\n";
    cluster.try_kubectl(&["create", "-f", "-"], own)?.succeeded()?;
    for role in ["view", "edit", "admin"] {
        eventually("the role is made of its parts", SOON, || {
            let shown = cluster.kubectl(&["get", "clusterrole", role, "-o", "yaml"])?;
            let whole = shown.contains("crontabs") && shown.contains("deployments/scale");
            Ok(whole.then_some(()))
        })?;
    }
    Ok(())
}

#[test]
fn a_token_opens_what_its_account_may_and_nothing_else() -> Result<()> {
    let cluster = Setup::simulated(1).start()?;
    eventually("the namespace has its account", SOON, || {
        cluster.object("/api/v1/namespaces/default/serviceaccounts/default")
    })?;
    let token = cluster.kubectl(&["create", "token", "default", "--duration=10m"])?;
    let token = token.trim();
    with_token(&cluster, token, &["auth", "whoami"])?.succeeded()?.says("system:serviceaccount:default:default")?;
    with_token(&cluster, token, &["get", "secrets", "-n", "kube-system"])?.failed()?.complains("Forbidden")?;
    with_token(&cluster, token, &["get", "pods"])?.failed()?.complains("cannot list resource \"pods\"")?;
    cluster.kubectl(&["create", "rolebinding", "v", "--clusterrole=view", "--serviceaccount=default:default"])?;
    eventually("the binding holds", SOON, || {
        Ok((with_token(&cluster, token, &["get", "configmaps"])?.code == 0).then_some(()))
    })?;
    with_token(&cluster, token, &["get", "secrets"])?.failed()?.complains("Forbidden")?;
    cluster.kubectl(&["delete", "serviceaccount", "default"])?;
    with_token(&cluster, token, &["get", "configmaps"])?.failed()?.complains("Unauthorized")?;
    with_token(&cluster, "nonsense", &["get", "configmaps"])?.failed()?.complains("Unauthorized")?;
    let bound = cluster.list("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings")?;
    ensure!(!bound.is_empty(), "there are bindings");
    Ok(())
}

#[test]
fn a_pod_finds_its_token_and_who_it_is() -> Result<()> {
    let cluster = Setup::docker().start()?;
    let pod = sampan_system_tests::manifest::pod("asks", &["sleep", "600"]);
    cluster.try_kubectl(&["create", "-f", "-"], &pod)?.succeeded()?;
    cluster.kubectl(&["wait", "--for=condition=Ready", "pod/asks", "--timeout=60s"])?;
    let shown = cluster.object("/api/v1/namespaces/default/pods/asks")?.context("no pod")?;
    let mount = "/var/run/secrets/kubernetes.io/serviceaccount";
    ensure!(shown.to_string().contains(mount), "nothing is mounted: {shown}");
    let read = |file: &str| cluster.kubectl(&["exec", "asks", "--", "/demo", "cat", &format!("{mount}/{file}")]);
    ensure!(read("namespace")? == "default");
    ensure!(read("ca.crt")?.contains("BEGIN CERTIFICATE"));
    let token = read("token")?;
    let who = with_token(&cluster, token.trim(), &["auth", "whoami", "-o", "yaml"])?.succeeded()?.stdout;
    for expected in ["system:serviceaccount:default:default", "authentication.kubernetes.io/pod-name", "asks"] {
        ensure!(who.contains(expected), "{who}");
    }
    cluster.kubectl(&["delete", "pod", "asks", "--wait"])?;
    with_token(&cluster, token.trim(), &["auth", "whoami"])?.failed()?.complains("Unauthorized").map(drop)
}
