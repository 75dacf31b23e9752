//! Quantities as numbers a kernel understands, and the quality of service they make. Users may write amounts no number holds:
//! those are cut to the greatest one, and so is what is reckoned from them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::situation::NodeFacts;
use super::spec::is_sidecar;

/// The period of CPU quotas, in microseconds.
const QUOTA_PERIOD_US: i64 = 100_000;
/// The least quota the kernel takes, in microseconds.
const LEAST_QUOTA_US: i64 = 1_000;
/// The greatest quota the kernel takes, in microseconds (`max_cfs_runtime`).
const MOST_QUOTA_US: i64 = (1 << 44) - 1;
/// The least share the kernel takes.
const LEAST_SHARES: i64 = 2;
/// The greatest share the kernel takes.
const MOST_SHARES: i64 = 262_144;

/// `text` in thousandths, rounded up; nothing if it is no quantity.
pub fn milli(text: &str) -> Option<i64> {
    let split = text.find(|letter: char| !matches!(letter, '0'..='9' | '.' | '+' | '-')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let number: f64 = number.parse().ok()?;
    let factor = match suffix {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1024f64.powi(4),
        "Pi" => 1024f64.powi(5),
        "Ei" => 1024f64.powi(6),
        exponent => 10f64.powi(exponent.strip_prefix(['e', 'E'])?.parse().ok()?),
    };
    Some((number * factor * 1000.0 - 1e-7).ceil() as i64)
}

/// `text` in whole units, rounded up.
pub fn whole(text: &str) -> Option<i64> {
    milli(text).map(|thousandths| thousandths.div_euclid(1000) + i64::from(thousandths.rem_euclid(1000) > 0))
}

fn of<'a>(resources: Option<&'a BTreeMap<String, Quantity>>, name: &str) -> Option<&'a str> {
    resources.and_then(|resources| resources.get(name)).map(|quantity| quantity.0.as_str())
}

fn limit<'a>(container: &'a Container, name: &str) -> Option<&'a str> {
    of(container.resources.as_ref().and_then(|resources| resources.limits.as_ref()), name)
}

/// The request, which is the limit where only that is given.
fn request<'a>(container: &'a Container, name: &str) -> Option<&'a str> {
    of(container.resources.as_ref().and_then(|resources| resources.requests.as_ref()), name)
        .or_else(|| limit(container, name))
}

/// The container's CPU limit in thousandths of a CPU.
pub fn cpu_limit(container: &Container) -> Option<i64> {
    limit(container, "cpu").and_then(milli).filter(|limit| *limit > 0)
}

/// The container's memory limit in bytes.
pub fn memory_limit(container: &Container) -> Option<i64> {
    limit(container, "memory").and_then(whole).filter(|limit| *limit > 0)
}

/// Microseconds of CPU in each period of 100 000; 0 without a limit.
pub fn cpu_quota(container: &Container) -> i64 {
    let quota = |milli: i64| milli.saturating_mul(QUOTA_PERIOD_US / 1000).clamp(LEAST_QUOTA_US, MOST_QUOTA_US);
    cpu_limit(container).map_or(0, quota)
}

/// The share of CPU among containers that compete.
pub fn cpu_shares(container: &Container) -> i64 {
    let requested = request(container, "cpu").and_then(milli).unwrap_or(0);
    (requested.saturating_mul(1024) / 1000).clamp(LEAST_SHARES, MOST_SHARES)
}

/// What a pod asks for in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requests {
    /// Thousandths of a CPU.
    pub milli_cpu: i64,
    /// Bytes.
    pub memory: i64,
}

impl Requests {
    /// What runs at once, or what is needed to start, whichever is more (KEP-753).
    pub fn of(spec: &PodSpec) -> Self {
        let (mut sidecars, mut starting) = (Self::default(), Self::default());
        for container in spec.init_containers.iter().flatten() {
            let with = sidecars + Self::of_container(container);
            starting = starting.raised_to(with);
            if is_sidecar(container) {
                sidecars = with;
            }
        }
        let running = spec.containers.iter().map(Self::of_container).fold(sidecars, std::ops::Add::add);
        let overhead = |name| of(spec.overhead.as_ref(), name);
        let overhead = Self::parsed(overhead("cpu"), overhead("memory"));
        running.raised_to(starting) + overhead
    }

