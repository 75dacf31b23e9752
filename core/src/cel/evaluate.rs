//! Walking an expression.

use std::collections::BTreeMap;
use std::sync::Arc;

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, ListExpr, LiteralValue, MapExpr, SelectExpr, StructExpr,
};
use cel::parser::Expression;

use super::functions::{self, Call};
use super::operators::{self, add, compare, equal};
use super::value::Text;
use super::{Budget, COMPOSED, Composed, EvalError, Made, Value, Variables};

/// The value of an expression.
pub(super) fn evaluate<'a>(
    expression: &'a Expression,
    variables: Variables<'a>,
    budget: &mut Budget,
) -> Result<Value<'a>, EvalError> {
    Walk { names: variables.named, composed: variables.composed, budget }.value(expression)
}

struct Walk<'a, 'b> {
    /// The names in scope, the innermost last.
    names: Vec<(&'a str, Value<'a>)>,
    composed: Composed<'a>,
    budget: &'b mut Budget,
}

impl<'a> Walk<'a, '_> {
    fn value(&mut self, expression: &'a Expression) -> Result<Value<'a>, EvalError> {
        self.budget.spend(1)?;
        match &expression.expr {
            Expr::Ident(name) => self.name(name),
            Expr::Literal(literal) => Ok(literal_value(literal)),
            Expr::Select(select) => self.select(select),
            Expr::Call(call) => self.call(call),
            Expr::List(list) => self.list(list),
            Expr::Map(map) => self.map(map),
            Expr::Comprehension(loops) => self.comprehension(loops),
            Expr::Struct(made) => self.made(made),
            Expr::Unspecified => Err(EvalError::no_such_overload()),
        }
    }

    fn name(&self, name: &'a str) -> Result<Value<'a>, EvalError> {
        let found = self.names.iter().rev().find(|(known, _)| *known == name);
        match found {
            Some((_, value)) => Ok(value.clone()),
            None => functions::type_named(name).ok_or_else(|| EvalError::failed(format!("no such attribute: {name}"))),
        }
    }

    fn select(&mut self, select: &'a SelectExpr) -> Result<Value<'a>, EvalError> {
        if let Some(found) = self.composed_value(select) {
            return if select.test { Ok(Value::Bool(true)) } else { found };
        }
        let operand = self.value(&select.operand)?;
        if let Value::Optional(inner) = &operand {
            let below = inner.as_deref().and_then(|inner| inner.field(&select.field));
            return Ok(if select.test { Value::Bool(below.is_some()) } else { Value::optional(below) });
        }
        let found = operand.field(&select.field);
        match (select.test, found) {
            (true, found) if operand.has_fields() => Ok(Value::Bool(found.is_some())),
            (false, Some(found)) => Ok(found),
            _ => Err(EvalError::failed(format!("no such key: {}", select.field))),
        }
    }

    /// What another expression came to, where that is asked for.
    fn composed_value(&self, select: &SelectExpr) -> Option<Result<Value<'a>, EvalError>> {
        let is_asked = matches!(&select.operand.expr, Expr::Ident(name) if name == COMPOSED);
        if !is_asked || self.names.iter().any(|(name, _)| *name == COMPOSED) {
            return None;
        }
        self.composed.get(select.field.as_str()).cloned()
    }

    fn call(&mut self, call: &'a CallExpr) -> Result<Value<'a>, EvalError> {
        let arguments = call.args.as_slice();
        match (call.func_name.as_str(), arguments) {
            (operators::AND, [left, right]) => self.decide(left, right, false),
            (operators::OR, [left, right]) => self.decide(left, right, true),
            (operators::CONDITIONAL, [condition, then, otherwise]) => match self.value(condition)? {
                Value::Bool(true) => self.value(then),
                Value::Bool(false) => self.value(otherwise),
                _ => Err(EvalError::no_such_overload()),
            },
            (operators::NOT_STRICTLY_FALSE, [condition]) => match self.value(condition) {
                Err(EvalError::Cost) => Err(EvalError::Cost),
                Ok(Value::Bool(false)) => Ok(Value::Bool(false)),
                _ => Ok(Value::Bool(true)),
            },
            (name, [left, right]) if operators::is_operator(name) => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                self.binary(name, left, right)
            }
            (operators::NOT, [only]) => match self.value(only)? {
                Value::Bool(flag) => Ok(Value::Bool(!flag)),
                _ => Err(EvalError::no_such_overload()),
            },
            (operators::NEGATE, [only]) => operators::negate(&self.value(only)?),
            (name, arguments) => self.function(name, call.target.as_deref(), arguments),
        }
    }

    /// `&&` and `||`: one side that decides makes good for a fault of the other.
    fn decide(&mut self, left: &'a Expression, right: &'a Expression, decisive: bool) -> Result<Value<'a>, EvalError> {
        let left = self.value(left);
        match left {
            Err(EvalError::Cost) => return Err(EvalError::Cost),
            Ok(Value::Bool(flag)) if flag == decisive => return Ok(Value::Bool(decisive)),
            _ => {}
        }
        match (left, self.value(right)?) {
            (_, Value::Bool(flag)) if flag == decisive => Ok(Value::Bool(decisive)),
            (Ok(Value::Bool(_)), Value::Bool(flag)) => Ok(Value::Bool(flag)),
            (Err(error), _) => Err(error),
            _ => Err(EvalError::no_such_overload()),
        }
    }

    fn binary(&mut self, operator: &str, left: Value<'a>, right: Value<'a>) -> Result<Value<'a>, EvalError> {
        let budget = &mut *self.budget;
        match operator {
            operators::EQUALS => equal(&left, &right, budget).map(Value::Bool),
            operators::NOT_EQUALS => equal(&left, &right, budget).map(|same| Value::Bool(!same)),
            operators::LESS => ordered(&left, &right, budget, std::cmp::Ordering::is_lt),
            operators::LESS_EQUALS => ordered(&left, &right, budget, std::cmp::Ordering::is_le),
            operators::GREATER => ordered(&left, &right, budget, std::cmp::Ordering::is_gt),
            operators::GREATER_EQUALS => ordered(&left, &right, budget, std::cmp::Ordering::is_ge),
            operators::IN => operators::is_in(&left, &right, budget).map(Value::Bool),
            operators::ADD => add(left, right, budget),
            operators::SUBTRACT => operators::subtract(&left, &right),
            operators::INDEX => index(&left, &right)?.ok_or_else(|| no_such_index(&right)),
            operators::OPTIONAL_INDEX | operators::OPTIONAL_SELECT => optional_index(&left, &right),
            _ => operators::arithmetic(operator, &left, &right),
        }
    }

    fn function(
        &mut self,
        name: &'a str,
        target: Option<&'a Expression>,
        arguments: &'a [Expression],
    ) -> Result<Value<'a>, EvalError> {
        // `quantity.…`, `math.…` and their like: the target is a room of functions, not a value.
        let room = target.and_then(|target| match &target.expr {
            Expr::Ident(room) if functions::is_room(room) => Some(room.as_str()),
            _ => None,
        });
        let target = match (room, target) {
            (None, Some(target)) => Some(self.value(target)?),
            _ => None,
        };
        let arguments = arguments.iter().map(|argument| self.value(argument)).collect::<Result<Vec<_>, _>>()?;
        functions::call(Call { room, name, target, arguments, budget: self.budget })
    }

    fn list(&mut self, list: &'a ListExpr) -> Result<Value<'a>, EvalError> {
        self.budget.spend(list.elements.len() as u64)?;
        let mut items = Vec::with_capacity(list.elements.len());
        for (place, element) in list.elements.iter().enumerate() {
            match (self.value(element)?, list.optional_indices.contains(&place)) {
                (Value::Optional(inner), true) => items.extend(inner.map(|inner| Value::clone(&inner))),
                (_, true) => return Err(EvalError::no_such_overload()),
                (item, false) => items.push(item),
            }
        }
        Ok(Value::list(items))
    }

    fn map(&mut self, map: &'a MapExpr) -> Result<Value<'a>, EvalError> {
        let mut entries = BTreeMap::new();
        for entry in &map.entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else { return Err(EvalError::no_such_overload()) };
            let key = self.value(&entry.key)?.as_key().ok_or_else(EvalError::no_such_overload)?;
            match (self.value(&entry.value)?, entry.optional) {
                (Value::Optional(inner), true) => {
                    entries.extend(inner.map(|inner| (key, Value::clone(&inner))));
                }
                (value, _) => drop(entries.insert(key, value)),
            }
        }
        self.budget.spend(entries.len() as u64)?;
        Ok(Value::Map(Arc::new(entries)))
    }

    fn made(&mut self, made: &'a StructExpr) -> Result<Value<'a>, EvalError> {
        self.budget.spend(made.entries.len() as u64)?;
        let mut fields = Vec::with_capacity(made.entries.len());
        for entry in &made.entries {
            let EntryExpr::StructField(given) = &entry.expr else { return Err(EvalError::no_such_overload()) };
            match (self.value(&given.value)?, given.optional) {
                (Value::Optional(inner), true) => {
                    fields.extend(inner.map(|inner| (given.field.as_str(), Value::clone(&inner))));
                }
                (_, true) => return Err(EvalError::no_such_overload()),
                (value, false) => fields.push((given.field.as_str(), value)),
            }
        }
        Ok(Made::new(&made.type_name, fields.into_iter()).into())
    }

    fn comprehension(&mut self, loops: &'a ComprehensionExpr) -> Result<Value<'a>, EvalError> {
        let range = self.value(&loops.iter_range)?;
        self.budget.spend(range.count().unwrap_or_default() as u64)?;
        let over = range.keys().or_else(|| range.items()).ok_or_else(EvalError::no_such_overload)?;
        let depth = self.names.len();
        let result = self.go_through(loops, over);
        self.names.truncate(depth);
        result
    }

    fn go_through(&mut self, loops: &'a ComprehensionExpr, over: Vec<Value<'a>>) -> Result<Value<'a>, EvalError> {
        let mut found = Found::Value(self.value(&loops.accu_init)?);
        if let (Some(_), Value::List(items)) = (appended(loops), found.value()) {
            found = Found::Items(items.to_vec());
        }
        for item in over {
            self.names.push((&loops.iter_var, item));
            let goes_on = self.step(loops, &mut found)?;
            self.names.pop();
            if !goes_on {
                break;
            }
        }
        let found = found.value();
        if let (true, Value::Optional(Some(why))) = (is_quantifier(loops), &found) {
            return Err(EvalError::failed(functions::text_of(why).unwrap_or_default()));
        }
        self.names.push((&loops.accu_var, found));
        self.value(&loops.result)
    }

    /// One turn; whether there is a next.
    fn step(&mut self, loops: &'a ComprehensionExpr, found: &mut Found<'a>) -> Result<bool, EvalError> {
        if let (Some(appended), Found::Items(items)) = (appended(loops), &mut *found) {
            let is_taken = match appended.filter {
                None => true,
                Some(filter) => match self.value(filter)? {
                    Value::Bool(flag) => flag,
                    _ => return Err(EvalError::no_such_overload()),
                },
            };
            if is_taken {
                items.push(self.value(appended.item)?);
            }
            return Ok(true);
        }
        self.names.push((&loops.accu_var, found.value()));
        let goes_on = match self.value(&loops.loop_cond)? {
            Value::Bool(true) => self.value(&loops.loop_step).map(Some),
            _ => Ok(None),
        };
        // `all` and `exists` go on where a turn fails: a later one may decide. What is no truth stands for the first fault.
        let goes_on = match (goes_on, found.value()) {
            (Err(EvalError::Failed(_)), fault @ Value::Optional(_)) if is_quantifier(loops) => Ok(Some(fault)),
            (Err(EvalError::Failed(why)), _) if is_quantifier(loops) => {
                Ok(Some(Value::optional(Some(Value::text(why)))))
            }
            (other, _) => other,
        };
        self.names.pop();
        match goes_on? {
            Some(next) => *found = Found::Value(next),
            None => return Ok(false),
        }
        Ok(true)
    }
}

/// What a comprehension has found so far.
enum Found<'a> {
    Value(Value<'a>),
    /// A list that grows in place.
    Items(Vec<Value<'a>>),
}

impl<'a> Found<'a> {
    fn value(&mut self) -> Value<'a> {
        match self {
            Self::Value(value) => value.clone(),
            Self::Items(items) => Value::list(std::mem::take(items)),
        }
    }
}

/// A step that adds an item to what was found: `map` and `filter`.
struct Appended<'a> {
    filter: Option<&'a Expression>,
    item: &'a Expression,
}

