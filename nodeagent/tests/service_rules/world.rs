//! A node, two pods on its bridge and a stranger.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use sampan_nodeagent::proxy::frontend::Frontend;
use sampan_nodeagent::proxy::netlink::Line;
use sampan_nodeagent::proxy::table::{Batch, Table};
use sampan_nodeagent::proxy::{Ground, draws, forgetting, whole};

/// The node's address for strangers.
pub(crate) const NODE_OUTSIDE: &str = "192.0.2.1";
/// The table in the node's kernel.
pub(crate) const TABLE: &str = "sampan_rules_test";

/// A small world; it is taken away when the test ends.
pub(crate) struct World {
    pub(crate) names: BTreeMap<&'static str, String>,
    pub(crate) servers: Vec<Child>,
    pub(crate) folder: tempfile::TempDir,
    table: Table,
}

/// Answers each datagram with a word.
const ANSWERS_DATAGRAMS: &str = "\
import socket, sys
door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
door.bind(('', 8080))
while True:
    _, client = door.recvfrom(64)
    door.sendto(sys.argv[1].encode() + b'\\n', client)
";

impl World {
    /// Nothing where this machine does not let us make one.
    pub(crate) fn new() -> Option<Self> {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let name = |part: &str| format!("sprules{}-{serial}-{part}", std::process::id());
        let names: BTreeMap<&str, String> =
            ["node", "a", "b", "out"].into_iter().map(|part| (part, name(part))).collect();
        if !run("ip", &["netns", "add", &names["node"]]).1 {
            let required = std::env::var("SAMPAN_TEST_DOCKER").is_ok_and(|value| value == "required");
            assert!(!required, "this test needs network namespaces, and none can be made");
            eprintln!("NOT RUN: network namespaces cannot be made here");
            return None;
        }
        let mut world =
            Self { names, servers: Vec::new(), folder: tempfile::tempdir().unwrap(), table: Table::default() };
        for part in ["a", "b", "out"] {
            world.must(&["ip", "netns", "add", &world.names[part]]);
        }
        world.wire();
        for part in ["a", "b"] {
            world.serve(part);
        }
        Some(world)
    }

    fn wire(&self) {
        self.on(
            "node",
            "ip link set lo up; ip link add br-own type bridge; ip address add 10.1.0.1/24 dev br-own; \
             ip link set br-own up;  \
             sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.br-own.route_localnet=1",
        );
        for (part, last) in [("a", 11), ("b", 12)] {
            let name = &self.names[part];
            self.on("node", &format!("ip link add c{part} type veth peer name eth0 netns {name}; \
                 ip link set c{part} master br-own; ip link set c{part} type bridge_slave hairpin on; ip link set c{part} up"));
            self.on(
                part,
                &format!(
                    "ip link set lo up; ip address add 10.1.0.{last}/24 dev eth0; ip link set eth0 up; \
                 ip route add default via 10.1.0.1"
                ),
            );
        }
        let out = &self.names["out"];
        self.on(
            "node",
            &format!(
                "ip link add cout type veth peer name eth0 netns {out}; \
             ip address add {NODE_OUTSIDE}/24 dev cout; ip link set cout up; ip route add default via 192.0.2.2"
            ),
        );
        self.on(
            "out",
            &format!(
                "ip link set lo up; ip address add 192.0.2.2/24 dev eth0; ip link set eth0 up; \
             ip route add default via {NODE_OUTSIDE}"
            ),
        );
    }

