//! The rules of Services in a kernel: a node, two pods on its bridge and a stranger, each a network namespace of its own.
//!
//! No process but nft has a part in it, so what is shown here holds as well when Sampan is killed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may end with a panic")]

mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sampan_nodeagent::proxy::element::{Key, Map, Value};
use sampan_nodeagent::proxy::frontend::{Backend, Door, Fate, Frontend, Network};
use sampan_nodeagent::proxy::table::{Batch, Table};
use sampan_nodeagent::proxy::{Ground, changes, draws, whole};

use self::world::{NODE_OUTSIDE, TABLE, World, ground};

const VIP: &str = "10.96.0.7";
/// A client's endpoint is forgotten after this many seconds.
const STICKY_SECONDS: u32 = 5;

/// Sends a datagram from one and the same port for each line it is told, and says what comes back.
const ASKS_BY_DATAGRAM: &str = "\
import socket, sys
door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
door.settimeout(2)
door.connect((sys.argv[1], int(sys.argv[2])))
for _ in sys.stdin:
    door.send(b'who')
    try:
        print(door.recv(64).decode().strip())
    except OSError as error:
        print(error)
";

fn door(address: Option<&str>, port: u16) -> Door {
    Door { address: address.map(|text| text.parse().unwrap()), protocol: "tcp", port }
}

fn led(door: Door, to: &[&str]) -> Frontend {
    let last = |name: &str| if name == "a" { 11 } else { 12 };
    let backends: BTreeSet<Backend> = to
        .iter()
        .map(|name| Backend { address: [10, 1, 0, last(name)].into(), port: 8080, is_remote: false })
        .collect();
    let fate = if backends.is_empty() { Fate::Refused } else { Fate::Led(backends) };
    Frontend { door, is_own: true, fate, sticky_seconds: None, admitted: None }
}

fn both(to: &[&str]) -> Vec<Frontend> {
    vec![led(door(Some(VIP), 80), to), led(door(None, 30080), to)]
}

#[test]
fn pods_the_node_and_strangers_reach_a_service_and_are_spread_evenly() {
    let Some(mut world) = World::new() else { return };
    world.begin(true);
    world.set("web", &both(&["a", "b"]));
    for (from, at) in [
        ("a", "10.96.0.7:80"),
        ("b", "10.96.0.7:80"),
        ("node", "10.96.0.7:80"),
        ("out", "192.0.2.1:30080"),
        ("node", "192.0.2.1:30080"),
        ("node", "127.0.0.1:30080"),
        ("a", "192.0.2.1:30080"),
    ] {
        let counts = world.poll(from, at, 40);
        let (a, b) = (counts.get("a").copied().unwrap_or(0), counts.get("b").copied().unwrap_or(0));
        // Five standard deviations: by chance it is further off once in a million and a half.
        assert!(a + b == 40 && (5..=35).contains(&a), "{from} to {at}: {counts:?}");
    }
}

#[test]
fn datagrams_are_led_as_connections_are_and_leave_no_mark() {
    let Some(mut world) = World::new() else { return };
    world.begin(true);
    world.nft("add table ip after");
    world.nft("add chain ip after seen { type filter hook postrouting priority 300; }");
    world.nft("add rule ip after seen meta mark != 0 drop");
    let udp = |address, port| Door { protocol: "udp", ..door(address, port) };
    world.set("names", &[led(udp(Some(VIP), 53), &["a", "b"]), led(udp(None, 30053), &["a", "b"])]);
    for (from, at) in [("a", "10.96.0.7:53"), ("node", "10.96.0.7:53"), ("out", "192.0.2.1:30053")] {
        let answers: BTreeSet<String> = (0..30).map(|_| world.ask_by_datagram(from, at)).collect();
        assert_eq!(answers, BTreeSet::from(["a".to_owned(), "b".to_owned()]), "{from} to {at}");
    }
}

