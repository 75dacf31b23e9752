//! The Service proxy: what is sent to a Service's address reaches one of its pods.
//!
//! ```text
//! Services, EndpointSlices ──► frontends ──► Table ──Batch──► script ──► nft ──► kernel
//! ```
//!
//! The kernel does the rest: connections need no process of ours, and go on when this one is killed. All is kept in one table
//! of our own, in flat maps; a change is one transaction of a few elements. Somebody who takes the table away is noticed by
//! the kernel's own word, and it is put back as a whole.

pub mod frontend;
mod kernel;
mod script;
pub mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Config, Event, watcher};
use kube::{Api, ResourceExt};
use tokio_util::sync::CancellationToken;

pub use self::kernel::{KernelError, apply, remove, rules_see_bridge};
pub use self::script::{Ground, changes, removal, table_name, whole};
use self::table::{Batch, ServiceKey, Table};

/// The label of an EndpointSlice that names its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The first and the longest wait after the kernel refused.
const FIRST_RETRY: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// Within this the kernel's word surely reaches us; a table lost before that is looked for once.
const LISTENS_WITHIN: Duration = Duration::from_secs(1);
/// Events taken into one transaction.
const EVENTS_AT_ONCE: usize = 256;

/// What is known of Services and their endpoints.
#[derive(Default)]
struct Known {
    services: BTreeMap<ServiceKey, Service>,
    slices: BTreeMap<ServiceKey, BTreeMap<String, EndpointSlice>>,
    /// The Service each slice was last seen to belong to.
    belongs: BTreeMap<(String, String), ServiceKey>,
    services_listing: Listing,
    slices_listing: Listing,
    changed: BTreeSet<ServiceKey>,
}

/// What a listing under way has shown, and whether a first one has ended.
#[derive(Default)]
struct Listing {
    shown: BTreeSet<(String, String)>,
    is_complete: bool,
}

impl Listing {
    /// Ends it; those known that it did not show.
    fn end<'a>(&mut self, known: impl Iterator<Item = &'a (String, String)>) -> Vec<(String, String)> {
        let shown = std::mem::take(&mut self.shown);
        self.is_complete = true;
        known.filter(|key| !shown.contains(*key)).cloned().collect()
    }
}

/// Something the API server told.
enum News {
    Service(Box<Event<Service>>),
    Slice(Box<Event<EndpointSlice>>),
}

fn key(object: &impl ResourceExt) -> (String, String) {
    (object.namespace().unwrap_or_default(), object.name_any())
}

impl Known {
    fn take(&mut self, news: News) {
        match news {
            News::Service(event) => self.take_service(*event),
            News::Slice(event) => self.take_slice(*event),
        }
    }

    fn take_service(&mut self, event: Event<Service>) {
        match event {
            Event::Init => self.services_listing.shown.clear(),
            Event::InitApply(service) => {
                self.services_listing.shown.insert(key(&service));
                self.put_service(service);
            }
            Event::InitDone => {
                let gone = self.services_listing.end(self.services.keys());
                gone.iter().for_each(|key| self.drop_service(key));
            }
            Event::Apply(service) => self.put_service(service),
            Event::Delete(service) => self.drop_service(&key(&service)),
        }
    }

    fn take_slice(&mut self, event: Event<EndpointSlice>) {
        match event {
            Event::Init => self.slices_listing.shown.clear(),
            Event::InitApply(slice) => {
                self.slices_listing.shown.insert(key(&slice));
                self.put_slice(slice);
            }
            Event::InitDone => {
                let gone = self.slices_listing.end(self.belongs.keys());
                gone.iter().for_each(|key| self.drop_slice(key));
            }
            Event::Apply(slice) => self.put_slice(slice),
            Event::Delete(slice) => self.drop_slice(&key(&slice)),
        }
    }

    fn put_service(&mut self, service: Service) {
        let key = key(&service);
        self.changed.insert(key.clone());
        self.services.insert(key, service);
    }

    fn drop_service(&mut self, key: &ServiceKey) {
        self.services.remove(key);
        self.changed.insert(key.clone());
    }

    fn put_slice(&mut self, slice: EndpointSlice) {
        let own = key(&slice);
        self.drop_slice(&own);
        let Some(name) = slice.labels().get(SERVICE_NAME) else { return };
        let service = (own.0.clone(), name.clone());
        self.changed.insert(service.clone());
        self.slices.entry(service.clone()).or_default().insert(own.1.clone(), slice);
        self.belongs.insert(own, service);
    }

    fn drop_slice(&mut self, own: &(String, String)) {
        let Some(service) = self.belongs.remove(own) else { return };
        if let Some(slices) = self.slices.get_mut(&service) {
            slices.remove(&own.1);
            if slices.is_empty() {
                self.slices.remove(&service);
            }
        }
        self.changed.insert(service);
    }

    /// Whether everything there is has been shown once: before that, whom nobody answers for is not known.
    fn is_complete(&self) -> bool {
        self.services_listing.is_complete && self.slices_listing.is_complete
    }

