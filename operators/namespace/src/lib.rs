//! Namespaces: what every one starts with, and how one that is deleted is emptied.
//!
//! A namespace in use has a `default` ServiceAccount and the `kube-root-ca.crt` ConfigMap; both come back when deleted.
//! A namespace that is deleted goes when nothing is left in it.

#[cfg(feature = "conformance")]
pub mod conformance;
mod machine;
mod plan;
mod status;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sampan_core::gateway::{DeleteOptions, Propagation};
use sampan_core::object::{Object, ObjectKey};
use sampan_core::operator::{Command, Context, Declaration, Guarding, Kind, Mapping, Operator, Wake, Watch, WriteVerb};
use sampan_core::store::{ReadKey, Snapshot};
use sampan_machine::Chart;
use serde_json::json;

use machine::Intent;
pub use machine::NamespaceMachine;
use plan::{ROOT_CA, SERVICE_ACCOUNT, View};

/// The operator of namespaces.
#[derive(Debug, Clone)]
pub struct NamespaceOperator {
    root_certificate: String,
}

impl NamespaceOperator {
    /// An operator that gives every namespace this certificate (PEM) to trust the API server by.
    pub fn new(root_certificate: impl Into<String>) -> Self {
        Self { root_certificate: root_certificate.into() }
    }
}

impl Operator for NamespaceOperator {
    type Machine = NamespaceMachine;

    fn chart(&self) -> &'static Chart {
        NamespaceMachine::chart()
    }

    fn machine(&self) -> NamespaceMachine {
        NamespaceMachine::default()
    }

    fn declaration(&self) -> Declaration {
        let mut declaration = Declaration::of::<Namespace>("namespace")
            .writing::<Namespace>(WriteVerb::Update)
            .writing::<Namespace>(WriteVerb::UpdateStatus)
            .writing::<ServiceAccount>(WriteVerb::Create)
            .writing::<ConfigMap>(WriteVerb::Create)
            .writing::<ConfigMap>(WriteVerb::Update)
            .writing_everything(WriteVerb::Delete);
        declaration.watches.push(Watch::of(None, Mapping::function(namespace_concerned)));
        declaration.guarding = Guarding::Decisive {
            because: "nothing is created in a namespace that is being deleted, and a deletion names its object's uid",
        };
        declaration
    }

    fn step(&self, machine: &mut NamespaceMachine, _wake: &Wake, cx: &mut Context<'_>) {
        let Some(view) = self.look(cx) else { return };
        let (view, intents) = cx.observe(machine, view);
        view.wait(cx.trace());
        for intent in intents {
            self.carry_out(intent, &view, cx);
        }
    }
}

impl NamespaceOperator {
    fn look(&self, cx: &mut Context<'_>) -> Option<View> {
        let namespace = cx.primary::<Namespace>()?;
        let key = cx.key().clone();
        for read in [key.clone(), account_key(&key.name), certificate_key(&key.name)] {
            cx.rests_on(ReadKey::Object(read));
        }
        let has_account = cx.get::<ServiceAccount>(&account_key(&key.name)).is_some();
        let certificate = cx.get::<ConfigMap>(&certificate_key(&key.name));
        let is_deleted = namespace.metadata.deletion_timestamp.is_some();
        let contents = if is_deleted { cx.contents(&key.name) } else { Vec::new() };
        Some(View {
            now: cx.now(),
            has_account,
            certificate: self.certificate(certificate.as_deref()),
            refused: cx.refusal().cloned(),
            namespace,
            contents,
        })
    }

    fn certificate(&self, found: Option<&ConfigMap>) -> plan::Certificate {
        let data = found.map(|found| found.data.as_ref().and_then(|data| data.get(ROOT_CA_KEY)));
        match data {
            None => plan::Certificate::Missing,
            Some(Some(text)) if *text == self.root_certificate => plan::Certificate::Current,
            Some(_) => plan::Certificate::Stale,
        }
    }

    fn carry_out(&self, intent: Intent, view: &View, cx: &mut Context<'_>) {
        let namespace = cx.key().name.clone();
        match intent {
            Intent::CreateAccount => {
                cx.create(&ServiceAccount { metadata: named(&namespace, SERVICE_ACCOUNT), ..ServiceAccount::default() })
            }
            Intent::CreateCertificate => cx.create(&self.certificate_map(&namespace)),
            Intent::RenewCertificate => cx.update(&self.certificate_map(&namespace)),
            Intent::Delete(object) => {
                let options = DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
                cx.delete_object(&object, options);
            }
            Intent::Finalize => {
                let key = cx.key().clone();
                let finalizers = plan::other_finalizers(&view.namespace);
                let body = json!({"metadata": {"name": key.name}, "spec": {"finalizers": finalizers}});
                cx.command(Command::Subresource { key, name: "finalize", body });
            }
            Intent::WriteStatus => {
                let mut namespace = (*view.namespace).clone();
                namespace.status = Some(status::status(view));
                cx.update_status(&namespace);
            }
        }
    }

    fn certificate_map(&self, namespace: &str) -> ConfigMap {
        ConfigMap {
            metadata: named(namespace, ROOT_CA),
            data: Some([(ROOT_CA_KEY.to_owned(), self.root_certificate.clone())].into()),
            ..ConfigMap::default()
        }
    }
}

/// The key of the certificate in its ConfigMap.
const ROOT_CA_KEY: &str = "ca.crt";

fn named(namespace: &str, name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), namespace: Some(namespace.to_owned()), ..ObjectMeta::default() }
}

fn account_key(namespace: &str) -> ObjectKey {
    ObjectKey::namespaced(ServiceAccount::RESOURCE, namespace, SERVICE_ACCOUNT)
}

fn certificate_key(namespace: &str) -> ObjectKey {
    ObjectKey::namespaced(ConfigMap::RESOURCE, namespace, ROOT_CA)
}

/// The namespace of an object whose change concerns it: one of the two every namespace has, or anything in a namespace
/// that is being deleted.
fn namespace_concerned(object: &Object, snapshot: &Snapshot) -> Vec<ObjectKey> {
    let Some(namespace) = object.key().namespace.as_deref() else { return Vec::new() };
    let key = ObjectKey::cluster(Namespace::RESOURCE, namespace);
    let is_furniture = *object.key() == account_key(namespace) || *object.key() == certificate_key(namespace);
    let is_deleted = snapshot.get(&key).is_some_and(|namespace| namespace.metadata().is_terminating());
    if is_furniture || is_deleted { vec![key] } else { Vec::new() }
}
