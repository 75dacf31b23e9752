//! CertificateSigningRequests: who would like which certificate. Whether one is given is for approvers and signers to say; this
//! house has one, for the certificates of nodes.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::check::{Faults, Field};
use super::fill::{fill, object_at, set};
use super::read::{integer, items, text};
use super::table::{NONE, age, duration};
use super::{
    Cell, Column, FieldGetter, ResourceDefinition, Scope, ServedVersion, Strategy, SubresourceDefinition, Verb,
    WriteContext,
};
use crate::object::{FieldError, ResourceType, names};
use crate::status::{Status, StatusCause};

/// The resource type.
pub const CERTIFICATE_SIGNING_REQUESTS: ResourceType =
    ResourceType::new("certificates.k8s.io", "certificatesigningrequests");

/// A request is of no use once its certificate was fetched, or nobody has answered it for a day.
const TTL_SECONDS: u32 = 24 * 3600;
/// The shortest life a certificate may be asked for, in seconds.
const LIFE_SECONDS_MIN: i64 = 600;
/// The conditions that say how a request was decided.
const DECISIONS: [&str; 2] = ["Approved", "Denied"];
/// The conditions that are never taken back.
const LASTING: [&str; 3] = ["Approved", "Denied", "Failed"];
const APPROVAL: &[SubresourceDefinition] =
    &[SubresourceDefinition::fields("approval", &[Verb::Get, Verb::Patch, Verb::Update])];
const SELECTABLE: &[(&str, FieldGetter)] =
    &[("spec.signerName", |request| text(request, "/spec/signerName").to_owned())];

struct RequestStrategy;

/// What a CertificateSigningRequest is.
pub(super) fn definition() -> ResourceDefinition {
    let schema = "io.k8s.api.certificates.v1.CertificateSigningRequest";
    let version = ServedVersion::stored("certificates.k8s.io", "v1", schema);
    ResourceDefinition {
        short_names: &["csr"],
        scope: Scope::Cluster,
        has_status: true,
        subresources: APPROVAL,
        selectable: SELECTABLE,
        ttl_seconds: Some(TTL_SECONDS),
        ..ResourceDefinition::plain(
            CERTIFICATE_SIGNING_REQUESTS,
            "CertificateSigningRequest",
            "certificatesigningrequest",
            version,
            RequestStrategy,
        )
    }
}

impl Strategy for RequestStrategy {
    fn prepare_create(&self, object: &mut Value, _cx: &WriteContext<'_>) {
        set(object, "status", json!({}));
    }

    /// What was asked for stays, and with it who asked; so does how it was decided, wherever as many decisions are told.
    fn prepare_update(&self, object: &mut Value, old: &Value, _cx: &WriteContext<'_>) {
        if let Some(spec) = old.get("spec") {
            set(object, "spec", spec.clone());
        }
        for decision in DECISIONS {
            if of_type(object, decision).count() != of_type(old, decision).count() {
                continue;
            }
            let conditions = object.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
            let told = conditions.into_iter().flatten().filter(|condition| text(condition, "/type") == decision);
            told.zip(of_type(old, decision)).for_each(|(told, known)| *told = known.clone());
        }
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let spec = Field::root(object).at("spec");
        faults.required_text(&spec.at("request"));
        faults.required_rule(&spec.at("signerName"), names::domain_prefixed_path);
        if spec.at("usages").count() == 0 {
            faults.required(&spec.at("usages"), "");
        }
        faults.number_rule(&spec.at("expirationSeconds"), |seconds| {
            let short =
                || vec![format!("may not specify a duration less than {LIFE_SECONDS_MIN} seconds (10 minutes)")];
            if seconds < LIFE_SECONDS_MIN { short() } else { Vec::new() }
        });
        faults.errors.causes()
    }

