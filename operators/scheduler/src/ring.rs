//! The nodes in a row, so that a search begins anywhere among them without walking there.

use std::sync::{Arc, Mutex, PoisonError};

use sampan_core::object::Object;
use sampan_core::resource::NODES;
use sampan_core::store::{Collection, Snapshot};

/// The nodes of the last snapshot that was searched, kept for as long as none of them changes. It is nothing but the snapshot said
/// otherwise: a search finds the same with it and without.
#[derive(Default)]
pub(crate) struct Ring(Mutex<(Collection, Arc<[Arc<Object>]>)>);

impl Ring {
    /// The nodes of a snapshot, by name.
    pub(crate) fn of(&self, snapshot: &Snapshot) -> Arc<[Arc<Object>]> {
        let nodes = snapshot.collection(NODES);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.0.is_same(&nodes) {
            *kept = (nodes, snapshot.list(NODES, None, None).cloned().collect());
        }
        kept.1.clone()
    }
}
