//! The table as nft reads it.
//!
//! | chain | hook | what it does |
//! | --- | --- | --- |
//! | `from_network` | prerouting | leads what pods and others send to a Service, and to a port of the node |
//! | `from_node` | output | the same for what the node itself sends |
//! | `unmark_…` | prerouting, output | takes away the mark by which an endpoint was drawn |
//! | `guard` | prerouting | keeps pods from the node's loopback, which leading `localhost` to pods would open |
//! | `admit_…` | prerouting, output | drops what comes to a balancer's address from whom its Service does not admit |
//! | `refused_…` | input, forward, output | answers for Services nobody answers for, and for what no Service has at its own address |
//! | `translate` | postrouting | sends answers back through this node where they would take another way |

use std::fmt::Write;

use super::element::{Draw, Key, Map, Value};
use super::table::{Batch, Left};

/// Before Docker's own translation, which has -100 and 100: an address of ours is never one of its.
const BEFORE_DOCKER: i32 = -110;
const BEFORE_DOCKER_AFTER_ROUTING: i32 = 90;
/// The kernel translates at -100, in the order of the chains that do.
const TRANSLATED: i32 = -99;
const BEFORE_DOCKERS_FILTER: i32 = -10;
/// The chain that refuses.
const REFUSE: &str = "refuse";
/// The chain that goes on in the one that draws, by its number, and the map it does so by.
const LEAD: &str = "lead";
const DRAWS: &str = "draws";
/// Elements in one line of a script.
const ELEMENTS_IN_LINE: usize = 512;
/// Clients whose endpoint is remembered; past it they are drawn anew each time.
const STICKY_CLIENTS_MAX: u32 = 65_536;

/// What of the node the rules depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ground {
    /// The table's name.
    pub table: String,
    /// The bridge pods are on.
    pub bridge: String,
    /// The range of pods' addresses.
    pub pods: String,
    /// Whether frames between two pods pass the rules, which `br_netfilter` makes them do. Where they do not, answers would
    /// not come from the address that was asked, and the node has to stand between the two.
    pub rules_see_bridge: bool,
    /// Whether other nodes lead to the pods of this one, and it to theirs.
    pub is_routed: bool,
}

/// A table's name: nft takes letters, digits and underscores.
pub fn table_name(cluster: &str) -> String {
    let plain = |character: char| if character.is_ascii_alphanumeric() { character } else { '_' };
    format!("sampan_{}", cluster.chars().map(plain).collect::<String>())
}

/// Takes the table away, also where it is not there.
pub fn removal(table: &str) -> String {
    format!("add table ip {table}\ndelete table ip {table}\n")
}

/// Everything: the table is emptied and filled in one transaction. Which client stays with which endpoint is kept.
pub fn whole(ground: &Ground, batch: &Batch) -> String {
    let mut script = String::new();
    let table = &ground.table;
    let _ = writeln!(script, "add table ip {table}\nflush table ip {table}");
    for map in Map::ALL {
        let kind = if map.is_set() { "set" } else { "map" };
        let name = map.name();
        let _ = writeln!(script, "add {kind} ip {table} {name} {{ {}; }}", definition(map));
        let _ = writeln!(script, "flush {kind} ip {table} {name}");
    }
    let _ = writeln!(script, "add map ip {table} {DRAWS} {{ type mark : verdict; }}\nflush map ip {table} {DRAWS}");
    let _ = writeln!(
        script,
        "add map ip {table} stuck {{ type ipv4_addr . ipv4_addr . inet_proto . inet_service : mark; \
         flags dynamic,timeout; timeout 3h; size {STICKY_CLIENTS_MAX}; }}"
    );
    script.push_str(&chains(ground));
    script.push_str(&changes(table, batch));
    script
}

/// A change, as one transaction.
pub fn changes(table: &str, batch: &Batch) -> String {
    let mut script = draws(table, batch);
    lines(&mut script, "delete", table, batch.removed.iter().map(|(map, key)| (*map, *key, Value::Nothing)));
    lines(&mut script, "add", table, batch.added.iter().map(|((map, key), value)| (*map, *key, *value)));
    script
}

/// The chains of a change; nothing where those that draw as many are there already.
pub fn draws(table: &str, batch: &Batch) -> String {
    batch.draws.iter().map(|(draw, number)| draw_chain(table, *draw, *number)).collect()
}

/// What `conntrack` is told, so that datagrams stop going where they are led no more.
pub fn forgetting(left: &Left) -> Vec<String> {
    let door = &left.door;
    let to_door = door.address.map(|address| ["--orig-dst".to_owned(), address.to_string()]);
    let led = ["--dport".to_owned(), door.port.to_string(), "--dst-nat".to_owned(), left.backend.address.to_string()];
    ["-D", "-p", door.protocol].map(str::to_owned).into_iter().chain(to_door.into_iter().flatten()).chain(led).collect()
}

