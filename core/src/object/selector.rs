//! Label and field selectors.

use std::collections::BTreeMap;

use super::Name;

/// A label selector: every requirement must hold. Without requirements it matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    /// What must hold.
    pub requirements: Vec<Requirement>,
}

/// One requirement on a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The label's name.
    pub label: Name,
    /// What must hold of it.
    pub operator: Operator,
}

/// What must hold of a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operator {
    /// It has one of these values.
    In(Vec<Name>),
    /// It is missing or has none of these values.
    NotIn(Vec<Name>),
    /// It is there.
    Exists,
    /// It is missing.
    DoesNotExist,
    /// It is an integer above this one.
    GreaterThan(i64),
    /// It is an integer below this one.
    LessThan(i64),
}

impl Selector {
    /// Whether labels fulfil every requirement.
    pub fn matches(&self, labels: &BTreeMap<Name, Name>) -> bool {
        self.requirements.iter().all(|requirement| requirement.matches(labels))
    }
}

impl Requirement {
    fn matches(&self, labels: &BTreeMap<Name, Name>) -> bool {
        let value = labels.get(&self.label);
        let number = || value.and_then(|text| text.parse::<i64>().ok());
        match &self.operator {
            Operator::In(values) => value.is_some_and(|value| values.contains(value)),
            Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan(bound) => number().is_some_and(|number| number > *bound),
            Operator::LessThan(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}
