//! Events between `v1`, in which they are stored, and `events.k8s.io/v1`: the same fields under other names.

use serde_json::Value;

/// Names in `v1` and in `events.k8s.io/v1`.
const RENAMED: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

pub(super) fn from_stored(event: &mut Value) {
    for (stored, newer) in RENAMED {
        rename(event, stored, newer);
    }
}

pub(super) fn to_stored(event: &mut Value) {
    for (stored, newer) in RENAMED {
        rename(event, newer, stored);
    }
}

fn rename(event: &mut Value, from: &str, to: &str) {
    if let Some(fields) = event.as_object_mut()
        && let Some(value) = fields.remove(from)
    {
        fields.insert(to.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_comes_back_as_it_was() {
        let stored = json!({
            "metadata": {"name": "a"}, "involvedObject": {"kind": "Pod"}, "message": "m", "reason": "r", "count": 3,
            "source": {"component": "c"}, "reportingComponent": "c", "firstTimestamp": "t", "lastTimestamp": "t",
            "series": {"count": 2}, "related": {"kind": "Node"}});
        let mut event = stored.clone();
        from_stored(&mut event);
        assert_eq!(event["regarding"]["kind"], "Pod");
        assert_eq!(event["note"], "m");
        assert_eq!(event["deprecatedCount"], 3);
        assert_eq!(event.get("message"), None);
        to_stored(&mut event);
        assert_eq!(event, stored);
    }
}