    /// Answers with the pod's name.
    fn serve(&mut self, part: &'static str) {
        let home = self.folder.path().join(part);
        std::fs::create_dir_all(&home).unwrap();
        std::fs::write(home.join("index.html"), part).unwrap();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.names[part], "busybox", "httpd", "-f", "-p", "8080", "-h"]).arg(home);
        self.servers.push(command.spawn().unwrap());
        let mut datagrams = Command::new("ip");
        datagrams.args(["netns", "exec", &self.names[part], "python3", "-c", ANSWERS_DATAGRAMS, part]);
        self.servers.push(datagrams.spawn().unwrap());
        let direct = if part == "a" { "10.1.0.11:8080" } else { "10.1.0.12:8080" };
        let until = Instant::now() + Duration::from_secs(10);
        while self.ask("node", direct) != part || self.ask_by_datagram("node", direct) != part {
            assert!(Instant::now() < until, "the server of {part} does not answer");
        }
    }

    pub(crate) fn on(&self, part: &str, script: &str) -> String {
        let (said, went) = run("ip", &["netns", "exec", &self.names[part], "sh", "-ec", script]);
        assert!(went, "{script}: {said}");
        said
    }

    fn must(&self, command: &[&str]) {
        let (said, went) = run(command[0], &command[1..]);
        assert!(went, "{command:?}: {said}");
    }

    pub(crate) fn nft(&self, script: &str) {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.names["node"], "nft", "-f", "-"]);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}\n{script}", String::from_utf8_lossy(&output.stderr));
    }

    /// Writes the table as a whole, on a bridge whose frames pass the rules, or do not.
    pub(crate) fn begin(&self, rules_see_bridge: bool) {
        let switch = u8::from(rules_see_bridge);
        self.on("node", &format!("sysctl -qw net.bridge.bridge-nf-call-iptables={switch}"));
        self.nft(&whole(&ground(rules_see_bridge), &self.table.whole()));
    }

    pub(crate) fn set(&mut self, service: &str, frontends: &[Frontend]) -> Batch {
        let batch = self.table.set(&("demo".to_owned(), service.to_owned()), frontends);
        self.nft(&draws(TABLE, &batch));
        self.tell(TABLE, &batch).unwrap();
        for left in &batch.left {
            // It ends with 1 where nothing went there.
            run("ip", &[&["netns", "exec", &self.names["node"], "conntrack"][..], &words(&forgetting(left))].concat());
        }
        batch
    }

    /// Tells the node's kernel a change, as the agent does: from a thread that has gone there.
    pub(crate) fn tell(&self, table: &str, batch: &Batch) -> std::io::Result<()> {
        if batch.removed.is_empty() && batch.added.is_empty() {
            return Ok(());
        }
        let node = std::fs::File::open(format!("/run/netns/{}", self.names["node"])).unwrap();
        std::thread::scope(|scope| {
            let told = scope.spawn(|| {
                move_into_link_name_space(node.as_fd(), Some(LinkNameSpaceType::Network))?;
                Line::open()?.change(table, std::slice::from_ref(batch))
            });
            told.join().unwrap()
        })
    }

    /// Who answers, or what comes instead.
    pub(crate) fn ask(&self, from: &str, at: &str) -> String {
        let (address, port) = at.split_once(':').unwrap();
        let request = format!("exec 3<>/dev/tcp/{address}/{port}; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3");
        let (said, _) = run("ip", &["netns", "exec", &self.names[from], "timeout", "2", "bash", "-c", &request]);
        said.rsplit("\r\n\r\n").next().unwrap_or_default().trim().to_owned()
    }

    /// Who answers a datagram, or what comes instead.
    pub(crate) fn ask_by_datagram(&self, from: &str, at: &str) -> String {
        let (address, port) = at.split_once(':').unwrap();
        let request = format!("exec 3<>/dev/udp/{address}/{port}; echo who >&3; head -n 1 <&3");
        let (said, _) = run("ip", &["netns", "exec", &self.names[from], "timeout", "2", "bash", "-c", &request]);
        said.trim().to_owned()
    }

    /// How often each answers.
    pub(crate) fn poll(&self, from: &str, at: &str, times: usize) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for _ in 0..times {
            *counts.entry(self.ask(from, at)).or_default() += 1;
        }
        counts
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
        for name in self.names.values() {
            let _ = Command::new("ip").args(["netns", "delete", name]).stderr(Stdio::null()).status();
        }
    }
}

fn words(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

fn run(program: &str, arguments: &[&str]) -> (String, bool) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8_lossy(&text).into_owned(), output.status.success())
}

pub(crate) fn ground(rules_see_bridge: bool) -> Ground {
    Ground {
        table: TABLE.to_owned(),
        bridge: "br-own".to_owned(),
        pods: "10.1.0.0/24".to_owned(),
        rules_see_bridge,
        is_routed: false,
    }
}
