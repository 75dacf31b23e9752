//! What a pod's node is asked for: logs, exec, attach, port-forward.

use form_urlencoded::Serializer;
use hyper::header::UPGRADE;
use sampan_core::gateway::{Action, Connection, Mutation, Options, Subresource, Target, Verb};
use sampan_core::object::Name;
use sampan_core::resource::{SubresourceDefinition, SubresourceHandler};
use sampan_core::status::{Status, StatusCause};
use serde_json::Value;

use super::write::target;
use super::{connection, read};
use crate::call::Call;
use crate::node::{forward, upgrade};
use crate::request::Query;
use crate::response::{self, Response};

/// The parameters of a log that are the node's to understand.
const LOG_PARAMETERS: [&str; 8] =
    ["follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines", "limitBytes", "stream"];
/// Those that are counts, the least each may be, and what is said of less.
const LOG_COUNTS: [(&str, i64, &str); 3] = [
    ("sinceSeconds", 1, "must be greater than 0"),
    ("tailLines", 0, "must be greater than or equal to 0"),
    ("limitBytes", 1, "must be greater than 0"),
];
/// The parameters of a stream, by the client's and the node's names.
const STREAM_PARAMETERS: [(&str, &str); 4] =
    [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")];

/// The answer to a request for a container's log, followed for as long as the client likes.
pub(super) async fn log(call: Call) -> Result<Response, Status> {
    call.authorize(Verb::Get)?;
    check_log(&call.query)?;
    let pod = Pod::find(&call)?;
    let container = pod.container(call.query.text("container"))?;
    let Some(node) = pod.node() else {
        return Ok(response::bytes("", "text/plain"));
    };
    let given = LOG_PARAMETERS.iter().flat_map(|name| call.query.all(name).map(|value| (*name, value)));
    let uri = format!("/containerLogs/{}/{}/{container}?{}", pod.namespace, pod.name, encoded(given));
    if call.parts.headers.contains_key(UPGRADE) {
        return upgrade(&call.state, node, &uri, (call.parts, call.body)).await;
    }
    forward(&*call.state.nodes, node, &uri).await
}

/// Refuses what says nothing of a log.
fn check_log(query: &Query) -> Result<(), Status> {
    let fault = |field: &str, reason: &str, message: String| StatusCause {
        reason: format!("FieldValue{reason}"),
        message,
        field: field.to_owned(),
    };
    let mut faults = Vec::new();
    for (field, least, why) in LOG_COUNTS {
        if let Some(number) = query.number(field)?.filter(|number| *number < least) {
            faults.push(fault(field, "Invalid", format!("Invalid value: {number}: {why}")));
        }
    }
    if query.given("sinceSeconds").is_some() && query.given("sinceTime").is_some() {
        let why = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified";
        faults.push(fault("sinceTime", "Forbidden", why.to_owned()));
    }
    match faults.is_empty() {
        true => Ok(()),
        false => Err(Status::invalid("PodLogOptions", "", faults)),
    }
}

/// The answer to exec or attach: bytes between the client and the container.
pub(super) async fn stream(call: Call, subresource: &SubresourceDefinition) -> Result<Response, Status> {
    let verb = subresource.name;
    call.authorize(Verb::Create)?;
    let pod = Pod::find(&call)?;
    pod.require_running(verb)?;
    admit(&call, None, subresource, Verb::Create).await?;
    let container = pod.container(call.query.text("container"))?;
    let node = pod.require_node()?;
    let command = call.query.all("command").map(|word| ("command", word));
    let wanted = STREAM_PARAMETERS.iter().filter(|(name, _)| call.query.flag(name)).map(|(_, name)| (*name, "1"));
    let uri = format!("/{verb}/{}/{}/{container}?{}", pod.namespace, pod.name, encoded(command.chain(wanted)));
    upgrade(&call.state, node, &uri, (call.parts, call.body)).await
}

/// The answer to a port-forward: bytes between the client and ports of the pod.
pub(super) async fn port_forward(call: Call, subresource: &SubresourceDefinition) -> Result<Response, Status> {
    call.authorize(Verb::Create)?;
    let pod = Pod::find(&call)?;
    admit(&call, None, subresource, Verb::Create).await?;
    let node = pod.require_node()?;
    let ports = call.query.all("ports").map(|port| ("port", port));
    let uri = format!("/portForward/{}/{}?{}", pod.namespace, pod.name, encoded(ports));
    upgrade(&call.state, node, &uri, (call.parts, call.body)).await
}

/// Asks admission whether bytes may flow to the object: that of the path, or another where the path says more than a name.
pub(super) async fn admit(
    call: &Call,
    name: Option<&Name>,
    subresource: &SubresourceDefinition,
    verb: Verb,
) -> Result<(), Status> {
    let target = target(call, Subresource::Named(subresource.name))?;
    let is_proxy = subresource.handler == SubresourceHandler::Proxy;
    let beyond = is_proxy.then(|| call.path.beyond.as_deref().unwrap_or_default());
    let options = connection::options(subresource, &call.query, beyond);
    let mutation = Mutation {
        identity: (*call.identity).clone(),
        origin: call.origin(verb),
        target: Target { name: name.cloned().or(target.name), ..target },
        action: Action::Connect(Connection { verb, options }),
        options: Options::default(),
    };
    call.state.cluster.mutate(mutation).await.map(drop)
}

fn encoded<'a>(parameters: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    Serializer::new(String::new()).extend_pairs(parameters).finish()
}

