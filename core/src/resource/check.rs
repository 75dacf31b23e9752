//! The words rules are written in: a field with its value and path, and what may be found wrong with it.

use serde_json::Value;

use crate::object::{FieldError, FieldErrors, FieldPath, Quantity};

/// A field that may be missing: its value and where it stands.
#[derive(Clone)]
pub struct Field<'v> {
    /// What it holds; null where it is missing.
    pub value: &'v Value,
    /// Where it stands.
    pub path: FieldPath,
}

impl<'v> Field<'v> {
    /// The object itself.
    pub fn root(object: &'v Value) -> Self {
        Self { value: object, path: FieldPath::root() }
    }

    /// The field `name` of this one.
    #[must_use]
    pub fn at(&self, name: &'static str) -> Self {
        Self { value: self.value.get(name).unwrap_or(&Value::Null), path: self.path.child(name) }
    }

    /// Whether it is there.
    pub fn is_set(&self) -> bool {
        !self.value.is_null()
    }

    /// Its text; empty where it is none.
    pub fn text(&self) -> &'v str {
        self.value.as_str().unwrap_or_default()
    }

    /// Its number, where it is one.
    pub fn number(&self) -> Option<i64> {
        self.value.as_i64()
    }

    /// Whether it is `true`.
    pub fn is_true(&self) -> bool {
        self.value == &Value::Bool(true)
    }

    /// Its quantity, where it is one: a number is one too.
    pub fn quantity(&self) -> Option<Quantity> {
        match self.value {
            Value::String(text) => Quantity::parse(text).ok(),
            Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
            _ => None,
        }
    }

    /// How many items or entries it has.
    pub fn count(&self) -> usize {
        match self.value {
            Value::Array(items) => items.len(),
            Value::Object(entries) => entries.len(),
            _ => 0,
        }
    }

    /// Its items.
    pub fn items(&self) -> impl Iterator<Item = Self> + use<'v> {
        let path = self.path.clone();
        let items = self.value.as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().enumerate().map(move |(index, value)| Self { value, path: path.index(index) })
    }

    /// Its entries.
    pub fn entries(&self) -> impl Iterator<Item = (&'v str, Self)> + use<'v> {
        let path = self.path.clone();
        let entries = self.value.as_object().into_iter().flatten();
        entries.map(move |(key, value)| (key.as_str(), Self { value, path: path.key(key.as_str()) }))
    }

    /// Its entries that are texts, without their paths.
    pub fn texts(&self) -> impl Iterator<Item = (&'v str, &'v str)> + use<'v> {
        let entries = self.value.as_object().into_iter().flatten();
        entries.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
    }

    /// Which of its fields are set, in the order of `names`.
    pub fn which<const N: usize>(&self, names: [&'static str; N]) -> Vec<Self> {
        names.into_iter().map(|name| self.at(name)).filter(Self::is_set).collect()
    }
}

/// What was found wrong so far.
#[derive(Debug, Default)]
pub struct Faults {
    /// The faults in the order found.
    pub errors: FieldErrors,
}

impl Faults {
    /// A rule that reports messages: the field breaks it.
    pub fn rule(&mut self, field: &Field<'_>, rule: impl FnOnce(&str) -> Vec<String>) {
        self.errors.push_messages(&field.path, field.text(), rule(field.text()));
    }

    /// A text that must be there and follow a rule.
    pub fn required_rule(&mut self, field: &Field<'_>, rule: impl FnOnce(&str) -> Vec<String>) {
        if field.text().is_empty() {
            self.required(field, "");
        } else {
            self.rule(field, rule);
        }
    }

    /// A text that follows a rule where it is there.
    pub fn optional_rule(&mut self, field: &Field<'_>, rule: impl FnOnce(&str) -> Vec<String>) {
        if !field.text().is_empty() {
            self.rule(field, rule);
        }
    }

    /// A text that must be there.
    pub fn required_text(&mut self, field: &Field<'_>) {
        if field.text().is_empty() {
            self.required(field, "");
        }
    }

    /// A value is missing.
    pub fn required(&mut self, field: &Field<'_>, why: impl Into<std::borrow::Cow<'static, str>>) {
        self.errors.push(FieldError::required(field.path.clone(), why));
    }

    /// A value breaks a rule.
    pub fn invalid(&mut self, field: &Field<'_>, why: impl Into<std::borrow::Cow<'static, str>>) {
        self.errors.push(FieldError::invalid(field.path.clone(), field.value.clone(), why));
    }

    /// A value breaks a rule; it is not worth showing.
    pub fn invalid_hidden(&mut self, field: &Field<'_>, why: impl Into<std::borrow::Cow<'static, str>>) {
        self.errors.push(FieldError::invalid(field.path.clone(), "", why));
    }

    /// A value breaks a rule that is about where it stands; it is not shown at all.
    pub fn invalid_omitted(&mut self, field: &Field<'_>, why: impl Into<std::borrow::Cow<'static, str>>) {
        self.errors.push(FieldError::invalid_omitted(field.path.clone(), why));
    }

    /// A list that holds no more than so many items.
    pub fn at_most(&mut self, list: &Field<'_>, most: usize) {
        if list.count() > most {
            self.errors.push(FieldError::too_many(list.path.clone(), list.count(), most));
        }
    }

    /// A field must not be set here.
    pub fn forbidden(&mut self, field: &Field<'_>, why: impl Into<std::borrow::Cow<'static, str>>) {
        self.errors.push(FieldError::forbidden(field.path.clone(), why));
    }

    /// A value occurs twice.
    pub fn duplicate(&mut self, field: &Field<'_>) {
        self.errors.push(FieldError::duplicate(field.path.clone(), field.value.clone()));
    }

    /// A value names something that is not there.
    pub fn not_found(&mut self, field: &Field<'_>) {
        self.errors.push(FieldError::not_found(field.path.clone(), field.value.clone()));
    }

    /// A text that must be one of those known.
    pub fn one_of(&mut self, field: &Field<'_>, known: &[&str]) {
        if field.text().is_empty() {
            self.required(field, "");
        } else {
            self.one_of_if_set(field, known);
        }
    }

    /// A text that is one of those known where it is there.
    pub fn one_of_if_set(&mut self, field: &Field<'_>, known: &[&str]) {
        if field.is_set() && !known.contains(&field.text()) {
            self.errors.push(FieldError::not_supported(field.path.clone(), field.value.clone(), known));
        }
    }

    /// A number that is not negative where it is there.
    pub fn nonnegative(&mut self, field: &Field<'_>) {
        if let Some(number) = field.number() {
            crate::object::names::nonnegative(number, &field.path, &mut self.errors);
        }
    }

    /// A number that follows a rule where it is there.
    pub fn number_rule(&mut self, field: &Field<'_>, rule: impl FnOnce(i64) -> Vec<String>) {
        let Some(number) = field.number() else { return };
        let faults = rule(number).into_iter().map(|why| FieldError::invalid(field.path.clone(), number, why));
        self.errors.extend(faults);
    }

    /// A field that has changed and must not, in words of its own.
    pub fn frozen(&mut self, field: &Field<'_>, old: &Field<'_>, why: impl Into<std::borrow::Cow<'static, str>>) {
        if field.value != old.value {
            self.forbidden(field, why);
        }
    }

    /// A field that has changed and must not.
    pub fn immutable(&mut self, field: &Field<'_>, old: &Field<'_>) {
        if field.value != old.value {
            self.invalid(field, "field is immutable");
        }
    }
}
