//! Selectors as workloads write them: `matchLabels` and `matchExpressions`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::Name;
use super::selector::{Operator, Requirement, Selector};

/// A `matchExpressions` operator nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to read label selector: {operator:?} of label {label:?} is none of In, NotIn, Exists, DoesNotExist")]
pub struct UnknownOperator {
    /// The label it is applied to.
    pub label: String,
    /// The operator as written.
    pub operator: String,
}

impl TryFrom<&LabelSelector> for Selector {
    type Error = UnknownOperator;

    /// An empty selector matches everything; a missing one, which is the caller's to treat, matches nothing.
    fn try_from(written: &LabelSelector) -> Result<Self, UnknownOperator> {
        let equal = written.match_labels.iter().flatten().map(|(label, value)| {
            let operator = Operator::In(vec![value.as_str().into()]);
            Ok(Requirement { label: label.as_str().into(), operator })
        });
        let expressed = written.match_expressions.iter().flatten().map(requirement);
        Ok(Self { requirements: equal.chain(expressed).collect::<Result<_, _>>()? })
    }
}

fn requirement(written: &LabelSelectorRequirement) -> Result<Requirement, UnknownOperator> {
    let values = || -> Vec<Name> { written.values.iter().flatten().map(|value| value.as_str().into()).collect() };
    let operator = match written.operator.as_str() {
        "In" => Operator::In(values()),
        "NotIn" => Operator::NotIn(values()),
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        other => return Err(UnknownOperator { label: written.key.clone(), operator: other.to_owned() }),
    };
    Ok(Requirement { label: written.key.as_str().into(), operator })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn matches(selector: serde_json::Value, labels: &[(&str, &str)]) -> bool {
        let written: LabelSelector = serde_json::from_value(selector).unwrap();
        let labels: BTreeMap<Name, Name> =
            labels.iter().map(|(label, value)| ((*label).into(), (*value).into())).collect();
        Selector::try_from(&written).unwrap().matches(&labels)
    }

    #[test]
    fn every_label_and_expression_must_hold() {
        let selector = json!({"matchLabels": {"app": "web"}, "matchExpressions": [
            {"key": "tier", "operator": "NotIn", "values": ["cache"]}]});
        assert!(matches(selector.clone(), &[("app", "web")]));
        assert!(!matches(selector.clone(), &[("app", "web"), ("tier", "cache")]));
        assert!(!matches(selector, &[("app", "db")]));
        assert!(matches(json!({}), &[]));
    }

    #[test]
    fn an_operator_nobody_knows_is_named() {
        let written = LabelSelector {
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: "a".into(),
                operator: "Like".into(),
                values: None,
            }]),
            match_labels: None,
        };
        assert!(Selector::try_from(&written).unwrap_err().to_string().contains("Like"));
    }
}
