//! LogOutputs: where nodes send what containers write. Here is what is stored, refused and shown of one; what it does is the
//! node agent's.

use jiff::Timestamp;
use serde_json::Value;

use super::check::{Faults, Field};
use super::fill::{fill, present};
use super::label_selector::validate_label_selector;
use super::read::{integer, text};
use super::{Cell, Column, ResourceDefinition, Scope, ServedVersion, Strategy, table};
use crate::object::{ResourceType, names};
use crate::status::StatusCause;

/// The resource type.
pub const LOG_OUTPUTS: ResourceType = ResourceType::new("sampan.dev", "logoutputs");

/// Fields of every record, which no other may be named as.
const OWN_FIELDS: [&str; 5] = ["id", "kubernetes", "log", "stream", "time"];
/// Where an output may lead; it leads to one of them.
const TARGETS: [&str; 3] = ["forward", "http", "file"];
const COMPRESSIONS: [&str; 2] = ["gzip", "none"];
/// The most fields added, headers sent, and names of a selector.
const ITEMS_MAX: usize = 64;
/// The longest a record waits for its next line: so long its first one is held back.
const TIMEOUT_SECONDS_MAX: i64 = 300;
/// The most files kept of an output.
const FILES_MAX: i64 = 100;
/// The most memory a compiled expression may take, in bytes.
const EXPRESSION_BYTES_MAX: usize = 1 << 20;
/// Headers that say how a request is sent: those are the sender's.
const OWN_HEADERS: [&str; 6] =
    ["connection", "content-encoding", "content-length", "content-type", "host", "transfer-encoding"];

struct LogOutputStrategy;

/// What a LogOutput is.
pub(super) fn definition() -> ResourceDefinition {
    let version = ServedVersion::stored("sampan.dev", "v1", "dev.sampan.v1.LogOutput");
    ResourceDefinition {
        scope: Scope::Cluster,
        has_status: true,
        has_generation: true,
        ..ResourceDefinition::plain(LOG_OUTPUTS, "LogOutput", "logoutput", version, LogOutputStrategy)
    }
}

/// The Secrets an output names: namespace and name of each.
pub fn secrets_of(output: &Value) -> impl Iterator<Item = (&str, &str)> {
    let of_forward = ["/spec/forward/sharedKey", "/spec/forward/password"];
    let of_forward = of_forward.into_iter().filter_map(|pointer| output.pointer(pointer));
    let headers = super::read::items(output, "/spec/http/headers").filter_map(|header| header.get("valueFrom"));
    of_forward.chain(headers).map(|reference| (text(reference, "/namespace"), text(reference, "/name")))
}

impl Strategy for LogOutputStrategy {
    fn default(&self, object: &mut Value) {
        let Some(spec) = present(object, "spec") else { return };
        fill(spec, "start", "Creation");
        if let Some(multiline) = present(spec, "parser").and_then(|parser| present(parser, "multiline")) {
            fill(multiline, "timeoutSeconds", 5);
        }
        if let Some(forward) = present(spec, "forward") {
            fill(forward, "port", 24224);
            fill(forward, "tag", "sampan");
            fill(forward, "compression", "gzip");
        }
        if let Some(http) = present(spec, "http") {
            fill(http, "compression", "gzip");
        }
        if let Some(file) = present(spec, "file") {
            fill(file, "rotateBytes", "64Mi");
            fill(file, "files", 5);
        }
    }

