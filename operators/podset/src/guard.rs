//! What the decisions of those who keep pods rest on.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use sampan_core::object::{ObjectKey, ResourceType, Uid};
use sampan_core::store::{IndexKey, ReadKey};

/// The owner itself, all it owns, and the objects of that kind its selector may match.
pub fn owner_and_members(
    owner: &ObjectKey,
    uid: &str,
    selector: &LabelSelector,
    members: ResourceType,
) -> [ReadKey; 3] {
    let labels = selector.match_labels.as_ref();
    let matching = match labels.and_then(|labels| labels.iter().next()) {
        Some((label, value)) => ReadKey::Index(IndexKey::Label {
            resource: members,
            namespace: owner.namespace.clone(),
            label: label.as_str().into(),
            value: value.as_str().into(),
        }),
        None => ReadKey::Collection(members, owner.namespace.clone()),
    };
    [ReadKey::Object(owner.clone()), ReadKey::Index(IndexKey::Owner(Uid(uid.into()))), matching]
}
