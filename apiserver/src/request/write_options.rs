//! How a write is asked for.

use hyper::HeaderMap;
use hyper::header::USER_AGENT;
use sampan_core::gateway::{DeleteOptions, FieldValidation, Options, Propagation};
use sampan_core::object::{Revision, Uid};
use sampan_core::status::{Status, StatusCause};
use serde::Deserialize;

use super::Query;

/// The longest name of a field manager, in bytes, as in Kubernetes.
const MANAGER_BYTES_MAX: usize = 128;

/// Reads `dryRun`, `fieldValidation`, `fieldManager` and `force`. `kind` is the options' kind in errors, such as
/// `CreateOptions`.
///
/// # Errors
/// `Invalid`, naming the parameter.
pub(crate) fn write_options(query: &Query, headers: &HeaderMap, kind: &str) -> Result<Options, Status> {
    let manager = query.text("fieldManager");
    if manager.len() > MANAGER_BYTES_MAX || manager.chars().any(char::is_control) {
        let message = format!("Invalid value: {manager:?}: must be at most {MANAGER_BYTES_MAX} printable bytes");
        return Err(invalid(kind, "FieldValueInvalid", "fieldManager", message));
    }
    Ok(Options {
        dry_run: dry_run(query.all("dryRun"), kind)?,
        field_validation: match query.text("fieldValidation") {
            "" | "Warn" => FieldValidation::Warn,
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            other => return Err(not_supported(kind, "fieldValidation", other, "\"Ignore\", \"Strict\", \"Warn\"")),
        },
        field_manager: if manager.is_empty() { manager_of(headers) } else { manager.to_owned() },
        force: query.flag("force"),
    })
}

/// The field manager of a client that names none: its user agent up to the first `/`.
pub(crate) fn manager_of(headers: &HeaderMap) -> String {
    let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let name = agent.split('/').next().unwrap_or_default();
    name.chars().filter(|character| !character.is_control()).take(MANAGER_BYTES_MAX).collect()
}

fn dry_run<'a>(mut values: impl Iterator<Item = &'a str>, kind: &str) -> Result<bool, Status> {
    values.try_fold(false, |dry, value| match value {
        "" => Ok(dry),
        "All" => Ok(true),
        other => Err(not_supported(kind, "dryRun", other, "\"All\"")),
    })
}

fn not_supported(kind: &str, field: &str, value: &str, supported: &str) -> Status {
    let message = format!("Unsupported value: {value:?}: supported values: {supported}");
    invalid(kind, "FieldValueNotSupported", field, message)
}

fn invalid(kind: &str, reason: &str, field: &str, message: String) -> Status {
    let cause = StatusCause { reason: reason.to_owned(), message, field: field.to_owned() };
    Status::invalid(&format!("{kind}.meta.k8s.io"), "", vec![cause])
}

/// `DeleteOptions` as a body.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeleteBody {
    grace_period_seconds: Option<i64>,
    propagation_policy: Option<String>,
    orphan_dependents: Option<bool>,
    preconditions: Option<Preconditions>,
    #[serde(default)]
    dry_run: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Preconditions {
    uid: Option<String>,
    resource_version: Option<String>,
}

const DELETE_OPTIONS: &str = "DeleteOptions";

