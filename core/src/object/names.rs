//! The rules for names, keys and the like that many kinds share.
//!
//! Each check returns the rules broken, in the words of Kubernetes; an empty list means the value is right. The rules are
//! those of "Object Names and IDs" and "Labels and Selectors" in the Kubernetes documentation, and of RFC 1035, 1123, 6335.

use serde_json::Value;

use super::field::{FieldError, FieldErrors, FieldPath};

/// The longest DNS label, label value and name part of a qualified name, in bytes.
pub const LABEL_MAX_BYTES: usize = 63;
/// The longest DNS subdomain, in bytes.
pub const SUBDOMAIN_MAX_BYTES: usize = 253;
/// The longest IANA service name, in bytes.
pub const PORT_NAME_MAX_BYTES: usize = 15;
/// What all annotations of one object may hold, keys and values together, in bytes.
pub const ANNOTATIONS_MAX_BYTES: usize = 256 * 1024;

const EMPTY: &str = "must be non-empty";

const LABEL_FORMAT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const LABEL_RULE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
                          and end with an alphanumeric character";
const SUBDOMAIN_FORMAT: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const SUBDOMAIN_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
                              and must start and end with an alphanumeric character";
const DNS_1035_FORMAT: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const DNS_1035_RULE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
                             alphabetic character, and end with an alphanumeric character";
const WILDCARD_FORMAT: &str = r"\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const WILDCARD_RULE: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must \
                             consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";
const QUALIFIED_FORMAT: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const QUALIFIED_RULE: &str =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const LABEL_VALUE_FORMAT: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";
const LABEL_VALUE_RULE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and \
                                must start and end with an alphanumeric character";
const C_IDENTIFIER_FORMAT: &str = "[A-Za-z_][A-Za-z0-9_]*";
const C_IDENTIFIER_RULE: &str = "a valid C identifier must start with alphabetic character or '_', followed by a string of \
                                 alphanumeric characters or '_'";
const ENV_NAME_FORMAT: &str = "[-._a-zA-Z][-._a-zA-Z0-9]*";
const ENV_NAME_RULE: &str = "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', \
                             and must not start with a digit";
const RELAXED_ENV_NAME_RULE: &str =
    "a valid environment variable name must consist only of printable ASCII characters other than '='";
const CONFIG_KEY_FORMAT: &str = "[-._a-zA-Z0-9]+";
const CONFIG_KEY_RULE: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
const HEADER_FORMAT: &str = "[-A-Za-z0-9]+";
const HEADER_RULE: &str = "a valid HTTP header must consist of alphanumeric characters or '-'";
const PERCENT_FORMAT: &str = "[0-9]+%";
const PERCENT_RULE: &str = "a valid percent string must be a numeric string followed by an ending '%'";

/// An RFC 1123 label: the name of a Namespace or a container.
pub fn dns_1123_label(value: &str) -> Vec<String> {
    let mut broken = longer_than(value, LABEL_MAX_BYTES);
    if !is_dns_label(value) {
        broken.push(if is_dns_subdomain(value) {
            "must not contain dots".to_owned()
        } else {
            pattern(LABEL_RULE, LABEL_FORMAT, &["my-name", "123-abc"])
        });
    }
    broken
}

/// An RFC 1123 subdomain: the name of most objects.
pub fn dns_1123_subdomain(value: &str) -> Vec<String> {
    let mut broken = longer_than(value, SUBDOMAIN_MAX_BYTES);
    if !is_dns_subdomain(value) {
        broken.push(pattern(SUBDOMAIN_RULE, SUBDOMAIN_FORMAT, &["example.com"]));
    }
    broken
}

/// An RFC 1035 label: the name of a Service.
pub fn dns_1035_label(value: &str) -> Vec<String> {
    let mut broken = longer_than(value, LABEL_MAX_BYTES);
    if !(is_dns_label(value) && value.starts_with(|c: char| c.is_ascii_lowercase())) {
        broken.push(pattern(DNS_1035_RULE, DNS_1035_FORMAT, &["my-name", "abc-123"]));
    }
    broken
}

/// A subdomain below `*.`: the host of an Ingress.
pub fn wildcard_dns_1123_subdomain(value: &str) -> Vec<String> {
    let mut broken = longer_than(value, SUBDOMAIN_MAX_BYTES);
    if !value.strip_prefix("*.").is_some_and(is_dns_subdomain) {
        broken.push(pattern(WILDCARD_RULE, WILDCARD_FORMAT, &["*.example.com"]));
    }
    broken
}

/// A path below a domain, as `acme.io/foo`.
pub fn domain_prefixed_path(value: &str) -> Vec<String> {
    match value.split_once('/') {
        Some((domain, path)) if !domain.is_empty() && !path.is_empty() => dns_1123_subdomain(domain),
        _ => vec!["must be a domain-prefixed path (such as \"acme.io/foo\")".to_owned()],
    }
}

