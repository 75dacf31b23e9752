//! A pod that names a RuntimeClass is held to it.

use serde_json::{Map, Value};

use super::{Admission, AdmissionRequest};
use crate::object::{Name, ObjectKey};
use crate::resource::equal::same;
use crate::resource::fill::{object_at, set};
use crate::resource::read::{at, text, texts};
use crate::resource::{PODS, RUNTIME_CLASSES};
use crate::status::Status;

/// A pod's RuntimeClass is there, and gives the pod its overhead, and the nodes and tolerations it is scheduled with.
#[derive(Debug, Clone, Copy, Default)]
pub struct RuntimeClass;

impl Admission for RuntimeClass {
    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        request.creates(PODS)
    }

    fn mutate(&self, request: &AdmissionRequest<'_>, object: &mut Value) -> Result<(), Status> {
        let named = text(object, "/spec/runtimeClassName").to_owned();
        if named.is_empty() {
            let has_overhead = !is_none(at(object, "/spec/overhead"));
            let why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
            return if has_overhead { Err(request.forbidden(object, why)) } else { Ok(()) };
        }
        let key = ObjectKey { resource: RUNTIME_CLASSES, namespace: None, name: Name::from(named.as_str()) };
        let Some(class) = request.snapshot.get(&key) else {
            let why = format!("pod rejected: RuntimeClass {named:?} not found");
            return Err(request.forbidden(object, why));
        };
        let class = class.value();
        take_overhead(&class, object).map_err(|why| request.forbidden(object, why))?;
        select_nodes(&class, object).map_err(|why| request.forbidden(object, why))?;
        tolerate(&class, object);
        Ok(())
    }
}

fn is_none(value: Option<&Value>) -> bool {
    value.is_none_or(|value| value.as_object().is_none_or(Map::is_empty))
}

fn take_overhead(class: &Value, pod: &mut Value) -> Result<(), String> {
    let (fixed, own) = (at(class, "/overhead/podFixed"), at(pod, "/spec/overhead"));
    match (fixed.filter(|fixed| !is_none(Some(fixed))), own.filter(|own| !is_none(Some(own)))) {
        (Some(fixed), Some(own)) if !same(fixed, own) => {
            Err("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead".to_owned())
        }
        (None, Some(_)) => {
            Err("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead".to_owned())
        }
        (Some(fixed), _) => {
            let fixed = fixed.clone();
            object_at(pod, "spec").into_iter().for_each(|spec| set(spec, "overhead", fixed.clone()));
            Ok(())
        }
        (None, None) => Ok(()),
    }
}

/// The pod goes where both say.
fn select_nodes(class: &Value, pod: &mut Value) -> Result<(), String> {
    let wanted: Vec<(String, String)> =
        texts(class, "/scheduling/nodeSelector").map(|(label, value)| (label.to_owned(), value.to_owned())).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let Some(selector) = object_at(pod, "spec").and_then(|spec| object_at(spec, "nodeSelector")) else { return Ok(()) };
    for (label, value) in wanted {
        match selector.get(&label).and_then(Value::as_str) {
            Some(own) if own != value => {
                return Err(format!(
                    "conflict: runtimeClass.scheduling.nodeSelector[{label}] = {value}; pod.spec.nodeSelector[{label}] = {own}"
                ));
            }
            _ => set(selector, &label, value),
        }
    }
    Ok(())
}

fn tolerate(class: &Value, pod: &mut Value) {
    let Some(tolerated) = at(class, "/scheduling/tolerations").and_then(Value::as_array) else { return };
    let Some(spec) = object_at(pod, "spec") else { return };
    let mut own = spec.get("tolerations").and_then(Value::as_array).cloned().unwrap_or_default();
    own.extend(tolerated.iter().filter(|toleration| !own.contains(toleration)).cloned().collect::<Vec<_>>());
    set(spec, "tolerations", own);
}
