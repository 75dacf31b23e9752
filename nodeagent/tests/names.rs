//! The cluster's name server, asked over the network as pods ask it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_server::net::runtime::TokioRuntimeProvider;
use hickory_server::net::{DnsError, NetError};
use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::RecordType::{A, AAAA, CNAME, PTR, SOA, SRV, TXT};
use hickory_server::proto::rr::{Name, RecordType};
use kube::runtime::watcher::Event;
use sampan_nodeagent::dns::{self, Door, Names};
use sampan_nodeagent::services::{Directory, News};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// An address of the loopback network for this process alone; the last number tells servers of one test apart.
fn own_address(test: u8, server: u8) -> IpAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high | 0x80, low, test << 4 | server).into()
}

fn service(namespace: &str, name: &str, spec: Value) -> News {
    let object = json!({"metadata": {"namespace": namespace, "name": name}, "spec": spec});
    News::Service(Box::new(Event::Apply(serde_json::from_value(object).expect("a Service"))))
}

fn slice(namespace: &str, service: &str, name: &str, endpoints: Value) -> News {
    let object = json!({
        "addressType": "IPv4", "endpoints": endpoints,
        "metadata": {"namespace": namespace, "name": name, "labels": {"kubernetes.io/service-name": service}},
        "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}],
    });
    News::Slice(Box::new(Event::Apply(serde_json::from_value(object).expect("an EndpointSlice"))))
}

fn shop() -> Vec<News> {
    let cluster_ip =
        |address: &str, ports: Value| json!({"clusterIP": address, "clusterIPs": [address], "ports": ports});
    vec![
        service(
            "shop",
            "web",
            cluster_ip(
                "10.96.0.7",
                json!([
            {"name": "http", "port": 80}, {"name": "lookup", "port": 53, "protocol": "UDP"}, {"port": 9}]),
            ),
        ),
        service("shop", "db", cluster_ip("None", json!([{"name": "sql", "port": 5432}]))),
        service("shop", "empty", cluster_ip("None", json!([]))),
        service("shop", "away", json!({"type": "ExternalName", "externalName": "www.far.test"})),
        service("shop", "near", json!({"type": "ExternalName", "externalName": "web.shop.svc.cluster.local"})),
        slice(
            "shop",
            "db",
            "db-a",
            json!([
            {"addresses": ["10.88.0.1"], "hostname": "db-0", "conditions": {"ready": true}},
            {"addresses": ["10.88.0.2"], "hostname": "db-1", "conditions": {"ready": false}}]),
        ),
        slice("shop", "db", "db-b", json!([{"addresses": ["10.88.0.3"]}])),
        slice("shop", "web", "web-a", json!([{"addresses": ["10.88.0.9"], "conditions": {"ready": true}}])),
    ]
}

fn everything_is_shown() -> [News; 4] {
    [
        News::Service(Box::new(Event::Init)),
        News::Slice(Box::new(Event::Init)),
        News::Service(Box::new(Event::InitDone)),
        News::Slice(Box::new(Event::InitDone)),
    ]
}

struct Server {
    directory: Arc<Directory>,
    resolver: TokioResolver,
    _end: tokio_util::sync::DropGuard,
}

impl Server {
    /// A server of `domain` that passes other questions to the server at `upstream`.
    async fn start(at: IpAddr, domain: &str, upstream: Option<IpAddr>) -> Self {
        let directory = Arc::new(Directory::default());
        let folder = tempfile::tempdir().expect("a folder");
        let resolv_conf = folder.keep().join("resolv.conf");
        let lines = upstream.map(|address| format!("nameserver {at}\nnameserver {address}\n"));
        std::fs::write(&resolv_conf, lines.unwrap_or_default()).expect("resolv.conf is written");
        let names = Names::new(directory.clone(), domain, resolv_conf, at).expect("a domain");
        let (door, shutdown) = (Door::open(at).await.expect("port 53 is free"), CancellationToken::new());
        tokio::spawn(dns::serve(door, names, shutdown.clone()));
        let config = ResolverConfig::from_name_servers(vec![NameServerConfig::udp_and_tcp(at)]);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        builder.options_mut().use_hosts_file = ResolveHosts::Never;
        builder.options_mut().cache_size = 0;
        builder.options_mut().attempts = 1;
        let resolver = builder.build().expect("a resolver");
        Self { directory, resolver, _end: shutdown.drop_guard() }
    }

    /// The answers, sorted, or what is said instead.
    async fn ask(&self, name: &str, kind: RecordType) -> String {
        let name = Name::from_ascii(format!("{name}.")).expect("a name");
        match self.resolver.lookup(name, kind).await {
            Ok(found) => {
                let mut answers: Vec<String> = found.answers().iter().map(|record| record.data.to_string()).collect();
                answers.sort();
                answers.join(", ")
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(nothing))) => match nothing.response_code {
                ResponseCode::NoError => format!("nothing for {:?} s", nothing.negative_ttl.unwrap_or(0)),
                ResponseCode::NXDomain => format!("no such name for {:?} s", nothing.negative_ttl.unwrap_or(0)),
                other => format!("{other:?}"),
            },
            Err(error) => error.to_string(),
        }
    }
}