/// The rule for names that are a URL path segment only, as RBAC's: neither `.` nor `..`, no `/` and no `%`.
pub fn path_segment(value: &str) -> Vec<String> {
    if value == "." || value == ".." {
        return vec![format!("may not be '{value}'")];
    }
    ["/", "%"].into_iter().filter(|part| value.contains(part)).map(|part| format!("may not contain '{part}'")).collect()
}

/// A name that `generateName` would prefix: its last `-` is covered by what is appended.
pub fn as_generated_prefix(value: &str) -> std::borrow::Cow<'_, str> {
    match value.strip_suffix('-') {
        Some(stem) if !stem.is_empty() => format!("{stem}a").into(),
        _ => value.into(),
    }
}

/// A key of labels, annotations and taints: a name of at most 63 bytes, behind an optional `subdomain/`.
pub fn qualified_name(value: &str) -> Vec<String> {
    let examples = ["MyName", "my.name", "123-abc"];
    let mut broken = Vec::new();
    let name = match value.split_once('/') {
        None => value,
        Some((_, name)) if name.contains('/') => {
            let rule = pattern(QUALIFIED_RULE, QUALIFIED_FORMAT, &examples);
            let prefix = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a qualified name {rule} {prefix}")];
        }
        Some(("", name)) => {
            broken.push(format!("prefix part {EMPTY}"));
            name
        }
        Some((prefix, name)) => {
            broken.extend(dns_1123_subdomain(prefix).into_iter().map(|rule| format!("prefix part {rule}")));
            name
        }
    };
    if name.is_empty() {
        broken.push(format!("name part {EMPTY}"));
    }
    broken.extend(longer_than(name, LABEL_MAX_BYTES).into_iter().map(|rule| format!("name part {rule}")));
    if !is_qualified_part(name) {
        broken.push(format!("name part {}", pattern(QUALIFIED_RULE, QUALIFIED_FORMAT, &examples)));
    }
    broken
}

/// The value of a label; may be empty.
pub fn label_value(value: &str) -> Vec<String> {
    let mut broken = longer_than(value, LABEL_MAX_BYTES);
    if !(value.is_empty() || is_qualified_part(value)) {
        broken.push(pattern(LABEL_VALUE_RULE, LABEL_VALUE_FORMAT, &["MyValue", "my_value", "12345"]));
    }
    broken
}

/// An identifier of the C language.
pub fn c_identifier(value: &str) -> Vec<String> {
    let starts = value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if starts && value.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_') {
        return Vec::new();
    }
    vec![pattern(C_IDENTIFIER_RULE, C_IDENTIFIER_FORMAT, &["my_name", "MY_NAME", "MyName"])]
}

/// The name of an environment variable as shells know it; what `envFrom` keys and prefixes were held to before 1.34.
pub fn env_name(value: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let digit_first = value.starts_with(|c: char| c.is_ascii_digit());
    if value.is_empty() || digit_first || !value.bytes().all(is_config_key_byte) {
        broken.push(pattern(ENV_NAME_RULE, ENV_NAME_FORMAT, &["my.env-name", "MY_ENV.NAME", "MyEnvName1"]));
    }
    broken.extend(directory_steps(value));
    broken
}

/// The name of an environment variable as Kubernetes 1.34 and later admit it.
pub fn relaxed_env_name(value: &str) -> Vec<String> {
    if value.is_empty() {
        return vec![format!("environment variable name {EMPTY}")];
    }
    if value.chars().all(|c| (' '..='~').contains(&c) && c != '=') {
        return Vec::new();
    }
    vec![RELAXED_ENV_NAME_RULE.to_owned()]
}

/// A key of a ConfigMap or a Secret.
pub fn config_map_key(value: &str) -> Vec<String> {
    let mut broken = longer_than(value, SUBDOMAIN_MAX_BYTES);
    if value.is_empty() || !value.bytes().all(is_config_key_byte) {
        broken.push(pattern(CONFIG_KEY_RULE, CONFIG_KEY_FORMAT, &["key.name", "KEY_NAME", "key-name"]));
    }
    broken.extend(directory_steps(value));
    broken
}

