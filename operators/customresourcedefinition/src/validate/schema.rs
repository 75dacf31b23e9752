//! Whether a schema is structural (KEP-1979): everything the server keeps is said outright, and once.

use sampan_core::object::FieldPath;
use sampan_core::resource::check::{Faults, Field};
use sampan_core::resource::custom::{Pattern, RuleFault, Structural, compile_all, validate_shape};
use serde_json::Value;

/// Where in a schema a schema stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Property,
    Item,
    Entry,
    /// In `allOf` and its like: it may say of values what it likes, but adds none.
    Logic,
}

/// How deep schemas may nest.
const DEPTH_MAX: usize = 64;

/// Fields of schemas that structural ones do not have.
const UNSUPPORTED: [&str; 6] =
    ["$ref", "$schema", "additionalItems", "definitions", "dependencies", "patternProperties"];

/// Checks the schema of a version.
pub(super) fn structural(schema: &Field<'_>, faults: &mut Faults) {
    let before = faults.errors.len();
    check(schema, Place::Root, 0, faults);
    if faults.errors.len() > before {
        return;
    }
    match Structural::read(schema.value) {
        Ok(mut structural) => {
            defaults(&structural, schema, faults);
            rules(&mut structural, schema, faults);
        }
        Err(error) => faults.invalid_hidden(schema, format!("is no schema: {error}")),
    }
}

fn check(schema: &Field<'_>, place: Place, depth: usize, faults: &mut Faults) {
    if depth > DEPTH_MAX {
        return faults.forbidden(schema, format!("schemas may nest at most {DEPTH_MAX} deep"));
    }
    check_type(schema, place, faults);
    check_unsupported(schema, faults);
    check_extensions(schema, place, faults);
    check_pattern(schema, faults);
    let below = depth + 1;
    for (name, property) in schema.at("properties").entries() {
        let is_metadata = place == Place::Root && name == "metadata";
        if !is_metadata {
            check(&property, if place == Place::Logic { Place::Logic } else { Place::Property }, below, faults);
        }
    }
    let inner = |inner| if place == Place::Logic { Place::Logic } else { inner };
    let (items, entries) = (schema.at("items"), schema.at("additionalProperties"));
    if items.value.is_array() {
        faults.forbidden(&items, "items must be a schema object and not an array");
    } else if items.is_set() {
        check(&items, inner(Place::Item), below, faults);
    }
    if entries.value.is_object() {
        check(&entries, inner(Place::Entry), below, faults);
        if place == Place::Root {
            faults.forbidden(&entries, "must not be used at the root");
        } else if schema.at("properties").count() > 0 {
            faults.forbidden(&entries, "additionalProperties and properties are mutual exclusive");
        }
    }
    let together = ["allOf", "anyOf", "oneOf"].into_iter().flat_map(|name| schema.at(name).items());
    for logic in together.chain(Some(schema.at("not")).filter(Field::is_set)) {
        check_logic(&logic, schema.at("x-kubernetes-int-or-string").is_true(), below, faults);
    }
}

fn check_type(schema: &Field<'_>, place: Place, faults: &mut Faults) {
    const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
    let kind = schema.at("type");
    let is_free = schema.at("x-kubernetes-int-or-string").is_true()
        || schema.at("x-kubernetes-preserve-unknown-fields").is_true();
    faults.one_of_if_set(&kind, &TYPES);
    match (place, kind.text()) {
        (Place::Logic, _) => {}
        (Place::Root, "") => faults.required(&kind, "must not be empty at the root"),
        (Place::Root, other) if other != "object" => faults.invalid(&kind, "must be object at the root"),
        (Place::Property, "") if !is_free => faults.required(&kind, "must not be empty for specified object fields"),
        (Place::Item, "") if !is_free => faults.required(&kind, "must not be empty for specified array items"),
        (Place::Entry, "") if !is_free => faults.required(&kind, "must not be empty for specified object fields"),
        (_, "array") if !schema.at("items").is_set() => faults.required(&schema.at("items"), "must be specified"),
        (_, kind_text) if !kind_text.is_empty() && schema.at("x-kubernetes-int-or-string").is_true() => {
            faults.invalid(&kind, "must be empty if x-kubernetes-int-or-string is true");
        }
        _ => {}
    }
}

fn check_unsupported(schema: &Field<'_>, faults: &mut Faults) {
    for name in UNSUPPORTED {
        if schema.at(name).is_set() {
            faults.forbidden(&schema.at(name), format!("{name} is not supported"));
        }
    }
    if schema.at("uniqueItems").is_true() {
        faults.forbidden(
            &schema.at("uniqueItems"),
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        );
    }
    if schema.at("additionalProperties").value == &Value::Bool(false) {
        faults.forbidden(&schema.at("additionalProperties"), "additionalProperties cannot be set to false");
    }
}

fn check_pattern(schema: &Field<'_>, faults: &mut Faults) {
    let pattern = schema.at("pattern");
    if let Some(Err(why)) = pattern.is_set().then(|| Pattern::new(pattern.text())) {
        faults.invalid(&pattern, format!("must be a valid regular expression, but isn't: {why}"));
    }
}

