//! What a pod asks for that it may not, in the words of Kubernetes.

use std::fmt;

use serde_json::Value;

use crate::resource::read::{items, text};

/// Something a pod asks for that it may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    reason: &'static str,
    detail: String,
}

impl Finding {
    pub(super) fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// A finding about these containers; `None` where there are none.
    pub(super) fn of_containers(reason: &'static str, containers: &[&Value], what: &str) -> Option<Self> {
        (!containers.is_empty()).then(|| Self::new(reason, format!("{} {what}", named("container", containers))))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.reason, self.detail)
    }
}

/// All containers of a pod.
pub(super) fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["/spec/initContainers", "/spec/containers", "/spec/ephemeralContainers"];
    lists.into_iter().flat_map(|list| items(pod, list))
}

/// `container "a"`, `containers "a", "b"`.
pub(super) fn named(what: &str, objects: &[&Value]) -> String {
    let names: Vec<&str> = objects.iter().map(|object| text(object, "/name")).collect();
    format!("{} {}", plural(what, names.len()), quoted(names))
}

/// The word for one or for several.
pub(super) fn plural(word: &str, number: usize) -> String {
    if number == 1 { word.to_owned() } else { format!("{word}s") }
}

/// `"a", "b"`.
pub(super) fn quoted<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    texts.into_iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(", ")
}
