//! `sampan up`: everything put together, and the threads that run it.
//!
//! Started from the ground up, and ended the other way round: store, gateway, operators, API server, nodes, manifests.

mod bootstrap;
mod certificates;
mod entropy;
mod front_proxy;
mod health;
mod inside;
mod nodes;
mod overview;
mod own_services;
mod rising;

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use jiff::Timestamp;
use sampan_apiserver::tls::{Authority, Kubeconfig, TokenKey, server_config, write_kubeconfig};
use sampan_apiserver::{ApiServer, HttpsWebhooks, RemoteNodes};
use sampan_core::access::token::Tokens;
use sampan_core::entropy::Entropy as _;
use sampan_core::gateway::{Cluster, Gateway, RoleAuthorizer, standard_admissions};
use sampan_core::manifest::{self, Keeper};
use sampan_core::object::{Name, Revision};
use sampan_core::operator::{Driver, Operators, Shown};
use sampan_core::replay::replay;
use sampan_core::resource::Registry;
use sampan_core::store::{FjallBackend, OpenError, Settings, Store, TimesToLive};
use sampan_pluginhost::{Host, Surroundings};
use sampan_podcollector::PodCollector;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::fmt::MakeWriter;

use crate::args::Up;
use crate::control::{self, Answer, Question};
use crate::data::DataFolder;
use crate::operators::{Carried, Terms};
use entropy::SystemEntropy;
use health::{OperatorsPart, StorePart};
use inside::Kubelets;
use own_services::OwnService;
use rising::Console;

pub(crate) use nodes::host_name;

/// The administrator, as the kubeconfig names them.
const ADMINISTRATOR: &str = "kubernetes-admin";
/// As whom the API server comes to the daemons of nodes, and the group of that: no role is bound to it.
const KUBELET_CLIENT: &str = "kube-apiserver-kubelet-client";
const KUBELET_CLIENTS: &str = "sampan:kubelet-clients";
/// Who gives tokens to service accounts, as the tokens say: where pods find the API server.
const TOKEN_ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// Threads for connections and the node; the store and the operators have their own.
const WORKERS: usize = 2;

/// How long the store of a process that was killed may stay taken.
const RELEASED_WITHIN: Duration = Duration::from_secs(5);
/// How often to look whether it is free.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Runs the cluster until it is told to end.
pub(crate) fn run(arguments: &Up, carried: &Carried) -> Result<()> {
    let started = Instant::now();
    let console = Console::open();
    show_log(console.clone());
    let folder = DataFolder::create(&arguments.folder.data)?;
    let store = open_store(&folder, &carried.registry())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    let outcome = runtime.block_on(serve(arguments, carried, &folder, &store, console, started));
    store.close();
    // Whoever sees the socket gone may open the store.
    let _ = std::fs::remove_file(folder.control_socket());
    outcome
}

/// A new identity for something.
pub(crate) fn uuid() -> String {
    SystemEntropy.uuid()
}

/// Shows the log on standard error, in colours where somebody sees them, by way of `writer`.
pub(crate) fn show_log(writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn,sampan=info".into());
    let in_colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(in_colours);
    log.with_writer(writer).with_target(false).init();
}

fn open_store(folder: &DataFolder, registry: &Registry) -> Result<Store> {
    let backend = open_backend(folder)?;
    let settings = Settings {
        cluster_uid: SystemEntropy.uuid(),
        times_to_live: times_to_live(registry),
        indexing: Some(registry.indexing()),
    };
    let store = Store::open(backend, settings, Arc::new(Timestamp::now))?;
    folder.note_cluster_id(store.cluster_uid())?;
    Ok(store)
}

/// Opens what the store lies on. Of a process that was just killed it stays taken until the kernel has put all of it away; one
/// that lives answers.
fn open_backend(folder: &DataFolder) -> Result<FjallBackend> {
    let asked = Instant::now();
    loop {
        match FjallBackend::open(&folder.store()) {
            Err(OpenError::AlreadyRunning { .. }) if asked.elapsed() < RELEASED_WITHIN && !answers(folder) => {
                std::thread::sleep(LOOK_EVERY);
            }
            opened => return Ok(opened?),
        }
    }
}

/// Whether a process that lives has the store. One that dies may still be connected to, and says nothing.
fn answers(folder: &DataFolder) -> bool {
    control::ask(folder, &Question::Status).is_ok()
}

/// Which objects go by themselves.
fn times_to_live(registry: &Registry) -> TimesToLive {
    let mortal = registry.definitions().filter_map(|definition| Some((definition.resource, definition.ttl_seconds?)));
    mortal.map(|(resource, seconds)| (resource, Duration::from_secs(seconds.into()))).collect()
}

