//! What a step reads. Every read is recorded: it guards the commit.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::super::{Guarding, Kind, Refused};
use super::{Context, Fault};
use crate::entropy::Entropy;
use crate::object::selector::{Operator as LabelOperator, Selector};
use crate::object::{Object, ObjectKey, ResourceType, Uid};
use crate::resource::is_indexed;
use crate::store::{IndexKey, ReadKey, Snapshot};

impl<'a> Context<'a> {
    /// Now.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Since when operators hear of what happens without a gap: the start of the process, or when it came to itself again
    /// after the machine had slept, or its clock was set. That nothing was heard before that says nothing.
    pub fn hears_since(&self) -> Timestamp {
        self.hears_since
    }

    /// The primary's key.
    pub fn key(&self) -> &ObjectKey {
        self.key
    }

    /// Random bits, reproducible in simulation.
    pub fn random(&mut self) -> &mut dyn Entropy {
        self.entropy
    }

    /// What was refused of the step before, which this one should take into account.
    pub fn refusal(&self) -> Option<&Refused> {
        self.refusal.as_deref()
    }

    /// The primary, unless it is gone. Where it does not decode, the step is void and the object reported.
    pub fn primary<K: Kind>(&mut self) -> Option<Arc<K>> {
        self.get(&self.key.clone())
    }

    /// The primary as it is stored, for operators of every kind.
    pub fn primary_object(&mut self) -> Option<Arc<Object>> {
        self.object(&self.key.clone())
    }

    /// One object.
    pub fn get<K: Kind>(&mut self, key: &ObjectKey) -> Option<Arc<K>> {
        let object = self.object(key)?;
        self.decoded(&object)
    }

    /// One object as it is stored.
    pub fn object(&mut self, key: &ObjectKey) -> Option<Arc<Object>> {
        self.watched(key.resource);
        self.out.reads.insert(ReadKey::Object(key.clone()));
        self.snapshot.get(key).cloned()
    }

    /// When an object was changed last, by the clock of the store: whatever times are written in it.
    pub fn changed_at(&mut self, key: &ObjectKey) -> Option<Timestamp> {
        self.object(key)?.look();
        self.snapshot.changed_at(key)
    }

    /// All objects of a kind, in one namespace or everywhere.
    pub fn list<K: Kind>(&mut self, namespace: Option<&str>) -> Vec<Arc<K>> {
        let objects = self.objects(K::RESOURCE, namespace);
        self.all_decoded(&objects)
    }

    /// All objects of a resource type as they are stored, in one namespace or everywhere.
    pub fn objects(&mut self, resource: ResourceType, namespace: Option<&str>) -> Vec<Arc<Object>> {
        self.watched(resource);
        self.out.reads.insert(ReadKey::Collection(resource, namespace.map(Into::into)));
        self.snapshot.list(resource, namespace, None).cloned().collect()
    }

    /// Everything in a namespace as it is stored, in order of resource type and name.
    pub fn contents(&mut self, namespace: &str) -> Vec<Arc<Object>> {
        let resources: Vec<ResourceType> = self.snapshot.resources().collect();
        resources.into_iter().flat_map(|resource| self.objects(resource, Some(namespace))).collect()
    }

    /// The objects of a kind that name the primary among their owners.
    pub fn owned<K: Kind>(&mut self) -> Vec<Arc<K>> {
        let objects = self.owned_objects(K::RESOURCE);
        self.all_decoded(&objects)
    }

    /// The objects of a resource type that name the primary among their owners, as they are stored.
    pub fn owned_objects(&mut self, resource: ResourceType) -> Vec<Arc<Object>> {
        self.watched(resource);
        let Some(uid) = self.primary_object().map(|primary| primary.metadata().uid.clone()) else {
            return Vec::new();
        };
        let mut objects = self.indexed(IndexKey::Owner(uid));
        objects.retain(|object| object.key().resource == resource);
        objects
    }

    /// The objects of every kind that name the primary among their owners, as they are stored.
    pub fn dependents(&mut self) -> Vec<Arc<Object>> {
        let Some(uid) = self.primary_object().map(|primary| primary.metadata().uid.clone()) else {
            return Vec::new();
        };
        self.dependents_of(&uid)
    }

    /// The objects of every kind that name this uid among their owners, as they are stored.
    pub fn dependents_of(&mut self, uid: &Uid) -> Vec<Arc<Object>> {
        if !self.declaration.reads_everything() {
            self.fault(Fault::UndeclaredReads);
        }
        self.indexed(IndexKey::Owner(uid.clone()))
    }

    /// The objects of a kind in a namespace that a selector matches.
    pub fn matching<K: Kind>(&mut self, namespace: &str, selector: &Selector) -> Vec<Arc<K>> {
        let objects = self.matching_objects(K::RESOURCE, namespace, selector);
        self.all_decoded(&objects)
    }

