//! A pod's priority is its class's.

use serde_json::Value;

use super::{Admission, AdmissionRequest};
use crate::resource::fill::{fill, object_at, set};
use crate::resource::read::{at, text};
use crate::resource::{ClassPriority, PODS, priority_of};
use crate::status::Status;

/// A pod's priority is that of the class it names; of the cluster's default class where it names none; and else 0.
#[derive(Debug, Clone, Copy, Default)]
pub struct Priority;

impl Admission for Priority {
    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        request.creates(PODS)
    }

    fn mutate(&self, request: &AdmissionRequest<'_>, object: &mut Value) -> Result<(), Status> {
        let named = text(object, "/spec/priorityClassName").to_owned();
        let Some(class) = priority_of(&named, request.snapshot) else {
            return Err(request.forbidden(object, format_args!("no PriorityClass with name {named} was found")));
        };
        if let Some(why) = contradicts(object, &class) {
            return Err(request.forbidden(object, why));
        }
        let Some(spec) = object_at(object, "spec") else { return Ok(()) };
        if !class.class.is_empty() {
            set(spec, "priorityClassName", class.class);
        }
        fill(spec, "priority", class.value);
        fill(spec, "preemptionPolicy", class.preemption);
        Ok(())
    }
}

/// Why a pod's own priority or policy cannot stand beside its class's.
fn contradicts(pod: &Value, class: &ClassPriority) -> Option<String> {
    let own = at(pod, "/spec/priority").and_then(Value::as_i64);
    if let Some(own) = own.filter(|own| *own != class.value) {
        return Some(format!(
            "the integer value of priority ({own}) must not be provided in pod spec; priority admission controller computed {} from the given PriorityClass name",
            class.value
        ));
    }
    let policy = text(pod, "/spec/preemptionPolicy");
    (!policy.is_empty() && policy != class.preemption).then(|| {
        format!(
            "the string value of PreemptionPolicy ({policy}) must not be provided in pod spec; priority admission controller computed {} from the given PriorityClass name",
            class.preemption
        )
    })
}