    fn validate(&self, object: &Value) -> Vec<StatusCause> {
        let mut faults = Faults::default();
        let spec = Field::root(object).at("spec");
        check_selector(&spec.at("selector"), &mut faults);
        check_parser(&spec.at("parser"), &mut faults);
        check_fields(&spec.at("fields"), &mut faults);
        check_bytes(&spec.at("bufferLimit"), &mut faults);
        faults.one_of(&spec.at("start"), &["Creation", "Oldest"]);
        let targets = spec.which(TARGETS);
        if targets.is_empty() {
            faults.required(&spec, "one of forward, http and file");
        }
        targets.iter().skip(1).for_each(|more| faults.forbidden(more, "an output leads to one place"));
        check_forward(&spec.at("forward"), &mut faults);
        check_http(&spec.at("http"), &mut faults);
        check_file(&spec.at("file"), &mut faults);
        faults.errors.causes()
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            Column::text("Target", "Where lines are sent."),
            Column::integer("Delivered", "Lines the target has, of all nodes."),
            Column::integer("Waiting", "Lines it does not have yet."),
            Column::integer("Dropped", "Lines that were removed before it had them."),
            Column::text("Problem", "What went wrong last on one of the nodes, until something is delivered."),
            Column::age(),
        ]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Cell> {
        let nodes = || object.pointer("/status/nodes").and_then(Value::as_object).into_iter().flatten();
        let sum = |pointer: &str| nodes().map(|(_, node)| integer(node, pointer)).sum::<i64>();
        let problem = nodes().find_map(|(name, node)| match text(node, "/lastError") {
            "" => None,
            error => Some(format!("{name}: {error}")),
        });
        vec![
            target(object).into(),
            sum("/delivered").into(),
            sum("/waiting").into(),
            sum("/dropped").into(),
            table::or_none(&problem.unwrap_or_default()),
            table::age(object, now),
        ]
    }
}

fn target(object: &Value) -> String {
    let at = |pointer| text(object, pointer);
    match (at("/spec/forward/host"), at("/spec/http/url"), at("/spec/file/path")) {
        ("", "", path) => path.to_owned(),
        ("", url, _) => url.to_owned(),
        (host, _, _) => format!("{host}:{}", integer(object, "/spec/forward/port")),
    }
}

fn check_selector(selector: &Field<'_>, faults: &mut Faults) {
    for list in ["namespaces", "containers"] {
        let list = selector.at(list);
        faults.at_most(&list, ITEMS_MAX);
        list.items().for_each(|name| faults.rule(&name, names::dns_1123_label));
    }
    validate_label_selector(&selector.at("pods"), faults);
}

fn check_parser(parser: &Field<'_>, faults: &mut Faults) {
    let (regex, multiline) = (parser.at("regex"), parser.at("multiline"));
    if regex.is_set() {
        if parser.at("json").is_true() {
            faults.forbidden(&regex, "lines are read as JSON already");
        }
        match expression(&regex, faults) {
            Some(expression) if expression.capture_names().flatten().next().is_none() => {
                faults.invalid(&regex, "must have a named group, such as (?<level>[A-Z]+)");
            }
            Some(expression) => {
                let taken = expression.capture_names().flatten().find(|name| is_taken(name));
                taken.iter().for_each(|name| faults.invalid(&regex, format!("{name} is a field every record has")));
            }
            None => {}
        }
    }
    if multiline.is_set() {
        expression(&multiline.at("firstLine"), faults);
        faults.number_rule(&multiline.at("timeoutSeconds"), between(TIMEOUT_SECONDS_MAX));
    }
}

/// Named groups may stand in place of `log`.
fn is_taken(name: &str) -> bool {
    name != "log" && OWN_FIELDS.contains(&name)
}

fn expression(field: &Field<'_>, faults: &mut Faults) -> Option<regex::Regex> {
    if field.text().is_empty() {
        faults.required(field, "");
        return None;
    }
    match regex::RegexBuilder::new(field.text()).size_limit(EXPRESSION_BYTES_MAX).build() {
        Ok(expression) => Some(expression),
        Err(error) => {
            // The last line of the message says what is wrong; those before show where.
            let message = error.to_string();
            faults.invalid(field, message.lines().last().unwrap_or_default().to_owned());
            None
        }
    }
}

fn check_fields(fields: &Field<'_>, faults: &mut Faults) {
    faults.at_most(fields, ITEMS_MAX);
    for (name, field) in fields.entries() {
        if name.is_empty() {
            faults.invalid_hidden(&field, "must have a name");
        }
        if OWN_FIELDS.contains(&name) {
            faults.forbidden(&field, "is a field every record has");
        }
    }
}