    /// Those of a kind in a namespace that a selector matches and nobody controls: whom the primary may adopt.
    pub fn orphans<K: Kind>(&mut self, namespace: &str, selector: &Selector) -> Vec<Arc<K>> {
        let mut objects = self.matching_objects(K::RESOURCE, namespace, selector);
        objects.retain(|object| object.metadata().controller().is_none());
        self.all_decoded(&objects)
    }

    /// The objects of a resource type in a namespace that a selector matches, as they are stored.
    pub fn matching_objects(
        &mut self,
        resource: ResourceType,
        namespace: &str,
        selector: &Selector,
    ) -> Vec<Arc<Object>> {
        self.watched(resource);
        let candidates = self.narrowest(resource, namespace, selector);
        let mut objects = match candidates {
            Some(index) => self.indexed(index),
            None => self.objects(resource, Some(namespace)),
        };
        objects.retain(|object| selector.matches(&object.metadata().labels));
        objects
    }

    /// The objects of a kind with this value in a selectable field, such as `spec.nodeName`. Where objects are [not found by
    /// it](is_indexed) all of the kind are gone through, and what is decided rests on all.
    pub fn with_field<K: Kind>(&mut self, field: &'static str, value: &str) -> Vec<Arc<K>> {
        let resource = K::RESOURCE;
        self.watched(resource);
        let asked = IndexKey::Field { resource, field, value: value.into() };
        let objects = if is_indexed(resource, field) {
            self.indexed(asked)
        } else {
            let all = self.objects(resource, None);
            all.into_iter().filter(|object| asked.holds(object)).collect()
        };
        self.all_decoded(&objects)
    }

    /// Reads without guarding: for operators that declare [`Guarding::Decisive`] and mark what is. For others the step is
    /// void: its commit would rest on less than it read.
    pub fn unguarded(&mut self) -> &'a Snapshot {
        if !matches!(self.declaration.guarding, Guarding::Decisive { .. }) {
            self.fault(Fault::Unguarded);
        }
        self.snapshot
    }

    /// Marks something read through [`unguarded`](Self::unguarded) as decisive.
    ///
    /// # Panics
    /// When it is of a field that objects are [not found by](is_indexed): nothing would tell that it has changed.
    pub fn rests_on(&mut self, read: ReadKey) {
        if let ReadKey::Index(key) | ReadKey::Members(key) | ReadKey::Placed(key) = &read {
            key.require_index();
        }
        self.out.decisive.insert(read);
    }

    /// What has been marked as decisive so far.
    pub fn decisive(&mut self) -> &mut BTreeSet<ReadKey> {
        &mut self.out.decisive
    }

    fn indexed(&mut self, index: IndexKey) -> Vec<Arc<Object>> {
        let objects = self.snapshot.index(&index).cloned().collect();
        self.out.reads.insert(ReadKey::Index(index));
        objects
    }

    /// Of the labels a selector asks an exact value of, the one the fewest objects carry.
    fn narrowest(&self, resource: ResourceType, namespace: &str, selector: &Selector) -> Option<IndexKey> {
        let exact = selector.requirements.iter().filter_map(|requirement| match &requirement.operator {
            LabelOperator::In(values) => match values.as_slice() {
                [only] => Some((requirement.label.clone(), only.clone())),
                _ => None,
            },
            _ => None,
        });
        let indexes: Vec<IndexKey> = exact
            .map(|(label, value)| IndexKey::Label { resource, namespace: Some(namespace.into()), label, value })
            .collect();
        if indexes.len() < 2 {
            return indexes.into_iter().next();
        }
        indexes.into_iter().min_by_key(|index| self.snapshot.index(index).count())
    }

    fn watched(&mut self, resource: ResourceType) {
        if !self.declaration.reads(resource) {
            self.fault(Fault::UndeclaredRead(resource));
        }
    }

    fn decoded<K: Kind>(&mut self, object: &Object) -> Option<Arc<K>> {
        match object.decode::<K>() {
            Ok(typed) => Some(typed),
            Err(error) => {
                let reason = error.source.to_string();
                self.fault(Fault::Undecodable { object: object.key().clone(), reason });
                None
            }
        }
    }

    fn all_decoded<K: Kind>(&mut self, objects: &[Arc<Object>]) -> Vec<Arc<K>> {
        objects.iter().filter_map(|object| self.decoded(object)).collect()
    }

    /// Makes the step void: nothing of it is committed, and the decision says why. The first fault is the one reported:
    /// those after it are its consequences.
    pub fn fault(&mut self, fault: Fault) {
        self.out.fault.get_or_insert(fault);
    }
}
