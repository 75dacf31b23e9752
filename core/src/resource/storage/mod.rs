//! The kinds of `storage.k8s.io/v1`.

mod csi_driver;
mod csi_node;
mod csi_storage_capacity;
mod storage_class;
mod volume_attachment;
mod volume_attributes_class;

use super::ResourceDefinition;
use super::check::{Faults, Field};
use crate::object::{FieldError, names};

pub use csi_driver::CSI_DRIVERS;
pub use csi_node::CSI_NODES;
pub use storage_class::STORAGE_CLASSES;
pub use volume_attachment::VOLUME_ATTACHMENTS;

/// The longest name of a driver of the container storage interface.
const DRIVER_NAME_MAX_BYTES: usize = 63;

/// The kinds of this group.
pub(super) fn definitions() -> [ResourceDefinition; 6] {
    [
        csi_driver::definition(),
        csi_node::definition(),
        csi_storage_capacity::definition(),
        storage_class::definition(),
        volume_attachment::definition(),
        volume_attributes_class::definition(),
    ]
}

/// The name of a driver of the container storage interface: a domain, in any case.
pub(super) fn validate_driver_name(name: &Field<'_>, faults: &mut Faults) {
    if name.text().len() > DRIVER_NAME_MAX_BYTES {
        faults.errors.push(FieldError::too_long(name.path.clone(), DRIVER_NAME_MAX_BYTES));
    }
    faults.required_rule(name, |name| names::dns_1123_subdomain(&name.to_lowercase()));
}