fn lines(script: &mut String, verb: &str, table: &str, elements: impl Iterator<Item = (Map, Key, Value)>) {
    let elements: Vec<(Map, Key, Value)> = elements.collect();
    for run in elements.chunk_by(|one, next| one.0 == next.0) {
        for part in run.chunks(ELEMENTS_IN_LINE) {
            let Some((map, ..)) = part.first() else { continue };
            let list: Vec<String> = part.iter().map(|(_, key, value)| written(key, value)).collect();
            let _ = writeln!(script, "{verb} element ip {table} {} {{ {} }}", map.name(), list.join(", "));
        }
    }
}

fn written(key: &Key, value: &Value) -> String {
    match value {
        Value::Nothing => key.to_string(),
        value => format!("{key} : {value}"),
    }
}

fn definition(map: Map) -> &'static str {
    match map {
        Map::Services => "type ipv4_addr . inet_proto . inet_service : mark",
        Map::NodePorts => "type inet_proto . inet_service : mark",
        Map::RefusedNodePorts | Map::DroppedNodePorts => "type inet_proto . inet_service",
        Map::Slots => "typeof ip daddr . meta l4proto . th dport . numgen random mod 65536 : meta mark",
        Map::NodePortSlots => "typeof meta l4proto . th dport . numgen random mod 65536 : meta mark",
        Map::Marks => "type mark : ipv4_addr . inet_service",
        Map::Hairpins => "type ipv4_addr . ipv4_addr",
        Map::Owned | Map::Remote => "type ipv4_addr",
        Map::Guarded | Map::Refused | Map::Dropped => "type ipv4_addr . inet_proto . inet_service",
        Map::Admitted => "type ipv4_addr . inet_proto . inet_service . ipv4_addr; flags interval",
    }
}

/// A chain that draws, and its number.
fn draw_chain(table: &str, draw: Draw, number: u32) -> String {
    let mut script = format!("add chain ip {table} {draw}\nflush chain ip {table} {draw}\n");
    for rule in draw_rules(draw) {
        let _ = writeln!(script, "add rule ip {table} {draw} {rule}");
    }
    let _ = writeln!(script, "add element ip {table} {DRAWS} {{ {} : goto {draw} }}", Key::Mark(number));
    script
}

fn draw_rules(draw: Draw) -> Vec<String> {
    let at = if draw.by_node_port { "meta l4proto . th dport" } else { "ip daddr . meta l4proto . th dport" };
    let slot = format!("{at} . numgen random mod {}", draw.count);
    let slots = if draw.by_node_port { Map::NodePortSlots } else { Map::Slots }.name();
    // By way of a mark: a map from numbers drawn straight to endpoints works for one protocol alone.
    let drawn = format!("meta mark set {slot} map @{slots}");
    let lead = "meta l4proto { tcp, udp, sctp } dnat ip to meta mark map @marks".to_owned();
    let Some(seconds) = draw.sticky_seconds else { return vec![drawn, lead] };
    let client = "ip saddr . ip daddr . meta l4proto . th dport";
    vec![
        "meta mark set 0".to_owned(),
        // A client's endpoint that is gone has no mark any more: the rule after does not match, and another is drawn.
        format!("meta mark set {client} map @stuck"),
        format!("meta mark != 0 update @stuck {{ {client} timeout {seconds}s : meta mark }}"),
        lead.clone(),
        // What is remembered keeps its value when it is written again.
        format!("meta mark != 0 delete @stuck {{ {client} : meta mark }}"),
        drawn,
        format!("update @stuck {{ {client} timeout {seconds}s : meta mark }}"),
        lead,
    ]
}

