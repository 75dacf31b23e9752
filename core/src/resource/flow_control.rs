//! FlowSchemas and PriorityLevelConfigurations: which requests take turns with which. They are kept for who sets them; turns are
//! given here by who asks.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::check::{Faults, Field};
use super::fill::{fill, object_at, present, set};
use super::read::{integer, text};
use super::table::{NONE, age};
use super::{Cell, Column, ResourceDefinition, Scope, ServedVersion, Strategy, WriteContext};
use crate::object::ResourceType;
use crate::status::StatusCause;

const GROUP: &str = "flowcontrol.apiserver.k8s.io";

/// The resource type.
const FLOW_SCHEMAS: ResourceType = ResourceType::new(GROUP, "flowschemas");
/// The resource type.
const PRIORITY_LEVEL_CONFIGURATIONS: ResourceType = ResourceType::new(GROUP, "prioritylevelconfigurations");

/// Which of several schemas a request is of, where one does not say.
const PRECEDENCE: i64 = 1000;
const PRECEDENCE_MAX: i64 = 10_000;
/// What a limited level has of everything where it does not say.
const SHARES: i64 = 30;
const QUEUES: i64 = 64;
const HAND_SIZE: i64 = 8;
const QUEUE_LENGTH: i64 = 50;

struct FlowSchemaStrategy;
struct PriorityLevelStrategy;

/// The kinds of this group.
pub(super) fn definitions() -> [ResourceDefinition; 2] {
    let version = |schema| ServedVersion::stored(GROUP, "v1", schema);
    let schemas = ResourceDefinition::plain(
        FLOW_SCHEMAS,
        "FlowSchema",
        "flowschema",
        version("io.k8s.api.flowcontrol.v1.FlowSchema"),
        FlowSchemaStrategy,
    );
    let levels = ResourceDefinition::plain(
        PRIORITY_LEVEL_CONFIGURATIONS,
        "PriorityLevelConfiguration",
        "prioritylevelconfiguration",
        version("io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration"),
        PriorityLevelStrategy,
    );
    [schemas, levels].map(|definition| ResourceDefinition {
        scope: Scope::Cluster,
        has_status: true,
        has_generation: true,
        ..definition
    })
}

impl Strategy for FlowSchemaStrategy {
    fn default(&self, object: &mut Value) {
        if let Some(spec) = object_at(object, "spec") {
            fill(spec, "matchingPrecedence", PRECEDENCE);
        }
    }

    fn prepare_create(&self, object: &mut Value, _cx: &WriteContext<'_>) {
        set(object, "status", json!({}));
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let spec = Field::root(object).at("spec");
        faults.required_text(&spec.at("priorityLevelConfiguration").at("name"));
        faults.number_rule(&spec.at("matchingPrecedence"), |precedence| match precedence {
            1..=PRECEDENCE_MAX => Vec::new(),
            ..1 => vec!["must be a positive value".to_owned()],
            _ => vec![format!("must not be greater than {PRECEDENCE_MAX}")],
        });
        let method = spec.at("distinguisherMethod");
        if method.is_set() {
            faults.one_of(&method.at("type"), &["ByNamespace", "ByUser"]);
        }
        for rule in spec.at("rules").items() {
            if rule.at("subjects").count() == 0 {
                faults.required(&rule.at("subjects"), "subjects must contain at least one value");
            }
            if rule.at("resourceRules").count() + rule.at("nonResourceRules").count() == 0 {
                faults.required(&rule, "at least one of resourceRules and nonResourceRules has to be non-empty");
            }
        }
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::name("Its name."),
            Column::text("PriorityLevel", "The level its requests are of."),
            Column::integer("MatchingPrecedence", "Which comes first where several match: the least."),
            Column::text("DistinguisherMethod", "What tells flows apart."),
            Column::age(),
            Column::text("MissingPL", "Whether its level is missing."),
        ]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        let method = Some(text(object, "/spec/distinguisherMethod/type")).filter(|method| !method.is_empty());
        vec![
            text(object, "/metadata/name").into(),
            text(object, "/spec/priorityLevelConfiguration/name").into(),
            integer(object, "/spec/matchingPrecedence").into(),
            method.unwrap_or(NONE).into(),
            age(object, now),
            "?".into(),
        ]
    }
}

impl Strategy for PriorityLevelStrategy {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object_at(object, "spec") else { return };
        if let Some(exempt) = present(spec, "exempt") {
            fill(exempt, "nominalConcurrencyShares", 0);
            fill(exempt, "lendablePercent", 0);
        }
        let Some(limited) = present(spec, "limited") else { return };
        fill(limited, "nominalConcurrencyShares", SHARES);
        fill(limited, "lendablePercent", 0);
        if let Some(queuing) = present(limited, "limitResponse").and_then(|response| present(response, "queuing")) {
            fill(queuing, "queues", QUEUES);
            fill(queuing, "handSize", HAND_SIZE);
            fill(queuing, "queueLengthLimit", QUEUE_LENGTH);
        }
    }

    fn prepare_create(&self, object: &mut Value, _cx: &WriteContext<'_>) {
        set(object, "status", json!({}));
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let spec = Field::root(object).at("spec");
        let (limited, exempt) = (spec.at("limited"), spec.at("exempt"));
        faults.one_of(&spec.at("type"), &["Exempt", "Limited"]);
        match spec.at("type").text() {
            "Exempt" if limited.is_set() => faults.forbidden(&limited, "must be nil if the type is not Limited"),
            "Limited" if exempt.is_set() => faults.forbidden(&exempt, "must be nil if the type is Limited"),
            "Limited" if !limited.is_set() => faults.required(&limited, "must not be empty when type is Limited"),
            _ => {}
        }
        faults.nonnegative(&limited.at("nominalConcurrencyShares"));
        let response = limited.at("limitResponse");
        if limited.is_set() {
            faults.one_of(&response.at("type"), &["Queue", "Reject"]);
        }
        match response.at("type").text() {
            "Reject" if response.at("queuing").is_set() => {
                faults.forbidden(&response.at("queuing"), "must be nil if limited.limitResponse.type is not Limited");
            }
            "Queue" if !response.at("queuing").is_set() => {
                faults.required(&response.at("queuing"), "must not be empty if limited.limitResponse.type is Limited");
            }
            _ => {}
        }
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::name("Its name."),
            Column::text("Type", "Whether it is limited."),
            Column::text("NominalConcurrencyShares", "Its part of what is served at a time."),
            Column::text("Queues", "How many queues it has."),
            Column::text("HandSize", "How many of them a flow may use."),
            Column::text("QueueLengthLimit", "How many requests wait in a queue."),
            Column::age(),
        ]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        let number = |pointer: String| object.pointer(&pointer).map_or(NONE.to_owned(), Value::to_string);
        let queuing = |field| number(format!("/spec/limited/limitResponse/queuing/{field}"));
        vec![
            text(object, "/metadata/name").into(),
            text(object, "/spec/type").into(),
            number("/spec/limited/nominalConcurrencyShares".to_owned()).into(),
            queuing("queues").into(),
            queuing("handSize").into(),
            queuing("queueLengthLimit").into(),
            age(object, now),
        ]
    }
}
