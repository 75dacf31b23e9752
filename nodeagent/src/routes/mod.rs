//! Ways to the pods of other nodes: for each of them one route to its range of addresses, by the address it is reached at.
//!
//! ```text
//! API server ──Nodes──► Ways ──change──► netlink ──► kernel
//! ```
//!
//! Nodes must be neighbours: what leads to a pod is the machine it is on. A route outlives this process, as rules of Services do;
//! those of nodes that are gone are found again by the mark all of ours bear.

mod netlink;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Fuse, FusedFuture, FutureExt};
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Node;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, ResourceExt};
use tokio_util::sync::CancellationToken;

use self::netlink::{Kernel, owner};
use crate::proxy::frontend::Network;

/// How long after the kernel refused a route it is told again: the network may not be up.
const RETRY: Duration = Duration::from_secs(5);

/// A way to the pods of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Way {
    /// The node's range.
    pub(crate) range: Network,
    /// Where the node is.
    pub(crate) via: Ipv4Addr,
}

/// Which ways there are to be, by node.
#[derive(Debug, Default)]
struct Ways {
    own: String,
    own_address: Option<Ipv4Addr>,
    wanted: BTreeMap<String, Way>,
    /// The nodes a listing under way has shown.
    shown: BTreeSet<String>,
}

/// What is to be told to the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    Nothing,
    /// The way to one node, as it was and as it is to be.
    One(Option<Way>, Option<Way>),
    /// Everything: what else there is of ours goes.
    All,
}

impl Ways {
    fn take(&mut self, event: Event<Node>) -> Change {
        match event {
            Event::Init => {
                self.shown.clear();
                Change::Nothing
            }
            Event::InitApply(node) => {
                self.shown.insert(node.name_any());
                self.put(&node);
                Change::Nothing
            }
            Event::InitDone => {
                let shown = std::mem::take(&mut self.shown);
                self.wanted.retain(|name, _| shown.contains(name));
                Change::All
            }
            Event::Apply(node) => self.put(&node),
            Event::Delete(node) => changed(self.wanted.remove(&node.name_any()), None),
        }
    }

    fn put(&mut self, node: &Node) -> Change {
        let name = node.name_any();
        let way = way_to(node).filter(|way| name != self.own && Some(way.via) != self.own_address);
        let before = match way {
            Some(way) => self.wanted.insert(name, way),
            None => self.wanted.remove(&name),
        };
        changed(before, way)
    }
}

fn changed(before: Option<Way>, after: Option<Way>) -> Change {
    if before == after { Change::Nothing } else { Change::One(before, after) }
}

/// The way to a node's pods, where it has a range of its own and an address.
fn way_to(node: &Node) -> Option<Way> {
    let range = Network::parse(node.spec.as_ref()?.pod_cidr.as_deref()?)?;
    let addresses = node.status.as_ref()?.addresses.as_ref()?;
    let internal = addresses.iter().find(|address| address.type_ == "InternalIP")?;
    Some(Way { range, via: internal.address.parse().ok()? })
}

/// Keeps the ways to all other nodes until `shutdown`; they stay. `owner` tells them from those of others on this machine.
pub(crate) async fn run(
    client: kube::Client,
    own: &str,
    own_address: &str,
    cluster: &str,
    shutdown: CancellationToken,
) {
    let kernel = match Kernel::open(owner(cluster)) {
        Ok(kernel) => kernel,
        Err(error) => {
            tracing::error!(%error, "pods of other nodes are not reached: the kernel takes no routes");
            return;
        }
    };
    let ways = Ways { own: own.to_owned(), own_address: own_address.parse().ok(), ..Ways::default() };
    shutdown.run_until_cancelled(keep(client, ways, kernel)).await;
}

async fn keep(client: kube::Client, ways: Ways, mut kernel: Kernel) {
    let events = watcher(Api::<Node>::all(client), Config::default()).default_backoff();
    let mut complaint = String::new();
    let tell = |ways: &Ways, change| {
        let told = match change {
            Change::Nothing => Ok(()),
            Change::One(before, after) => replace(&mut kernel, before, after),
            Change::All => settle(&mut kernel, ways),
        };
        let said = told.as_ref().err().cloned().unwrap_or_default();
        if !said.is_empty() && said != complaint {
            tracing::warn!("pods of other nodes are not reached: {said}");
        }
        complaint = said;
        told.is_ok()
    };
    follow(events, ways, RETRY, tell).await;
}

/// Tells what changes, and everything anew a while after something was refused, whatever comes meanwhile that changes nothing.
async fn follow<E: std::fmt::Display>(
    events: impl Stream<Item = Result<Event<Node>, E>>,
    mut ways: Ways,
    retry_after: Duration,
    mut tell: impl FnMut(&Ways, Change) -> bool,
) {
    let (mut events, mut retry) = (pin!(events), pin!(Fuse::terminated()));
    loop {
        let change = tokio::select! {
            event = events.next() => match event {
                Some(Ok(event)) => ways.take(event),
                Some(Err(error)) => {
                    tracing::debug!(%error, "the watch of nodes broke; asking again");
                    continue;
                }
                None => return,
            },
            () = retry.as_mut() => Change::All,
        };
        let is_behind = !retry.is_terminated();
        let change = match change {
            Change::Nothing => continue,
            Change::One(..) if is_behind => Change::All,
            change => change,
        };
        let is_told = tell(&ways, change);
        retry.set(if is_told { Fuse::terminated() } else { tokio::time::sleep(retry_after).fuse() });
    }
}

