//! Which lines are asked for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::run::Run;

/// Which lines are asked for: those of which everything given holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Query {
    /// Of pods in this namespace.
    pub namespace: Option<String>,
    /// Of the pod of this name.
    pub pod: Option<String>,
    /// Of the containers of this name.
    pub container: Option<String>,
    /// Of pods with such labels.
    pub labels: Vec<Requirement>,
    /// Taken at this time or later, in nanoseconds of the epoch.
    pub since_ns: Option<i64>,
    /// Taken before this time.
    pub until_ns: Option<i64>,
    /// That hold this text.
    pub text: Option<String>,
    /// That match this regular expression.
    pub regex: Option<String>,
    /// Text and expression match whatever the case.
    pub ignore_case: bool,
    /// So many lines before each match are shown with it.
    pub before: usize,
    /// So many lines after each match are shown with it.
    pub after: usize,
    /// Only so many of the last lines.
    pub tail: Option<usize>,
    /// Lines that come are told as they come.
    pub follow: bool,
}

/// What must hold of a label, as in `matchExpressions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// What must hold of it.
    pub operator: LabelOperator,
    /// The values it is held against.
    #[serde(default)]
    pub values: Vec<String>,
}

/// What must hold of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LabelOperator {
    /// It has one of the values.
    In,
    /// It is missing or has none of the values.
    NotIn,
    /// It is there.
    Exists,
    /// It is missing.
    DoesNotExist,
    /// It is an integer above the value.
    Gt,
    /// It is an integer below the value.
    Lt,
}

/// Why a query cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The expression is none.
    #[error("failed to understand the regular expression {pattern:?}")]
    Expression {
        /// What was given.
        pattern: String,
        /// What is wrong with it.
        #[source]
        source: regex::Error,
    },
}

impl Query {
    /// Whether lines of this run are asked for.
    pub fn selects(&self, run: &Run) -> bool {
        let is = |asked: &Option<String>, found: &str| asked.as_ref().is_none_or(|asked| asked == found);
        is(&self.namespace, &run.namespace)
            && is(&self.pod, &run.pod)
            && is(&self.container, &run.container)
            && self.labels.iter().all(|requirement| requirement.holds(&run.labels))
    }

    /// Whether lines of these times may be among those asked for.
    pub(crate) fn overlaps(&self, earliest_ns: i64, latest_ns: i64) -> bool {
        self.since_ns.is_none_or(|since| latest_ns >= since) && self.until_ns.is_none_or(|until| earliest_ns < until)
    }
}

impl Requirement {
    pub(crate) fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let listed = || value.is_some_and(|value| self.values.contains(value));
        let number = |text: &String| text.parse::<i64>().ok();
        let numbers = || value.and_then(number).zip(self.values.first().and_then(number));
        match self.operator {
            LabelOperator::In => listed(),
            LabelOperator::NotIn => !listed(),
            LabelOperator::Exists => value.is_some(),
            LabelOperator::DoesNotExist => value.is_none(),
            LabelOperator::Gt => numbers().is_some_and(|(value, bound)| value > bound),
            LabelOperator::Lt => numbers().is_some_and(|(value, bound)| value < bound),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_selects_runs_by_everything_it_names() {
        let labels = BTreeMap::from([("app".to_owned(), "web".to_owned()), ("n".to_owned(), "3".to_owned())]);
        let run = Run {
            id: "1".into(),
            namespace: "shop".into(),
            pod: "web-0".into(),
            uid: "u".into(),
            container: "main".into(),
            attempt: 0,
            node: "here".into(),
            labels,
        };
        let cases = [
            ("{}", true),
            (r#"{"namespace":"shop","pod":"web-0","container":"main"}"#, true),
            (r#"{"namespace":"other"}"#, false),
            (r#"{"pod":"web"}"#, false),
            (r#"{"container":"side"}"#, false),
            (r#"{"labels":[{"key":"app","operator":"In","values":["web","api"]}]}"#, true),
            (r#"{"labels":[{"key":"app","operator":"NotIn","values":["web"]}]}"#, false),
            (r#"{"labels":[{"key":"tier","operator":"NotIn","values":["web"]}]}"#, true),
            (r#"{"labels":[{"key":"app","operator":"Exists"},{"key":"tier","operator":"DoesNotExist"}]}"#, true),
            (r#"{"labels":[{"key":"app","operator":"Exists"},{"key":"tier","operator":"Exists"}]}"#, false),
            (r#"{"labels":[{"key":"n","operator":"Gt","values":["2"]}]}"#, true),
            (r#"{"labels":[{"key":"n","operator":"Lt","values":["3"]}]}"#, false),
        ];
        for (query, expect) in cases {
            let query: Query = serde_json::from_str(query).unwrap();
            assert_eq!(query.selects(&run), expect, "{query:?}");
        }
    }
}
