//! A claim, what there is for it, and what follows from that.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use sampan_core::operator::EventKind;
use sampan_core::resource::volume::{CLAIM_PROTECTION, LOCAL_PATH};
use sampan_storage::{
    STORAGE_PROVISIONER, annotation, bound_volume, claim_class, is_bind_completed, is_bound_to, selected_node,
    shortcoming, waits_for_consumer,
};

use crate::provision;

/// One look at a claim.
pub struct View {
    pub(crate) claim: Arc<PersistentVolumeClaim>,
    /// The volume it names.
    pub(crate) named: Option<Arc<PersistentVolume>>,
    /// The volume it gets, where it names none.
    pub(crate) found: Option<Arc<PersistentVolume>>,
    /// Its class, where there is such a one.
    pub(crate) class: Option<Arc<StorageClass>>,
    /// The cluster's default class, where the claim says nothing of classes.
    pub(crate) default_class: Option<String>,
    /// The node its first pod runs on.
    pub(crate) node: Option<Arc<Node>>,
    /// The pods that use it, where it is being deleted.
    pub(crate) users: Vec<String>,
    /// Why its volume could not be created.
    pub(crate) refusal: Option<String>,
}

/// Something for users to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub(crate) kind: EventKind,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// Where a claim stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is being deleted, and pods use it.
    InUse,
    /// It is being deleted, and no pod uses it.
    Releasing,
    /// It is being deleted, and only others keep it.
    Held,
    /// Something is to be written into it before it can get a volume.
    Amending(Amendment),
    /// It waits for its first pod.
    AwaitingConsumer,
    /// It waits for a provisioner that is none of ours.
    AwaitingProvisioner,
    /// It waits for a volume: none fits, or the one it names is not to be had.
    AwaitingVolume(Notice),
    /// There is a volume for it.
    Binding,
    /// It is bound.
    Bound,
    /// It was bound, and its volume is lost.
    Lost(Notice),
}

/// What is to be written into a claim that has no volume yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Amendment {
    /// The cluster's default class.
    Class(String),
    /// Who is to make its volume.
    Provisioner(String),
    /// No node any more: the one that was chosen is gone.
    NoNode,
}

impl View {
    pub(crate) fn of(claim: Arc<PersistentVolumeClaim>) -> Self {
        Self {
            claim,
            named: None,
            found: None,
            class: None,
            default_class: None,
            node: None,
            users: Vec::new(),
            refusal: None,
        }
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.claim.metadata.deletion_timestamp.is_some()
    }

    /// Where the claim stands: a function of the view alone.
    pub(crate) fn standing(&self) -> Standing {
        let is_protected = self.claim.metadata.finalizers.iter().flatten().any(|it| it == CLAIM_PROTECTION);
        match (self.is_deleted(), bound_volume(&self.claim)) {
            (true, _) if !is_protected => Standing::Held,
            (true, _) if self.users.is_empty() => Standing::Releasing,
            (true, _) => Standing::InUse,
            (false, Some(name)) if is_bind_completed(&self.claim) => self.standing_bound(name),
            (false, Some(name)) => self.standing_named(name),
            (false, None) => self.standing_free(),
        }
    }

    /// Of a claim that was bound once.
    fn standing_bound(&self, name: &str) -> Standing {
        match &self.named {
            None => Standing::Lost(Notice {
                kind: EventKind::Warning,
                reason: "ClaimLost",
                message: "Bound claim has lost its PersistentVolume. Data on the volume is lost!".to_owned(),
            }),
            Some(volume) if is_free(volume) => Standing::Binding,
            Some(volume) if is_bound_to(volume, &self.claim) => Standing::Bound,
            Some(_) => Standing::Lost(Notice {
                kind: EventKind::Warning,
                reason: "ClaimMisbound",
                message: format!("Two claims are bound to the same volume, this one is bound incorrectly: {name}"),
            }),
        }
    }

    /// Of a claim whose user wants a certain volume.
    fn standing_named(&self, name: &str) -> Standing {
        let Some(volume) = &self.named else {
            return waits("FailedBinding", format!("volume {name:?} does not exist"));
        };
        if !is_free(volume) {
            return match is_bound_to(volume, &self.claim) {
                true => Standing::Binding,
                false => waits("FailedBinding", format!("volume {name:?} already bound to a different claim.")),
            };
        }
        match shortcoming(volume, &self.claim) {
            None => Standing::Binding,
            Some(why) => waits("VolumeMismatch", format!("Cannot bind to requested volume {name:?}: {why}")),
        }
    }

    /// Of a claim without a volume.
    fn standing_free(&self) -> Standing {
        if let Some(class) = &self.default_class {
            return Standing::Amending(Amendment::Class(class.clone()));
        }
        if self.found.is_some() {
            return Standing::Binding;
        }
        let Some(class) = &self.class else { return self.classless() };
        if waits_for_consumer(class) && selected_node(&self.claim).is_none() {
            return Standing::AwaitingConsumer;
        }
        let known = annotation(self.claim.metadata.annotations.as_ref(), STORAGE_PROVISIONER);
        if known != class.provisioner {
            return Standing::Amending(Amendment::Provisioner(class.provisioner.clone()));
        }
        if class.provisioner != LOCAL_PATH {
            return Standing::AwaitingProvisioner;
        }
        match (selected_node(&self.claim), &self.node) {
            (Some(_), None) => Standing::Amending(Amendment::NoNode),
            _ => match provision::obstacle(self) {
                None => Standing::Binding,
                Some(why) => waits(
                    "ProvisioningFailed",
                    format!("failed to provision volume with StorageClass {:?}: {why}", claim_class(&self.claim)),
                ),
            },
        }
    }

    fn classless(&self) -> Standing {
        match claim_class(&self.claim) {
            "" => Standing::AwaitingVolume(Notice {
                kind: EventKind::Normal,
                reason: "FailedBinding",
                message: "no persistent volumes available for this claim and no storage class is set".to_owned(),
            }),
            class => waits("ProvisioningFailed", format!("storageclass.storage.k8s.io {class:?} not found")),
        }
    }

    /// What users are told of a claim whose volume could not be created.
    pub(crate) fn refusal_notice(&self) -> Option<Notice> {
        let class = claim_class(&self.claim);
        let message = format!("failed to provision volume with StorageClass {class:?}: {}", self.refusal.as_ref()?);
        Some(Notice { kind: EventKind::Warning, reason: "ProvisioningFailed", message })
    }

    /// What users are told of a claim that waits for its first pod.
    pub(crate) fn consumer_notice() -> Notice {
        let message = "waiting for first consumer to be created before binding".to_owned();
        Notice { kind: EventKind::Normal, reason: "WaitForFirstConsumer", message }
    }

    /// What users are told of a claim whose volume others make.
    pub(crate) fn provisioner_notice(&self) -> Notice {
        let provisioner = self.class.as_ref().map(|class| class.provisioner.as_str()).unwrap_or_default();
        let message = format!(
            "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the \
             system administrator. If volume creation is delayed, please verify that the provisioner is running and \
             correctly registered."
        );
        Notice { kind: EventKind::Normal, reason: "ExternalProvisioning", message }
    }
}

fn is_free(volume: &PersistentVolume) -> bool {
    volume.spec.as_ref().is_none_or(|spec| spec.claim_ref.is_none())
}

fn waits(reason: &'static str, message: String) -> Standing {
    Standing::AwaitingVolume(Notice { kind: EventKind::Warning, reason, message })
}