fn appended(loops: &ComprehensionExpr) -> Option<Appended<'_>> {
    let Expr::Call(call) = &loops.loop_step.expr else { return None };
    match (call.func_name.as_str(), call.args.as_slice()) {
        (operators::ADD, [so_far, addition]) => {
            let Expr::Ident(name) = &so_far.expr else { return None };
            let Expr::List(list) = &addition.expr else { return None };
            let [item] = list.elements.as_slice() else { return None };
            (*name == loops.accu_var && list.optional_indices.is_empty()).then_some(Appended { filter: None, item })
        }
        (operators::CONDITIONAL, [filter, then, _]) => {
            let Expr::Call(inner) = &then.expr else { return None };
            let [so_far, addition] = inner.args.as_slice() else { return None };
            let (Expr::Ident(name), Expr::List(list)) = (&so_far.expr, &addition.expr) else { return None };
            let [item] = list.elements.as_slice() else { return None };
            let adds = inner.func_name == operators::ADD && *name == loops.accu_var;
            adds.then_some(Appended { filter: Some(filter), item })
        }
        _ => None,
    }
}

fn is_quantifier(loops: &ComprehensionExpr) -> bool {
    matches!(&loops.loop_step.expr, Expr::Call(call) if matches!(call.func_name.as_str(), operators::AND | operators::OR))
}