/// Reads the options of a deletion from its body, else from the query.
///
/// # Errors
/// `BadRequest` where the body is no `DeleteOptions`, `Invalid` where an option is at fault.
pub(crate) fn delete_options(query: &Query, body: &[u8]) -> Result<(DeleteOptions, Options), Status> {
    let options = match body.is_empty() {
        false => serde_json::from_slice(body)
            .map_err(|error| Status::bad_request(format!("failed to decode DeleteOptions: {error}")))?,
        true => DeleteBody {
            grace_period_seconds: query.number("gracePeriodSeconds")?,
            propagation_policy: query.given("propagationPolicy").filter(|it| !it.is_empty()).map(str::to_owned),
            orphan_dependents: query.given("orphanDependents").map(|_| query.flag("orphanDependents")),
            preconditions: None,
            dry_run: query.all("dryRun").map(str::to_owned).collect(),
        },
    };
    let dry_run = dry_run(options.dry_run.iter().map(String::as_str), DELETE_OPTIONS)?;
    let preconditions = options.preconditions.unwrap_or_default();
    let delete = DeleteOptions {
        grace_seconds: options.grace_period_seconds,
        uid: preconditions.uid.map(|uid| Uid(uid.into())),
        revision: preconditions.resource_version.as_deref().map(parse_revision).transpose()?,
        propagation: propagation(options.propagation_policy.as_deref(), options.orphan_dependents)?,
    };
    Ok((delete, Options { dry_run, ..Options::default() }))
}

fn parse_revision(text: &str) -> Result<Revision, Status> {
    let invalid = |_| Status::bad_request(format!("preconditions.resourceVersion: {text:?} is no number"));
    text.parse().map(Revision).map_err(invalid)
}

fn propagation(policy: Option<&str>, orphan: Option<bool>) -> Result<Option<Propagation>, Status> {
    match (policy, orphan) {
        (Some(_), Some(_)) => Err(invalid(
            DELETE_OPTIONS,
            "FieldValueInvalid",
            "propagationPolicy",
            "Invalid value: orphanDependents and deletionPropagation cannot be both set".to_owned(),
        )),
        (None, None) => Ok(None),
        (None, Some(true)) | (Some("Orphan"), None) => Ok(Some(Propagation::Orphan)),
        (None, Some(false)) | (Some("Background"), None) => Ok(Some(Propagation::Background)),
        (Some("Foreground"), None) => Ok(Some(Propagation::Foreground)),
        (Some(other), None) => {
            Err(not_supported(DELETE_OPTIONS, "propagationPolicy", other, "\"Foreground\", \"Background\", \"Orphan\""))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delete(query: &str, body: &str) -> Result<(DeleteOptions, Options), Status> {
        delete_options(&Query::new(Some(query)), body.as_bytes())
    }

    #[test]
    fn a_body_wins_over_the_query() {
        let body = r#"{"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":0,"propagationPolicy":"Foreground","preconditions":{"uid":"u","resourceVersion":"7"},"dryRun":["All"]}"#;
        let (options, write) = delete("gracePeriodSeconds=5", body).unwrap();
        let expect = DeleteOptions {
            grace_seconds: Some(0),
            uid: Some(Uid("u".into())),
            revision: Some(Revision(7)),
            propagation: Some(Propagation::Foreground),
        };
        assert_eq!(options, expect);
        assert!(write.dry_run);
        assert_eq!(delete("gracePeriodSeconds=5", "").unwrap().0.grace_seconds, Some(5));
    }

    #[test]
    fn options_of_a_deletion_that_make_no_sense_are_refused() {
        for (query, body) in [
            ("dryRun=Some", ""),
            ("propagationPolicy=Never", ""),
            ("propagationPolicy=Orphan&orphanDependents=true", ""),
            ("", "{"),
            ("", r#"{"preconditions":{"resourceVersion":"x"}}"#),
        ] {
            assert!(delete(query, body).is_err(), "{query} {body}");
        }
    }

    #[test]
    fn a_client_without_a_field_manager_is_named_by_its_user_agent() {
        let agent = |text: &str| manager_of(&HeaderMap::from_iter([(USER_AGENT, text.parse().unwrap())]));
        assert_eq!(agent("kubectl/v1.35.0 (linux/amd64)"), "kubectl");
        assert_eq!(agent("curl"), "curl");
        let query = Query::new(Some("fieldValidation=Loud"));
        assert_eq!(write_options(&query, &HeaderMap::new(), "CreateOptions").unwrap_err().code, 422);
    }
}