fn replace(kernel: &mut Kernel, before: Option<Way>, after: Option<Way>) -> Result<(), String> {
    if let Some(before) = before {
        remove(kernel, before)?;
    }
    after.map_or(Ok(()), |after| put(kernel, after))
}

/// Has the kernel know these ways and no others of ours. One that is refused keeps none of the others.
fn settle(kernel: &mut Kernel, ways: &Ways) -> Result<(), String> {
    let wanted: BTreeSet<Way> = ways.wanted.values().copied().collect();
    let found = kernel.ways().map_err(|error| format!("failed to read the kernel's routes: {error}"))?;
    let removed = found.difference(&wanted).map(|way| remove(kernel, *way)).fold(Ok(()), Result::and);
    wanted.difference(&found).map(|way| put(kernel, *way)).fold(removed, Result::and)
}

fn put(kernel: &mut Kernel, way: Way) -> Result<(), String> {
    let Way { range, via } = way;
    let told = kernel.put(way);
    told.map_err(|error| {
        format!("no route to {}/{} by {via}: {error}; is that machine a neighbour?", range.first, range.prefix)
    })
}

fn remove(kernel: &mut Kernel, way: Way) -> Result<(), String> {
    kernel.remove(way).map_err(|error| format!("failed to remove the route by {}: {error}", way.via))
}

/// Removes the ways a cluster's node has left behind.
pub(crate) fn forget(cluster: &str) {
    let removed = Kernel::open(owner(cluster)).map_err(|error| error.to_string());
    let removed = removed.and_then(|mut kernel| settle(&mut kernel, &Ways::default()));
    if let Err(error) = removed {
        tracing::warn!(%error, "routes to the pods of other nodes stay in the kernel");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(name: &str, range: &str, address: &str) -> Node {
        let addresses = json!([{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": address}]);
        let node = json!({"metadata": {"name": name}, "spec": {"podCIDR": range}, "status": {"addresses": addresses}});
        serde_json::from_value(node).unwrap()
    }

    fn way(part: u8, via: u8) -> Way {
        let range = Network { first: [10, 244, part, 0].into(), prefix: 24 };
        Way { range, via: [192, 0, 2, via].into() }
    }

    #[test]
    fn there_is_a_way_to_each_other_node_as_long_as_it_is_there() {
        let mut ways = Ways { own: "a".into(), own_address: Some([192, 0, 2, 1].into()), ..Ways::default() };
        let b = |via: &str| node("b", "10.244.1.0/24", via);
        assert_eq!(ways.take(Event::Init), Change::Nothing);
        ways.take(Event::InitApply(node("a", "10.244.0.0/24", "192.0.2.1")));
        ways.take(Event::InitApply(b("192.0.2.2")));
        assert_eq!(ways.take(Event::InitDone), Change::All);
        assert_eq!(ways.wanted.values().copied().collect::<Vec<_>>(), [way(1, 2)]);
        assert_eq!(ways.take(Event::Apply(b("192.0.2.2"))), Change::Nothing, "a sign of life changes nothing");
        assert_eq!(ways.take(Event::Apply(b("192.0.2.3"))), Change::One(Some(way(1, 2)), Some(way(1, 3))));
        let c = node("c", "10.244.2.0/24", "192.0.2.4");
        assert_eq!(ways.take(Event::Apply(c.clone())), Change::One(None, Some(way(2, 4))));
        assert_eq!(ways.take(Event::Delete(c)), Change::One(Some(way(2, 4)), None));
        let beside = node("d", "10.244.3.0/24", "192.0.2.1");
        assert_eq!(ways.take(Event::Apply(beside)), Change::Nothing, "a node on this machine needs no way");
        assert_eq!(ways.take(Event::Apply(node("e", "", "192.0.2.5"))), Change::Nothing, "a node without a range");
        ways.take(Event::Init);
        assert_eq!(ways.take(Event::InitDone), Change::All);
        assert!(ways.wanted.is_empty(), "what a listing does not show is gone");
    }

    #[tokio::test]
    async fn signs_of_life_do_not_keep_what_was_refused_from_being_told_again() {
        let [retry, pause] = [40, 10].map(Duration::from_millis);
        let b = || Event::Apply(node("b", "10.244.1.0/24", "192.0.2.2"));
        let signs = futures::stream::unfold((), |()| async move {
            tokio::time::sleep(pause).await;
            Some((Ok::<_, String>(b()), ()))
        });
        let mut told = Vec::new();
        let tell = |_: &Ways, change| {
            told.push(change);
            told.len() > 2
        };
        follow(signs.take(40), Ways::default(), retry, tell).await;
        assert_eq!(told, [Change::One(None, Some(way(1, 2))), Change::All, Change::All]);
    }
}
