//! What is said of a pod in its conditions.

use k8s_openapi::api::core::v1::{Pod, PodCondition};

/// The pod, saying this in the place of what it said by a condition of that type.
pub fn with_condition(pod: &Pod, said: PodCondition) -> Pod {
    let mut pod = pod.clone();
    let conditions = pod.status.get_or_insert_default().conditions.get_or_insert_default();
    conditions.retain(|known| known.type_ != said.type_);
    conditions.push(said);
    pod
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_takes_the_place_of_the_one_of_its_type() {
        let said = |type_: &str, status: &str| PodCondition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            ..PodCondition::default()
        };
        let pod = with_condition(&Pod::default(), said("Ready", "False"));
        let pod = with_condition(&pod, said("PodScheduled", "True"));
        let pod = with_condition(&pod, said("Ready", "True"));
        let conditions = pod.status.unwrap().conditions.unwrap();
        assert_eq!(conditions, [said("PodScheduled", "True"), said("Ready", "True")]);
    }
}
