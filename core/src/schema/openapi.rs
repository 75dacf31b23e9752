//! OpenAPI v3 documents, as `kubectl explain`, `apply` and `create --validate` read them.
//!
//! A document is put together from the published text when it is asked for; nothing of it is kept.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Definition;
use super::catalog::hash;

const OBJECT_TYPES: [&str; 2] = ["application/json", "application/yaml"];
const PATCH_TYPES: [&str; 5] = [
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    STRATEGIC,
    "application/yaml",
];
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";

/// A group and version of the API, such as `apps/v1`; the core group is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupVersion<'a> {
    /// The group.
    pub group: &'a str,
    /// The version.
    pub version: &'a str,
}

impl GroupVersion<'_> {
    /// Where its resources are served, without a leading slash: `api/v1`, `apis/apps/v1`.
    pub fn root(&self) -> String {
        match self.group {
            "" => format!("api/{}", self.version),
            group => format!("apis/{group}/{}", self.version),
        }
    }
}

/// A resource served in a group and version.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint<'a> {
    /// The plural name, such as `deployments`.
    pub plural: &'a str,
    /// The kind.
    pub kind: &'a str,
    /// The name of the kind's definition.
    pub schema: &'a str,
    /// The kind's definition itself, for one that is not published.
    pub own_schema: Option<&'a str>,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// The verbs, as in discovery: `get`, `list`, `create`, …
    pub verbs: &'a [&'a str],
    /// What is served below an object.
    pub subresources: &'a [SubEndpoint<'a>],
}

/// A subresource.
#[derive(Debug, Clone, Copy)]
pub struct SubEndpoint<'a> {
    /// The name, such as `status` or `scale`.
    pub name: &'a str,
    /// The group and version of what is read and written there.
    pub group_version: GroupVersion<'a>,
    /// Its kind.
    pub kind: &'a str,
    /// The name of its definition.
    pub schema: &'a str,
    /// The verbs.
    pub verbs: &'a [&'a str],
}

/// The index at `/openapi/v3`: where the document of each group and version is. The address changes when the document does,
/// so that clients may cache it for ever.
pub fn index<'a>(documents: impl IntoIterator<Item = (GroupVersion<'a>, &'a [Endpoint<'a>])>) -> Vec<u8> {
    let paths: serde_json::Map<String, Value> = documents
        .into_iter()
        .map(|(group_version, endpoints)| {
            let root = group_version.root();
            let url = format!("/openapi/v3/{root}?hash={}", fingerprint(group_version, endpoints));
            (root, json!({ "serverRelativeURL": url }))
        })
        .collect();
    encoded(&json!({ "paths": paths }))
}

/// What changes when the document of a group and version does.
pub fn fingerprint(group_version: GroupVersion<'_>, endpoints: &[Endpoint<'_>]) -> String {
    let text = format!("{group_version:?}{endpoints:?}");
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016X}", text.bytes().fold(hash(), fold))
}