#[tokio::test]
async fn every_form_of_name_is_answered() {
    let server = Server::start(own_address(1, 1), "cluster.local", None).await;
    server.directory.take(everything_is_shown());
    server.directory.take(shop());
    let sql = "0 100 5432 10-88-0-3.db.shop.svc.cluster.local., 0 100 5432 db-0.db.shop.svc.cluster.local.";
    for (name, kind, expected) in [
        ("web.shop.svc.cluster.local", A, "10.96.0.7"),
        ("WEB.Shop.svc.Cluster.local", A, "10.96.0.7"),
        ("web.shop.svc.cluster.local", AAAA, "nothing for 5 s"),
        ("web.shop.svc.cluster.local", SRV, "nothing for 5 s"),
        ("web.other.svc.cluster.local", A, "no such name for 5 s"),
        ("nobody.shop.svc.cluster.local", A, "no such name for 5 s"),
        ("_http._tcp.web.shop.svc.cluster.local", SRV, "0 100 80 web.shop.svc.cluster.local."),
        ("_lookup._udp.web.shop.svc.cluster.local", SRV, "0 100 53 web.shop.svc.cluster.local."),
        ("_http._udp.web.shop.svc.cluster.local", SRV, "no such name for 5 s"),
        ("_tcp.web.shop.svc.cluster.local", SRV, "nothing for 5 s"),
        ("db.shop.svc.cluster.local", A, "10.88.0.1, 10.88.0.3"),
        ("db-0.db.shop.svc.cluster.local", A, "10.88.0.1"),
        ("db-1.db.shop.svc.cluster.local", A, "no such name for 5 s"),
        ("10-88-0-3.db.shop.svc.cluster.local", A, "10.88.0.3"),
        ("10-88-0-9.web.shop.svc.cluster.local", A, "no such name for 5 s"),
        ("_sql._tcp.db.shop.svc.cluster.local", SRV, sql),
        ("empty.shop.svc.cluster.local", A, "nothing for 5 s"),
        ("near.shop.svc.cluster.local", A, "10.96.0.7, web.shop.svc.cluster.local."),
        ("near.shop.svc.cluster.local", CNAME, "web.shop.svc.cluster.local."),
        ("shop.svc.cluster.local", A, "nothing for 5 s"),
        ("other.svc.cluster.local", A, "no such name for 5 s"),
        ("svc.cluster.local", A, "nothing for 5 s"),
        ("10-1-2-3.shop.pod.cluster.local", A, "10.1.2.3"),
        ("ten.shop.pod.cluster.local", A, "no such name for 5 s"),
        ("dns-version.cluster.local", TXT, "1.1.0"),
        ("cluster.local", SOA, "ns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5"),
        ("7.0.96.10.in-addr.arpa", PTR, "web.shop.svc.cluster.local."),
        ("1.0.88.10.in-addr.arpa", PTR, "db-0.db.shop.svc.cluster.local."),
        ("3.0.88.10.in-addr.arpa", PTR, "10-88-0-3.db.shop.svc.cluster.local."),
        ("one.two.three.cluster.local", A, "no such name for 5 s"),
    ] {
        assert_eq!(server.ask(name, kind).await, expected, "{kind} {name}");
    }
}

#[tokio::test]
async fn names_follow_what_changes() {
    let server = Server::start(own_address(2, 1), "cluster.local", None).await;
    let web = "web.shop.svc.cluster.local";
    let before = server.ask(web, RecordType::A).await;
    assert!(before.contains("Server Failure"), "before everything is known nothing is denied: {before}");

    server.directory.take(everything_is_shown());
    assert_eq!(server.ask(web, RecordType::A).await, "no such name for 5 s");
    server.directory.take(shop());
    assert_eq!(server.ask(web, RecordType::A).await, "10.96.0.7");
    server.directory.take([slice("shop", "db", "db-a", json!([{"addresses": ["10.88.0.4"], "hostname": "db-0"}]))]);
    assert_eq!(server.ask("db-0.db.shop.svc.cluster.local", RecordType::A).await, "10.88.0.4");
    assert_ne!(server.ask("1.0.88.10.in-addr.arpa", RecordType::PTR).await, "db-0.db.shop.svc.cluster.local.");
    server.directory.take(everything_is_shown());
    assert_eq!(server.ask(web, RecordType::A).await, "no such name for 5 s", "a listing without it");
}

#[tokio::test]
async fn names_beyond_the_cluster_are_asked_of_the_hosts_servers() {
    let (near, far) = (own_address(3, 1), own_address(3, 2));
    let upstream = Server::start(far, "far.test", None).await;
    upstream.directory.take(everything_is_shown());
    upstream.directory.take([service("shop", "web", json!({"clusterIP": "10.9.9.9", "clusterIPs": ["10.9.9.9"]}))]);
    let server = Server::start(near, "cluster.local", Some(far)).await;
    server.directory.take(everything_is_shown());
    server.directory.take([service(
        "a",
        "b",
        json!({"type": "ExternalName", "externalName": "web.shop.svc.far.test"}),
    )]);

    assert_eq!(server.ask("web.shop.svc.far.test", RecordType::A).await, "10.9.9.9");
    assert_eq!(server.ask("nobody.shop.svc.far.test", RecordType::A).await, "no such name for 5 s");
    assert_eq!(server.ask("b.a.svc.cluster.local", RecordType::A).await, "10.9.9.9, web.shop.svc.far.test.");
    assert_eq!(server.ask("9.9.9.10.in-addr.arpa", RecordType::PTR).await, "web.shop.svc.far.test.");
}

#[tokio::test]
async fn an_answer_too_large_for_a_datagram_comes_whole() {
    let server = Server::start(own_address(4, 1), "cluster.local", None).await;
    server.directory.take(everything_is_shown());
    let many: Vec<Value> = (1..=100).map(|host| json!({"addresses": [format!("10.88.1.{host}")]})).collect();
    let db = json!({"clusterIP": "None", "clusterIPs": ["None"]});
    server.directory.take([service("shop", "db", db), slice("shop", "db", "db-a", Value::Array(many))]);
    let answers = server.ask("db.shop.svc.cluster.local", RecordType::A).await;
    assert_eq!(answers.split(", ").count(), 100, "{answers}");
}
