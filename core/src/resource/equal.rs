//! When two specs say the same: clients in Go leave out what is empty and spell quantities their own way.

use serde_json::Value;

use crate::object::Quantity;

/// Fields whose `false` or `0` is as good as nothing.
const ZERO_IS_NOTHING: [&str; 9] =
    ["hostIPC", "hostNetwork", "hostPID", "hostPort", "initialDelaySeconds", "readOnly", "stdin", "stdinOnce", "tty"];
/// Fields that hold quantities, or maps of them.
const QUANTITIES: [&str; 6] = ["capacity", "divisor", "limits", "overhead", "requests", "sizeLimit"];

/// Whether two values say the same.
pub fn same(one: &Value, other: &Value) -> bool {
    normal(one) == normal(other)
}

/// The value in the one form that all values of the same meaning share.
pub fn normal(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let said = fields.iter().filter(|(name, field)| !says_nothing(name, field));
            said.map(|(name, field)| (name.clone(), normal_field(name, field)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        }
        Value::Array(items) => items.iter().map(normal).collect(),
        other => other.clone(),
    }
}

fn says_nothing(name: &str, field: &Value) -> bool {
    match field {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Bool(false) => ZERO_IS_NOTHING.contains(&name),
        Value::Number(number) => number.as_i64() == Some(0) && ZERO_IS_NOTHING.contains(&name),
        _ => false,
    }
}

fn normal_field(name: &str, field: &Value) -> Value {
    match field {
        _ if !QUANTITIES.contains(&name) => normal(field),
        Value::Object(amounts) => amounts
            .iter()
            .map(|(name, amount)| (name.clone(), in_decimal(amount)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        amount => in_decimal(amount),
    }
}

/// Equal amounts have one decimal spelling, whatever their suffix.
fn in_decimal(amount: &Value) -> Value {
    let text = amount.as_str().map_or_else(|| amount.to_string(), str::to_owned);
    match Quantity::parse(&text) {
        Ok(quantity) => quantity.decimal().canonical().into(),
        Err(_) => amount.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_says_the_same_is_equal() {
        let written = json!({"hostNetwork": false, "containers": [{"name": "a", "stdin": false, "args": [],
            "env": [{"name": "A", "value": ""}], "resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}}}]});
        let resent = json!({"containers": [{"name": "a", "env": [{"name": "A"}],
            "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}]});
        assert_eq!(normal(&written), normal(&resent));
        assert_eq!(normal(&written).pointer("/containers/0/resources/limits/cpu"), Some(&json!("1")));
    }

    #[test]
    fn what_says_something_else_differs() {
        let pairs = [
            (json!({"automountServiceAccountToken": false}), json!({})),
            (json!({"emptyDir": {}}), json!({})),
            (json!({"limits": {"cpu": "1"}}), json!({"limits": {"cpu": "1001m"}})),
            (json!({"limits": {"memory": "1M"}}), json!({"limits": {"memory": "1Mi"}})),
        ];
        for (one, other) in pairs {
            assert_ne!(normal(&one), normal(&other), "{one}");
        }
    }
}