fn check_bytes(bytes: &Field<'_>, faults: &mut Faults) {
    let is_amount = |field: &Field<'_>| field.quantity().is_some_and(|bytes| bytes.value() > 0);
    if bytes.is_set() && !is_amount(bytes) {
        faults.invalid(bytes, "must be a quantity above zero, such as 256Mi");
    }
}

fn between(most: i64) -> impl Fn(i64) -> Vec<String> {
    move |number| names::in_range(number, 1, most)
}

fn check_forward(forward: &Field<'_>, faults: &mut Faults) {
    if !forward.is_set() {
        return;
    }
    faults.required_rule(&forward.at("host"), host);
    faults.number_rule(&forward.at("port"), between(65535));
    faults.required_text(&forward.at("tag"));
    faults.one_of(&forward.at("compression"), &COMPRESSIONS);
    for secret in ["sharedKey", "password"] {
        check_secret(&forward.at(secret), faults);
    }
    let (username, password) = (forward.at("username"), forward.at("password"));
    if username.is_set() != password.is_set() {
        let missing = if username.is_set() { password } else { username };
        faults.required(&missing, "a user and a password go together");
    }
    check_tls(&forward.at("tls"), faults);
}

fn host(host: &str) -> Vec<String> {
    let is_host = host.parse::<std::net::IpAddr>().is_ok() || names::dns_1123_subdomain(host).is_empty();
    if is_host { Vec::new() } else { vec!["must be a name or an address".to_owned()] }
}

fn check_http(http: &Field<'_>, faults: &mut Faults) {
    if !http.is_set() {
        return;
    }
    faults.required_rule(&http.at("url"), |url| {
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let has_host = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', ':', '?', '#']));
        let is_plain = url.bytes().all(|byte| byte.is_ascii_graphic());
        if has_host && is_plain { Vec::new() } else { vec!["must be a URL of http or https with a host".to_owned()] }
    });
    faults.one_of(&http.at("compression"), &COMPRESSIONS);
    let headers = http.at("headers");
    faults.at_most(&headers, ITEMS_MAX);
    headers.items().for_each(|header| check_header(&header, faults));
    check_tls(&http.at("tls"), faults);
}

fn check_header(header: &Field<'_>, faults: &mut Faults) {
    let (name, value, from) = (header.at("name"), header.at("value"), header.at("valueFrom"));
    faults.required_rule(&name, names::http_header_name);
    if OWN_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(name.text())) {
        faults.forbidden(&name, "is set by the sender");
    }
    if value.text().bytes().any(|byte| byte.is_ascii_control()) {
        faults.invalid(&value, "must hold no control characters");
    }
    match (value.is_set(), from.is_set()) {
        (true, true) => faults.forbidden(&from, "the value is given already"),
        (false, false) => faults.required(&value, "or valueFrom"),
        _ => {}
    }
    check_secret(&from, faults);
}

fn check_secret(secret: &Field<'_>, faults: &mut Faults) {
    if secret.is_set() {
        faults.required_rule(&secret.at("namespace"), names::dns_1123_label);
        faults.required_rule(&secret.at("name"), names::dns_1123_subdomain);
        faults.required_text(&secret.at("key"));
    }
}

fn check_tls(tls: &Field<'_>, faults: &mut Faults) {
    faults.optional_rule(&tls.at("serverName"), host);
}

fn check_file(file: &Field<'_>, faults: &mut Faults) {
    if !file.is_set() {
        return;
    }
    faults.required_rule(&file.at("path"), |path| match path.split('/').all(is_file_name) {
        true => Vec::new(),
        false => vec!["must be a path of letters, digits, `.`, `_` and `-` below the folder, without `..`".to_owned()],
    });
    check_bytes(&file.at("rotateBytes"), faults);
    faults.number_rule(&file.at("files"), between(FILES_MAX));
}

fn is_file_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(is_plain)
}
