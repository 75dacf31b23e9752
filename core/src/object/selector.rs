//! Label selectors: as objects carry them, and as clients write them in one line.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::{Name, names};

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
    /// Reads a `LabelSelector` (`matchLabels`, `matchExpressions`) or a plain map of labels, as a
    /// ReplicationController and a Service have it. `None` where it is neither.
    pub fn from_value(value: &Value) -> Option<Self> {
        let fields = value.as_object()?;
        let is_label_selector = fields.keys().all(|name| name == "matchLabels" || name == "matchExpressions");
        if !is_label_selector {
            return Some(Self { requirements: equalities(value)? });
        }
        let mut requirements = fields.get("matchLabels").map_or(Some(Vec::new()), equalities)?;
        for expression in fields.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            requirements.push(Requirement::from_expression(expression)?);
        }
        Some(Self { requirements })
    }

    /// The value a label must have, where one requirement says so: what an index can be asked for.
    pub fn equality(&self) -> Option<(&Name, &Name)> {
        self.requirements.iter().find_map(|requirement| match &requirement.operator {
            Operator::In(values) => match values.as_slice() {
                [only] => Some((&requirement.label, only)),
                _ => None,
            },
            _ => None,
        })
    }

    /// Whether labels fulfil every requirement.
    pub fn matches(&self, labels: &BTreeMap<Name, Name>) -> bool {
        self.requirements.iter().all(|requirement| requirement.matches(labels))
    }

    /// Whether it matches the labels of a typed object.
    pub fn selects(&self, labels: Option<&BTreeMap<String, String>>) -> bool {
        let labels = labels.into_iter().flatten();
        self.matches(&labels.map(|(label, value)| (label.as_str().into(), value.as_str().into())).collect())
    }
}

fn equalities(labels: &Value) -> Option<Vec<Requirement>> {
    let equality = |(label, value): (&String, &Value)| {
        let operator = Operator::In(vec![value.as_str()?.into()]);
        Some(Requirement { label: label.as_str().into(), operator })
    };
    labels.as_object()?.iter().map(equality).collect()
}

impl Requirement {
    fn from_expression(expression: &Value) -> Option<Self> {
        let values = || -> Option<Vec<Name>> {
            expression.get("values")?.as_array()?.iter().map(|value| Some(value.as_str()?.into())).collect()
        };
        let operator = match expression.get("operator")?.as_str()? {
            "In" => Operator::In(values()?),
            "NotIn" => Operator::NotIn(values()?),
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            _ => return None,
        };
        Some(Self { label: expression.get("key")?.as_str()?.into(), operator })
    }

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

impl fmt::Display for Selector {
    /// `app=web,tier in (a,b),!legacy`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            if index > 0 {
                formatter.write_str(",")?;
            }
            requirement.fmt(formatter)?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = &self.label;
        match &self.operator {
            Operator::In(values) => match values.as_slice() {
                [only] => write!(formatter, "{label}={only}"),
                several => write!(formatter, "{label} in ({})", several.join(",")),
            },
            Operator::NotIn(values) => match values.as_slice() {
                [only] => write!(formatter, "{label}!={only}"),
                several => write!(formatter, "{label} notin ({})", several.join(",")),
            },
            Operator::Exists => write!(formatter, "{label}"),
            Operator::DoesNotExist => write!(formatter, "!{label}"),
            Operator::GreaterThan(bound) => write!(formatter, "{label}>{bound}"),
            Operator::LessThan(bound) => write!(formatter, "{label}<{bound}"),
        }
    }
}

/// Why a line is no label selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unable to parse requirement: {0}")]
pub struct SelectorError(String);

impl std::str::FromStr for Selector {
    type Err = SelectorError;

    /// Reads what clients send: `app=web,tier in (a, b),!legacy,size>3`.
    fn from_str(line: &str) -> Result<Self, SelectorError> {
        let requirements = split_outside_parentheses(line).map(str::trim).filter(|part| !part.is_empty());
        Ok(Self { requirements: requirements.map(parse_requirement).collect::<Result<_, _>>()? })
    }
}

fn split_outside_parentheses(line: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_u32;
    line.split(move |character| {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == ',' && depth == 0
    })
}