/// The name of a container's port: an IANA service name (RFC 6335).
pub fn port_name(value: &str) -> Vec<String> {
    let mut broken = longer_than(value, PORT_NAME_MAX_BYTES);
    let charset = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    if value.is_empty() || !value.bytes().all(charset) {
        broken.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !value.bytes().any(|c| c.is_ascii_lowercase()) {
        broken.push("must contain at least one letter (a-z)".to_owned());
    }
    if value.contains("--") {
        broken.push("must not contain consecutive hyphens".to_owned());
    }
    if value.starts_with('-') || value.ends_with('-') {
        broken.push("must not begin or end with a hyphen".to_owned());
    }
    broken
}

/// A TCP, UDP or SCTP port.
pub fn port_number(value: i64) -> Vec<String> {
    in_range(value, 1, 65_535)
}

/// A number from `least` to `most`.
pub fn in_range(value: i64, least: i64, most: i64) -> Vec<String> {
    if (least..=most).contains(&value) {
        return Vec::new();
    }
    vec![format!("must be between {least} and {most}, inclusive")]
}

/// A user or group id of Linux.
pub fn user_id(value: i64) -> Vec<String> {
    in_range(value, 0, i64::from(i32::MAX))
}

/// The name of an HTTP header in a probe or a hook.
pub fn http_header_name(value: &str) -> Vec<String> {
    if !value.is_empty() && value.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-') {
        return Vec::new();
    }
    vec![pattern(HEADER_RULE, HEADER_FORMAT, &["X-Header-Name"])]
}

/// A percentage, as `25%`.
pub fn percent(value: &str) -> Vec<String> {
    let digits = value.strip_suffix('%').unwrap_or_default();
    if !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit()) {
        return Vec::new();
    }
    vec![pattern(PERCENT_RULE, PERCENT_FORMAT, &["1%", "93%"])]
}

/// An IPv4 or IPv6 address.
pub fn ip_address(value: &str) -> Vec<String> {
    if value.parse::<std::net::IpAddr>().is_ok() {
        return Vec::new();
    }
    vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()]
}

/// A path from the root, as a volume's mount point on a host.
pub fn absolute_path(value: &str) -> Vec<String> {
    if value.starts_with('/') { Vec::new() } else { vec!["must be an absolute path".to_owned()] }
}

/// A path that does not climb out of where it starts: no `..` among its steps.
pub fn path_without_backsteps(value: &str) -> Vec<String> {
    if value.split('/').any(|step| step == "..") { vec!["must not contain '..'".to_owned()] } else { Vec::new() }
}

/// A path below where it starts: relative and without `..`.
pub fn descending_path(value: &str) -> Vec<String> {
    let mut broken = Vec::new();
    if value.starts_with('/') {
        broken.push("must be a relative path".to_owned());
    }
    broken.extend(path_without_backsteps(value));
    broken
}

/// A number of at least zero.
pub fn nonnegative(value: i64, path: &FieldPath, errors: &mut FieldErrors) {
    if value < 0 {
        errors.push(FieldError::invalid(path.clone(), value, "must be greater than or equal to 0"));
    }
}

/// A label's key, at `path`.
pub fn label_key(key: &str, path: &FieldPath, errors: &mut FieldErrors) {
    errors.push_messages(path, key, qualified_name(key));
}

/// The labels of an object or the `matchLabels` of a selector, at `path`.
pub fn labels<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>, path: &FieldPath, errors: &mut FieldErrors) {
    for (key, value) in labels {
        label_key(key, path, errors);
        errors.push_messages(path, value, label_value(value));
    }
}

/// The annotations of an object, at `path`: their keys in any case, and their size together.
pub fn annotations<'a>(
    annotations: impl IntoIterator<Item = (&'a str, &'a str)>,
    path: &FieldPath,
    errors: &mut FieldErrors,
) {
    let mut bytes = 0;
    for (key, value) in annotations {
        bytes += key.len() + value.len();
        errors.push_messages(path, key, qualified_name(&key.to_lowercase()));
    }
    if bytes > ANNOTATIONS_MAX_BYTES {
        errors.push(FieldError::too_long(path.clone(), ANNOTATIONS_MAX_BYTES));
    }
}

/// A value that may not change once set, at `path`.
pub fn immutable(new: &Value, old: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    if new != old {
        errors.push(FieldError::invalid(path.clone(), new.clone(), "field is immutable"));
    }
}

fn is_dns_label(value: &str) -> bool {
    let body = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    ends_hold(value, body) && value.bytes().all(|c| body(c) || c == b'-')
}

fn is_dns_subdomain(value: &str) -> bool {
    value.split('.').all(is_dns_label)
}

fn is_qualified_part(value: &str) -> bool {
    let body = |c: u8| c.is_ascii_alphanumeric();
    ends_hold(value, body) && value.bytes().all(|c| body(c) || matches!(c, b'-' | b'_' | b'.'))
}

fn ends_hold(value: &str, allowed: impl Fn(u8) -> bool) -> bool {
    let bytes = value.as_bytes();
    bytes.first().is_some_and(|c| allowed(*c)) && bytes.last().is_some_and(|c| allowed(*c))
}

fn is_config_key_byte(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_')
}

