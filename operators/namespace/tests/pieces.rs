//! What a namespace is furnished with comes piece by piece: the refusal of one keeps no other away.

use sampan_conformance::{Cluster, World};
use sampan_core::gateway::{Admission, AdmissionRequest};
use sampan_core::object::{ObjectKey, ResourceType};
use sampan_core::status::Status;
use sampan_namespace::NamespaceOperator;
use serde_json::Value;

const ACCOUNT: (ResourceType, &str) = (ResourceType::new("", "serviceaccounts"), "default");
const CERTIFICATE: (ResourceType, &str) = (ResourceType::new("", "configmaps"), "kube-root-ca.crt");

/// Refuses every creation of a resource type.
struct Refuses(ResourceType);

impl Admission for Refuses {
    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        request.creates(self.0)
    }

    fn mutate(&self, _request: &AdmissionRequest<'_>, _object: &mut Value) -> Result<(), Status> {
        Err(Status::forbidden("no more of these"))
    }
}

/// What the namespace `default` has once everything is at rest.
fn furnished(admissions: fn() -> Vec<Box<dyn Admission>>) -> Vec<&'static str> {
    let mut world = World::new("refused", |driver| driver.add(NamespaceOperator::new("the certificate")));
    world.admissions = admissions;
    let mut cluster = Cluster::new(&world);
    assert!(cluster.run_to_rest(50));
    let snapshot = cluster.snapshot();
    let is_there = |(resource, name): &(ResourceType, &str)| {
        snapshot.get(&ObjectKey::namespaced(*resource, "default", name)).is_some()
    };
    [ACCOUNT, CERTIFICATE].into_iter().filter(is_there).map(|(_, name)| name).collect()
}

#[test]
fn a_refused_account_keeps_no_certificate_away() {
    assert_eq!(furnished(|| vec![Box::new(Refuses(ACCOUNT.0))]), ["kube-root-ca.crt"]);
}

#[test]
fn a_refused_certificate_keeps_no_account_away() {
    assert_eq!(furnished(|| vec![Box::new(Refuses(CERTIFICATE.0))]), ["default"]);
}

#[test]
fn what_nobody_refuses_is_all_there() {
    assert_eq!(furnished(Vec::new), ["default", "kube-root-ca.crt"]);
}
