//! Deletion: at once, after a grace period, or when finalizers let go.

use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::Value;

use super::metadata::{metadata_mut, time};
use super::preparation::Preparation;
use super::{DeleteOptions, Prepared, Propagation, Unprepared};
use crate::object::Object;
use crate::status::Status;
use crate::store::Precondition;

/// Holds an owner until its blocking dependents are gone.
const FOREGROUND: &str = "foregroundDeletion";
/// Holds an owner until its dependents no longer name it.
const ORPHAN: &str = "orphan";

impl Preparation<'_> {
    pub(super) fn delete(self, options: &DeleteOptions) -> Result<Prepared, Unprepared> {
        self.delete_with(options, |_| {})
    }

    /// Deletes; where the object is kept for a while, with a last change of it.
    pub(super) fn delete_with(
        mut self,
        options: &DeleteOptions,
        change: impl FnOnce(&mut Value),
    ) -> Result<Prepared, Unprepared> {
        let existing = self.existing()?;
        self.check_preconditions(existing, options)?;
        let old = existing.value();
        self.consult_mutating_unchangeable(&old, &old)?;
        self.judge(&old, Some(&old))?;
        self.warn_of_return(existing, &old);
        let mut object = old.clone();
        set_propagation(&mut object, options.propagation.or_else(|| self.default_propagation(&old)))?;
        self.set_deletion(existing, &mut object, options)?;
        self.definition.strategy.begin_deletion(&mut object);
        change(&mut object);
        if self.is_let_go(&object) {
            return Ok(self.remove(existing));
        }
        if object == old {
            return Ok(self.unchanged(existing));
        }
        Ok(self.put(existing.key().clone(), object, Precondition::Unchanged(existing.revision()))?)
    }

    /// What becomes of dependents when nobody says so: what the object's finalizers say, else what its resource type does.
    fn default_propagation(&mut self, object: &Value) -> Option<Propagation> {
        let named = finalizers(object).any(|it| matches!(it.as_str(), Some(FOREGROUND | ORPHAN)));
        if named || !self.definition.strategy.orphans_by_default() {
            return None;
        }
        let names = self.definition.resource.plural;
        self.warnings.push(format!(
            "child pods are preserved by default when {names} are deleted; set propagationPolicy=Background to remove them \
             or set propagationPolicy=Orphan to suppress this warning"
        ));
        Some(Propagation::Orphan)
    }

    fn check_preconditions(&self, existing: &Arc<Object>, options: &DeleteOptions) -> Result<(), Status> {
        let conflict =
            |why: String| Err(Status::conflict(&self.mutation.target.resource_name(), &existing.key().name, &why));
        let found = &existing.metadata().uid;
        if let Some(uid) = options.uid.as_ref().filter(|uid| *uid != found) {
            return conflict(format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {found}"));
        }
        if let Some(revision) = options.revision.filter(|revision| *revision != existing.revision()) {
            return conflict(format!(
                "Precondition failed: ResourceVersion in precondition: {revision}, ResourceVersion in object meta: {}",
                existing.revision()
            ));
        }
        Ok(())
    }

    /// Sets the time of deletion. A deletion under way can only be hastened.
    fn set_deletion(&self, existing: &Arc<Object>, object: &mut Value, options: &DeleteOptions) -> Result<(), Status> {
        let usual = self.definition.strategy.default_grace_seconds(existing);
        // A resource type or an object without grace has none to ask for; a negative wish is the shortest there is.
        let grace = match (usual, options.grace_seconds) {
            (0, _) => 0,
            (_, Some(wish)) if wish < 0 => 1,
            (usual, wish) => wish.unwrap_or(usual),
        };
        let metadata = metadata_mut(object)?;
        let under_way = metadata.contains_key("deletionTimestamp");
        let earlier = metadata.get("deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or_default();
        if under_way && (options.grace_seconds.is_none() || grace >= earlier) {
            return Ok(());
        }
        let since = existing
            .metadata()
            .deletion_timestamp
            .map_or(self.now, |deadline| deadline.checked_sub(SignedDuration::from_secs(earlier)).unwrap_or(self.now));
        let deadline = since.checked_add(SignedDuration::from_secs(grace)).unwrap_or(since);
        metadata.insert("deletionTimestamp".to_owned(), time(deadline));
        metadata.insert("deletionGracePeriodSeconds".to_owned(), Value::from(grace));
        if let Some(generation) = metadata.get("generation").and_then(Value::as_i64).filter(|_| !under_way) {
            metadata.insert("generation".to_owned(), Value::from(generation + 1));
        }
        Ok(())
    }
}

/// Names the garbage collector's part in the finalizers. Background deletion needs none: dependents of an owner that is
/// gone are found by themselves.
fn set_propagation(object: &mut Value, propagation: Option<Propagation>) -> Result<(), Status> {
    let Some(propagation) = propagation else { return Ok(()) };
    let wanted = match propagation {
        Propagation::Foreground => Some(FOREGROUND),
        Propagation::Orphan => Some(ORPHAN),
        Propagation::Background => None,
    };
    let others = finalizers(object).filter(|it| !matches!(it.as_str(), Some(FOREGROUND | ORPHAN))).cloned();
    let finalizers: Vec<Value> = others.chain(wanted.map(Value::from)).collect();
    let metadata = metadata_mut(object)?;
    match finalizers.is_empty() {
        true => metadata.remove("finalizers"),
        false => metadata.insert("finalizers".to_owned(), Value::Array(finalizers)),
    };
    Ok(())
}

fn finalizers(object: &Value) -> impl Iterator<Item = &Value> {
    object.pointer("/metadata/finalizers").and_then(Value::as_array).into_iter().flatten()
}
