//! The rules events follow. Those that set `eventTime` say who reports what, and those that set none of the older fields
//! besides, which `events.k8s.io/v1` has for reading only, follow all its rules: a `v1` reporter may call the type as it likes.

use serde_json::Value;

use crate::object::{FieldError, names};
use crate::resource::check::{Faults, Field};

const WORD_MAX_CHARACTERS: usize = 128;
const MESSAGE_MAX_CHARACTERS: usize = 1024;
/// What reporters of `v1` set, and those of `events.k8s.io/v1` must not.
const OLDER_FIELDS: [&str; 4] = ["firstTimestamp", "lastTimestamp", "count", "source"];
/// Events about objects of the cluster live here.
const CLUSTER_NAMESPACES: [&str; 2] = ["default", "kube-system"];

pub(super) fn event(event: &Value) -> Faults {
    let mut faults = Faults::default();
    let event = Field::root(event);
    namespace(&event, &mut faults);
    if event.at("eventTime").is_set() {
        reported(&event, &mut faults);
        if !OLDER_FIELDS.iter().any(|field| event.at(field).is_set()) {
            newer(&event, &mut faults);
        }
    }
    faults
}

fn namespace(event: &Field<'_>, faults: &mut Faults) {
    let (own, object) = (event.at("metadata").at("namespace"), event.at("involvedObject").at("namespace"));
    let fits = match object.text() {
        "" => CLUSTER_NAMESPACES.contains(&own.text()),
        namespace => namespace == own.text(),
    };
    if !fits {
        let why = "does not match event.namespace";
        faults.errors.push(FieldError::invalid(object.path.clone(), object.text(), why));
    }
}

fn reported(event: &Field<'_>, faults: &mut Faults) {
    let controller = Field { path: event.path.child("reportingController"), ..event.at("reportingComponent") };
    faults.required_rule(&controller, names::qualified_name);
    for field in ["reportingInstance", "action", "reason"] {
        let word = event.at(field);
        faults.required_text(&word);
        at_most(&word, WORD_MAX_CHARACTERS, faults);
    }
    at_most(&event.at("message"), MESSAGE_MAX_CHARACTERS, faults);
}

fn newer(event: &Field<'_>, faults: &mut Faults) {
    faults.one_of(&event.at("type"), &["Normal", "Warning"]);
    let series = event.at("series");
    if series.is_set() {
        if series.at("count").number().unwrap_or_default() < 2 {
            faults.invalid(&series.at("count"), "should be at least 2");
        }
        if !series.at("lastObservedTime").is_set() {
            faults.required(&series.at("lastObservedTime"), "");
        }
    }
}

fn at_most(field: &Field<'_>, characters: usize, faults: &mut Faults) {
    if field.text().chars().count() > characters {
        faults.invalid_hidden(field, format!("can have at most {characters} characters"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(object: Value) -> Vec<String> {
        event(&object).errors.iter().map(|error| error.path.to_string()).collect()
    }

    #[test]
    fn an_event_lives_beside_its_object() {
        let about = |own: &str, object: &str| {
            fields(json!({"metadata": {"namespace": own}, "involvedObject": {"namespace": object}}))
        };
        assert_eq!(about("web", "web"), Vec::<String>::new());
        assert_eq!(about("default", ""), Vec::<String>::new());
        assert_eq!(about("web", ""), ["involvedObject.namespace"]);
        assert_eq!(about("web", "db"), ["involvedObject.namespace"]);
    }

    #[test]
    fn a_new_event_says_who_and_what() {
        let whole = json!({
            "metadata": {"namespace": "web"}, "involvedObject": {"namespace": "web"}, "eventTime": "t", "type": "Normal",
            "reportingComponent": "example.com/c", "reportingInstance": "c-1", "action": "Start", "reason": "Started"});
        assert_eq!(fields(whole.clone()), Vec::<String>::new());
        for (missing, field) in [
            ("reportingComponent", "reportingController"),
            ("reportingInstance", "reportingInstance"),
            ("action", "action"),
            ("reason", "reason"),
            ("type", "type"),
        ] {
            let mut part = whole.clone();
            part.as_object_mut().unwrap().remove(missing);
            assert_eq!(fields(part), [field]);
        }
    }

    #[test]
    fn a_reporter_of_the_older_fields_calls_the_type_as_it_likes() {
        let told = json!({
            "metadata": {"namespace": "web"}, "involvedObject": {"namespace": "web"}, "eventTime": "t", "type": "Error",
            "reportingComponent": "kopf", "reportingInstance": "dev", "action": "Action?", "reason": "Logging"});
        assert_eq!(fields(told.clone()), ["type"]);
        for older in OLDER_FIELDS {
            let mut told = told.clone();
            told[older] = json!("t");
            assert_eq!(fields(told), Vec::<String>::new());
        }
    }
}