    /// Of what the node has too little beside what is used.
    pub fn shortage(self, used: Self, node: &NodeFacts) -> Option<Shortage> {
        let resources = [
            ("cpu", self.milli_cpu, used.milli_cpu, node.allocatable_milli_cpu),
            ("memory", self.memory, used.memory, node.allocatable_memory),
        ];
        let is_short = |wish: i64, used: i64, capacity: i64| wish > 0 && wish.saturating_add(used) > capacity;
        let mut short = resources.into_iter().filter(|(_, wish, used, capacity)| is_short(*wish, *used, *capacity));
        let (resource, requested, used, capacity) = short.next()?;
        Some(Shortage { resource, requested, used, capacity })
    }

    /// What is more than `other` asks for; nothing of all else.
    pub fn beyond(self, other: Self) -> Self {
        let more = |own: i64, other: i64| if own > other { own } else { 0 };
        Self { milli_cpu: more(self.milli_cpu, other.milli_cpu), memory: more(self.memory, other.memory) }
    }

    fn of_container(container: &Container) -> Self {
        Self::parsed(request(container, "cpu"), request(container, "memory"))
    }

    fn parsed(cpu: Option<&str>, memory: Option<&str>) -> Self {
        Self { milli_cpu: cpu.and_then(milli).unwrap_or(0), memory: memory.and_then(whole).unwrap_or(0) }
    }

    fn raised_to(self, other: Self) -> Self {
        Self { milli_cpu: self.milli_cpu.max(other.milli_cpu), memory: self.memory.max(other.memory) }
    }
}

/// A resource of which a node has too little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    /// `cpu`, in thousandths, or `memory`, in bytes.
    pub resource: &'static str,
    /// What is asked for.
    pub requested: i64,
    /// What others have.
    pub used: i64,
    /// What there is in all.
    pub capacity: i64,
}

impl std::fmt::Display for Shortage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { resource, requested, used, capacity } = self;
        let what = "Node didn't have enough resource";
        write!(formatter, "{what}: {resource}, requested: {requested}, used: {used}, capacity: {capacity}")
    }
}

impl std::ops::Add for Requests {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            milli_cpu: self.milli_cpu.saturating_add(other.milli_cpu),
            memory: self.memory.saturating_add(other.memory),
        }
    }
}

/// What a `resourceFieldRef` reads, in units of its divisor.
pub fn resource_field(container: &Container, resource: &str, divisor: Option<&str>, node: &NodeFacts) -> Option<i64> {
    let (bound, name) = resource.split_once('.')?;
    let value = match bound {
        "limits" => limit(container, name),
        "requests" => request(container, name),
        _ => return None,
    };
    let divisor = divisor.and_then(milli).filter(|divisor| *divisor > 0).unwrap_or(1000);
    let fallback = match (bound, name) {
        ("limits", "cpu") => i128::from(node.allocatable_milli_cpu),
        ("limits", "memory") => i128::from(node.allocatable_memory) * 1000,
        _ => 0,
    };
    let value = value.and_then(milli).map_or(fallback, i128::from);
    let divisor = i128::from(divisor);
    i64::try_from((value + divisor - 1) / divisor).ok()
}

/// How well a pod is treated when memory runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QualityOfService {
    /// Every container has limits equal to its requests.
    Guaranteed,
    /// Some container asks for something.
    Burstable,
    /// No container asks for anything.
    BestEffort,
}

