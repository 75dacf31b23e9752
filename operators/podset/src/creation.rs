//! Pods that are created, and those that may not be.

use k8s_openapi::api::core::v1::Pod;
use sampan_core::operator::{Context, EventKind, Kind as _, Refused, WriteVerb};

/// Pods that could not be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreationRefusal {
    /// How many of those asked for would have been.
    pub accepted: usize,
    /// Why not more.
    pub message: String,
}

impl CreationRefusal {
    /// What was refused of a step, if it was a pod's creation.
    pub fn of(refused: &Refused) -> Option<Self> {
        let is_creation = refused.verb == WriteVerb::Create && refused.resource == Pod::RESOURCE;
        is_creation.then(|| Self { accepted: refused.accepted_before, message: refused.status.message.clone() })
    }
}

/// Creates a pod and tells of it. Its name is drawn here, so that the Event beside it can tell it.
pub fn create_pod(mut pod: Pod, cx: &mut Context<'_>) {
    let prefix = pod.metadata.generate_name.as_deref().unwrap_or_default();
    let name = format!("{prefix}{}", cx.random().name_suffix());
    pod.metadata.name = Some(name.clone());
    cx.create(&pod);
    cx.event(EventKind::Normal, "SuccessfulCreate", format!("Created pod: {name}"));
}

/// Whether two refusals say the same, but for the name of the pod they are about. That is drawn anew at each try: were it part
/// of the news, there would be news for ever.
pub fn is_same_refusal(one: &str, other: &str) -> bool {
    without_name(one) == without_name(other)
}

fn without_name(message: &str) -> (Option<&str>, Option<&str>) {
    let mut parts = message.splitn(3, '"');
    (parts.next(), parts.nth(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_the_same_whichever_pod_it_is_about() {
        assert!(is_same_refusal(r#"pods "web-a" is forbidden: quota"#, r#"pods "web-b" is forbidden: quota"#));
        assert!(!is_same_refusal(r#"pods "web-a" is forbidden: quota"#, r#"pods "web-a" is forbidden: limits"#));
        assert!(!is_same_refusal("the server is full", "the disk is full"));
    }
}