    /// What changed since last asked, as one batch.
    fn changes(&mut self, table: &mut Table, node: &str) -> Vec<Batch> {
        let changed = std::mem::take(&mut self.changed);
        let batches = changed.into_iter().map(|key| {
            let slices: Vec<&EndpointSlice> = self.slices.get(&key).into_iter().flat_map(BTreeMap::values).collect();
            let service = self.services.get(&key);
            let frontends = service.map(|service| frontend::frontends(service, &slices, node)).unwrap_or_default();
            table.set(&key, &frontends)
        });
        batches.filter(|batch| !batch.is_empty()).collect()
    }
}

/// Keeps the kernel's table as Services and EndpointSlices want it, until `shutdown`. The table stays.
pub async fn run(client: kube::Client, node: String, ground: Ground, shutdown: CancellationToken) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = keep(client, &node, &ground) => {}
    }
}

async fn keep(client: kube::Client, node: &str, ground: &Ground) {
    let services =
        told(watcher(Api::<Service>::all(client.clone()), Config::default()), |event| News::Service(Box::new(event)));
    let slices =
        told(watcher(Api::<EndpointSlice>::all(client), Config::default()), |event| News::Slice(Box::new(event)));
    let news = futures::stream::select(services, slices).ready_chunks(EVENTS_AT_ONCE);
    let mut news = std::pin::pin!(news);
    let mut keeper = Keeper::new(ground);
    let (mut known, mut table) = (Known::default(), Table::default());
    loop {
        tokio::select! {
            some = news.next() => match some {
                Some(some) => some.into_iter().for_each(|news| known.take(news)),
                None => return,
            },
            () = keeper.disturbed(), if known.is_complete() => {}
        }
        if known.is_complete() {
            let batches = known.changes(&mut table, node);
            keeper.settle(&table, &batches).await;
        }
    }
}

/// The objects of a watch, as news; the watch asks again by itself when it breaks.
fn told<K: Send + 'static>(
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
    news: fn(Event<K>) -> News,
) -> impl Stream<Item = News> + Send + Unpin {
    let told = events.default_backoff().filter_map(move |event| async move {
        match event {
            Ok(event) => Some(news(event)),
            Err(error) => {
                tracing::debug!(%error, "the watch of Services broke; asking again");
                None
            }
        }
    });
    Box::pin(told)
}

/// Whether the kernel holds what it should.
struct Keeper<'a> {
    ground: &'a Ground,
    watch: Option<kernel::Watch>,
    /// Whether the table has to be written as a whole.
    is_lost: bool,
    /// Whether it was seen after the watch began for certain.
    is_checked: bool,
    /// What was said last of why it could not be written.
    complaint: String,
    retry: Duration,
}

impl<'a> Keeper<'a> {
    fn new(ground: &'a Ground) -> Self {
        Self { ground, watch: None, is_lost: true, is_checked: false, complaint: String::new(), retry: FIRST_RETRY }
    }

    /// Waits until there is something to put right: the table is gone, or it is time to try again.
    async fn disturbed(&mut self) {
        match &mut self.watch {
            Some(watch) if !self.is_lost => {
                let name = &self.ground.table;
                let ended = tokio::select! {
                    lost = watch.lost() => lost.is_err(),
                    () = tokio::time::sleep(LISTENS_WITHIN), if !self.is_checked => {
                        self.is_checked = true;
                        if kernel::is_there(name).await {
                            return;
                        }
                        false
                    }
                };
                if ended {
                    self.watch = None;
                    return;
                }
                tracing::warn!(table = %self.ground.table, "somebody removed the rules of Services; they are put back");
                self.is_lost = true;
            }
            _ => {
                tokio::time::sleep(self.retry).await;
                self.retry = (self.retry * 2).min(RETRY_MAX);
            }
        }
    }

    /// Brings the kernel up to the table.
    async fn settle(&mut self, table: &Table, batches: &[Batch]) {
        if self.is_lost || self.watch.is_none() {
            self.write_whole(table).await;
            return;
        }
        let script: String = batches.iter().map(|batch| changes(&self.ground.table, batch)).collect();
        if script.is_empty() {
            return;
        }
        if let Err(error) = apply(&script).await {
            tracing::debug!(%error, "the table is not what it was; it is written anew");
            self.write_whole(table).await;
        }
    }

    async fn write_whole(&mut self, table: &Table) {
        self.is_lost = true;
        kernel::open_ways(self.ground).await;
        let (script, name) = (whole(self.ground, &table.whole()), &self.ground.table);
        let written = match apply(&script).await {
            Ok(()) => kernel::Watch::open(name),
            Err(error) => Err(error),
        };
        match written {
            Ok(watch) => {
                self.watch = Some(watch);
                (self.is_lost, self.is_checked) = (false, false);
                self.retry = FIRST_RETRY;
                self.complaint.clear();
            }
            Err(error) => {
                self.watch = None;
                let complaint = error.to_string();
                if complaint != self.complaint {
                    tracing::error!(
                        "Services are not served on this node: {complaint}. Is nftables installed, and does Sampan run as root?"
                    );
                    self.complaint = complaint;
                }
            }
        }
    }
}