/// The document at `/openapi/v3/apis/{group}/{version}`.
pub fn document(group_version: GroupVersion<'_>, endpoints: &[Endpoint<'_>]) -> Vec<u8> {
    let paths: serde_json::Map<String, Value> =
        endpoints.iter().flat_map(|endpoint| paths_of(group_version, endpoint)).collect();
    let mut out = encoded(&json!({
        "openapi": "3.0.0",
        "info": { "title": "Kubernetes", "version": "v1.35.0" },
        "paths": paths,
    }));
    out.pop();
    out.extend_from_slice(br#","components":{"schemas":{"#);
    write_schemas(&mut out, endpoints);
    out.extend_from_slice(b"}}}");
    out
}

fn encoded(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("writing JSON to memory cannot fail")
}

fn write_schemas(out: &mut Vec<u8>, endpoints: &[Endpoint<'_>]) {
    let custom = || endpoints.iter().filter_map(|endpoint| Some((endpoint, endpoint.own_schema?)));
    let own = custom().map(|(endpoint, text)| (endpoint.schema.to_owned(), text.to_owned()));
    let lists = custom().map(|(endpoint, _)| (list_of(endpoint), own_list(endpoint)));
    let published = needed(endpoints).into_iter().map(|it| (it.name().to_owned(), it.text().to_owned()));
    let mut comma = "";
    for (name, text) in published.chain(own).chain(lists) {
        out.extend_from_slice(format!("{comma}{}:", json!(name)).as_bytes());
        out.extend_from_slice(text.as_bytes());
        comma = ",";
    }
}

/// The published definitions the document rests on, those they refer to included.
pub(super) fn needed(endpoints: &[Endpoint<'_>]) -> BTreeSet<Definition> {
    let mut waiting: Vec<Definition> =
        [DELETE_OPTIONS, PATCH, STATUS].into_iter().filter_map(Definition::named).collect();
    for endpoint in endpoints {
        waiting.extend(Definition::named(endpoint.schema));
        waiting.extend(Definition::named(&list_of(endpoint)));
        waiting.extend(endpoint.subresources.iter().filter_map(|it| Definition::named(it.schema)));
        waiting.extend(referred_by(endpoint.own_schema.unwrap_or_default()));
        waiting.extend(endpoint.own_schema.and_then(|_| Definition::named(LIST_META)));
    }
    let mut found = BTreeSet::new();
    while let Some(definition) = waiting.pop() {
        if found.insert(definition) {
            waiting.extend(definition.references());
        }
    }
    found
}

fn referred_by(text: &str) -> impl Iterator<Item = Definition> {
    let names = text.split("\"#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next());
    names.filter_map(Definition::named)
}

fn list_of(endpoint: &Endpoint<'_>) -> String {
    format!("{}List", endpoint.schema)
}

/// The definition of lists of a kind that is not published.
fn own_list(endpoint: &Endpoint<'_>) -> String {
    let reference = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    json!({
        "type": "object", "required": ["items"], "description": format!("{}List is a list of {}", endpoint.kind, endpoint.kind),
        "properties": {
            "apiVersion": {"type": "string"}, "kind": {"type": "string"},
            "metadata": {"allOf": [reference("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta")]},
            "items": {"type": "array", "items": reference(endpoint.schema)},
        },
    })
    .to_string()
}

/// What an operation reads and writes.
#[derive(Clone, Copy)]
struct Kind<'a> {
    group_version: GroupVersion<'a>,
    name: &'a str,
    schema: &'a str,
}

fn paths_of(group_version: GroupVersion<'_>, endpoint: &Endpoint<'_>) -> Vec<(String, Value)> {
    let root = format!("/{}", group_version.root());
    let namespace = if endpoint.namespaced { "/namespaces/{namespace}" } else { "" };
    let collection = format!("{root}{namespace}/{}", endpoint.plural);
    let object = format!("{collection}/{{name}}");
    let kind = Kind { group_version, name: endpoint.kind, schema: endpoint.schema };
    let list = list_of(endpoint);
    let mut paths = Vec::new();
    if endpoint.namespaced {
        let everywhere = collection_path(kind, &list, &["list"], endpoint.verbs, Place::Everywhere);
        paths.push((format!("{root}/{}", endpoint.plural), everywhere));
    }
    let place = if endpoint.namespaced { Place::Namespaced } else { Place::Cluster };
    let collected = ["list", "create", "deletecollection"];
    paths.push((collection, collection_path(kind, &list, &collected, endpoint.verbs, place)));
    paths.push((object.clone(), object_path(kind, endpoint.verbs, place, "")));
    for sub in endpoint.subresources {
        let kind = Kind { group_version: sub.group_version, name: sub.kind, schema: sub.schema };
        paths.push((format!("{object}/{}", sub.name), object_path(kind, sub.verbs, place, sub.name)));
    }
    paths
}

/// Which path parameters an operation has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Everywhere,
    Namespaced,
    Cluster,
}

fn collection_path(kind: Kind<'_>, list: &str, offered: &[&str], verbs: &[&str], place: Place) -> Value {
    let mut path = serde_json::Map::new();
    for verb in offered.iter().filter(|verb| verbs.contains(verb)) {
        let (method, operation) = match *verb {
            "create" => ("post", operation("create", "post", kind, place, "")),
            "deletecollection" => ("delete", operation("deleteCollection", "deletecollection", kind, place, "")),
            _ => ("get", operation("list", "list", Kind { schema: list, ..kind }, place, "")),
        };
        path.insert(method.to_owned(), operation);
    }
    path.insert("parameters".to_owned(), path_parameters(place, false));
    Value::Object(path)
}

fn object_path(kind: Kind<'_>, verbs: &[&str], place: Place, subresource: &str) -> Value {
    let mut path = serde_json::Map::new();
    for verb in verbs {
        let (method, name, action) = match *verb {
            "get" => ("get", "read", "get"),
            "update" => ("put", "replace", "put"),
            "patch" => ("patch", "patch", "patch"),
            "delete" => ("delete", "delete", "delete"),
            "create" if !subresource.is_empty() => ("post", "create", "post"),
            _ => continue,
        };
        path.insert(method.to_owned(), operation(name, action, kind, place, subresource));
    }
    path.insert("parameters".to_owned(), path_parameters(place, true));
    Value::Object(path)
}

fn operation(name: &str, action: &str, kind: Kind<'_>, place: Place, subresource: &str) -> Value {
    let GroupVersion { group, version } = kind.group_version;
    let scope = match place {
        Place::Namespaced => "Namespaced",
        Place::Everywhere | Place::Cluster => "",
    };
    let family = if group.is_empty() { "core" } else { group.split('.').next().unwrap_or(group) };
    let suffix = if place == Place::Everywhere { "ForAllNamespaces" } else { "" };
    let [family_name, version_name, sub_name] = [family, version, subresource].map(capitalized);
    let answer = match action {
        "delete" | "deletecollection" => STATUS,
        _ => kind.schema,
    };
    let mut operation = json!({
        "operationId": format!("{name}{family_name}{version_name}{scope}{}{sub_name}{suffix}", kind.name),
        "tags": [format!("{family}_{version}")],
        "parameters": query_parameters(action),
        "responses": { "200": { "description": "OK", "content": content(&OBJECT_TYPES, answer) } },
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": { "group": group, "version": version, "kind": kind.name },
    });
    let body = match action {
        "post" | "put" => content(&OBJECT_TYPES, kind.schema),
        "patch" => content(&patch_types(kind), PATCH),
        "delete" | "deletecollection" => content(&OBJECT_TYPES, DELETE_OPTIONS),
        _ => return operation,
    };
    if let Some(fields) = operation.as_object_mut() {
        let required = !action.starts_with("delete");
        fields.insert("requestBody".to_owned(), json!({ "content": body, "required": required }));
    }
    operation
}

/// How a kind may be patched. What a strategic merge would merge by is published: of custom kinds it is not, and kubectl
/// falls back to a plain merge where it reads so.
fn patch_types(kind: Kind<'_>) -> Vec<&'static str> {
    let is_published = Definition::named(kind.schema).is_some();
    PATCH_TYPES.into_iter().filter(|media| is_published || *media != STRATEGIC).collect()
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

fn content(types: &[&str], schema: &str) -> Value {
    let schema = json!({ "schema": { "$ref": format!("#/components/schemas/{schema}") } });
    types.iter().map(|media| ((*media).to_owned(), schema.clone())).collect::<serde_json::Map<_, _>>().into()
}

fn path_parameters(place: Place, of_object: bool) -> Value {
    let parameter = |name: &str, of: &str| json!({ "name": name, "in": "path", "required": true, "description": of, "schema": { "type": "string", "uniqueItems": true } });
    let mut parameters = Vec::new();
    if of_object {
        parameters.push(parameter("name", "name of the object"));
    }
    if place == Place::Namespaced {
        parameters.push(parameter("namespace", "namespace of the object"));
    }
    parameters.push(query("pretty", "string", "If 'true', then the output is pretty printed."));
    Value::from(parameters)
}

fn query_parameters(action: &str) -> Value {
    let dry_run = || query("dryRun", "string", "'All' checks the request in full and stores nothing.");
    let manager = || query("fieldManager", "string", "The name the changed fields are recorded under.");
    let validation =
        || query("fieldValidation", "string", "What happens to unknown and duplicate fields: Ignore, Warn or Strict.");
    let deletion = || {
        [
            query("gracePeriodSeconds", "integer", "Seconds until the object goes; 0 removes it at once."),
            query("propagationPolicy", "string", "What becomes of dependents: Orphan, Background or Foreground."),
        ]
    };
    let selection = || {
        [
            query("continue", "string", "Where the last page of a list ended."),
            query("fieldSelector", "string", "Only objects with these field values."),
            query("labelSelector", "string", "Only objects with these labels."),
            query("limit", "integer", "The most objects to answer with."),
            query("resourceVersion", "string", "The revision to read at or to watch from."),
            query("resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan."),
            query("sendInitialEvents", "boolean", "Whether a watch begins with the objects there are."),
            query("timeoutSeconds", "integer", "When the call ends, whatever happens."),
        ]
    };
    Value::from(match action {
        "post" | "put" => vec![dry_run(), manager(), validation()],
        "patch" => vec![
            dry_run(),
            manager(),
            validation(),
            query("force", "boolean", "Apply takes fields from other managers."),
        ],
        "delete" => [dry_run()].into_iter().chain(deletion()).collect(),
        "deletecollection" => [dry_run()].into_iter().chain(deletion()).chain(selection()).collect(),
        "list" => selection()
            .into_iter()
            .chain([
                query("allowWatchBookmarks", "boolean", "Whether a watch tells how far it is when nothing happens."),
                query("watch", "boolean", "Changes as they happen instead of a list."),
            ])
            .collect(),
        _ => Vec::new(),
    })
}

fn query(name: &str, kind: &str, of: &str) -> Value {
    json!({ "name": name, "in": "query", "description": of, "schema": { "type": kind, "uniqueItems": true } })
}

#[cfg(test)]
mod tests {
    use super::*;

    const APPS: GroupVersion<'static> = GroupVersion { group: "apps", version: "v1" };
    const ALL: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

    fn deployments() -> Endpoint<'static> {
        Endpoint {
            plural: "deployments",
            kind: "Deployment",
            schema: "io.k8s.api.apps.v1.Deployment",
            own_schema: None,
            namespaced: true,
            verbs: &ALL,
            subresources: &[SubEndpoint {
                name: "scale",
                group_version: GroupVersion { group: "autoscaling", version: "v1" },
                kind: "Scale",
                schema: "io.k8s.api.autoscaling.v1.Scale",
                verbs: &["get", "patch", "update"],
            }],
        }
    }

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, value)| match value {
                Value::String(target) if key == "$ref" => {
                    found.insert(target.clone());
                }
                other => references(other, found),
            }),
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn a_document_holds_every_definition_it_refers_to_and_the_descriptions() {
        let document: Value = serde_json::from_slice(&document(APPS, &[deployments()])).unwrap();
        let mut targets = BTreeSet::new();
        references(&document, &mut targets);
        assert!(targets.len() > 100);
        for target in targets {
            let pointer = target.trim_start_matches('#').replace('~', "~0");
            assert!(document.pointer(&pointer).is_some(), "{target} is missing");
        }
        let probe = &document["components"]["schemas"]["io.k8s.api.core.v1.Container"]["properties"]["livenessProbe"];
        assert!(probe["description"].as_str().unwrap().contains("probe"));
    }

    #[test]
    fn a_patch_operation_tells_what_kubectl_looks_for() {
        let document: Value = serde_json::from_slice(&document(APPS, &[deployments()])).unwrap();
        let paths = &document["paths"];
        let patch = &paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
        assert_eq!(
            patch["x-kubernetes-group-version-kind"],
            json!({"group":"apps","version":"v1","kind":"Deployment"})
        );
        assert!(patch["requestBody"]["content"]["application/strategic-merge-patch+json"].is_object());
        let names: Vec<_> = patch["parameters"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
        assert!(names.contains(&json!("fieldValidation")) && names.contains(&json!("dryRun")));
        assert!(paths["/apis/apps/v1/deployments"]["get"].is_object());
        assert!(paths["/apis/apps/v1/namespaces/{namespace}/deployments"]["post"].is_object());
        let scale = &paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]["get"];
        assert_eq!(scale["x-kubernetes-group-version-kind"]["kind"], "Scale");
    }

    #[test]
    fn the_index_names_another_address_when_a_document_changes() {
        let address = |endpoint: Endpoint<'_>| {
            let index: Value = serde_json::from_slice(&index([(APPS, [endpoint].as_slice())])).unwrap();
            index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap().to_owned()
        };
        let all = address(deployments());
        assert!(all.starts_with("/openapi/v3/apis/apps/v1?hash="));
        assert_eq!(all, address(deployments()));
        assert_ne!(all, address(Endpoint { verbs: &["get"], ..deployments() }));
    }

    #[test]
    fn a_definition_of_ones_own_is_published_with_what_it_refers_to() {
        let own = r##"{"type":"object","properties":{"metadata":{"$ref":"#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}}}"##;
        let group_version = GroupVersion { group: "example.com", version: "v1" };
        let endpoint = Endpoint {
            schema: "com.example.v1.Web",
            kind: "Web",
            own_schema: Some(own),
            subresources: &[],
            ..deployments()
        };
        let document: Value = serde_json::from_slice(&document(group_version, &[endpoint])).unwrap();
        let schemas = &document["components"]["schemas"];
        assert!(schemas["com.example.v1.Web"].is_object());
        assert!(schemas["io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference"].is_object());
    }
}
