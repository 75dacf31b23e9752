//! What a LogOutput says, as what an output is run by.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use sampan_logs::output::{Multiline, Parser, Plan, Selection, Shape};
use sampan_logs::{LabelOperator, Requirement};
use sampan_outputs::{
    Destination, FileSettings, ForwardSettings, HeaderSource, HttpSettings, Output, Place, SecretKey, Tls,
};
use serde::Deserialize;

use crate::pod::quantity;

/// How long a file becomes unless told otherwise, in bytes.
const ROTATE_BYTES: u64 = 64 << 20;

/// Why an output cannot work as it is.
#[derive(Debug, thiserror::Error)]
pub(super) enum SpecError {
    #[error("it is not understood: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("failed to understand {0}: {1}")]
    Expression(&'static str, String),
    #[error("spec.http.url: {0}")]
    Url(#[from] http::uri::InvalidUri),
    #[error("spec.http.headers: {0:?} is none")]
    Header(String),
    #[error("it leads nowhere")]
    Nowhere,
}

/// Where an output of a node finds its place and its files.
pub(super) struct Ground<'a> {
    /// The node's name.
    pub(super) node: &'a str,
    /// The output's name.
    pub(super) name: &'a str,
    /// When the output was made.
    pub(super) created: Option<Timestamp>,
    /// The folder with what outputs write.
    pub(super) files: &'a Path,
    /// The file that tells how far it has come.
    pub(super) cursor: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec {
    selector: Selector,
    parser: Parsing,
    fields: BTreeMap<String, String>,
    start: String,
    buffer_limit: Option<String>,
    forward: Option<Forward>,
    http: Option<Http>,
    file: Option<File>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Selector {
    namespaces: Vec<String>,
    containers: Vec<String>,
    pods: LabelSelector,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Parsing {
    json: bool,
    regex: Option<String>,
    multiline: Option<Joining>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Joining {
    first_line: String,
    #[serde(default = "five")]
    timeout_seconds: u64,
}

fn five() -> u64 {
    5
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Forward {
    host: String,
    port: u16,
    tag: String,
    compression: String,
    shared_key: Option<SecretReference>,
    username: Option<String>,
    password: Option<SecretReference>,
    tls: Option<Trust>,
}

#[derive(Debug, Deserialize)]
struct Http {
    url: String,
    compression: String,
    #[serde(default)]
    headers: Vec<Header>,
    tls: Option<Trust>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    name: String,
    value: Option<String>,
    value_from: Option<SecretReference>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Trust {
    ca_bundle: Option<ByteString>,
    server_name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    path: String,
    rotate_bytes: Option<String>,
    files: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct SecretReference {
    namespace: String,
    name: String,
    key: String,
}

impl Spec {
    /// The output it asks for.
    pub(super) fn output(self, ground: Ground<'_>) -> Result<Output, SpecError> {
        let since = ground.created.filter(|_| self.start != "Oldest");
        let plan = Plan {
            selection: self.selector.selection(),
            since_ns: since.and_then(|created| i64::try_from(created.as_nanosecond()).ok()),
            waiting_bytes_max: self.buffer_limit.as_deref().and_then(bytes),
            multiline: self.parser.multiline.map(Joining::multiline).transpose()?,
        };
        let parser = match (self.parser.json, self.parser.regex) {
            (true, _) => Parser::Json,
            (false, Some(pattern)) => Parser::regex(&pattern).map_err(expression("spec.parser.regex"))?,
            (false, None) => Parser::Plain,
        };
        let destination = match (self.forward, self.http, self.file) {
            (Some(forward), ..) => Destination::Forward(forward.settings(ground.node)),
            (_, Some(http), _) => Destination::Http(http.settings()?),
            (.., Some(file)) => Destination::File(file.settings(&ground.files.join(ground.name))),
            _ => return Err(SpecError::Nowhere),
        };
        Ok(Output { plan, shape: Shape { parser, fields: self.fields }, destination, cursor: ground.cursor })
    }
}

fn bytes(quantity: &str) -> Option<u64> {
    u64::try_from(quantity::whole(quantity)?).ok()
}

fn expression(field: &'static str) -> impl Fn(sampan_logs::output::PatternError) -> SpecError {
    move |error| SpecError::Expression(field, error.to_string())
}

impl Selector {
    fn selection(self) -> Selection {
        let equal = self.pods.match_labels.into_iter().flatten();
        let equal = equal.map(|(key, value)| Requirement { key, operator: LabelOperator::In, values: vec![value] });
        let others = self.pods.match_expressions.into_iter().flatten().filter_map(requirement);
        Selection { namespaces: self.namespaces, containers: self.containers, labels: equal.chain(others).collect() }
    }
}

/// What must hold of a label. The API server lets no other operator pass.
fn requirement(requirement: LabelSelectorRequirement) -> Option<Requirement> {
    let operator = match requirement.operator.as_str() {
        "In" => LabelOperator::In,
        "NotIn" => LabelOperator::NotIn,
        "Exists" => LabelOperator::Exists,
        "DoesNotExist" => LabelOperator::DoesNotExist,
        _ => return None,
    };
    Some(Requirement { key: requirement.key, operator, values: requirement.values.unwrap_or_default() })
}

impl Joining {
    fn multiline(self) -> Result<Multiline, SpecError> {
        let timeout = Duration::from_secs(self.timeout_seconds);
        Multiline::new(&self.first_line, timeout).map_err(expression("spec.parser.multiline.firstLine"))
    }
}

impl Forward {
    fn settings(self, node: &str) -> ForwardSettings {
        ForwardSettings {
            place: Place { host: self.host, port: self.port },
            tag: self.tag,
            gzip: self.compression == "gzip",
            own_name: node.to_owned(),
            shared_key: self.shared_key.map(SecretReference::key),
            user: self.username.zip(self.password.map(SecretReference::key)),
            tls: self.tls.map(Trust::tls),
        }
    }
}

impl Http {
    fn settings(self) -> Result<HttpSettings, SpecError> {
        let headers = self.headers.into_iter().map(Header::header).collect::<Result<_, _>>()?;
        let tls = self.tls.map(Trust::tls).unwrap_or_default();
        Ok(HttpSettings { uri: self.url.parse()?, gzip: self.compression == "gzip", headers, tls })
    }
}

impl Header {
    fn header(self) -> Result<(HeaderName, HeaderSource), SpecError> {
        let name: HeaderName = self.name.parse().map_err(|_| SpecError::Header(self.name.clone()))?;
        if let Some(secret) = self.value_from {
            return Ok((name, HeaderSource::Secret(secret.key())));
        }
        let value = HeaderValue::from_str(&self.value.unwrap_or_default()).map_err(|_| SpecError::Header(self.name))?;
        Ok((name, HeaderSource::Value(value)))
    }
}

impl Trust {
    fn tls(self) -> Tls {
        Tls { authorities: self.ca_bundle.map(|bundle| bundle.0).unwrap_or_default(), server_name: self.server_name }
    }
}

impl File {
    /// Below the output's own folder: the API server lets no path pass that leads out of it, nor does this.
    fn settings(self, folder: &Path) -> FileSettings {
        let inside = Path::new(&self.path).components().filter_map(|part| match part {
            std::path::Component::Normal(name) => Some(name),
            _ => None,
        });
        FileSettings {
            path: folder.join(inside.collect::<PathBuf>()),
            rotate_bytes: self.rotate_bytes.as_deref().and_then(bytes).unwrap_or(ROTATE_BYTES),
            files: self.files.unwrap_or(1),
        }
    }
}

impl SecretReference {
    fn key(self) -> SecretKey {
        SecretKey { namespace: self.namespace, name: self.name, key: self.key }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn output(spec: Value) -> Result<Output, SpecError> {
        let created = Some("1970-01-01T00:00:07Z".parse().unwrap());
        let (files, cursor) = (Path::new("/data/outputs"), PathBuf::from("/data/cursor"));
        serde_json::from_value::<Spec>(spec)?.output(Ground { node: "here", name: "central", created, files, cursor })
    }

    #[test]
    fn a_collector_is_spoken_to_as_the_spec_says() {
        let secret = |key: &str| json!({"namespace": "logging", "name": "fluentd", "key": key});
        let output = output(json!({
            "start": "Creation",
            "selector": {
                "namespaces": ["shop"],
                "pods": {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "old", "operator": "DoesNotExist"}]},
            },
            "parser": {"json": true, "multiline": {"firstLine": "^\\S", "timeoutSeconds": 2}},
            "bufferLimit": "1Ki",
            "forward": {
                "host": "fluentd.logging.svc", "port": 24224, "tag": "t", "compression": "none",
                "sharedKey": secret("shared"), "username": "u", "password": secret("password"),
                "tls": {"caBundle": "aGVsbG8=", "serverName": "fluentd"},
            },
        }))
        .unwrap();
        assert_eq!((output.plan.since_ns, output.plan.waiting_bytes_max), (Some(7_000_000_000), Some(1024)));
        assert_eq!(output.plan.multiline.unwrap().timeout, Duration::from_secs(2));
        let operators: Vec<LabelOperator> = output.plan.selection.labels.iter().map(|it| it.operator).collect();
        assert_eq!(operators, [LabelOperator::In, LabelOperator::DoesNotExist]);
        assert!(matches!(output.shape.parser, Parser::Json));
        let Destination::Forward(forward) = output.destination else { panic!("{:?}", output.destination) };
        assert_eq!((forward.gzip, forward.tag.as_str(), forward.own_name.as_str()), (false, "t", "here"));
        assert_eq!(forward.user.unwrap().1.key, "password");
        let tls = forward.tls.unwrap();
        assert_eq!((tls.authorities.as_slice(), tls.server_name.as_deref()), (&b"hello"[..], Some("fluentd")));
    }

    #[test]
    fn a_file_is_below_the_outputs_own_folder_whatever_is_said() {
        for (path, expect) in
            [("web.jsonl", "web.jsonl"), ("a/b", "a/b"), ("../../etc/x", "etc/x"), ("/etc/x", "etc/x")]
        {
            let output =
                output(json!({"start": "Oldest", "file": {"path": path, "rotateBytes": "1Mi", "files": 3}})).unwrap();
            assert_eq!(output.plan.since_ns, None);
            let Destination::File(file) = output.destination else { panic!("{:?}", output.destination) };
            assert_eq!(file.path, Path::new("/data/outputs/central").join(expect));
            assert_eq!((file.rotate_bytes, file.files), (1 << 20, 3));
        }
    }

    #[test]
    fn what_cannot_work_says_why() {
        let cases = [
            (json!({}), "it leads nowhere"),
            (json!({"parser": {"regex": "("}, "file": {"path": "a"}}), "failed to understand spec.parser.regex"),
            (json!({"http": {"url": "http://", "compression": "none"}}), "spec.http.url"),
            (json!({"forward": {"host": "a"}}), "it is not understood: missing field `port`"),
            (
                json!({"http": {"url": "http://a", "compression": "none", "headers": [{"name": "a b"}]}}),
                "spec.http.headers",
            ),
        ];
        for (spec, expect) in cases {
            let error = output(spec).unwrap_err().to_string();
            assert!(error.starts_with(expect), "{error}");
        }
    }
}
