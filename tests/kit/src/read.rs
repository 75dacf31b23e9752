//! What objects say, read once: laws and deeds look at the same objects again and again, in every fork that shares them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use sampan_core::object::Object;
use serde_json::Value;

/// How many objects are remembered on a thread, some kilobytes each; past it all are forgotten and read again.
const REMEMBERED_MAX: usize = 10_000;

/// What was read, by where the object's JSON lies; that is kept, so that its address stays its own.
type Read = HashMap<(usize, usize), (Bytes, Arc<Value>)>;

thread_local! {
    static READ: RefCell<Read> = RefCell::new(Read::new());
}

/// What an object says, for those who only look: all but who manages which field.
pub fn read(object: &Object) -> Arc<Value> {
    let bytes = object.bytes();
    READ.with_borrow_mut(|read| {
        if read.len() >= REMEMBERED_MAX {
            read.clear();
        }
        let known = read.entry((bytes.as_ptr() as usize, bytes.len()));
        known.or_insert_with(|| (bytes.clone(), Arc::new(object.value_without_managers()))).1.clone()
    })
}

#[cfg(test)]
mod tests {
    use sampan_core::object::{Draft, ObjectKey, Revision};
    use sampan_core::resource::PODS;
    use serde_json::json;

    use super::*;

    fn pod(phase: &str) -> Object {
        let value = json!({
            "metadata": {"name": "a", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}, "status": {"phase": phase},
        });
        Draft::new(ObjectKey::namespaced(PODS, "default", "a"), value, Vec::new()).unwrap().at(Revision(1))
    }

    #[test]
    fn an_object_is_read_once_and_is_never_taken_for_another() {
        let running = pod("Running");
        assert!(Arc::ptr_eq(&read(&running), &read(&running)));
        for phase in ["Failed", "Running", "Failed"] {
            assert_eq!(*read(&pod(phase)), pod(phase).value_without_managers());
        }
    }
}