fn chains(ground: &Ground) -> String {
    let Ground { table, bridge, pods, .. } = ground;
    let mut script = String::new();
    let mut chain = |name: &str, hook: &str, rules: &[String]| {
        let _ = writeln!(script, "add chain ip {table} {name} {hook}");
        for rule in rules {
            let _ = writeln!(script, "add rule ip {table} {name} {rule}");
        }
    };
    let (door, port) = ("ip daddr . meta l4proto . th dport", "meta l4proto . th dport");
    let to_service = format!("meta mark set {door} map @services goto {LEAD}");
    let to_node_port = format!("fib daddr type local meta mark set {port} map @node_ports goto {LEAD}");
    let hook = |kind: &str, hook: &str, priority: i32| format!("{{ type {kind} hook {hook} priority {priority}; }}");
    chain(REFUSE, "", &["meta l4proto tcp reject with tcp reset".to_owned(), "reject".to_owned()]);
    chain(LEAD, "", &[format!("meta mark vmap @{DRAWS}")]);
    chain("node_ports_of_network", "", std::slice::from_ref(&to_node_port));
    chain(
        "from_network",
        &hook("nat", "prerouting", BEFORE_DOCKER),
        &[
            // The pods of another cluster on this machine have Services of their own at the same addresses.
            format!("iifname \"br-*\" iifname != \"{bridge}\" goto node_ports_of_network"),
            to_service.clone(),
            "goto node_ports_of_network".to_owned(),
        ],
    );
    chain("from_node", &hook("nat", "output", BEFORE_DOCKER), &[to_service, to_node_port]);
    // The mark has done its work: what the host does by marks of its own is not to be disturbed.
    for (name, at) in [("unmark_network", "prerouting"), ("unmark_node", "output")] {
        let rule = "ct state new ct status dnat ip daddr . ip daddr @hairpins meta mark set 0".to_owned();
        chain(name, &hook("filter", at, TRANSLATED), &[rule]);
    }
    chain(
        "guard",
        &hook("filter", "prerouting", BEFORE_DOCKER),
        &[format!("iifname \"{bridge}\" ip daddr 127.0.0.0/8 drop")],
    );
    for (name, at) in [("admit_network", "prerouting"), ("admit_node", "output")] {
        let rule = format!("ct state new {door} @guarded {door} . ip saddr != @admitted drop");
        chain(name, &hook("filter", at, BEFORE_DOCKER), &[rule]);
    }
    // Whoever is led somewhere has that address by now.
    let unserved = format!("ct state new ip daddr @owned goto {REFUSE}");
    let at_addresses =
        [format!("ct state new {door} @dropped drop"), format!("ct state new {door} @refused goto {REFUSE}")];
    let at_ports = [("dropped", "drop"), ("refused", "goto refuse")]
        .map(|(set, what)| format!("fib daddr type local ct state new {port} @{set}_node_ports {what}"));
    let here = [at_addresses.clone(), at_ports].concat();
    chain("refused_here", &hook("filter", "input", BEFORE_DOCKERS_FILTER), &here);
    let foreign = format!("iifname \"br-*\" iifname != \"{bridge}\" accept");
    let beyond = [&[foreign], &at_addresses[..], std::slice::from_ref(&unserved)].concat();
    chain("refused_beyond", &hook("filter", "forward", BEFORE_DOCKERS_FILTER), &beyond);
    let from_node = [here, vec![unserved]].concat();
    chain("refused_from_node", &hook("filter", "output", BEFORE_DOCKERS_FILTER), &from_node);
    let mut translated = vec![
        "ct status dnat ip saddr . ip daddr @hairpins masquerade".to_owned(),
        format!("ct status dnat ip saddr 127.0.0.0/8 oifname \"{bridge}\" masquerade"),
        format!("ct status dnat ip saddr != {pods} ip daddr @remote masquerade"),
    ];
    if !ground.rules_see_bridge {
        translated.push(format!("ct status dnat ip saddr {pods} ip daddr {pods} masquerade"));
    }
    chain("translate", &hook("nat", "postrouting", BEFORE_DOCKER_AFTER_ROUTING), &translated);
    script
}

#[cfg(test)]
mod tests {
    use super::super::frontend::Door;
    use super::*;

    #[test]
    fn removals_come_before_additions_and_chains_before_both() {
        let mut batch = Batch::default();
        let draw = Draw { count: 2, by_node_port: false, sticky_seconds: None };
        let door = Key::Door(Door { address: Some([10, 96, 0, 7].into()), protocol: "tcp", port: 80 });
        batch.draws.insert(draw, 7);
        batch.removed.insert((Map::Services, door));
        batch.added.insert((Map::Services, door), Value::Mark(7));
        batch.added.insert((Map::Hairpins, Key::Twice([10, 1, 0, 1].into())), Value::Nothing);
        assert_eq!(
            changes("t", &batch),
            "add chain ip t draw_address_2\n\
             flush chain ip t draw_address_2\n\
             add rule ip t draw_address_2 \
             meta mark set ip daddr . meta l4proto . th dport . numgen random mod 2 map @slots\n\
             add rule ip t draw_address_2 meta l4proto { tcp, udp, sctp } dnat ip to meta mark map @marks\n\
             add element ip t draws { 0x00000007 : goto draw_address_2 }\n\
             delete element ip t services { 10.96.0.7 . tcp . 80 }\n\
             add element ip t services { 10.96.0.7 . tcp . 80 : 0x00000007 }\n\
             add element ip t hairpins { 10.1.0.1 . 10.1.0.1 }\n"
        );
    }

    #[test]
    fn a_clusters_name_makes_a_name_nft_takes() {
        assert_eq!(table_name("a-1.b"), "sampan_a_1_b");
    }
}
