//! Manifests beside an operator: `ok_*.yaml` are accepted, `reject_*.yaml` for the fault their first line names.

#![allow(clippy::expect_used, reason = "a test may fail where it stands")]

use std::path::Path;

use sampan_core::manifest::documents;
use sampan_core::resource::{ResourceDefinition, Scope, validate_metadata};
use sampan_core::status::StatusCause;
use serde_json::{Value, json};

const REFUSED: &str = "# refused: ";

/// What an object is refused for, after defaulting, as `field: message`.
pub fn faults(definition: &ResourceDefinition, object: &mut Value) -> Vec<String> {
    definition.strategy.default(object);
    let mut causes = validate_metadata(definition, object, None);
    causes.extend(definition.strategy.validate(object));
    shown(causes)
}

/// Faults as `field: message`.
pub fn shown(causes: Vec<StatusCause>) -> Vec<String> {
    causes.into_iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
}

/// The object with that value at a pointer; null removes what is there.
///
/// # Panics
///
/// Where the pointer leads nowhere.
pub fn with(object: &Value, pointer: &str, value: Value) -> Value {
    let mut object = object.clone();
    let (parent, last) = pointer.rsplit_once('/').expect("a pointer has a slash");
    let parent = parent.split('/').skip(1).fold(&mut object, |place, step| match step.parse::<usize>() {
        Ok(index) => place.get_mut(index).expect("the pointer leads somewhere"),
        Err(_) => place.as_object_mut().expect("the pointer leads somewhere").entry(step).or_insert(Value::Null),
    });
    match (value, parent) {
        (Value::Null, Value::Object(fields)) => drop(fields.remove(last)),
        (value, Value::Object(fields)) => drop(fields.insert(last.to_owned(), value)),
        (value, parent) => *parent = json!({ last: value }),
    }
    object
}

/// Holds every manifest of a folder to its name.
///
/// # Panics
///
/// Where one is accepted or refused against its name, and where there are none of either.
pub fn keep_their_names(definition: &ResourceDefinition, folder: impl AsRef<Path>) {
    let (mut accepted, mut refused) = (0, 0);
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the folder can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("a manifest can be read");
        let expected = text.lines().next().and_then(|line| line.strip_prefix(REFUSED));
        assert_eq!(expected.is_some(), name.starts_with("reject_"), "{name}");
        for document in documents(&text, false).expect("a manifest can be parsed") {
            let mut object = document.value;
            if definition.scope == Scope::Namespaced {
                object = with(&object, "/metadata/namespace", json!("default"));
            }
            assert_eq!(faults(definition, &mut object), Vec::from_iter(expected), "{name}");
            *(if expected.is_some() { &mut refused } else { &mut accepted }) += 1;
        }
    }
    assert!(accepted > 0 && refused > 0, "{accepted} are accepted, {refused} refused");
}
