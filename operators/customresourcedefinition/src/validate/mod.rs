//! What is wrong with a definition, in the words of Kubernetes.

mod conversion;
mod schema;

use std::collections::BTreeSet;

use sampan_core::object::names;
use sampan_core::resource::check::{Faults, Field};
use sampan_core::resource::custom::JsonPath;
use serde_json::Value;

/// The most fields selectors may name.
const SELECTABLE_FIELDS_MAX: usize = 8;
/// Says that a change of a protected group was agreed on.
const APPROVED: &str = "api-approved.kubernetes.io";
/// The types a column may be of.
const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];

/// What is wrong with a definition.
pub(crate) fn definition(object: &Value) -> Faults {
    let mut faults = Faults::default();
    let root = Field::root(object);
    let spec = root.at("spec");
    name(&root, &spec, &mut faults);
    group(&root, &spec, &mut faults);
    faults.one_of(&spec.at("scope"), &["Cluster", "Namespaced"]);
    names_asked_for(&spec.at("names"), &mut faults);
    conversion::validate(&spec.at("conversion"), &mut faults);
    if spec.at("preserveUnknownFields").is_true() {
        faults.invalid(&spec.at("preserveUnknownFields"), "must be false");
    }
    versions(&spec.at("versions"), &mut faults);
    faults
}

/// What of a change may not be.
pub(crate) fn update(object: &Value, old: &Value) -> Faults {
    let mut faults = Faults::default();
    let (new, old) = (Field::root(object), Field::root(old));
    let (spec, before) = (new.at("spec"), old.at("spec"));
    faults.immutable(&spec.at("group"), &before.at("group"));
    faults.immutable(&spec.at("names").at("plural"), &before.at("names").at("plural"));
    if is_established(&old) {
        faults.immutable(&spec.at("scope"), &before.at("scope"));
        faults.immutable(&spec.at("names").at("kind"), &before.at("names").at("kind"));
    }
    if is_established(&old) {
        conversion::validate_authorities(&spec.at("conversion"), &before.at("conversion"), &mut faults);
    }
    let known: BTreeSet<&str> = spec.at("versions").items().map(|version| version.at("name").text()).collect();
    for stored in new.at("status").at("storedVersions").items().filter(|stored| !known.contains(stored.text())) {
        let version = stored.text();
        faults.invalid(&stored, format!("missing from spec.versions; {version} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {version} and removes {version} from status.storedVersions"));
    }
    faults
}

fn is_established(definition: &Field<'_>) -> bool {
    let mut conditions = definition.at("status").at("conditions").items();
    conditions.any(|it| it.at("type").text() == "Established" && it.at("status").text() == "True")
}

fn name(root: &Field<'_>, spec: &Field<'_>, faults: &mut Faults) {
    let name = root.at("metadata").at("name");
    if name.text() != format!("{}.{}", spec.at("names").at("plural").text(), spec.at("group").text()) {
        faults.invalid(&name, "must be spec.names.plural+\".\"+spec.group");
    }
}

fn group(root: &Field<'_>, spec: &Field<'_>, faults: &mut Faults) {
    let group = spec.at("group");
    faults.required_rule(&group, names::dns_1123_subdomain);
    if !group.text().is_empty() && !group.text().contains('.') {
        faults.invalid(&group, "should be a domain with at least one dot");
    }
    let is_protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group.text() == *domain || group.text().ends_with(&format!(".{domain}")));
    let annotations = root.at("metadata").at("annotations");
    if is_protected && annotations.value.get(APPROVED).is_none() {
        let path = annotations.path.key(APPROVED);
        let why = "protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111";
        faults.required(&Field { value: &Value::Null, path }, why);
    }
}

fn names_asked_for(asked: &Field<'_>, faults: &mut Faults) {
    faults.required_rule(&asked.at("plural"), names::dns_1035_label);
    faults.optional_rule(&asked.at("singular"), names::dns_1035_label);
    for kind in [asked.at("kind"), asked.at("listKind")] {
        faults.required_rule(&kind, |text| {
            let broken = names::dns_1035_label(&text.to_ascii_lowercase());
            broken.into_iter().map(|why| format!("may have mixed case, but should otherwise match: {why}")).collect()
        });
    }
    if asked.at("kind").text() == asked.at("listKind").text() {
        faults.invalid(&asked.at("listKind"), "kind and listKind may not be the same");
    }
    for name in asked.at("shortNames").items().chain(asked.at("categories").items()) {
        faults.rule(&name, names::dns_1035_label);
    }
}

