//! Requests answered as they come, on a whole cluster in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use jiff::Timestamp;
use rcgen::{CertificateParams, DnType, KeyPair};
use sampan_core::access::bootstrap_token::JOINING_NODES;
use sampan_core::access::{Identity, MASTERS, NODES as NODES_GROUP};
use sampan_core::gateway::{
    Admission, AdmissionRequest, DeleteOptions, Gateway, Mutation, Options, Outcome, RoleAuthorizer, Target,
    Unprepared, Verdict as Judged, standard_admissions,
};
use sampan_core::object::ResourceType;
use sampan_core::resource::{Registry, builtin};
use sampan_core::store::{MemoryDisk, Origin, Settings, Store};
use tempfile::TempDir;

use super::*;

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// A cluster whose requests for certificates are answered.
struct Office {
    cluster: Cluster,
    shutdown: CancellationToken,
    _folder: TempDir,
}

impl Drop for Office {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// So many approvals fail, as they would on a disk that is full for a while.
struct Failing(AtomicUsize);

impl Admission for Failing {
    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        request.mutation.target.subresource == Subresource::Named("approval")
    }

    fn validate(&self, _: &AdmissionRequest<'_>, _: &Value) -> Result<Judged, Unprepared> {
        let left = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_ok() { Err(Status::internal("not now").into()) } else { Ok(Judged::default()) }
    }
}

impl Office {
    async fn open(failures: usize) -> Self {
        let mut registry = Registry::default();
        builtin().into_iter().for_each(|definition| registry.register(definition));
        let authorizer = Arc::new(RoleAuthorizer::default());
        let mut admissions = standard_admissions(authorizer.clone());
        admissions.push(Box::new(Failing(AtomicUsize::new(failures))));
        let gateway = Gateway::new(registry, Box::new(authorizer), admissions);
        let store =
            Store::open(MemoryDisk::default().restart(), Settings::default(), Arc::new(Timestamp::now)).unwrap();
        let cluster = Cluster::new(Arc::new(gateway), store, Timestamp::now, 7);
        crate::daemon::bootstrap::run(&cluster).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(folder.path(), Timestamp::now()).unwrap();
        Self { cluster, shutdown: CancellationToken::new(), _folder: folder }.answering(authority)
    }

    fn answering(self, authority: Authority) -> Self {
        tokio::spawn(keep(self.cluster.clone(), authority, self.shutdown.clone()));
        self
    }

    async fn mutate(&self, identity: Identity, resource: ResourceType, name: Option<&str>, action: Action) -> String {
        let served = self.cluster.registry().served(resource.group, "v1", resource.plural).unwrap();
        let name = name.map(Name::from);
        let target = Target { served, namespace: None, name, subresource: Subresource::Whole };
        let origin = Origin::System { purpose: "a test".to_owned() };
        let mutation = Mutation { identity, origin, target, action, options: Options::default() };
        match self.cluster.mutate(mutation).await.unwrap() {
            Outcome::Object { object, .. } => object.key().name.to_string(),
            preview @ Outcome::Preview { .. } => panic!("{preview:?}"),
        }
    }

    /// A machine with a token asks to be a node; the name of its request.
    async fn ask(&self, node: &str, key: &KeyPair) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("system:node:{node}"));
        params.distinguished_name.push(DnType::OrganizationName, NODES_GROUP);
        let request = params.serialize_request(key).unwrap().pem().unwrap();
        let request = json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
            "metadata": {"generateName": "node-csr-"},
            "spec": {"request": ByteString(request.into_bytes()), "signerName": SIGNER, "usages": ["client auth"]},
        });
        let joiner = Identity::new("system:bootstrap:abc123", &[JOINING_NODES, "system:authenticated"]);
        self.mutate(joiner, CERTIFICATE_SIGNING_REQUESTS, None, Action::Create(Body::Value(request))).await
    }

    async fn delete_node(&self, name: &str) {
        let administrator = Identity::new("admin", &[MASTERS]);
        self.mutate(administrator, NODES, Some(name), Action::Delete(DeleteOptions::default())).await;
    }

    /// What a request's status says: its conditions, and whether there is a certificate.
    fn status(&self, request: &str) -> (Vec<String>, bool) {
        let object = self.cluster.snapshot().get(&ObjectKey::cluster(CERTIFICATE_SIGNING_REQUESTS, request)).cloned();
        let asked = object.unwrap().decode::<CertificateSigningRequest>().unwrap();
        let is_issued = asked.status.as_ref().is_some_and(|status| status.certificate.is_some());
        (conditions(&asked).map(|condition| condition.type_.clone()).collect(), is_issued)
    }

    fn is_issued(&self, request: &str) -> bool {
        self.status(request).1
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let asked = Instant::now();
        loop {
            let change = self.cluster.store().reader().listen_all();
            if holds(self) {
                return;
            }
            let left = DEADLINE.saturating_sub(asked.elapsed());
            assert!(tokio::time::timeout(left, change).await.is_ok(), "not within {DEADLINE:?}: {what}");
        }
    }

    /// Until every request that came before has been looked at: one that came last is answered.
    async fn settled(&self) {
        let key = KeyPair::generate().unwrap();
        let last = self.ask(&format!("last-{}", self.cluster.snapshot().revision()), &key).await;
        self.until("the last request is answered", |office| office.is_issued(&last)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_machines_that_ask_for_one_name_one_gets_it_until_its_node_is_gone() {
    let office = Office::open(0).await;
    let keys = [KeyPair::generate().unwrap(), KeyPair::generate().unwrap()];
    let (first, second) = tokio::join!(office.ask("web", &keys[0]), office.ask("web", &keys[1]));
    office.until("one of them has it", |office| office.is_issued(&first) || office.is_issued(&second)).await;
    office.settled().await;
    let (mine, other) = if office.is_issued(&first) { (0, &second) } else { (1, &first) };
    assert_eq!(office.status(other), (Vec::new(), false), "it waits");
    let again = office.ask("web", &keys[mine]).await;
    office.until("the machine that has the name asks again", |office| office.is_issued(&again)).await;
    assert_eq!(office.status(other), (Vec::new(), false), "it waits still");
    office.delete_node("web").await;
    office.until("the name is free again", |office| office.is_issued(other)).await;
    assert_eq!(office.status(other).0, ["Approved"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_fails_is_given_again() {
    let office = Office::open(2).await;
    let asked = office.ask("web", &KeyPair::generate().unwrap()).await;
    office.until("it is answered in the end", |office| office.is_issued(&asked)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_name_of_a_node_is_refused() {
    let office = Office::open(0).await;
    let asked = office.ask("No_Name", &KeyPair::generate().unwrap()).await;
    office.until("it is refused", |office| office.status(&asked) == (vec!["Failed".to_owned()], false)).await;
}