fn literal_value(literal: &LiteralValue) -> Value<'_> {
    match literal {
        LiteralValue::Boolean(flag) => Value::Bool(*flag.inner()),
        LiteralValue::Bytes(bytes) => Value::Bytes(bytes.inner().into()),
        LiteralValue::Double(number) => Value::Double(*number.inner()),
        LiteralValue::Int(number) => Value::Int(*number.inner()),
        LiteralValue::Null => Value::Null,
        LiteralValue::String(text) => Value::Text(Text::Borrowed(text.inner())),
        LiteralValue::UInt(number) => Value::Uint(*number.inner()),
    }
}

fn ordered<'a>(
    left: &Value<'_>,
    right: &Value<'_>,
    budget: &mut Budget,
    holds: impl FnOnce(std::cmp::Ordering) -> bool,
) -> Result<Value<'a>, EvalError> {
    Ok(Value::Bool(compare(left, right, budget)?.is_some_and(holds)))
}

/// What stands at a place; `None` where nothing does.
fn index<'a>(of: &Value<'a>, place: &Value<'a>) -> Result<Option<Value<'a>>, EvalError> {
    if let Value::Optional(inner) = of {
        let below = inner.as_deref().map(|inner| index(inner, place)).transpose()?.flatten();
        return Ok(Some(Value::optional(below)));
    }
    if of.keys().is_some() {
        return Ok(place.as_key().and_then(|key| of.entry(&key)));
    }
    match (of.count(), place) {
        (Some(_), Value::Int(place)) => Ok(usize::try_from(*place).ok().and_then(|place| of.item(place))),
        _ => Err(EvalError::no_such_overload()),
    }
}

fn optional_index<'a>(of: &Value<'a>, place: &Value<'a>) -> Result<Value<'a>, EvalError> {
    match index(of, place)? {
        Some(found @ Value::Optional(_)) if matches!(of, Value::Optional(_)) => Ok(found),
        found => Ok(Value::optional(found)),
    }
}

fn no_such_index(place: &Value<'_>) -> EvalError {
    match place {
        Value::Text(name) => EvalError::failed(format!("no such key: {}", &**name)),
        Value::Int(place) => EvalError::failed(format!("index out of bounds: {place}")),
        _ => EvalError::no_such_overload(),
    }
}
