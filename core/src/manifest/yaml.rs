//! YAML to JSON values, with the place of every node.
//!
//! The parser below yields events; this builds values from them without recursion, within limits on depth and on what
//! aliases may expand to, and refuses duplicate keys.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, Tag};
use serde_json::{Map, Value};

use super::position::{Entry, Position, Spans};
use super::problem::Problem;
use super::scalar;

/// The deepest nesting of a document. No Kubernetes object comes near it.
const DEPTH_MAX: usize = 100;
/// The most bytes of keys and values that aliases of one document may expand to: the size limit of an object.
const ALIASED_BYTES_MAX: usize = 3 << 19;

/// A document of a file, as written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) spans: Spans,
}

/// The documents of a file in order; empty ones are left out.
///
/// # Errors
/// The first fault, with its place. The caller adds the snippet.
pub(super) fn documents(text: &str) -> Result<Vec<Node>, Problem> {
    let mut builder = Builder::default();
    let mut found = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| fault(text, &error))?;
        if matches!(event, Event::DocumentStart(_)) {
            builder = Builder::default();
        }
        if let Some(document) = builder.event(event, span)?
            && !document.value.is_null()
        {
            found.push(document);
        }
    }
    Ok(found)
}

fn position(marker: Marker) -> Position {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Position { line: count(marker.line()).max(1), column: count(marker.col()).saturating_add(1) }
}

/// What the parser found, where it stands. Of a tab it knows only about where: that it ends what began lines before.
fn fault(text: &str, error: &ScanError) -> Problem {
    let is_of_tab =
        error.info().split(|letter: char| !letter.is_alphabetic()).any(|word| ["tab", "tabs"].contains(&word));
    match is_of_tab.then(|| tab_of(text, error)).flatten() {
        Some(tab) => Problem::new(tab, "a tab cannot indent: use spaces"),
        None => Problem::new(position(*error.marker()), words(error.info())),
    }
}

/// The tab that indents the line a fault begins with: up to the line before, the parser finds no such fault. Other tabs, in blank lines
/// or in texts, may stand before it.
fn tab_of(text: &str, error: &ScanError) -> Option<Position> {
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).chain([text.len()]).collect();
    let is_sound = |end: &usize| {
        let found = text.get(..*end).and_then(|lines| Parser::new_from_str(lines).find_map(Result::err));
        found.is_none_or(|found| found != *error)
    };
    let before = ends.partition_point(is_sound);
    let indent = text.lines().nth(before)?.chars().take_while(|letter| letter.is_whitespace());
    let (_, column) = indent.zip(1_u32..).find(|(letter, _)| *letter == '\t')?;
    Some(Position { line: u32::try_from(before + 1).ok()?, column })
}

/// The parser's words, less what only its author understands.
fn words(info: &str) -> String {
    match info {
        "did not find expected <document start>" => {
            "expected the next document to begin with `---`, or the indentation is wrong here".to_owned()
        }
        "while scanning a simple key, could not find expected ':'" | "simple key expected ':'" => {
            "expected `:` after this key".to_owned()
        }
        "mapping values are not allowed in this context" => {
            "a `:` is not allowed here: quote the text, or check the indentation".to_owned()
        }
        "illegal placement of ':' indicator" => {
            "a `:` is not allowed here: is a `[` or `{` before it not closed?".to_owned()
        }
        "recursion limit exceeded" => format!("nested deeper than {DEPTH_MAX} levels"),
        _ => info.to_owned(),
    }
}

/// What is being built: the open collections, innermost last.
#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    aliased_bytes: usize,
}

/// A collection that is not closed yet.
struct Open {
    at: Position,
    anchor: usize,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Value>, Vec<Spans>),
    Map(OpenMap),
}

#[derive(Default)]
struct OpenMap {
    values: Map<String, Value>,
    spans: BTreeMap<String, Entry>,
    key: Option<Key>,
    merged: Vec<Node>,
}

struct Key {
    at: Position,
    name: String,
    is_merge: bool,
}