fn parse_requirement(text: &str) -> Result<Requirement, SelectorError> {
    let (label, operator) = if let Some(label) = text.strip_prefix('!') {
        (label, Operator::DoesNotExist)
    } else if let Some((label, values)) = text.split_once(" notin ").or_else(|| text.split_once(" notin(")) {
        (label, Operator::NotIn(parse_set(values, text)?))
    } else if let Some((label, values)) = text.split_once(" in ").or_else(|| text.split_once(" in(")) {
        (label, Operator::In(parse_set(values, text)?))
    } else if let Some((label, value)) = text.split_once("!=") {
        (label, Operator::NotIn(vec![value.trim().into()]))
    } else if let Some((label, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        (label, Operator::In(vec![value.trim().into()]))
    } else if let Some((label, bound)) = text.split_once('>') {
        (label, Operator::GreaterThan(parse_bound(bound)?))
    } else if let Some((label, bound)) = text.split_once('<') {
        (label, Operator::LessThan(parse_bound(bound)?))
    } else {
        (text, Operator::Exists)
    };
    check_label(label.trim(), &operator)?;
    Ok(Requirement { label: label.trim().into(), operator })
}

fn check_label(label: &str, operator: &Operator) -> Result<(), SelectorError> {
    if let Some(fault) = names::qualified_name(label).into_iter().next() {
        return Err(SelectorError(format!("key: Invalid value: {label:?}: {fault}")));
    }
    let values = match operator {
        Operator::In(values) | Operator::NotIn(values) => values.as_slice(),
        _ => &[],
    };
    let fault = values.iter().find_map(|value| Some((value, names::label_value(value).into_iter().next()?)));
    match fault {
        Some((value, fault)) => Err(SelectorError(format!("values: Invalid value: {value:?}: {fault}"))),
        None => Ok(()),
    }
}

/// The values between parentheses; the opening one may have been taken with the operator.
fn parse_set(values: &str, requirement: &str) -> Result<Vec<Name>, SelectorError> {
    let values = values.trim();
    let values = values.strip_prefix('(').unwrap_or(values);
    let Some(values) = values.strip_suffix(')').filter(|inside| !inside.contains(['(', ')'])) else {
        return Err(SelectorError(format!("{requirement:?}: expected values between parentheses")));
    };
    Ok(values.split(',').map(|value| value.trim().into()).collect())
}

fn parse_bound(text: &str) -> Result<i64, SelectorError> {
    text.trim().parse().map_err(|_| SelectorError(format!("values: Invalid value: {text:?}: not an integer")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<Name, Name> {
        pairs.iter().map(|(label, value)| ((*label).into(), (*value).into())).collect()
    }

    #[test]
    fn a_line_selects_what_it_says() {
        let check = |line: &str, pairs: &[(&str, &str)], expect: bool| {
            let selector: Selector = line.parse().unwrap();
            assert_eq!(selector.matches(&labels(pairs)), expect, "{line} on {pairs:?}");
        };
        check("", &[], true);
        check("app=web", &[("app", "web")], true);
        check("app==web", &[("app", "db")], false);
        check("app!=web", &[], true);
        check("app in (web, db),tier", &[("app", "db"), ("tier", "")], true);
        check("app in (web,db),tier", &[("app", "db")], false);
        check("app notin (web)", &[("app", "web")], false);
        check("!app", &[("app", "web")], false);
        check("size>3", &[("size", "4")], true);
        check("size<3", &[("size", "x")], false);
    }

    #[test]
    fn a_line_reads_back_as_written() {
        let line = "app=web,tier in (a,b),zone!=x,old notin (c,d),here,!gone,size>3";
        assert_eq!(line.parse::<Selector>().unwrap().to_string(), line);
    }

    #[test]
    fn a_bad_line_names_the_fault() {
        for line in ["a b=c", "app=a/b/c", "=x", "size>big", "a in (", "a in (b", "a notin b"] {
            assert!(line.parse::<Selector>().is_err(), "{line}");
        }
    }

    #[test]
    fn objects_carry_selectors_in_two_shapes() {
        let plain = Selector::from_value(&json!({"app": "web"})).unwrap();
        let full = Selector::from_value(&json!({"matchLabels": {"app": "web"}})).unwrap();
        assert_eq!(plain, full);
        assert_eq!(plain.equality().map(|(label, value)| (&**label, &**value)), Some(("app", "web")));
        let odd = json!({"matchExpressions": [{"key": "a", "operator": "Near"}]});
        assert_eq!(Selector::from_value(&odd), None);
    }
}