#[test]
fn datagrams_of_one_client_are_led_anew_when_their_endpoint_goes() {
    let Some(mut world) = World::new() else { return };
    world.begin(true);
    let names = |to: &[&str]| {
        let door = |address, port| Door { protocol: "udp", ..door(address, port) };
        [led(door(Some(VIP), 53), to), led(door(None, 30053), to)]
    };
    world.set("names", &names(&["a"]));
    for (from, at) in [("out", "192.0.2.1:30053"), ("a", "10.96.0.7:53")] {
        let (address, port) = at.split_once(':').unwrap();
        let mut client = Command::new("ip");
        client.args(["netns", "exec", &world.names[from], "timeout", "20", "python3", "-uc", ASKS_BY_DATAGRAM]);
        let mut client = client.args([address, port]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut answers = BufReader::new(client.stdout.take().unwrap()).lines();
        let mut ask = || {
            client.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
            answers.next().and_then(Result::ok).unwrap_or_default()
        };
        world.set("names", &names(&["a"]));
        assert_eq!(ask(), "a", "{from} to {at}");
        world.set("names", &names(&["b"]));
        assert_eq!(ask(), "b", "{from} to {at}");
        client.kill().unwrap();
        client.wait().unwrap();
    }
}

#[test]
fn where_the_bridge_bypasses_the_rules_the_node_stands_between() {
    let Some(mut world) = World::new() else { return };
    world.begin(false);
    world.set("web", &both(&["a", "b"]));
    let counts = world.poll("a", "10.96.0.7:80", 30);
    assert_eq!(counts.keys().collect::<Vec<_>>(), ["a", "b"], "{counts:?}");
}

#[test]
fn a_change_is_followed_by_the_next_connection_and_nobody_left_is_a_refusal() {
    let Some(mut world) = World::new() else { return };
    world.begin(true);
    world.set("web", &both(&["a", "b"]));
    let batch = world.set("web", &both(&["b"]));
    assert!(batch.removed.len() + batch.added.len() <= 16, "{batch:?}");
    assert_eq!(world.poll("node", "10.96.0.7:80", 10).keys().collect::<Vec<_>>(), ["b"]);
    world.set("web", &both(&[]));
    for (from, at) in [("a", "10.96.0.7:80"), ("node", "10.96.0.7:80"), ("out", "192.0.2.1:30080")] {
        let answer = world.ask(from, at);
        assert!(answer.contains("Connection refused"), "{from} to {at}: {answer}");
    }
    world.set("web", &both(&["a"]));
    assert_eq!(world.ask("a", "10.96.0.7:80"), "a");
    world.set("web", &[]);
    assert!(!["a", "b"].contains(&world.ask("node", "10.96.0.7:80").as_str()));
}

/// Strangers' machines, and those that lead to them, might answer for everybody.
#[test]
fn what_a_service_has_not_at_its_own_address_is_refused() {
    let Some(mut world) = World::new() else { return };
    world.begin(true);
    world.set("web", &both(&["a"]));
    for from in ["a", "node"] {
        assert_eq!(world.ask(from, "10.96.0.7:80"), "a", "{from}");
        let other_port = world.ask(from, "10.96.0.7:81");
        assert!(other_port.contains("Connection refused"), "{from}: {other_port}");
        let other_protocol = world.ask_by_datagram(from, "10.96.0.7:80");
        assert!(other_protocol.contains("Connection refused"), "{from}: {other_protocol}");
    }
    let mut shared = both(&["a"]);
    shared.push(led(door(Some("10.96.0.7"), 443), &["b"]));
    world.set("web", &shared);
    world.set("web", &both(&["a"]));
    let still = world.ask("a", "10.96.0.7:443");
    assert!(still.contains("Connection refused"), "an address is owned while one door is left: {still}");
    world.set("web", &[]);
    let nobodys = world.ask("a", "10.96.0.7:81");
    assert!(!nobodys.contains("Connection refused"), "an address nobody has is the network's: {nobodys}");
}

#[test]
fn a_client_stays_with_its_endpoint_until_it_has_been_away() {
    let Some(mut world) = World::new() else { return };
    world.begin(true);
    let sticky = |to: &[&str]| {
        let frontends = both(to).into_iter();
        frontends.map(|it| Frontend { sticky_seconds: Some(STICKY_SECONDS), ..it }).collect::<Vec<_>>()
    };
    world.set("web", &sticky(&["a", "b"]));
    for (from, at) in [("node", "10.96.0.7:80"), ("out", "192.0.2.1:30080")] {
        let first = world.poll(from, at, 20);
        assert_eq!(first.len(), 1, "{from} to {at}: {first:?}");
        let (stays, other) = if first.contains_key("a") { ("a", "b") } else { ("b", "a") };
        // Writing the table anew, as an agent that starts does, forgets nobody.
        world.begin(true);
        assert_eq!(world.poll(from, at, 10).keys().collect::<Vec<_>>(), [stays]);
        world.set("web", &sticky(&[other]));
        assert_eq!(world.poll(from, at, 3).keys().collect::<Vec<_>>(), [other]);
        world.set("web", &sticky(&["a", "b"]));
        assert_eq!(world.poll(from, at, 10).keys().collect::<Vec<_>>(), [other]);
    }
    let away = Duration::from_secs(u64::from(STICKY_SECONDS) + 1);
    let first = world.ask("b", "10.96.0.7:80");
    let until = Instant::now() + Duration::from_secs(60);
    while world.ask("b", "10.96.0.7:80") == first {
        assert!(Instant::now() < until, "a client that was away for long is still with {first}");
        std::thread::sleep(away);
    }
}

#[test]
fn pods_do_not_reach_what_listens_on_the_nodes_loopback() {
    let Some(mut world) = World::new() else { return };
    world.begin(true);
    let home = world.folder.path().join("secret");
    std::fs::create_dir_all(&home).unwrap();
    std::fs::write(home.join("index.html"), "secret").unwrap();
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &world.names["node"], "busybox", "httpd", "-f", "-p", "127.0.0.1:9090", "-h"]);
    world.servers.push(command.arg(home).spawn().unwrap());
    let until = Instant::now() + Duration::from_secs(10);
    while world.ask("node", "127.0.0.1:9090") != "secret" {
        assert!(Instant::now() < until, "the server on the loopback does not answer");
    }
    // The pod says so to its gateway: without the guard the node would take it in.
    world.on(
        "a",
        "sysctl -qw net.ipv4.conf.all.route_localnet=1; ip address del 127.0.0.1/8 dev lo; \
         ip route add 127.0.0.1/32 via 10.1.0.1 src 10.1.0.11; ip route del table local 127.0.0.0/8 dev lo || true",
    );
    assert_ne!(world.ask("a", "127.0.0.1:9090"), "secret");
}

