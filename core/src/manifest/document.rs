//! A manifest file's text as the objects it holds.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::position::{Position, Spans};
use super::problem::Problem;
use super::setting::{self, Drift};
use super::yaml::{self, Node};

/// The largest object, in bytes of JSON: what Kubernetes accepts in a request.
pub const OBJECT_BYTES_MAX: usize = 3 << 19;
/// The largest file, in bytes: some thousand ordinary objects.
pub const FILE_BYTES_MAX: usize = 32 << 20;

/// What a document says it is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// The API group; empty for the core group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The kind.
    pub kind: String,
    /// The namespace, where one is written.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

impl Identity {
    /// `apps/v1`, `v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
}

impl fmt::Display for Identity {
    /// `Deployment demo/web`, `Namespace demo`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ", self.kind)?;
        if let Some(namespace) = &self.namespace {
            write!(formatter, "{namespace}/")?;
        }
        formatter.write_str(&self.name)
    }
}

/// One object of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// What it is about.
    pub identity: Identity,
    /// The object.
    pub value: Value,
    /// Where everything in it stands.
    pub spans: Spans,
    /// What happens when somebody changes a field it sets.
    pub drift: Drift,
}

impl Document {
    /// The line it begins at.
    pub fn line(&self) -> u32 {
        self.spans.at.line
    }
}