    /// Whoever tells what became of a request does not decide it: that is done at `approval`.
    fn validate_status(&self, object: &Value, old: &Value) -> Vec<StatusCause> {
        let mut faults = conditions_at_fault(object, old);
        let path = Field::root(object).at("status").at("conditions").path;
        for decision in DECISIONS {
            if of_type(object, decision).count() > of_type(old, decision).count() {
                let why = format!("updates may not add a condition of type {decision:?}");
                faults.errors.push(FieldError::forbidden(path.clone(), why));
            }
        }
        faults.errors.causes()
    }

    fn write_subresource(
        &self,
        name: &str,
        body: &Value,
        object: &mut Value,
        cx: &WriteContext<'_>,
    ) -> Result<(), Status> {
        if name != "approval" {
            return Err(Status::method_not_allowed());
        }
        let old = object.clone();
        let mut conditions = body.pointer("/status/conditions").cloned().unwrap_or_else(|| json!([]));
        for condition in conditions.as_array_mut().into_iter().flatten() {
            fill(condition, "lastUpdateTime", cx.now.to_string());
            fill(condition, "lastTransitionTime", cx.now.to_string());
        }
        if let Some(status) = object_at(object, "status") {
            set(status, "conditions", conditions);
        }
        if let (Some(notes), Some(metadata)) = (body.pointer("/metadata/annotations"), object_at(object, "metadata")) {
            set(metadata, "annotations", notes.clone());
        }
        match conditions_at_fault(object, &old).errors.causes() {
            faults if faults.is_empty() => Ok(()),
            faults => Err(Status::invalid("CertificateSigningRequest", text(object, "/metadata/name"), faults)),
        }
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::name("Its name."),
            Column::age(),
            Column::text("SignerName", "Who is to sign it."),
            Column::text("Requestor", "Who asks."),
            Column::text("RequestedDuration", "How long the certificate is to last."),
            Column::text("Condition", "What was decided."),
        ]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        let life = match integer(object, "/spec/expirationSeconds") {
            0 => NONE.to_owned(),
            seconds => duration(seconds),
        };
        vec![
            text(object, "/metadata/name").into(),
            age(object, now),
            text(object, "/spec/signerName").into(),
            text(object, "/spec/username").into(),
            life.into(),
            condition(object).into(),
        ]
    }
}

fn of_type<'v>(object: &'v Value, kind: &str) -> impl Iterator<Item = &'v Value> {
    items(object, "/status/conditions").filter(move |condition| text(condition, "/type") == kind)
}

/// A decision is not taken back, and there is one of them.
fn conditions_at_fault(object: &Value, old: &Value) -> Faults {
    let mut faults = Faults::default();
    let conditions = Field::root(object).at("status").at("conditions");
    for decided in LASTING {
        if of_type(object, decided).count() < of_type(old, decided).count() {
            let why = format!("updates may not remove a condition of type {decided:?}");
            faults.errors.push(FieldError::forbidden(conditions.path.clone(), why));
        }
    }
    let mut seen = BTreeSet::new();
    for condition in conditions.items() {
        let (kind, status) = (condition.at("type"), condition.at("status"));
        faults.required_text(&kind);
        let known: &[&str] = if LASTING.contains(&kind.text()) { &["True"] } else { &["True", "False", "Unknown"] };
        match status.is_set() {
            true => faults.one_of(&status, known),
            false => faults.required(&status, ""),
        }
        if !seen.insert(kind.text()) {
            faults.duplicate(&kind);
        }
        if DECISIONS.contains(&kind.text()) && DECISIONS.iter().all(|decision| seen.contains(decision)) {
            faults.invalid(&kind, "Approved and Denied conditions are mutually exclusive");
        }
    }
    faults
}

/// What was decided, and whether the certificate is there.
fn condition(object: &Value) -> String {
    let says = |kind: &str| of_type(object, kind).next().is_some();
    let mut found: Vec<&str> = LASTING.into_iter().filter(|kind| says(kind)).collect();
    if found.is_empty() {
        found.push("Pending");
    }
    if !text(object, "/status/certificate").is_empty() {
        found.push("Issued");
    }
    found.join(",")
}
