//! What a list or watch is asked for.

use std::time::Duration;

use sampan_core::object::Revision;
use sampan_core::object::selector::Selector;
use sampan_core::resource::ResourceDefinition;
use sampan_core::status::{Status, StatusCause};

use super::{FieldSelector, Query};

/// The longest watch, whatever is asked for: clients come back.
const TIMEOUT_MAX: Duration = Duration::from_hours(24);

/// How the revision asked for is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VersionMatch {
    /// That one.
    Exact,
    /// That one or a later one.
    NotOlderThan,
}

/// The options of a list or watch.
#[derive(Debug, Default)]
pub(crate) struct ListOptions {
    /// Which labels.
    pub(crate) labels: Selector,
    /// Which fields.
    pub(crate) fields: FieldSelector,
    /// Changes instead of objects.
    pub(crate) watch: bool,
    /// At most so many objects; `None` for all.
    pub(crate) limit: Option<usize>,
    /// Where an earlier list left off; empty for the start.
    pub(crate) continue_token: String,
    /// The revision asked for; `None` for the latest, 0 for any.
    pub(crate) resource_version: Option<Revision>,
    /// How it is meant.
    pub(crate) version_match: Option<VersionMatch>,
    /// How long to watch.
    pub(crate) timeout: Option<Duration>,
    /// Whether the client understands bookmarks.
    pub(crate) bookmarks: bool,
    /// Whether a watch begins with the objects there are; `None` leaves it to the revision.
    pub(crate) initial_events: Option<bool>,
}

impl ListOptions {
    /// Reads the query.
    ///
    /// # Errors
    /// `BadRequest` or `Invalid`, as Kubernetes answers.
    pub(crate) fn parse(query: &Query, definition: &ResourceDefinition) -> Result<Self, Status> {
        let labels = query.text("labelSelector");
        let options = Self {
            labels: labels
                .parse()
                .map_err(|error| Status::bad_request(format!("unable to parse requirement in {labels:?}: {error}")))?,
            fields: FieldSelector::parse(query.text("fieldSelector"), definition)?,
            watch: query.flag("watch"),
            limit: query.number("limit")?.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0),
            continue_token: query.text("continue").to_owned(),
            resource_version: parse_version(query.text("resourceVersion"))?,
            version_match: parse_match(query.text("resourceVersionMatch"))?,
            timeout: query
                .number("timeoutSeconds")?
                .and_then(|seconds| u64::try_from(seconds).ok())
                .filter(|seconds| *seconds > 0)
                .map(|seconds| Duration::from_secs(seconds).min(TIMEOUT_MAX)),
            bookmarks: query.flag("allowWatchBookmarks"),
            initial_events: query.given("sendInitialEvents").map(|_| query.flag("sendInitialEvents")),
        };
        options.check()?;
        Ok(options)
    }

    /// Which options go together.
    fn check(&self) -> Result<(), Status> {
        match self.watch {
            true => self.check_watch(),
            false => self.check_list(),
        }
    }

    fn check_list(&self) -> Result<(), Status> {
        if self.initial_events.is_some() {
            return Err(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
        }
        let Some(version_match) = self.version_match else { return Ok(()) };
        if !self.continue_token.is_empty() {
            return Err(forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden when continue is provided",
            ));
        }
        match self.resource_version {
            None => Err(forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            )),
            Some(Revision(0)) if version_match == VersionMatch::Exact => Err(forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"",
            )),
            Some(_) => Ok(()),
        }
    }

    fn check_watch(&self) -> Result<(), Status> {
        match (self.initial_events, self.version_match) {
            (None, Some(_)) => Err(forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            )),
            (Some(_), None) => Err(forbidden(
                "resourceVersionMatch",
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            )),
            (Some(_), Some(VersionMatch::Exact)) => Err(invalid(
                "FieldValueNotSupported",
                "resourceVersionMatch",
                "Unsupported value: \"Exact\": supported values: \"NotOlderThan\"",
            )),
            _ => Ok(()),
        }
    }
}

fn parse_version(text: &str) -> Result<Option<Revision>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let invalid = |_| Status::bad_request(format!("Invalid value: {text:?}: resourceVersion: must be a number"));
    text.parse().map(|version| Some(Revision(version))).map_err(invalid)
}

fn parse_match(text: &str) -> Result<Option<VersionMatch>, Status> {
    match text {
        "" => Ok(None),
        "Exact" => Ok(Some(VersionMatch::Exact)),
        "NotOlderThan" => Ok(Some(VersionMatch::NotOlderThan)),
        other => Err(invalid(
            "FieldValueNotSupported",
            "resourceVersionMatch",
            &format!("Unsupported value: {other:?}: supported values: \"Exact\", \"NotOlderThan\""),
        )),
    }
}

fn forbidden(field: &str, why: &str) -> Status {
    invalid("FieldValueForbidden", field, &format!("Forbidden: {why}"))
}

fn invalid(reason: &str, field: &str, message: &str) -> Status {
    let cause = StatusCause { reason: reason.to_owned(), message: message.to_owned(), field: field.to_owned() };
    Status::invalid("ListOptions.meta.k8s.io", "", vec![cause])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(options: ListOptions, fault: Option<&str>) {
        match (options.check(), fault) {
            (Ok(()), None) => {}
            (Err(status), Some(fault)) => assert!(status.message.contains(fault), "{}", status.message),
            (found, _) => panic!("{options:?}: {found:?}"),
        }
    }

    #[test]
    fn options_of_a_list_that_contradict_are_refused() {
        let list = ListOptions::default;
        let (exact, newer) = (Some(VersionMatch::Exact), Some(VersionMatch::NotOlderThan));
        check(list(), None);
        check(ListOptions { version_match: exact, resource_version: Some(Revision(7)), ..list() }, None);
        check(
            ListOptions { version_match: exact, resource_version: Some(Revision(0)), ..list() },
            Some("for resourceVersion \"0\""),
        );
        check(ListOptions { version_match: newer, ..list() }, Some("unless resourceVersion is provided"));
        check(ListOptions { initial_events: Some(true), ..list() }, Some("forbidden for list"));
        let continued = ListOptions { continue_token: "x".into(), version_match: newer, ..list() };
        check(continued, Some("when continue is provided"));
    }

    #[test]
    fn options_of_a_watch_that_contradict_are_refused() {
        let watch = || ListOptions { watch: true, ..ListOptions::default() };
        let newer = Some(VersionMatch::NotOlderThan);
        check(watch(), None);
        check(ListOptions { initial_events: Some(true), version_match: newer, ..watch() }, None);
        check(ListOptions { initial_events: Some(true), ..watch() }, Some("requires setting resourceVersionMatch"));
        check(ListOptions { version_match: newer, ..watch() }, Some("unless sendInitialEvents"));
        let exact = ListOptions { initial_events: Some(true), version_match: Some(VersionMatch::Exact), ..watch() };
        check(exact, Some("supported values: \"NotOlderThan\""));
    }
}
