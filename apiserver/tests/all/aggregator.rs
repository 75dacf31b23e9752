//! Other servers of the API: who asks is told to them, what they answer is passed back as it comes, and what they serve is
//! discovered.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::stream;
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use sampan_apiserver::FrontProxy;
use sampan_apiserver::tls::{Authority, identity_of, server_config};
use sampan_core::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::world::{Client, World};

const API_SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const SERVICES: &str = "/api/v1/namespaces/default/services";
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

type Piece = Result<Frame<Bytes>, Infallible>;
type Pieces = StreamBody<stream::BoxStream<'static, Piece>>;

fn pieces(pieces: impl stream::Stream<Item = Bytes> + Send + 'static) -> Pieces {
    use futures::StreamExt;
    StreamBody::new(pieces.map(|piece| Ok(Frame::data(piece))).boxed())
}

fn whole(value: &Value) -> Pieces {
    pieces(stream::iter([Bytes::from(value.to_string())]))
}

/// What the other server answers: what it serves, what it was told, or a watch whose second event a test lets go.
fn answer(request: &Request<Incoming>, by: &str, events: Option<mpsc::Receiver<Bytes>>) -> Pieces {
    let path = request.uri().path();
    if path == "/apis/tea.io/v1" {
        let cups = json!({"name": "cups", "singularName": "cup", "namespaced": true, "kind": "Cup",
            "verbs": ["get", "list", "watch"], "shortNames": ["cp"]});
        let status = json!({"name": "cups/status", "namespaced": true, "kind": "Cup", "verbs": ["get"]});
        return whole(&json!({"kind": "APIResourceList", "groupVersion": "tea.io/v1", "resources": [cups, status]}));
    }
    if let Some(events) = events.filter(|_| request.uri().query().is_some_and(|query| query.contains("watch"))) {
        return pieces(stream::unfold(events, async |mut events| Some((events.recv().await?, events))));
    }
    let headers = request.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
    let mut headers: Vec<String> = headers.collect();
    headers.sort();
    whole(&json!({"by": by, "method": request.method().as_str(), "uri": request.uri().to_string(), "headers": headers}))
}

/// Another server, vouched for by an authority of its own, which believes clients of the front proxy's.
struct Tea {
    port: u16,
    bundle: String,
    events: mpsc::Sender<Bytes>,
    /// Those of the front proxy and of its own authority.
    folders: [TempDir; 2],
}