fn admitting(frontend: Frontend, networks: &[(&str, u8)]) -> Frontend {
    let network = |(first, prefix): &(&str, u8)| Network { first: first.parse().unwrap(), prefix: *prefix };
    Frontend { admitted: Some(networks.iter().map(network).collect()), is_own: false, ..frontend }
}

#[test]
fn a_balancers_address_admits_whom_its_service_says_and_no_other_door_is_closed() {
    let Some(mut world) = World::new() else { return };
    world.begin(true);
    world.on("out", &format!("ip route add 198.51.100.7/32 via {NODE_OUTSIDE}"));
    let balancer = |networks: &[(&str, u8)]| {
        let balanced = admitting(led(door(Some("198.51.100.7"), 80), &["a"]), networks);
        [&both(&["a"])[..], &[balanced]].concat()
    };
    world.set("web", &balancer(&[("192.0.2.0", 30), ("203.0.113.0", 24)]));
    assert_eq!(world.ask("out", "198.51.100.7:80"), "a");
    assert_ne!(world.ask("b", "198.51.100.7:80"), "a", "a pod is not of those admitted");
    world.set("web", &balancer(&[("10.1.0.12", 32)]));
    for from in ["out", "node", "a"] {
        assert_ne!(world.ask(from, "198.51.100.7:80"), "a", "{from} is not of those admitted");
    }
    assert_eq!(world.ask("b", "198.51.100.7:80"), "a");
    assert_eq!(world.ask("out", "192.0.2.1:30080"), "a");
    assert_eq!(world.ask("b", "10.96.0.7:80"), "a");
}

