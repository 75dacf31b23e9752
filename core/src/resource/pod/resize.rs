//! Resizing a pod: what its containers ask for and may use is changed while they run (KEP-1287).

use serde_json::Value;

use super::super::check::{Faults, Field};
use super::super::equal::same;
use super::super::fill::{clear, items_mut, object_at, set};
use super::super::read::text;
use super::{QosClass, default};
use crate::object::FieldError;
use crate::status::Status;

/// What may be changed of a container's resources.
const RESIZABLE: [&str; 2] = ["cpu", "memory"];
const LISTS: [&str; 2] = ["containers", "initContainers"];

/// Takes over the resources of the containers of `wanted`, and nothing else of it.
pub(super) fn resize(wanted: &Value, pod: &mut Value) -> Result<(), Status> {
    let mut wanted = wanted.clone();
    default::pod(&mut wanted);
    let mut faults = Faults::default();
    check(&wanted, pod, &mut faults);
    let class = QosClass::of(pod);
    if faults.errors.is_empty() {
        take_over(&mut wanted, pod);
        if QosClass::of(pod) != class {
            let (path, class) = (Field::root(pod).at("spec").path, class.as_str());
            let why = "Pod QOS Class may not change as a result of resizing";
            faults.errors.push(FieldError::invalid(path, class, why));
        }
    }
    match faults.errors.is_empty() {
        true => Ok(()),
        false => Err(Status::invalid("Pod", text(pod, "/metadata/name"), faults.errors.causes())),
    }
}

fn take_over(wanted: &mut Value, pod: &mut Value) {
    let (Some(wanted), Some(spec)) = (object_at(wanted, "spec"), object_at(pod, "spec")) else { return };
    for list in LISTS {
        for (container, wanted) in items_mut(spec, list).zip(items_mut(wanted, list)) {
            if let Some(resources) = wanted.get_mut("resources") {
                set(container, "resources", resources.take());
            }
        }
    }
}

fn check(wanted: &Value, pod: &Value, faults: &mut Faults) {
    let (new, old) = (Field::root(wanted).at("spec"), Field::root(pod).at("spec"));
    if old.at("os").at("name").text() == "windows" {
        faults.forbidden(&old, "windows pods cannot be resized");
    }
    if old.at("resources").is_set() {
        faults.forbidden(&old.at("resources"), "resize of pods with pod-level resources is forbidden");
    }
    for list in LISTS {
        same_containers(&new.at(list), &old.at(list), list, faults);
    }
    if !faults.errors.is_empty() {
        return;
    }
    for list in LISTS {
        for (new, old) in new.at(list).items().zip(old.at(list).items()) {
            match is_init_only(list, old.value) {
                true if !same(new.at("resources").value, old.at("resources").value) => {
                    faults.forbidden(&new, "resources for non-sidecar init containers are immutable");
                }
                true => {}
                false => resources(&new, &old, faults),
            }
        }
    }
}

/// Containers are changed one by one: those there are, in their order.
fn same_containers(new: &Field<'_>, old: &Field<'_>, list: &str, faults: &mut Faults) {
    if new.count() != old.count() {
        return faults.forbidden(new, format!("{list} may not be added or removed on resize"));
    }
    for (new, old) in new.items().zip(old.items()) {
        if new.at("name").text() != old.at("name").text() {
            faults.forbidden(&new.at("name"), format!("{list} may not be renamed or reordered on resize"));
        }
    }
}

/// Whether a container runs before the others and is over then: there is nothing to resize.
fn is_init_only(list: &str, container: &Value) -> bool {
    list == "initContainers" && text(container, "/restartPolicy") != "Always"
}

