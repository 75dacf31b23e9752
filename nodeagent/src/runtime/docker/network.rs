//! The pod network: a bridge of Docker's, into which the node plugs pods itself.
//!
//! Docker runs a resolver of its own, and five calls of iptables, in every container of a network that is not its default:
//! a third of what starting a pod costs. We need neither: pods have a `resolv.conf` of ours. So a sandbox is started without
//! a network and given one end of a veth pair whose other end joins the bridge. Docker makes the bridge, its rules and its
//! address translation, and removes them. Pods that publish ports of the host are left to Docker, and so is every pod where
//! the node may not do this: without root, or beside a Docker that runs elsewhere.
//!
//! A pod's address is a label of its sandbox, so that a restarted node knows what is taken.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::pod::Uid;

/// The prefix of the host's ends of pods' cables; Linux allows 15 bytes for a name.
const CABLE: &str = "sp";
/// How much of a sandbox's id tells its cable from others.
const CABLE_ID_BYTES: usize = 12;

/// A network as Docker shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) bridge: String,
    pub(super) gateway: Ipv4Addr,
    pub(super) subnet: Subnet,
}

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subnet {
    first: u32,
    prefix: u8,
}

impl Subnet {
    /// As `172.18.0.0/16`.
    pub(super) fn text(self) -> String {
        format!("{}/{}", Ipv4Addr::from(self.first), self.prefix)
    }

    /// From `172.18.0.0/16`. Too small a range to be halved is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let prefix: u8 = prefix.parse().ok().filter(|prefix| (1..=28).contains(prefix))?;
        let address: Ipv4Addr = address.parse().ok()?;
        Some(Self { first: u32::from(address) & (u32::MAX << (32 - prefix)), prefix })
    }

    /// The address of the machine on it: the first, as is usual.
    pub(super) fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(self.first + 1)
    }

    fn half_size(self) -> u32 {
        1 << (31 - self.prefix)
    }

    /// The lower half, which is Docker's.
    pub(super) fn docker_range(self) -> String {
        format!("{}/{}", Ipv4Addr::from(self.first), self.prefix + 1)
    }

    /// The addresses of the upper half, but for the last, which is everybody's, and the first, which looks like nobody's.
    fn own(self) -> std::ops::Range<u32> {
        let middle = self.first + self.half_size();
        middle + 1..middle + (self.half_size() - 1)
    }
}

/// The bridge, where the node may plug pods into it.
#[derive(Debug)]
pub(super) struct PodNetwork {
    shown: Shown,
    leases: Mutex<Leases>,
}

#[derive(Debug, Default)]
struct Leases {
    by_pod: BTreeMap<Uid, Ipv4Addr>,
    taken: BTreeSet<u32>,
    last: Option<u32>,
}

impl PodNetwork {
    /// The network, unless pods must be left to Docker; then why.
    pub(super) async fn open(shown: Shown) -> Result<Self, String> {
        run("ip", &["-oneline", "link", "show", "dev", &shown.bridge], "").await?;
        // Whoever may enter its own network namespace may enter others.
        run("nsenter", &["--net=/proc/self/ns/net", "true"], "").await?;
        Ok(Self { shown, leases: Mutex::default() })
    }

    /// The pod's address: the one it has, or the next one that is free.
    pub(super) fn lease(&self, pod: &Uid) -> Option<Ipv4Addr> {
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        leases.lease(pod, self.shown.subnet.own())
    }

    /// Whether the node gives that address, and not Docker.
    pub(super) fn gives(&self, address: Ipv4Addr) -> bool {
        self.shown.subnet.own().contains(&u32::from(address))
    }

    /// Notes that a pod has that address.
    pub(super) fn hold(&self, pod: &Uid, address: Ipv4Addr) {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner).hold(pod, address);
    }

    /// Notes that a pod is gone.
    pub(super) fn release(&self, pod: &Uid) {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner).release(pod);
    }

    /// Gives a sandbox its network: the cable's inner end first, so that one that joins the bridge is whole.
    pub(super) async fn plug(&self, sandbox: &str, process: i64, address: Ipv4Addr) -> Result<(), String> {
        let (cable, own) = (cable(sandbox), std::process::id());
        let Shown { bridge, gateway, subnet } = &self.shown;
        let inside = format!(
            "link add eth0 address {} type veth peer name {cable} netns {own}\n\
             address add {address}/{} broadcast + dev eth0\n\
             link set eth0 up\n\
             route add default via {gateway}\n",
            hardware_address(address),
            subnet.prefix
        );
        let namespace = format!("--net=/proc/{process}/ns/net");
        run("nsenter", &[&namespace, "ip", "-batch", "-"], &inside).await?;
        // A pod may be led to itself by a Service: then a frame leaves by the cable it came from.
        let outside = format!(
            "link set {cable} master {bridge}\nlink set {cable} type bridge_slave hairpin on\nlink set {cable} up\n"
        );
        run("ip", &["-batch", "-"], &outside).await
    }

    /// The same for a sandbox that runs already, where an agent that was killed had not come to it.
    pub(super) async fn plug_again(&self, sandbox: &str, process: i64, address: Ipv4Addr) -> Result<(), String> {
        let cable = cable(sandbox);
        let show = ["-oneline", "link", "show", "dev", &cable, "master", &self.shown.bridge];
        if output("ip", &show, "").await.is_ok_and(|shown| !shown.is_empty()) {
            return Ok(());
        }
        let _ = run("ip", &["link", "delete", "dev", &cable], "").await;
        self.plug(sandbox, process, address).await
    }
}