impl QualityOfService {
    /// As the status shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        }
    }

    /// The class of a pod: <https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/>.
    pub fn of(spec: &PodSpec) -> Self {
        let mut containers = spec.init_containers.iter().flatten().chain(&spec.containers).peekable();
        let asks = |container: &Container| {
            ["cpu", "memory"].iter().any(|name| {
                request(container, name).and_then(milli).is_some_and(|value| value > 0)
                    || limit(container, name).and_then(milli).is_some_and(|value| value > 0)
            })
        };
        let guaranteed = |container: &Container| {
            ["cpu", "memory"].iter().all(|name| {
                let bound = limit(container, name).and_then(milli).filter(|value| *value > 0);
                bound.is_some() && bound == request(container, name).and_then(milli)
            })
        };
        let all: Vec<&Container> = containers.by_ref().collect();
        if !all.iter().any(|container| asks(container)) {
            Self::BestEffort
        } else if all.iter().all(|container| guaranteed(container)) {
            Self::Guaranteed
        } else {
            Self::Burstable
        }
    }

    /// Who is killed first: 1000 first, -997 last.
    pub fn oom_score_adjustment(self, container: &Container, node: &NodeFacts) -> i64 {
        match self {
            Self::Guaranteed => -997,
            Self::BestEffort => 1000,
            Self::Burstable => {
                let requested = request(container, "memory").and_then(whole).unwrap_or(0);
                let capacity = node.allocatable_memory.max(1);
                (1000 - requested.saturating_mul(1000) / capacity).clamp(3, 999)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_in_every_spelling() {
        for (text, expect) in [
            ("1", 1000),
            ("100m", 100),
            ("0.5", 500),
            ("1.5Gi", 1_610_612_736_000),
            ("2e3", 2_000_000),
            ("128Mi", 134_217_728_000),
            ("1k", 1_000_000),
            ("1n", 1),
        ] {
            assert_eq!(milli(text), Some(expect), "{text}");
        }
        assert_eq!(milli("many"), None);
        assert_eq!(whole("1500m"), Some(2));
    }

    #[test]
    fn amounts_no_number_holds_are_as_much_as_there_is() {
        for text in ["9223372036854775807", "1e30"] {
            let resources = format!(r#"{{"limits":{{"cpu":"{text}","memory":"{text}"}}}}"#);
            let container: Container =
                serde_json::from_str(&format!(r#"{{"name":"a","resources":{resources}}}"#)).unwrap();
            assert_eq!((cpu_quota(&container), cpu_shares(&container)), (MOST_QUOTA_US, MOST_SHARES), "{text}");
            let most = memory_limit(&container).unwrap();
            assert!(most > 1 << 50, "{text}: {most}");
            let spec = PodSpec { containers: vec![container.clone(), container], ..PodSpec::default() };
            let asked = Requests::of(&spec);
            assert!(asked.milli_cpu == i64::MAX && asked.memory >= most, "{text}: {asked:?}");
            let node = NodeFacts {
                name: "node".into(),
                host_ip: "10.0.0.1".into(),
                allocatable_milli_cpu: 4000,
                allocatable_memory: 1 << 34,
                volumes: "/volumes".into(),
            };
            let short = |wish: Requests, used| wish.shortage(used, &node).map(|short| short.resource);
            assert_eq!((short(asked, asked), short(asked, Requests::default())), (Some("cpu"), Some("cpu")), "{text}");
            let little = Requests { milli_cpu: 0, memory: 1 };
            assert_eq!(short(little, asked), Some("memory"), "{text}");
            assert_eq!(QualityOfService::Burstable.oom_score_adjustment(&spec.containers[0], &node), 3, "{text}");
        }
    }

    #[test]
    fn the_class_follows_requests_and_limits() {
        let pod = |resources: &str| -> PodSpec {
            serde_json::from_str(&format!(r#"{{"containers":[{{"name":"a","resources":{resources}}}]}}"#)).unwrap()
        };
        let class = |resources: &str| QualityOfService::of(&pod(resources)).name();
        assert_eq!(class("{}"), "BestEffort");
        assert_eq!(class(r#"{"limits":{"cpu":"1","memory":"1Gi"}}"#), "Guaranteed");
        assert_eq!(class(r#"{"requests":{"cpu":"1"}}"#), "Burstable");
        assert_eq!(class(r#"{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"memory":"512Mi"}}"#), "Burstable");
    }
}