impl Builder {
    /// Takes one event; the document, where it is complete.
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<Option<Node>, Problem> {
        let at = position(span.start);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_merge = style == ScalarStyle::Plain && tag.is_none() && text == "<<";
                if self.awaits_key() {
                    return self.key(at, &text, style, tag.as_deref(), is_merge).map(|()| None);
                }
                let value = scalar_value(&text, style, tag.as_deref()).map_err(|fault| Problem::new(at, fault))?;
                self.complete(Node { value, spans: Spans::scalar(at) }, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.begin(at, anchor, tag.as_deref(), OpenKind::List(Vec::new(), Vec::new())).map(|()| None)
            }
            Event::MappingStart(anchor, tag) => {
                self.begin(at, anchor, tag.as_deref(), OpenKind::Map(OpenMap::default())).map(|()| None)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(at, anchor),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(None)
            }
        }
    }

    fn awaits_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { kind: OpenKind::Map(map), .. }) if map.key.is_none())
    }

    fn begin(&mut self, at: Position, anchor: usize, tag: Option<&Tag>, kind: OpenKind) -> Result<(), Problem> {
        if self.awaits_key() {
            return Err(Problem::new(at, "a key must be a word, not a list or a mapping"));
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(Problem::new(at, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        if let Some(tag) = tag.filter(|tag| !(tag.is_yaml_core_schema() && ["map", "seq"].contains(&&*tag.suffix))) {
            return Err(Problem::new(at, format!("the tag {tag} has no meaning in a manifest")));
        }
        self.open.push(Open { at, anchor, kind });
        Ok(())
    }

    /// Takes a key. It is the text as written: `on` and `0644` are names here, not values.
    fn key(
        &mut self,
        at: Position,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        is_merge: bool,
    ) -> Result<(), Problem> {
        if style == ScalarStyle::Plain && tag.is_none() && scalar::plain(text) == Ok(Value::Null) {
            return Err(Problem::new(at, "a key must not be null: quote it if the word is meant"));
        }
        let name = text.to_owned();
        let Some(Open { kind: OpenKind::Map(map), .. }) = self.open.last_mut() else { return Ok(()) };
        if let Some(first) = map.spans.get(&name) {
            return Err(Problem::new(at, format!("key {name:?} already set in map, at line {}", first.key.line)));
        }
        map.key = Some(Key { at, name, is_merge });
        Ok(())
    }

    fn end(&mut self) -> Result<Option<Node>, Problem> {
        let Some(Open { at, anchor, kind }) = self.open.pop() else { return Ok(None) };
        let node = match kind {
            OpenKind::List(values, spans) => Node { value: Value::Array(values), spans: Spans::list(at, spans) },
            OpenKind::Map(map) => map.close(at),
        };
        self.complete(node, anchor)
    }

    fn alias(&mut self, at: Position, anchor: usize) -> Result<Option<Node>, Problem> {
        if self.awaits_key() {
            return Err(Problem::new(at, "an alias cannot be a key"));
        }
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(Problem::new(at, "the alias names an anchor that contains it"));
        };
        self.aliased_bytes += weight(&node.value);
        if self.aliased_bytes > ALIASED_BYTES_MAX {
            return Err(Problem::new(at, format!("aliases expand to more than {ALIASED_BYTES_MAX} bytes")));
        }
        let node = node.clone();
        self.complete(node, 0)
    }

    /// Puts a finished node where it belongs; at the top it is the document.
    fn complete(&mut self, node: Node, anchor: usize) -> Result<Option<Node>, Problem> {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else { return Ok(Some(node)) };
        match &mut open.kind {
            OpenKind::List(values, spans) => {
                values.push(node.value);
                spans.push(node.spans);
            }
            OpenKind::Map(map) => map.value(node)?,
        }
        Ok(None)
    }
}

impl OpenMap {
    fn value(&mut self, node: Node) -> Result<(), Problem> {
        let Some(key) = self.key.take() else { return Ok(()) };
        if key.is_merge {
            return self.merge(&key, node);
        }
        self.spans.insert(key.name.clone(), Entry { key: key.at, value: node.spans });
        self.values.insert(key.name, node.value);
        Ok(())
    }

    /// Notes the mapping, or the mappings, after `<<`; earlier ones win.
    fn merge(&mut self, key: &Key, node: Node) -> Result<(), Problem> {
        let Node { value, spans } = node;
        let nodes = match value {
            Value::Array(values) => values
                .into_iter()
                .zip(spans.items())
                .map(|(value, spans)| Node { value, spans: spans.clone() })
                .collect(),
            value => vec![Node { value, spans }],
        };
        if nodes.iter().any(|node| !node.value.is_object()) {
            return Err(Problem::new(key.at, "`<<` takes a mapping or a list of mappings"));
        }
        self.merged.extend(nodes);
        Ok(())
    }

    /// The finished mapping: its own keys, then those merged in that it lacks.
    fn close(mut self, at: Position) -> Node {
        for Node { value, spans } in std::mem::take(&mut self.merged) {
            let Value::Object(values) = value else { continue };
            for (name, value) in values {
                let Some(entry) = spans.entry(&name) else { continue };
                if !self.values.contains_key(&name) {
                    self.spans.insert(name.clone(), entry.clone());
                    self.values.insert(name, value);
                }
            }
        }
        Node { value: Value::Object(self.values), spans: Spans::map(at, self.spans) }
    }
}

fn scalar_value(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let Some(tag) = tag else {
        return if style == ScalarStyle::Plain { scalar::plain(text) } else { Ok(Value::String(text.to_owned())) };
    };
    let as_text = || Ok(Value::String(text.to_owned()));
    let refused = || Err(format!("{text:?} is not of the type its tag {tag} says"));
    if !tag.is_yaml_core_schema() {
        let non_specific = format!("{}{}", tag.handle, tag.suffix) == "!";
        return if non_specific { as_text() } else { Err(format!("the tag {tag} has no meaning in a manifest")) };
    }
    match tag.suffix.as_str() {
        "str" | "timestamp" => as_text(),
        "bool" => scalar::boolean(text).map_or_else(refused, |truth| Ok(Value::Bool(truth))),
        "int" | "float" => scalar::number(text).map_or_else(refused, |number| Ok(Value::Number(number))),
        "null" => scalar::plain(text).and_then(|value| if value.is_null() { Ok(value) } else { refused() }),
        _ => Err(format!("the tag {tag} has no meaning in a manifest")),
    }
}

/// About the bytes a value takes as JSON.
fn weight(value: &Value) -> usize {
    let mut bytes = 0;
    let mut rest = vec![value];
    while let Some(value) = rest.pop() {
        bytes += 4;
        match value {
            Value::String(text) => bytes += text.len(),
            Value::Array(items) => rest.extend(items),
            Value::Object(entries) => {
                bytes += entries.keys().map(String::len).sum::<usize>();
                rest.extend(entries.values());
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(text: &str, expect: Value) {
        let found = documents(text).map(|all| all.into_iter().map(|node| node.value).collect::<Vec<_>>());
        assert_eq!(found.map(Value::from), Ok(expect), "{text}");
    }

    fn refused(text: &str) -> Problem {
        documents(text).expect_err(text)
    }

    #[test]
    fn documents_are_read_in_order_and_empty_ones_left_out() {
        check("a: 1\n---\n# nothing\n---\nb: [x, 2]\n...\n", json!([{ "a": 1 }, { "b": ["x", 2] }]));
        check("", json!([]));
        check("# only words\n", json!([]));
    }

    #[test]
    fn quoted_words_are_text() {
        check("a: 'yes'\nb: \"1\"\nc: |\n  on\nd: yes\n", json!([{ "a": "yes", "b": "1", "c": "on\n", "d": true }]));
        check("a: !!str 12\nb: !!int '0x10'\n", json!([{ "a": "12", "b": 16 }]));
    }

    #[test]
    fn json_is_read_too() {
        check(
            "{\n\t\"a\": [1, 2.5, null],\n\t\"b\":{\"c\":\"\\u00e9\"}}\n",
            json!([{ "a": [1, 2.5, null], "b": { "c": "é" } }]),
        );
    }

    #[test]
    fn every_node_knows_its_place() {
        let text = "spec:\n  containers:\n    - name: web\n      image: demo\n";
        let all = documents(text).unwrap();
        let at = all[0].spans.locate("spec.containers[0].image");
        assert_eq!(at, Position { line: 4, column: 14 });
    }

    #[test]
    fn aliases_and_merges_expand() {
        check(
            "a: &a {x: 1, y: 2}\nb: *a\nc:\n  <<: *a\n  y: 3\n",
            json!([{
                "a": { "x": 1, "y": 2 }, "b": { "x": 1, "y": 2 }, "c": { "x": 1, "y": 3 },
            }]),
        );
    }

    #[test]
    fn a_bomb_of_aliases_is_refused_early() {
        let mut text = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
        for level in 1..12 {
            let items = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        }
        assert!(refused(&text).message.contains("expand to more than"));
    }

    #[test]
    fn a_duplicate_key_is_refused_at_its_second_place() {
        let problem = refused("a: 1\nb: 2\na: 3\n");
        assert_eq!((problem.at.line, problem.at.column), (3, 1));
        assert!(problem.message.contains("line 1"), "{problem}");
    }

    #[test]
    fn deep_nesting_is_refused() {
        for text in ["[".repeat(20_000), "- ".repeat(20_000), "{a: ".repeat(20_000)] {
            assert!(refused(&text).message.contains("deeper"), "{}", refused(&text).message);
        }
    }

    #[test]
    fn a_tab_is_refused_where_it_stands() {
        let check = |text: &str, line, column| {
            let problem = refused(text);
            assert_eq!(
                (problem.at, problem.message.contains("tab")),
                (Position { line, column }, true),
                "{text:?}: {problem}"
            );
        };
        check("metadata:\n  name: web\nspec:\n  image: demo\n\treplicas: 1\n", 5, 1);
        check("metadata:\n  name: web\n  \tlabels: {}\n", 3, 3);
        check("spec:\n  list:\n\t- a\n", 3, 1);
        check("a: \"one\n\ttwo\"\n", 2, 1);
        check("spec:\n\treplicas: 1\n", 2, 1);
        // Tabs that indent nothing stand before it.
        check("a: one\n  \ttwo\n\tb: 1\n", 3, 1);
        check("a: one\n\t\n\tb: 1\n", 3, 1);
    }

    #[test]
    fn nonsense_is_refused_with_its_place() {
        assert_eq!(refused("a: b: c\n").at.line, 1);
        assert_eq!(refused("a:\n  - x\n b: 1\n").at.line, 3);
        assert_eq!(refused("a: &a [*a]\n").at, Position { line: 1, column: 8 });
        assert_eq!(refused("? [x]\n: y\n").at.line, 1);
        assert!(refused("a: !custom x\n").message.contains("!custom"));
    }
}