fn check_extensions(schema: &Field<'_>, place: Place, faults: &mut Faults) {
    let list_type = schema.at("x-kubernetes-list-type");
    faults.one_of_if_set(&list_type, &["atomic", "map", "set"]);
    if list_type.is_set() && schema.at("type").text() != "array" && place != Place::Logic {
        faults.invalid(&schema.at("type"), "must be array if x-kubernetes-list-type is specified");
    }
    let map_type = schema.at("x-kubernetes-map-type");
    faults.one_of_if_set(&map_type, &["atomic", "granular"]);
    if map_type.is_set() && schema.at("type").text() != "object" && place != Place::Logic {
        faults.invalid(&schema.at("type"), "must be object if x-kubernetes-map-type is specified");
    }
    check_map_keys(schema, &list_type, faults);
    if schema.at("x-kubernetes-embedded-resource").is_true() {
        if schema.at("type").text() != "object" {
            faults.invalid(&schema.at("type"), "must be object if x-kubernetes-embedded-resource is true");
        }
        let has_content =
            schema.at("properties").count() > 0 || schema.at("x-kubernetes-preserve-unknown-fields").is_true();
        if !has_content {
            faults.required(
                &schema.at("properties"),
                "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
            );
        }
    }
    if schema.at("x-kubernetes-preserve-unknown-fields").value == &Value::Bool(false) {
        faults.invalid(&schema.at("x-kubernetes-preserve-unknown-fields"), "must be true or undefined");
    }
}

fn check_map_keys(schema: &Field<'_>, list_type: &Field<'_>, faults: &mut Faults) {
    let keys = schema.at("x-kubernetes-list-map-keys");
    match (list_type.text(), keys.count()) {
        ("map", 0) => faults.required(&keys, "must not be empty if x-kubernetes-list-type is map"),
        ("map", _) => {}
        (_, 0) => {}
        _ => faults.forbidden(&keys, "must not be set if x-kubernetes-list-type is not map"),
    }
    let items = schema.at("items");
    for key in keys.items() {
        let property = items.at("properties").entries().find(|(name, _)| *name == key.text()).map(|(_, it)| it);
        let Some(property) = property else {
            faults.invalid(&key, "entries must all be names of item properties");
            continue;
        };
        let is_required = items.at("required").items().any(|it| it.text() == key.text());
        if !is_required && !property.at("default").is_set() {
            faults.required(
                &property.at("default"),
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            );
        }
    }
}

/// A schema in `allOf` and its like restricts what the structural one around it says, and adds nothing.
fn check_logic(logic: &Field<'_>, of_int_or_string: bool, depth: usize, faults: &mut Faults) {
    let tells_type = matches!(logic.at("type").text(), "integer" | "string") && of_int_or_string;
    if logic.at("type").is_set() && !tells_type {
        faults.forbidden(&logic.at("type"), "must be empty to be structural");
    }
    if logic.at("default").is_set() {
        faults.forbidden(&logic.at("default"), "must be undefined to be structural");
    }
    for name in ["additionalProperties", "description", "title"] {
        if logic.at(name).is_set() {
            faults.forbidden(&logic.at(name), "must be undefined to be structural");
        }
    }
    for name in [
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-embedded-resource",
        "x-kubernetes-int-or-string",
        "x-kubernetes-validations",
    ] {
        if logic.at(name).is_set() {
            faults.forbidden(&logic.at(name), "must be false to be structural");
        }
    }
    for (_, property) in logic.at("properties").entries() {
        check_logic(&property, false, depth, faults);
    }
    check(logic, Place::Logic, depth, faults);
}

/// A default must be a value of its own schema.
fn defaults(structural: &Structural, schema: &Field<'_>, faults: &mut Faults) {
    let default = schema.at("default");
    if let Some(value) = &structural.default {
        let mut value = value.clone();
        sampan_core::resource::custom::fill_defaults(structural, &mut value);
        for fault in validate_shape(structural, &value, &default.path.to_string()) {
            faults.invalid(&default, fault.message);
        }
    }
    for (name, below) in schema.at("properties").entries() {
        if let Some(structural) = structural.properties.get(name) {
            defaults(structural, &below, faults);
        }
    }
    if let Some(items) = &structural.items {
        defaults(items, &schema.at("items"), faults);
    }
    let entries = schema.at("additionalProperties");
    if let Some(structural) = structural.below("").filter(|_| entries.value.is_object()) {
        defaults(structural, &entries, faults);
    }
}

fn rules(structural: &mut Structural, schema: &Field<'_>, faults: &mut Faults) {
    for (place, fault) in compile_all(structural) {
        let (field, why) = match fault {
            RuleFault::Rule(why) => ("rule", format!("compilation failed: {why}")),
            RuleFault::Message(why) => ("messageExpression", format!("messageExpression compilation failed: {why}")),
        };
        let path = FieldPath::new(format!("{}{place}.{field}", schema.path));
        faults.invalid(&Field { value: &Value::from("rule"), path }, why);
    }
}