/// The text of a file's bytes.
///
/// # Errors
/// When it is too large, or not UTF-8, or empty: an empty file is more likely an accident than an intention.
pub fn text(bytes: &[u8]) -> Result<&str, Problem> {
    if bytes.len() > FILE_BYTES_MAX {
        let message = format!("the file has {} bytes, more than {FILE_BYTES_MAX}: split it", bytes.len());
        return Err(Problem::new(Position::START, message));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| not_utf8(bytes, error.valid_up_to()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        let message = "the file is empty. Where nothing is meant to be in it, delete the file";
        return Err(Problem::new(Position::START, message));
    }
    Ok(text)
}

fn not_utf8(bytes: &[u8], valid_up_to: usize) -> Problem {
    let valid = String::from_utf8_lossy(bytes.get(..valid_up_to).unwrap_or_default());
    let line = valid.matches('\n').count() + 1;
    let column = valid.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let at =
        Position { line: u32::try_from(line).unwrap_or(u32::MAX), column: u32::try_from(column).unwrap_or(u32::MAX) };
    Problem::new(at, "this is not UTF-8: save the file in that encoding")
}

/// The only document of a YAML text, whatever it holds.
///
/// # Errors
/// The first fault, or that there is not exactly one document.
pub fn value(text: &str) -> Result<Value, Problem> {
    let mut documents = yaml::documents(text)?.into_iter();
    match (documents.next(), documents.next()) {
        (Some(only), None) => Ok(only.value),
        (_, Some(second)) => Err(Problem::new(second.spans.at, "expected one document")),
        (None, None) => Err(Problem::new(Position { line: 1, column: 1 }, "expected a document")),
    }
}

/// The objects of a file. `is_json` tells that tabs are plain white space.
///
/// # Errors
/// The first fault that leaves open which objects are meant. The whole file is then not used.
pub fn documents(text: &str, is_json: bool) -> Result<Vec<Document>, Problem> {
    let comments = setting::in_comments(text);
    let nodes = if is_json { yaml::documents(&text.replace('\t', " ")) } else { yaml::documents(text) };
    nodes
        .and_then(flattened)
        .and_then(|nodes| nodes.into_iter().map(|node| document(node, &comments)).collect())
        .map_err(|problem| problem.shown_in(text))
}

/// The documents with the items of lists in their place.
fn flattened(nodes: Vec<Node>) -> Result<Vec<Node>, Problem> {
    let mut found = Vec::new();
    for node in nodes {
        let kind = node.value.get("kind").and_then(Value::as_str).unwrap_or_default();
        if !kind.ends_with("List") || node.value.get("items").is_none() {
            found.push(node);
            continue;
        }
        let spans = node.spans.entry("items").map(|entry| entry.value.clone());
        let spans = spans.unwrap_or_else(|| Spans::scalar(node.spans.at));
        let Some(Value::Array(items)) = node.value.get("items").cloned() else {
            return Err(Problem::new(spans.at, "the items of a list must be a list"));
        };
        let places = spans.items().iter().cloned();
        found.extend(items.into_iter().zip(places).map(|(value, spans)| Node { value, spans }));
    }
    Ok(found)
}

fn document(node: Node, comments: &BTreeMap<String, String>) -> Result<Document, Problem> {
    let Node { value, spans } = node;
    let identity = identity(&value, &spans)?;
    let about = |at: Position, message: String| Problem::new(at, message).of(identity.to_string());
    let bytes = serde_json::to_vec(&value).map_or(usize::MAX, |bytes| bytes.len());
    if bytes > OBJECT_BYTES_MAX {
        return Err(about(spans.at, format!("the object has {bytes} bytes, more than {OBJECT_BYTES_MAX}")));
    }
    let drift = setting::drift(&value, comments)
        .and_then(|drift| setting::removal(&value).map(|_| drift))
        .map_err(|message| about(spans.locate("metadata.annotations"), message))?;
    Ok(Document { identity, value, spans, drift })
}

fn identity(value: &Value, spans: &Spans) -> Result<Identity, Problem> {
    if !value.is_object() {
        return Err(Problem::new(spans.at, "a document must be an object with apiVersion, kind and metadata"));
    }
    let word = |pointer: &str, field: &str| match value.pointer(pointer) {
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
        None | Some(Value::Null) => Ok(None),
        Some(_) => Err(Problem::new(spans.locate(field), format!("{field} must be text: quote it"))),
    };
    let required = |pointer: &str, field: &str| {
        word(pointer, field)?.ok_or_else(|| Problem::new(spans.locate(field), format!("{field} is missing")))
    };
    let api_version = required("/apiVersion", "apiVersion")?;
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let kind = required("/kind", "kind")?;
    let name = word("/metadata/name", "metadata.name")?.ok_or_else(|| {
        let message =
            format!("metadata.name is missing: every {kind} in a manifest needs one (generateName does not do)");
        Problem::new(spans.locate("metadata.name"), message)
    })?;
    let namespace = word("/metadata/namespace", "metadata.namespace")?;
    Ok(Identity { group: group.to_owned(), version: version.to_owned(), kind, namespace, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Problem {
        documents(text, false).expect_err(text)
    }

    #[test]
    fn a_file_holds_its_documents_and_the_items_of_its_lists() {
        let text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: demo}\n---\napiVersion: v1\nkind: List\nitems:\n\
                    - apiVersion: apps/v1\n  kind: Deployment\n  metadata: {name: web, namespace: demo}\n";
        let found = documents(text, false).unwrap();
        let listed: Vec<_> = found.iter().map(|document| (document.identity.to_string(), document.line())).collect();
        assert_eq!(listed, [("Namespace demo".to_owned(), 1), ("Deployment demo/web".to_owned(), 8)]);
        assert_eq!(found[1].identity.api_version(), "apps/v1");
    }

    #[test]
    fn a_document_that_does_not_say_what_it_is_is_refused_with_its_place() {
        assert!(refused("kind: Pod\n").message.contains("apiVersion is missing"));
        let nameless = refused("apiVersion: v1\nkind: Pod\nmetadata:\n  generateName: x-\n");
        assert_eq!(nameless.at, Position { line: 3, column: 1 });
        let number = refused("apiVersion: v1\nkind: Pod\nmetadata:\n  name: 12\n");
        assert_eq!(number.at, Position { line: 4, column: 9 });
        assert!(number.snippet.contains("4 |   name: 12\n  |         ^"), "{}", number.snippet);
        assert!(refused("just words\n").message.contains("must be an object"));
    }

    #[test]
    fn an_object_over_the_limit_is_refused() {
        let text = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: big}}\ndata: {{x: '{}'}}\n",
            "x".repeat(OBJECT_BYTES_MAX)
        );
        let problem = refused(&text);
        assert!(problem.message.contains("bytes"), "{problem}");
        assert_eq!(problem.object, "ConfigMap big");
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_at_their_place() {
        let problem = text(b"a: b\nc: \xff\n").unwrap_err();
        assert_eq!(problem.at, Position { line: 2, column: 4 });
    }

    #[test]
    fn an_empty_file_is_taken_for_an_accident() {
        assert!(text(b"").is_err());
        assert!(text(b"\n \n").is_err());
        assert_eq!(text("\u{feff}# words\n".as_bytes()).unwrap(), "# words\n");
    }

    #[test]
    fn json_files_may_be_indented_with_tabs() {
        let text = "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Namespace\",\n\t\"metadata\": {\n\t\t\"name\": \"demo\"\n\t}\n}\n";
        assert_eq!(documents(text, true).unwrap()[0].identity.to_string(), "Namespace demo");
    }
}
