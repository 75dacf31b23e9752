//! What the API server told of Services and their EndpointSlices.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use kube::runtime::watcher::Event;

use super::ServiceKey;

/// The label of an EndpointSlice that names its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Something the API server told.
#[derive(Debug)]
pub enum News {
    /// Of a Service.
    Service(Box<Event<Service>>),
    /// Of an EndpointSlice.
    Slice(Box<Event<EndpointSlice>>),
}

/// Which Services are not what they were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    /// Those that changed themselves.
    pub services: BTreeSet<ServiceKey>,
    /// Those whose endpoints changed.
    pub endpoints: BTreeSet<ServiceKey>,
}

impl Changed {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty() && self.endpoints.is_empty()
    }
}

/// All that is known.
#[derive(Debug, Default)]
pub struct Known {
    services: BTreeMap<ServiceKey, Service>,
    slices: BTreeMap<ServiceKey, BTreeMap<String, EndpointSlice>>,
    /// The Service each slice was last seen to belong to.
    belongs: BTreeMap<SliceKey, ServiceKey>,
    /// Whose address it is: of Services, and of the slices that name it.
    virtual_addresses: BTreeMap<IpAddr, ServiceKey>,
    endpoint_addresses: BTreeMap<IpAddr, BTreeSet<SliceKey>>,
    services_listing: Listing,
    slices_listing: Listing,
    changed: Changed,
}

type SliceKey = (String, String);

/// What a listing under way has shown, and whether a first one has ended.
#[derive(Debug, Default)]
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

fn key(object: &impl ResourceExt) -> (String, String) {
    (object.namespace().unwrap_or_default(), object.name_any())
}

impl Known {
    /// The Service, if it is there.
    pub fn service(&self, key: &ServiceKey) -> Option<&Service> {
        self.services.get(key)
    }

    /// The Services of a namespace, by name.
    pub fn services_of<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = (&'a ServiceKey, &'a Service)> {
        let first = (namespace.to_owned(), String::new());
        self.services.range(first..).take_while(move |((of, _), _)| of == namespace)
    }

    /// The EndpointSlices of a Service.
    pub fn slices(&self, key: &ServiceKey) -> impl Iterator<Item = &EndpointSlice> {
        self.slices.get(key).into_iter().flat_map(BTreeMap::values)
    }

    /// The Services an address stands for: one's own address, or endpoints of others.
    pub fn at(&self, address: IpAddr) -> BTreeSet<&ServiceKey> {
        let slices = self.endpoint_addresses.get(&address).into_iter().flatten();
        let by_endpoint = slices.filter_map(|slice| self.belongs.get(slice));
        self.virtual_addresses.get(&address).into_iter().chain(by_endpoint).collect()
    }

    /// Whether every Service there is has been shown once.
    pub fn has_every_service(&self) -> bool {
        self.services_listing.is_complete
    }

    /// Whether everything there is has been shown once: before that, whom nobody answers for is not known.
    pub fn is_complete(&self) -> bool {
        self.services_listing.is_complete && self.slices_listing.is_complete
    }

    /// What changed since last asked.
    pub fn take_changes(&mut self) -> Changed {
        std::mem::take(&mut self.changed)
    }

    /// All that is known, as if it had changed just now.
    pub fn everything(&self) -> Changed {
        Changed { services: self.services.keys().cloned().collect(), endpoints: self.slices.keys().cloned().collect() }
    }

    /// Takes in what was told.
    pub fn take(&mut self, news: News) {
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
        self.drop_service(&key);
        self.virtual_addresses.extend(cluster_addresses(&service).map(|address| (address, key.clone())));
        self.services.insert(key, service);
    }

    fn drop_service(&mut self, key: &ServiceKey) {
        self.changed.services.insert(key.clone());
        let Some(service) = self.services.remove(key) else { return };
        for address in cluster_addresses(&service) {
            if self.virtual_addresses.get(&address) == Some(key) {
                self.virtual_addresses.remove(&address);
            }
        }
    }

    fn put_slice(&mut self, slice: EndpointSlice) {
        let own = key(&slice);
        self.drop_slice(&own);
        let Some(name) = slice.labels().get(SERVICE_NAME) else { return };
        let service = (own.0.clone(), name.clone());
        for address in endpoint_addresses(&slice) {
            self.endpoint_addresses.entry(address).or_default().insert(own.clone());
        }
        self.changed.endpoints.insert(service.clone());
        self.slices.entry(service.clone()).or_default().insert(own.1.clone(), slice);
        self.belongs.insert(own, service);
    }

    fn drop_slice(&mut self, own: &SliceKey) {
        let Some(service) = self.belongs.remove(own) else { return };
        if let Some(slices) = self.slices.get_mut(&service) {
            if let Some(slice) = slices.remove(&own.1) {
                endpoint_addresses(&slice).for_each(|address| forget(&mut self.endpoint_addresses, address, own));
            }
            if slices.is_empty() {
                self.slices.remove(&service);
            }
        }
        self.changed.endpoints.insert(service);
    }
}

fn forget(addresses: &mut BTreeMap<IpAddr, BTreeSet<SliceKey>>, address: IpAddr, slice: &SliceKey) {
    if let Some(slices) = addresses.get_mut(&address) {
        slices.remove(slice);
        if slices.is_empty() {
            addresses.remove(&address);
        }
    }
}

/// The addresses a Service has of its own; a headless one has none.
pub fn cluster_addresses(service: &Service) -> impl Iterator<Item = IpAddr> {
    let spec = service.spec.as_ref();
    let all = spec.and_then(|spec| spec.cluster_ips.as_ref()).into_iter().flatten();
    all.filter_map(|address| address.parse().ok())
}

fn endpoint_addresses(slice: &EndpointSlice) -> impl Iterator<Item = IpAddr> {
    slice.endpoints.iter().flat_map(|endpoint| &endpoint.addresses).filter_map(|address| address.parse().ok())
}