fn resources(new: &Field<'_>, old: &Field<'_>, faults: &mut Faults) {
    let (after, before) = (new.at("resources"), old.at("resources"));
    for list in ["requests", "limits"] {
        let kept = |name: &str| after.at(list).entries().any(|(known, _)| known == name);
        if before.at(list).entries().any(|(name, _)| !kept(name)) {
            faults.forbidden(&after.at(list), format!("resource {list} cannot be removed"));
        }
    }
    let beyond = |container: &Field<'_>| {
        let mut resources = container.at("resources").value.clone();
        for list in ["requests", "limits"] {
            let Some(amounts) = resources.get_mut(list) else { continue };
            RESIZABLE.iter().for_each(|name| clear(amounts, name));
            if amounts.as_object().is_some_and(serde_json::Map::is_empty) {
                clear(&mut resources, list);
            }
        }
        resources
    };
    let policies = |container: &Field<'_>| container.at("resizePolicy").value.clone();
    if !same(&beyond(new), &beyond(old)) || !same(&policies(new), &policies(old)) {
        faults.forbidden(&after, "only cpu and memory resources are mutable");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Value {
        let mut pod = json!({"metadata": {"name": "web"}, "spec": {
            "containers": [{"name": "app", "image": "a", "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}}}],
            "initContainers": [{"name": "before", "image": "a"}, {"name": "beside", "image": "a", "restartPolicy": "Always"}]}});
        default::pod(&mut pod);
        pod
    }

    /// The pod asked for, changed at one place.
    fn with(pointer: &str, value: Value) -> Value {
        let mut wanted = pod();
        *wanted.pointer_mut(pointer).unwrap() = value;
        wanted
    }

    #[test]
    fn resources_are_taken_over_and_nothing_else() {
        let resources = json!({"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"memory": "2Gi", "cpu": "3"}});
        let mut wanted = with("/spec/containers/0/resources", resources.clone());
        wanted["spec"]["containers"][0]["image"] = json!("other");
        wanted["spec"]["initContainers"][1]["resources"] = json!({"requests": {"cpu": "1"}});
        let mut resized = pod();
        resize(&wanted, &mut resized).unwrap();
        let mut expect = pod();
        expect["spec"]["containers"][0]["resources"] = resources;
        expect["spec"]["initContainers"][1]["resources"] = json!({"requests": {"cpu": "1"}});
        assert_eq!(resized, expect);
    }

    #[test]
    fn what_a_resize_may_not_do_is_refused_at_its_field() {
        let cases = [
            (
                with("/spec/containers", json!([])),
                "spec.containers: Forbidden: containers may not be added or removed on resize",
            ),
            (
                with("/spec/containers/0/name", json!("other")),
                "spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize",
            ),
            (
                with("/spec/initContainers/0/resources", json!({"requests": {"cpu": "1"}})),
                "spec.initContainers[0]: Forbidden: resources for non-sidecar init containers are immutable",
            ),
            (
                with("/spec/containers/0/resources", json!({"requests": {"memory": "1"}, "limits": {"memory": "1Gi"}})),
                "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed",
            ),
            (
                with("/spec/containers/0/resources/limits", json!({"cpu": "2"})),
                "spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed",
            ),
            (
                with("/spec/containers/0/resources/limits", json!({"memory": "1Gi", "example.com/gpu": "1"})),
                "spec.containers[0].resources: Forbidden: only cpu and memory resources are mutable",
            ),
        ];
        for (wanted, expect) in cases {
            let mut pod = pod();
            let refused = resize(&wanted, &mut pod).unwrap_err();
            assert!(refused.code == 422 && refused.message.contains(expect), "{} lacks {expect}", refused.message);
        }
    }

    #[test]
    fn a_resize_leaves_the_quality_of_service_as_it_was() {
        let bound = json!({"cpu": "1", "memory": "1Gi"});
        let mut pod = json!({"metadata": {"name": "web"}, "spec": {"containers": [
            {"name": "app", "image": "a", "resources": {"requests": bound, "limits": bound}}]}});
        default::pod(&mut pod);
        let mut wanted = pod.clone();
        wanted["spec"]["containers"][0]["resources"]["limits"]["cpu"] = json!("2");
        let refused = resize(&wanted, &mut pod).unwrap_err();
        assert!(
            refused.message.contains("Pod QOS Class may not change as a result of resizing"),
            "{}",
            refused.message
        );
    }
}