/// The way in: who may do what is decided by roles and bindings, and by what runs on a node.
fn gateway(folder: &DataFolder, registry: Registry) -> Result<Gateway> {
    let authorizer = Arc::new(RoleAuthorizer::default());
    let admissions = standard_admissions(authorizer.clone());
    let tokens = Tokens::new(TOKEN_ISSUER, Arc::new(TokenKey::open(&folder.certificates())?));
    Ok(Gateway::new(registry, Box::new(authorizer), admissions).with_tokens(tokens))
}

async fn serve(
    arguments: &Up,
    carried: &Carried,
    folder: &DataFolder,
    store: &Store,
    console: Console,
    started: Instant,
) -> Result<()> {
    let shutdown = CancellationToken::new();
    let gateway = Arc::new(gateway(folder, carried.registry())?);
    gateway.learn(&store.snapshot());
    let webhooks = Arc::new(HttpsWebhooks::new(Handle::current()));
    let cluster = Cluster::new(gateway.clone(), store.clone(), Timestamp::now, SystemEntropy.next_u64());
    let cluster = cluster.with_webhooks(webhooks.clone());
    bootstrap::run(&cluster).await?;

    let mut driver = Driver::new(gateway, Box::new(SystemEntropy));
    let authority = Authority::open(&folder.certificates(), Timestamp::now())?;
    let root_certificate = authority.certificate();
    let pod_collector = PodCollector::keeping(arguments.terminated_pod_gc_threshold);
    let terms = Terms { root_certificate, pod_collector };
    carried.install(&mut driver, &terms);
    let rehearsing = Arc::new(Mutex::new(driver.clone()));
    let mut operators = Operators::start(driver, store.clone(), Arc::new(Timestamp::now), webhooks);

    let own = authority.client("apiserver-kubelet-client", KUBELET_CLIENT, KUBELET_CLIENTS, Timestamp::now())?;
    let kubelets = Kubelets::new(RemoteNodes::new(store.reader().clone(), &authority, own)?);
    let server = ApiServer::new(cluster.clone(), Arc::new(kubelets.clone()), shutdown.clone());
    server.show(Arc::new(OperatorsPart(operators.shown())));
    server.show(Arc::new(StorePart(store.clone())));
    let listening = listen(arguments.listen, folder, &authority, &server)?;
    let address = listening.address;
    let url = format!("https://{address}");
    if let Err(error) = OwnService::api_server(None, address.port()).serve(&cluster).await {
        // It is written once more when pods can reach it, and until it is: a webhook that has to agree may not be up yet.
        tracing::warn!("the Service kubernetes is not written yet: {error:#}");
    }
    server.set_ready(true);
    let front_proxy = front_proxy::open(folder)?;
    let published = front_proxy.published(authority.certificate());
    tokio::spawn(front_proxy::publish(cluster.clone(), published, shutdown.clone()));
    let aggregating = server.clone();
    tokio::spawn(async move { aggregating.aggregate(front_proxy).await });
    tokio::spawn(certificates::keep(cluster.clone(), authority, shutdown.clone()));
    tracing::info!("the API is ready at {url} after {} ms", started.elapsed().as_millis());
    tracing::info!("kubectl finds it with KUBECONFIG={}", folder.kubeconfig().display());

    let nodes = nodes::start(arguments, folder, store.cluster_uid(), &server, &kubelets, &shutdown).await?;
    let for_pods = own_services::open_to_pods(&listening, nodes.pod_gateway());
    let may_be_joined = !arguments.listen.ip().is_loopback();
    let name_server =
        (nodes.name_server().is_some() || may_be_joined).then(|| OwnService::name_server(nodes.name_server()));
    for service in [OwnService::api_server(for_pods, address.port())].into_iter().chain(name_server) {
        tokio::spawn(service.keep(cluster.clone(), shutdown.clone()));
    }
    let manifests = std::path::absolute(&arguments.manifests)?;
    let plugins = Host::start(Surroundings {
        cluster: cluster.clone(),
        crew: operators.crew(),
        manifests: manifests.clone(),
        binary: "/proc/self/exe".into(),
        taken: carried.charts().iter().map(|chart| chart.name).collect(),
    });
    let keeper = Keeper::start(cluster.clone(), manifests);
    let keeper = Arc::new(Mutex::new(Some(keeper)));
    tracing::info!("watching {}", arguments.manifests.display());
    let shown = operators.shown();
    let asked = Asked { cluster, shown, rehearsing, keeper: keeper.clone(), shutdown: shutdown.clone(), url };
    let (shown, reader) = (asked.clone(), store.reader().clone());
    tokio::spawn(rising::show(console, reader, started, move || (shown.overview(), shown.is_settled())));
    control::serve(folder, move |question| asked.answer(question))?;
    until_told_to_end(&shutdown).await?;
    shutdown.cancel();
    tracing::info!("ending; the pods keep running");
    nodes.ended().await;
    plugins.stop().await;
    tokio::task::spawn_blocking(move || {
        if let Some(keeper) = lock(&keeper).take() {
            keeper.stop();
        }
        operators.stop();
    })
    .await?;
    Ok(())
}

