//! The structural schema of a custom resource, as its definition writes it.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::rules::Rule;

/// How large a compiled pattern may be: patterns are users' input.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// A structural schema: what a value may be, what is kept of it and what stands for what is missing.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Structural {
    /// The type; empty where any will do.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The format of texts and numbers.
    pub format: String,
    /// Whether null is a value of it.
    pub nullable: bool,
    /// What stands for it where it is missing.
    #[serde(deserialize_with = "given")]
    pub default: Option<Value>,
    /// The known fields of an object.
    pub properties: BTreeMap<String, Structural>,
    /// The entries of a map.
    pub additional_properties: Option<Additional>,
    /// The fields that must be there.
    pub required: Vec<String>,
    /// The items of a list.
    pub items: Option<Box<Structural>>,
    /// The only values there are.
    #[serde(rename = "enum")]
    pub choices: Option<Vec<Value>>,
    /// What a text must match.
    pub pattern: Option<Pattern>,
    /// The least number.
    pub minimum: Option<f64>,
    /// The greatest number.
    pub maximum: Option<f64>,
    /// Whether the least number itself is out.
    pub exclusive_minimum: bool,
    /// Whether the greatest number itself is out.
    pub exclusive_maximum: bool,
    /// What a number must be a multiple of.
    pub multiple_of: Option<f64>,
    /// The fewest characters.
    pub min_length: Option<u64>,
    /// The most characters.
    pub max_length: Option<u64>,
    /// The fewest items.
    pub min_items: Option<u64>,
    /// The most items.
    pub max_items: Option<u64>,
    /// The fewest entries.
    pub min_properties: Option<u64>,
    /// The most entries.
    pub max_properties: Option<u64>,
    /// Whether items must differ.
    pub unique_items: bool,
    /// Schemas that must all hold.
    pub all_of: Vec<Structural>,
    /// Schemas of which one must hold.
    pub any_of: Vec<Structural>,
    /// Schemas of which exactly one must hold.
    pub one_of: Vec<Structural>,
    /// A schema that must not hold.
    pub not: Option<Box<Structural>>,
    /// Whether fields that are not known are kept.
    #[serde(rename = "x-kubernetes-preserve-unknown-fields")]
    pub preserve_unknown_fields: bool,
    /// Whether it is an object of Kubernetes itself.
    #[serde(rename = "x-kubernetes-embedded-resource")]
    pub embedded_resource: bool,
    /// Whether it is an integer or a text.
    #[serde(rename = "x-kubernetes-int-or-string")]
    pub int_or_string: bool,
    /// `atomic`, `set` or `map`.
    #[serde(rename = "x-kubernetes-list-type")]
    pub list_type: String,
    /// What tells the items of a list of type `map` apart.
    #[serde(rename = "x-kubernetes-list-map-keys")]
    pub list_map_keys: Vec<String>,
    /// Rules in CEL.
    #[serde(rename = "x-kubernetes-validations")]
    pub rules: Vec<Rule>,
}

/// What other keys of an object mean.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Additional {
    /// Whether they are allowed, as anything.
    Allowed(bool),
    /// They are entries of a map.
    Entries(Box<Structural>),
}

/// A regular expression with its text.
#[derive(Debug)]
pub struct Pattern {
    /// As written.
    pub text: String,
    expression: regex::Regex,
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// Why it is none.
    pub fn new(text: &str) -> Result<Self, String> {
        let built = regex::RegexBuilder::new(text).size_limit(PATTERN_BYTES_MAX).build();
        let expression = built.map_err(|error| error.to_string().replace('\n', " "))?;
        Ok(Self { text: text.to_owned(), expression })
    }

    /// Whether a text matches it somewhere. Takes time linear in the text.
    pub fn matches(&self, text: &str) -> bool {
        self.expression.is_match(text)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A default of null is one too.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Structural {
    /// Reads a schema from its JSON form.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(value: &Value) -> Result<Self, serde_json::Error> {
        Self::deserialize(value)
    }

    /// The schema of what stands under `key`; `None` where nothing is said of it.
    pub fn below(&self, key: &str) -> Option<&Structural> {
        self.properties.get(key).or(match &self.additional_properties {
            Some(Additional::Entries(entries)) => Some(entries),
            _ => None,
        })
    }

    /// Whether keys that are no known field stay.
    pub fn keeps_others(&self) -> bool {
        self.preserve_unknown_fields || matches!(self.additional_properties, Some(Additional::Allowed(true)))
    }

    /// Whether anything in it has a default.
    pub fn has_defaults(&self) -> bool {
        let entries = match &self.additional_properties {
            Some(Additional::Entries(entries)) => Some(&**entries),
            _ => None,
        };
        self.default.is_some()
            || self.properties.values().chain(self.items.as_deref()).chain(entries).any(Self::has_defaults)
    }

    /// The item of an older list that an item of a list of type `map` was.
    pub fn older_item<'v>(&self, item: &Value, older: Option<&'v Value>) -> Option<&'v Value> {
        if self.list_type != "map" {
            return None;
        }
        let key = self.map_key(item);
        older?.as_array()?.iter().find(|older| self.map_key(older) == key)
    }

    /// What tells an item of a list of type `map` apart, as an object.
    pub fn map_key(&self, item: &Value) -> Value {
        let fields = self.list_map_keys.iter().filter_map(|key| {
            let default = || self.items.as_ref()?.properties.get(key)?.default.as_ref();
            Some((key.clone(), item.get(key).or_else(default)?.clone()))
        });
        Value::Object(fields.collect())
    }
}