#[test]
fn what_the_kernel_is_told_is_what_nft_would_have_written() {
    let Some(world) = World::new() else { return };
    let tables = ["told", "written"].map(|name| (name, Ground { table: name.to_owned(), ..ground(true) }));
    for (_, ground) in &tables {
        world.nft(&whole(ground, &Batch::default()));
    }
    let mut table = Table::default();
    let key = |name: &str| ("demo".to_owned(), name.to_owned());
    let mut change = |name: &str, frontends: &[Frontend]| {
        let batch = table.set(&key(name), frontends);
        world.nft(&changes("written", &batch));
        world.nft(&draws("told", &batch));
        world.tell("told", &batch).unwrap();
        let [told, written] = ["told", "written"].map(|name| {
            let listed = world.on("node", &format!("nft -n list table ip {name}"));
            let mut lines: Vec<String> = listed.lines().skip(1).map(str::to_owned).collect();
            lines.retain(|line| !line.trim().is_empty());
            lines
        });
        assert_eq!(told, written, "{name}");
        told.len()
    };
    let remote = Backend { address: [10, 2, 0, 9].into(), port: 443, is_remote: true };
    let far = Fate::Led(BTreeSet::from([remote]));
    let udp = |address, port| Door { protocol: "udp", ..door(address, port) };
    let sctp = |address, port| Door { protocol: "sctp", ..door(address, port) };
    let dropped = |door| Frontend { fate: Fate::Dropped, ..led(door, &[]) };
    let with = |fate: &Fate, door| Frontend { fate: fate.clone(), ..led(door, &["a"]) };
    change("web", &both(&["a", "b"]));
    change("names", &[led(udp(Some(VIP), 53), &["a", "b"]), led(udp(None, 30053), &["b"])]);
    change("far", &[with(&far, sctp(Some("10.96.0.8"), 99)), with(&far, door(Some("10.96.0.8"), 443))]);
    change("sticky", &[Frontend { sticky_seconds: Some(5), ..led(door(Some("10.96.0.9"), 80), &["a", "b"]) }]);
    change("nobody", &[led(door(Some("10.96.0.10"), 80), &[]), led(door(None, 30081), &[])]);
    change("nobody here", &[dropped(door(Some("10.96.0.11"), 80)), dropped(door(None, 30082))]);
    let admitted = [("10.0.0.0", 8), ("192.0.2.7", 32), ("172.16.0.0", 12)];
    change("balanced", &[admitting(led(door(Some("198.51.100.7"), 80), &["a"]), &admitted)]);
    let most = change("web", &both(&["b"]));
    for name in ["web", "names", "far", "sticky", "nobody", "balanced"] {
        change(name, &[]);
    }
    let least = change("nobody here", &[]);
    assert!(least < most, "{least} lines of {most}: nothing was taken away");
}

#[test]
fn what_the_kernel_refuses_is_refused_as_a_whole() {
    let Some(mut world) = World::new() else { return };
    world.begin(true);
    world.set("web", &both(&["a"]));
    let listed = || world.on("node", &format!("nft list table ip {TABLE}"));
    let (before, stranger) = (listed(), (Map::Hairpins, Key::Twice([10, 9, 9, 9].into())));
    let another = (Map::Hairpins, Key::Twice([10, 8, 8, 8].into()));
    let batch = Batch {
        removed: BTreeSet::from([stranger]),
        added: BTreeMap::from([(another, Value::Nothing)]),
        ..Batch::default()
    };
    let refused = world.tell(TABLE, &batch).unwrap_err();
    assert_eq!((refused.kind(), listed()), (std::io::ErrorKind::NotFound, before));
}

#[test]
fn the_rules_are_removed_and_no_others() {
    let Some(world) = World::new() else { return };
    world.nft("add table ip others\nadd chain ip others kept\n");
    world.begin(true);
    world.nft(&sampan_nodeagent::proxy::removal(TABLE));
    let left = world.on("node", "nft list tables");
    assert_eq!(left.trim(), "table ip others");
}