impl Tea {
    async fn serve() -> Self {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let now = Timestamp::now();
        FrontProxy::open(folders[0].path(), now).unwrap();
        let clients = Authority::open(folders[0].path(), now).unwrap();
        let own = Authority::open(folders[1].path(), now).unwrap();
        let serving = own.serving(&["tea.default.svc".to_owned()], now).unwrap();
        let mut config = Arc::unwrap_or_clone(server_config(&clients, &serving).unwrap());
        config.alpn_protocols.clear();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (events, receiver) = mpsc::channel(4);
        let receiver = Arc::new(std::sync::Mutex::new(Some(receiver)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, receiver) = (acceptor.clone(), receiver.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let shown = stream.get_ref().1.peer_certificates().and_then(|shown| identity_of(&shown[0]));
                    let by = shown.map(|identity| identity.user).unwrap_or_default();
                    let service = service_fn(|request: Request<Incoming>| {
                        let watches = request.uri().query().is_some_and(|query| query.contains("watch"));
                        let events = watches.then(|| receiver.lock().unwrap().take()).flatten();
                        let answered = answer(&request, &by, events);
                        async { Ok::<_, Infallible>(Response::new(answered)) }
                    });
                    let connection = hyper::server::conn::http1::Builder::new();
                    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { port, bundle: STANDARD.encode(own.certificate()), events, folders }
    }

    /// The spec of an APIService that names it.
    fn spec(&self) -> Value {
        json!({"group": "tea.io", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15,
            "service": {"namespace": "default", "name": "tea", "port": self.port}, "caBundle": self.bundle})
    }
}

/// A cluster that passes requests on.
async fn aggregating(tea: &Tea) -> (World, Client) {
    let world = World::new().await;
    let front_proxy = FrontProxy::open(tea.folders[0].path(), Timestamp::now()).unwrap();
    let server = world.server.clone();
    tokio::spawn(async move { server.aggregate(front_proxy).await });
    let mut admin = world.admin().await;
    let service = json!({"metadata": {"name": "tea"}, "spec": {"type": "ExternalName", "externalName": "localhost"}});
    admin.create(SERVICES, service).await;
    (world, admin)
}

async fn register(admin: &mut Client, spec: Value) {
    admin.create(API_SERVICES, json!({"metadata": {"name": "v1.tea.io"}, "spec": spec})).await;
}

/// The condition once it has this reason.
async fn told(admin: &mut Client, reason: &str) -> Value {
    for _ in 0..100 {
        let found = admin.get(&format!("{API_SERVICES}/v1.tea.io")).await.value();
        let mut conditions = found["status"]["conditions"].as_array().into_iter().flatten();
        if let Some(condition) = conditions.find(|it| it["type"] == "Available" && it["reason"] == reason) {
            return condition.clone();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{reason} is not told: {}", admin.get(&format!("{API_SERVICES}/v1.tea.io")).await.text);
}

#[tokio::test]
async fn a_request_is_passed_on_with_who_asks() {
    let tea = Tea::serve().await;
    let (world, mut admin) = aggregating(&tea).await;
    register(&mut admin, tea.spec()).await;
    let condition = told(&mut admin, "Passed").await;
    assert_eq!((&condition["status"], &condition["message"]), (&json!("True"), &json!("all checks passed")));

    let rules = json!([{"apiGroups": ["tea.io"], "resources": ["cups"], "verbs": ["list"]}]);
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    admin.create(&format!("{rbac}/clusterroles"), json!({"metadata": {"name": "tea"}, "rules": rules})).await;
    let binding = json!({"metadata": {"name": "tea"}, "subjects": [{"kind": "Group", "name": "tea"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "tea"}});
    admin.create(&format!("{rbac}/clusterrolebindings"), binding).await;
    let cups = "/apis/tea.io/v1/namespaces/default/cups";
    let forged = [
        ("x-remote-user", "eve"),
        ("x-remote-group", "system:masters"),
        ("x-remote-extra-a", "b"),
        ("authorization", "Bearer secret"),
        ("impersonate-user", "ann"),
        ("impersonate-group", "tea"),
        ("impersonate-extra-example.com%2fscope", "all"),
        ("accept", "application/json"),
    ];
    let passed = admin.ask(Method::GET, &format!("{cups}?limit=5"), &forged, b"").await.value();
    assert_eq!(passed["by"], "front-proxy-client");
    assert_eq!(passed["uri"], format!("{cups}?limit=5"));
    let headers = passed["headers"].as_array().unwrap();
    let has = |header: &str| headers.iter().any(|it| it == header);
    assert!(has("x-remote-user: ann") && has("x-remote-group: tea") && has("accept: application/json"), "{headers:?}");
    assert!(has("x-remote-extra-example.com%2fscope: all") && has("host: tea.default.svc"), "{headers:?}");
    let is_forged = |it: &Value| {
        ["eve", "masters", "secret", "impersonate", "extra-a"].iter().any(|word| it.as_str().unwrap().contains(word))
    };
    assert!(!headers.iter().any(is_forged), "{headers:?}");

    let mut nobody = world.known("nobody", "none").await;
    let refused = nobody.get(cups).await;
    let why = "cups.tea.io is forbidden: User \"nobody\" cannot list resource \"cups\" in API group \"tea.io\" in the namespace \"default\"";
    assert_eq!((refused.code, refused.value()["message"].as_str().unwrap()), (403, why));
}

#[tokio::test]
async fn a_watch_comes_through_event_by_event() {
    let tea = Tea::serve().await;
    let (_world, mut admin) = aggregating(&tea).await;
    register(&mut admin, tea.spec()).await;
    told(&mut admin, "Passed").await;
    let mut watch = admin.watch("/apis/tea.io/v1/cups?watch=true").await;
    for name in ["first", "second"] {
        let event = json!({"type": "ADDED", "object": {"metadata": {"name": name}}});
        tea.events.send(format!("{event}\n").into()).await.unwrap();
        assert_eq!(watch.next_named().await, ("ADDED".to_owned(), name.to_owned()));
    }
}

#[tokio::test]
async fn what_another_server_serves_is_discovered() {
    let tea = Tea::serve().await;
    let (_world, mut admin) = aggregating(&tea).await;
    let groups = |list: &Value| -> Vec<String> {
        list["groups"].as_array().unwrap().iter().map(|group| group["name"].as_str().unwrap().to_owned()).collect()
    };
    assert!(!groups(&admin.get("/apis").await.value()).contains(&"tea.io".to_owned()));
    assert_eq!(admin.get("/apis/tea.io").await.code, 404);
    register(&mut admin, tea.spec()).await;
    told(&mut admin, "Passed").await;
    assert!(groups(&admin.get("/apis").await.value()).contains(&"tea.io".to_owned()));
    let group = admin.get("/apis/tea.io").await.value();
    assert_eq!((&group["kind"], &group["preferredVersion"]["groupVersion"]), (&json!("APIGroup"), &json!("tea.io/v1")));
    assert_eq!(admin.get("/apis/tea.io/v1").await.value()["resources"][0]["name"], "cups");

    let list = admin.get_as("/apis", AGGREGATED).await.value();
    let found = list["items"].as_array().unwrap().iter().find(|it| it["metadata"]["name"] == "tea.io").unwrap();
    let kind = json!({"group": "tea.io", "version": "v1", "kind": "Cup"});
    assert_eq!(
        found["versions"],
        json!([{"version": "v1", "freshness": "Current", "resources": [{
            "resource": "cups", "responseKind": kind, "scope": "Namespaced", "singularResource": "cup",
            "verbs": ["get", "list", "watch"], "shortNames": ["cp"],
            "subresources": [{"subresource": "status", "responseKind": kind, "verbs": ["get"]}]}]}])
    );
}

#[tokio::test]
async fn kubernetes_own_kinds_are_answered_here_whatever_an_api_service_says() {
    let tea = Tea::serve().await;
    let (_world, mut admin) = aggregating(&tea).await;
    let mut spec = tea.spec();
    spec["group"] = json!("authorization.k8s.io");
    admin.create(API_SERVICES, json!({"metadata": {"name": "v1.authorization.k8s.io"}, "spec": spec})).await;
    let review = json!({"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}});
    let answer = admin.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review).await;
    assert_eq!((answer.code, &answer.value()["status"]["allowed"]), (201, &json!(true)), "{}", answer.text);
}

#[tokio::test]
async fn one_that_does_not_answer_is_told_of_and_not_asked() {
    let tea = Tea::serve().await;
    let (_world, mut admin) = aggregating(&tea).await;
    let stranger = tempfile::tempdir().unwrap();
    let stranger = Authority::open(stranger.path(), Timestamp::now()).unwrap();
    let mut spec = tea.spec();
    spec["caBundle"] = json!(STANDARD.encode(stranger.certificate()));
    register(&mut admin, spec).await;
    let message = told(&mut admin, "FailedDiscoveryCheck").await["message"].clone();
    let url = format!("https://localhost:{}/apis/tea.io/v1", tea.port);
    let why = format!("failing or missing response from {url}: Get \"{url}\": tls: failed to verify certificate");
    assert!(message.as_str().unwrap().starts_with(&why), "{message}");
    let refused = admin.get("/apis/tea.io/v1/cups").await;
    assert_eq!((refused.code, refused.text.as_str()), (503, "service unavailable\n"));

    let tasted = json!({"status": {"conditions": [{"type": "Tasted", "status": "True"}]}});
    admin.patch(&format!("{API_SERVICES}/v1.tea.io/status"), "strategic-merge-patch+json", tasted).await;
    let patch = json!({"spec": {"caBundle": null, "insecureSkipTLSVerify": true}});
    admin.patch(&format!("{API_SERVICES}/v1.tea.io"), "merge-patch+json", patch).await;
    told(&mut admin, "Passed").await;
    let told_by_all = admin.get(&format!("{API_SERVICES}/v1.tea.io")).await.value()["status"]["conditions"].clone();
    assert!(told_by_all.as_array().unwrap().iter().any(|it| it["type"] == "Tasted"), "{told_by_all}");
    assert_eq!(admin.get("/apis/tea.io/v1/cups").await.code, 200);

    admin.delete(&format!("{SERVICES}/tea")).await;
    let condition = told(&mut admin, "ServiceNotFound").await;
    assert_eq!(condition["message"], "service/tea in \"default\" is not present");
    assert_eq!(admin.get("/apis/tea.io/v1/cups").await.code, 503);
    let port =
        json!({"metadata": {"name": "tea"}, "spec": {"selector": {"a": "b"}, "ports": [{"port": 1, "name": "https"}]}});
    admin.create(SERVICES, port).await;
    told(&mut admin, "ServicePortError").await;
    let patch = json!({"spec": {"service": {"port": 1}}});
    admin.patch(&format!("{API_SERVICES}/v1.tea.io"), "merge-patch+json", patch).await;
    let condition = told(&mut admin, "EndpointsNotFound").await;
    assert_eq!(condition["message"], "cannot find endpointslices for service/tea in \"default\"");
    let slice = json!({"metadata": {"name": "tea-1", "labels": {"kubernetes.io/service-name": "tea"}},
        "addressType": "IPv4", "ports": [{"name": "https", "port": 1}],
        "endpoints": [{"addresses": ["10.1.2.3"], "conditions": {"ready": false}}]});
    admin.create("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice).await;
    let condition = told(&mut admin, "MissingEndpoints").await;
    let why = "endpointslices for service/tea in \"default\" have no addresses with port name \"https\"";
    assert_eq!(condition["message"], why);

    let patch = json!({"spec": {"service": null, "insecureSkipTLSVerify": false}});
    admin.patch(&format!("{API_SERVICES}/v1.tea.io"), "merge-patch+json", patch).await;
    assert_eq!(told(&mut admin, "Local").await["status"], "True");
    assert_eq!(admin.get("/apis/tea.io/v1/cups").await.code, 404, "nobody answers for it here");
}
