//! From what a watch of pods says to what a host is told.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::Event;

use super::Message;
use crate::pod::Uid;

/// Follows a watch: a list comes pod by pod, and what it did not hold is gone.
#[derive(Debug, Default)]
pub struct Listing {
    listed: BTreeSet<Uid>,
}

impl Listing {
    /// What the host is told of an event of the watch.
    pub fn take(&mut self, event: Event<impl Into<Pod>>) -> Option<Message> {
        Some(match event {
            Event::Init => {
                self.listed.clear();
                return None;
            }
            Event::InitApply(pod) => {
                let pod = pod.into();
                self.listed.insert(Uid::of(&pod));
                Message::Pod(Arc::new(pod))
            }
            Event::Apply(pod) => Message::Pod(Arc::new(pod.into())),
            Event::Delete(pod) => Message::PodGone(Uid::of(&pod.into())),
            Event::InitDone => Message::Listed(std::mem::take(&mut self.listed)),
        })
    }
}