/// A pod as far as these requests need it.
struct Pod {
    namespace: String,
    name: String,
    value: Value,
}

impl Pod {
    fn find(call: &Call) -> Result<Self, Status> {
        let object = read::look_up(call)?;
        let key = object.key();
        let namespace = key.namespace.as_deref().unwrap_or_default().to_owned();
        Ok(Self { namespace, name: key.name.to_string(), value: object.value() })
    }

    fn text(&self, pointer: &str) -> &str {
        self.value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// The node it is bound to.
    fn node(&self) -> Option<&str> {
        Some(self.text("/spec/nodeName")).filter(|node| !node.is_empty())
    }

    fn require_node(&self) -> Result<&str, Status> {
        self.node().ok_or_else(|| Status::bad_request(format!("pod {} does not have a host assigned", self.name)))
    }

    fn require_running(&self, verb: &str) -> Result<(), Status> {
        let phase = self.text("/status/phase");
        if !matches!(phase, "Succeeded" | "Failed") {
            return Ok(());
        }
        let into = if verb == "exec" { "exec into" } else { "attach to" };
        Err(Status::bad_request(format!("cannot {into} a container in a completed pod; current phase is {phase}")))
    }

    fn names(&self, list: &str) -> Vec<&str> {
        let containers = self.value.pointer(list).and_then(Value::as_array).into_iter().flatten();
        containers.filter_map(|container| container.get("name").and_then(Value::as_str)).collect()
    }

    /// The container asked for, or the only one.
    fn container(&self, asked: &str) -> Result<String, Status> {
        let lists = ["/spec/containers", "/spec/initContainers", "/spec/ephemeralContainers"];
        let [containers, init, ephemeral] = lists.map(|list| self.names(list));
        if asked.is_empty() {
            return match containers.as_slice() {
                [only] => Ok((*only).to_owned()),
                several => Err(self.ambiguous(several, &init)),
            };
        }
        let known = containers.iter().chain(&init).chain(&ephemeral).any(|name| *name == asked);
        match known {
            true => Ok(asked.to_owned()),
            false => Err(Status::bad_request(format!("container {asked} is not valid for pod {}", self.name))),
        }
    }

    fn ambiguous(&self, containers: &[&str], init: &[&str]) -> Status {
        let mut message = format!(
            "a container name must be specified for pod {}, choose one of: [{}]",
            self.name,
            containers.join(" ")
        );
        if !init.is_empty() {
            message.push_str(&format!(" or one of the init containers: [{}]", init.join(" ")));
        }
        Status::bad_request(message)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(value: Value) -> Pod {
        Pod { namespace: "default".into(), name: "web".into(), value }
    }

    #[test]
    fn the_only_container_need_not_be_named() {
        let one = pod(json!({"spec": {"containers": [{"name": "a"}], "initContainers": [{"name": "i"}]}}));
        assert_eq!(one.container("").unwrap(), "a");
        assert_eq!(one.container("i").unwrap(), "i");
        assert_eq!(one.container("b").unwrap_err().message, "container b is not valid for pod web");
        let two = pod(json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}]}}));
        let expect = "a container name must be specified for pod web, choose one of: [a b]";
        assert_eq!(two.container("").unwrap_err().message, expect);
    }

    #[test]
    fn what_says_nothing_of_a_log_is_refused_with_its_field() {
        let cases = [
            ("sinceSeconds=1&tailLines=0&limitBytes=1", None),
            (
                "sinceSeconds=-9223372036854775808",
                Some("sinceSeconds: Invalid value: -9223372036854775808: must be greater than 0"),
            ),
            ("sinceSeconds=0", Some("sinceSeconds: Invalid value: 0")),
            ("tailLines=-1", Some("tailLines: Invalid value: -1: must be greater than or equal to 0")),
            ("limitBytes=0", Some("limitBytes: Invalid value: 0: must be greater than 0")),
            ("sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z", Some("sinceTime: Forbidden: at most one")),
        ];
        for (query, expect) in cases {
            let refused = check_log(&Query::new(Some(query))).err();
            match (refused, expect) {
                (None, None) => {}
                (Some(status), Some(why)) => {
                    assert!(status.code == 422 && status.message.contains(why), "{}", status.message)
                }
                (found, _) => panic!("{query}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_completed_pod_runs_nothing() {
        let pod = pod(json!({"status": {"phase": "Succeeded"}}));
        let expect = "cannot exec into a container in a completed pod; current phase is Succeeded";
        assert_eq!(pod.require_running("exec").unwrap_err().message, expect);
    }
}