/// A key becomes a file name: it must not walk the directory tree.
fn directory_steps(value: &str) -> Option<String> {
    match value {
        "." => Some("must not be '.'".to_owned()),
        ".." => Some("must not be '..'".to_owned()),
        _ if value.starts_with("..") => Some("must not start with '..'".to_owned()),
        _ => None,
    }
}

fn longer_than(value: &str, max_bytes: usize) -> Vec<String> {
    if value.len() > max_bytes { vec![format!("must be no more than {max_bytes} bytes")] } else { Vec::new() }
}

fn pattern(rule: &str, format: &str, examples: &[&str]) -> String {
    let shown: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!("{rule} (e.g. {}regex used for validation is '{format}')", shown.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(rule: fn(&str) -> Vec<String>, values: &[&str]) {
        for value in values {
            assert_eq!(rule(value), Vec::<String>::new(), "{value:?}");
        }
    }

    fn refuses(rule: fn(&str) -> Vec<String>, values: &[&str]) {
        for value in values {
            assert!(!rule(value).is_empty(), "{value:?} was accepted");
        }
    }

    #[test]
    fn labels_and_subdomains_follow_their_rfc() {
        let long = "a".repeat(64);
        accepts(dns_1123_label, &["a", "0", "a-b", "a--b", &"a".repeat(63)]);
        refuses(dns_1123_label, &["", "-", "a-", "-a", "A", "a.b", "a_b", "é", &long]);
        accepts(dns_1123_subdomain, &["a", "a.b", "0.1", "a-b.c", &long]);
        refuses(dns_1123_subdomain, &["", ".", "a.", ".a", "a..b", "a.-b", "a b", &"a".repeat(254)]);
        accepts(dns_1035_label, &["a", "a0-b"]);
        refuses(dns_1035_label, &["0a", "-a", "a.b", ""]);
        accepts(wildcard_dns_1123_subdomain, &["*.a", "*.a.b"]);
        refuses(wildcard_dns_1123_subdomain, &["*", "*.", "a.b", "*a.b", "*.*.a"]);
    }

    #[test]
    fn qualified_names_have_at_most_one_prefix() {
        accepts(qualified_name, &["a", "A_b.c-D", "example.com/x", "1/2"]);
        refuses(qualified_name, &["", "/", "/a", "a/", "a/b/c", "A.com/x", "a b", "-a", "a-", &"a".repeat(64)]);
        accepts(label_value, &["", "a", "A_b.c-D", "1"]);
        refuses(label_value, &["-", "a ", "a/b", ".a", &"a".repeat(64)]);
    }

    #[test]
    fn names_of_ports_variables_and_keys_follow_their_rules() {
        accepts(port_name, &["http", "a", "1a", "a-b-c"]);
        refuses(port_name, &["", "1", "-a", "a-", "a--b", "HTTP", "a.b", "abcdefghijklmnop"]);
        accepts(env_name, &["A", "_a", "a.b-c", ".a", "-"]);
        refuses(env_name, &["", "1a", ".", "..", "..a", "a b", "a=b"]);
        accepts(relaxed_env_name, &["1", "a b", "%x"]);
        refuses(relaxed_env_name, &["", "a=b", "é", "a\tb"]);
        accepts(config_map_key, &["a", "A.b_c-d", "1", ".a"]);
        refuses(config_map_key, &["", ".", "..", "..a", "a/b", "a b", &"a".repeat(254)]);
        accepts(c_identifier, &["a", "_", "A1"]);
        refuses(c_identifier, &["", "1a", "a-b"]);
        accepts(percent, &["0%", "100%"]);
        refuses(percent, &["%", "5", "-5%", "5%%"]);
    }

    #[test]
    fn a_broken_rule_reads_as_in_kubernetes() {
        assert_eq!(
            dns_1123_label("A"),
            [
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end \
                 with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
                 '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            ]
        );
        assert_eq!(dns_1123_label("a.b"), ["must not contain dots"]);
        assert_eq!(port_number(70_000), ["must be between 1 and 65535, inclusive"]);
        assert!(qualified_name("a/").contains(&"name part must be non-empty".to_owned()));
    }

    #[test]
    fn annotations_are_limited_together() {
        let big = "x".repeat(ANNOTATIONS_MAX_BYTES);
        let mut errors = FieldErrors::new();
        annotations([("A.com/Upper", "v")], &FieldPath::new("annotations"), &mut errors);
        assert!(errors.is_empty());
        annotations([("a", big.as_str())], &FieldPath::new("annotations"), &mut errors);
        assert_eq!(errors.to_string(), "annotations: Too long: may not be more than 262144 bytes");
    }

    #[test]
    fn a_generated_name_hides_its_last_dash() {
        assert_eq!(as_generated_prefix("web-"), "weba");
        assert_eq!(as_generated_prefix("-"), "-");
        assert_eq!(as_generated_prefix("web"), "web");
    }
}