impl Leases {
    fn lease(&mut self, pod: &Uid, range: std::ops::Range<u32>) -> Option<Ipv4Addr> {
        if let Some(address) = self.by_pod.get(pod) {
            return Some(*address);
        }
        // Round and round: who still has an earlier pod's address in mind should not meet another.
        let next = self.last.map_or(range.start, |last| last + 1).clamp(range.start, range.end);
        let free = (next..range.end).chain(range.start..next).find(|address| !self.taken.contains(address))?;
        self.last = Some(free);
        self.hold(pod, Ipv4Addr::from(free));
        Some(Ipv4Addr::from(free))
    }

    fn hold(&mut self, pod: &Uid, address: Ipv4Addr) {
        self.release(pod);
        self.by_pod.insert(pod.clone(), address);
        self.taken.insert(u32::from(address));
        self.last = self.last.max(Some(u32::from(address)));
    }

    fn release(&mut self, pod: &Uid) {
        if let Some(address) = self.by_pod.remove(pod) {
            self.taken.remove(&u32::from(address));
        }
    }
}

/// The hardware address that goes with an address, as Docker and CNI have it: where a pod's next sandbox, or the next pod, has the
/// same address, whoever spoke to the one before reaches it without asking anew, which he would not do for most of a minute.
fn hardware_address(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("0a:58:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// The host's end of a sandbox's cable.
fn cable(sandbox: &str) -> String {
    format!("{CABLE}{}", sandbox.get(..CABLE_ID_BYTES).unwrap_or(sandbox))
}

async fn run(program: &str, arguments: &[&str], input: &str) -> Result<(), String> {
    output(program, arguments, input).await.map(|_| ())
}

/// What a program that was given this says, where it ends well.
async fn output(program: &str, arguments: &[&str], input: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("failed to run {program}: {error}");
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends early says itself what was wrong.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let output = child.wait_with_output().await.map_err(failed)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    Err(format!("{program} {}: {}", arguments.join(" "), text(&output.stderr)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(name: &str) -> Uid {
        Uid(name.into())
    }

    #[test]
    fn a_network_is_halved_between_docker_and_us() {
        let subnet = Subnet::parse("172.18.3.9/16").unwrap();
        assert_eq!(subnet.docker_range(), "172.18.0.0/17");
        assert_eq!(subnet.gateway(), Ipv4Addr::new(172, 18, 0, 1));
        assert_eq!(Ipv4Addr::from(subnet.own().start), Ipv4Addr::new(172, 18, 128, 1));
        assert_eq!(Ipv4Addr::from(subnet.own().end), Ipv4Addr::new(172, 18, 255, 255));
        for text in ["172.18.0.0", "172.18.0.0/31", "fd00::/64", "172.18.0.0/0"] {
            assert_eq!(Subnet::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_address_is_one_pods_until_it_is_gone_and_the_next_is_another() {
        let (mut leases, range) = (Leases::default(), 10..13);
        let lease = |leases: &mut Leases, name: &str| leases.lease(&uid(name), range.clone()).map(u32::from);
        assert_eq!(lease(&mut leases, "a"), Some(10));
        assert_eq!(lease(&mut leases, "a"), Some(10));
        leases.release(&uid("a"));
        assert_eq!(lease(&mut leases, "b"), Some(11));
        assert_eq!(lease(&mut leases, "c"), Some(12));
        assert_eq!(lease(&mut leases, "d"), Some(10));
        assert_eq!(lease(&mut leases, "e"), None);
        leases.release(&uid("c"));
        assert_eq!(lease(&mut leases, "e"), Some(12));
    }

    #[test]
    fn what_a_restarted_node_finds_is_taken() {
        let mut leases = Leases::default();
        leases.hold(&uid("a"), Ipv4Addr::from(10));
        leases.hold(&uid("b"), Ipv4Addr::from(11));
        assert_eq!(leases.lease(&uid("c"), 10..14).map(u32::from), Some(12));
    }
}
