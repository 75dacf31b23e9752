//! What `kubectl get events` shows.

use jiff::Timestamp;
use serde_json::Value;

use crate::resource::read::{integer, text};
use crate::resource::table::since;
use crate::resource::{Cell, Column};

pub(super) fn columns() -> Vec<Column> {
    vec![
        Column::text("Last Seen", "Time since it happened last."),
        Column::text("Type", "Normal or Warning."),
        Column::text("Reason", "What happened, in one word."),
        Column::text("Object", "What it happened to."),
        Column::text("Subobject", "The part of the object it happened to.").wide(),
        Column::text("Source", "Who reports it.").wide(),
        Column::text("Message", "What happened."),
        Column::text("First Seen", "Time since it happened first.").wide(),
        Column::text("Count", "How often it happened.").wide(),
        Column { format: "name".into(), ..Column::text("Name", "The event's own name.").wide() },
    ]
}

pub(super) fn cells(event: &Value, now: Timestamp) -> Vec<Cell> {
    let seen = Seen::of(event);
    vec![
        since(seen.last, now).into(),
        text(event, "/type").into(),
        text(event, "/reason").into(),
        object(event).into(),
        text(event, "/involvedObject/fieldPath").into(),
        source(event).into(),
        text(event, "/message").trim().into(),
        since(seen.first, now).into(),
        seen.count.to_string().into(),
        text(event, "/metadata/name").into(),
    ]
}

/// When and how often. Reporters use the older fields, the newer ones, or both.
struct Seen<'v> {
    first: &'v str,
    last: &'v str,
    count: i64,
}

impl<'v> Seen<'v> {
    fn of(event: &'v Value) -> Self {
        let first = first_of(text(event, "/firstTimestamp"), text(event, "/eventTime"));
        if event.get("series").is_some_and(Value::is_object) {
            let last = text(event, "/series/lastObservedTime");
            return Self { first, last, count: integer(event, "/series/count") };
        }
        Self { first, last: first_of(text(event, "/lastTimestamp"), first), count: integer(event, "/count").max(1) }
    }
}

fn first_of<'v>(one: &'v str, other: &'v str) -> &'v str {
    if one.is_empty() { other } else { one }
}

fn object(event: &Value) -> String {
    let kind = text(event, "/involvedObject/kind").to_lowercase();
    match text(event, "/involvedObject/name") {
        "" => kind,
        name => format!("{kind}/{name}"),
    }
}

fn source(event: &Value) -> String {
    let component = first_of(text(event, "/source/component"), text(event, "/reportingComponent"));
    match first_of(text(event, "/source/host"), text(event, "/reportingInstance")) {
        "" => component.to_owned(),
        instance => format!("{component}, {instance}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(event: &Value) -> Vec<Cell> {
        cells(event, "2026-01-01T00:10:00Z".parse().unwrap())
    }

    #[test]
    fn an_old_event_and_a_new_one_show_the_same() {
        let object = json!({"kind": "Pod", "name": "web"});
        let old = json!({
            "metadata": {"name": "e"}, "involvedObject": object, "type": "Normal", "reason": "Started", "message": " it is \n",
            "source": {"component": "kubelet", "host": "here"}, "count": 3,
            "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:09:30Z"});
        let new = json!({
            "metadata": {"name": "e"}, "involvedObject": object, "type": "Normal", "reason": "Started", "message": "it is",
            "reportingComponent": "kubelet", "reportingInstance": "here", "eventTime": "2026-01-01T00:00:00.000001Z",
            "series": {"count": 3, "lastObservedTime": "2026-01-01T00:09:30.000001Z"}});
        let expected = ["30s", "Normal", "Started", "pod/web", "", "kubelet, here", "it is", "10m", "3", "e"];
        assert_eq!(shown(&old), expected.map(Value::from));
        assert_eq!(shown(&new), expected.map(Value::from));
        assert_eq!(columns().len(), expected.len());
    }
}