fn listen(address: SocketAddr, folder: &DataFolder, authority: &Authority, server: &ApiServer) -> Result<Listening> {
    let listener = sampan_apiserver::bind(address).with_context(|| {
        format!("failed to listen on {address}: is another cluster running? Choose another address with --listen")
    })?;
    let address = listener.local_addr()?;
    let now = Timestamp::now();
    let serving = authority.serving(&[address.ip().to_string()], now)?;
    let credential = authority.client("admin", ADMINISTRATOR, "system:masters", now)?;
    let kubeconfig = Kubeconfig {
        server: &format!("https://{address}"),
        authority: authority.certificate(),
        user: ADMINISTRATOR,
        credential: &credential,
    };
    write_kubeconfig(&folder.kubeconfig(), &kubeconfig)?;
    let listening = Listening { address, server: server.clone(), tls: server_config(authority, &serving)? };
    listening.serve(listener);
    Ok(listening)
}

/// Where the API is served, and how.
struct Listening {
    address: SocketAddr,
    server: ApiServer,
    tls: Arc<rustls::ServerConfig>,
}

impl Listening {
    /// Serves the API to whoever connects.
    fn serve(&self, listener: TcpListener) {
        let (server, tls) = (self.server.clone(), self.tls.clone());
        tokio::spawn(async move {
            if let Err(error) = server.listen(listener, tls).await {
                tracing::error!(%error, "the API is no longer served");
            }
        });
    }
}

/// What is asked when a command asks.
#[derive(Clone)]
struct Asked {
    cluster: Cluster,
    shown: Shown,
    /// Drives nothing: it makes decisions again.
    rehearsing: Arc<Mutex<Driver>>,
    keeper: Arc<Mutex<Option<Keeper>>>,
    shutdown: CancellationToken,
    url: String,
}

impl Asked {
    fn overview(&self) -> crate::overview::Overview {
        let mut overview = overview::look(&self.cluster.snapshot(), &self.url, &self.shown);
        overview.store_problem = self.cluster.store().problem();
        overview.directory_problem = lock(&self.keeper).as_ref().and_then(Keeper::root_problem);
        overview
    }

    /// Whether everything the directory held at start was carried out once.
    fn is_settled(&self) -> bool {
        lock(&self.keeper).as_ref().is_none_or(Keeper::is_settled)
    }

    fn replay(&self, kind: &str, namespace: &str, name: &str, to: Option<u64>) -> Answer {
        let key = self.cluster.gateway().registry().key_of(kind, namespace, name);
        let key = key.ok_or_else(|| format!("the cluster doesn't have a resource type {kind:?}"))?;
        let replayed = replay(self.cluster.store().reader(), (*lock(&self.rehearsing)).clone(), &key, to.map(Revision));
        match replayed {
            Ok(replayed) if replayed.is_empty() => Err(format!("nothing is remembered of {key}")),
            Ok(replayed) => as_json(&replayed),
            Err(error) => Err(error.to_string()),
        }
    }

    fn answer(&self, question: Question) -> Answer {
        match question {
            Question::Status => as_json(&self.overview()),
            Question::Plan { directory } => as_json(&manifest::plan(&self.cluster, &directory)?),
            Question::Replay { kind, namespace, name, to } => self.replay(&kind, &namespace, &name, to),
            Question::Held => {
                let held = lock(&self.keeper).as_ref().map(Keeper::held).unwrap_or_default();
                Ok(json!({"held": held}))
            }
            Question::Prune { files } => {
                let files = files.into_iter().map(Name::from).collect();
                let released = lock(&self.keeper).as_ref().map(|keeper| keeper.confirm_held(files)).unwrap_or_default();
                Ok(json!({"files": released}))
            }
            Question::Stop => {
                self.shutdown.cancel();
                Ok(json!({}))
            }
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn as_json(answer: &impl serde::Serialize) -> Answer {
    serde_json::to_value(answer).map_err(|error| error.to_string())
}

/// Waits for Ctrl-C, SIGTERM or the shutdown.
pub(crate) async fn until_told_to_end(shutdown: &CancellationToken) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        received = interrupt.recv() => received.ok_or_else(|| anyhow!("signals are no longer delivered")),
        received = terminate.recv() => received.ok_or_else(|| anyhow!("signals are no longer delivered")),
        () = shutdown.cancelled() => Ok(()),
    }
}