fn versions(versions: &Field<'_>, faults: &mut Faults) {
    let listed: Vec<Field<'_>> = versions.items().collect();
    let told = Value::from(listed.iter().map(|version| version.at("name").text()).collect::<Vec<_>>());
    let all = Field { value: &told, path: versions.path.clone() };
    let unique: BTreeSet<&str> = listed.iter().map(|version| version.at("name").text()).collect();
    if unique.len() != listed.len() {
        faults.invalid(&all, "must contain unique version names");
    }
    if listed.iter().filter(|version| version.at("storage").is_true()).count() != 1 {
        faults.invalid(&all, "must have exactly one version marked as storage version");
    }
    for each in &listed {
        version(each, faults);
    }
}

fn version(version: &Field<'_>, faults: &mut Faults) {
    faults.required_rule(&version.at("name"), names::dns_1035_label);
    if !version.at("deprecationWarning").text().is_empty() && !version.at("deprecated").is_true() {
        faults.invalid(&version.at("deprecationWarning"), "can only be set for deprecated versions");
    }
    let open_api = version.at("schema").at("openAPIV3Schema");
    match open_api.is_set() {
        true => schema::structural(&open_api, faults),
        false => faults.required(&open_api, "schemas are required"),
    }
    for column in version.at("additionalPrinterColumns").items() {
        self::column(&column, faults);
    }
    scale(&version.at("subresources").at("scale"), faults);
    selectable(&version.at("selectableFields"), &open_api, faults);
}

fn column(column: &Field<'_>, faults: &mut Faults) {
    faults.required_text(&column.at("name"));
    faults.one_of(&column.at("type"), &COLUMN_TYPES);
    json_path(&column.at("jsonPath"), faults);
}

fn json_path(path: &Field<'_>, faults: &mut Faults) -> Option<JsonPath> {
    if path.text().is_empty() {
        faults.required(path, "");
        return None;
    }
    match JsonPath::parse(path.text()) {
        Ok(parsed) => Some(parsed),
        Err(why) => {
            faults.invalid(path, why);
            None
        }
    }
}

fn scale(scale: &Field<'_>, faults: &mut Faults) {
    if !scale.is_set() {
        return;
    }
    for (name, roots, why) in [
        ("specReplicasPath", &[".spec."][..], "should be a json path under .spec"),
        ("statusReplicasPath", &[".status."][..], "should be a json path under .status"),
        ("labelSelectorPath", &[".spec.", ".status."][..], "should be a json path under either .spec or .status"),
    ] {
        let path = scale.at(name);
        if path.text().is_empty() {
            if name != "labelSelectorPath" {
                faults.required(&path, "");
            }
            continue;
        }
        if !roots.iter().any(|root| path.text().starts_with(root)) {
            faults.invalid(&path, why);
        } else if JsonPath::parse(path.text()).ok().and_then(|path| path.pointer()).is_none() {
            faults.invalid(&path, "should be a simple json path without array notation");
        }
    }
}

fn selectable(fields: &Field<'_>, open_api: &Field<'_>, faults: &mut Faults) {
    let count = fields.count();
    if count > SELECTABLE_FIELDS_MAX {
        faults.errors.push(sampan_core::object::FieldError::too_many(
            fields.path.clone(),
            count,
            SELECTABLE_FIELDS_MAX,
        ));
    }
    for field in fields.items() {
        let path = field.at("jsonPath");
        let Some(parsed) = json_path(&path, faults) else { continue };
        let found = parsed.fields().and_then(|names| {
            let below = |schema: &'_ Value, name: &&str| schema.get("properties")?.get(*name).cloned();
            names.iter().try_fold(open_api.value.clone(), |schema, name| below(&schema, name))
        });
        match found.as_ref().and_then(|schema| schema.get("type")).and_then(Value::as_str) {
            Some("string" | "integer" | "boolean") if path.text().starts_with(".metadata.") => {
                faults.invalid(&path, "must not point to fields in metadata");
            }
            Some("string" | "integer" | "boolean") => {}
            Some(_) => faults.invalid(&path, "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed."),
            None => faults.invalid(&path, "is an invalid path: does not refer to a valid field"),
        }
    }
}
