//! What a schema says.

use std::sync::Arc;

use serde_json::Value;

use super::{Definition, ReadError, read};

/// The shape of a value. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Schema {
    /// A published definition, read when first looked into.
    Definition(Definition),
    /// An object with known fields, a map, or both.
    Object(Arc<ObjectSchema>),
    /// A list.
    List(Arc<ListSchema>),
    /// A single value.
    Scalar(Scalar),
    /// Anything: neither checked nor pruned.
    Any,
}

/// What a [`Schema`] is once definitions are followed.
#[derive(Debug, Clone, Copy)]
pub enum Shape<'a> {
    /// An object with known fields, a map, or both.
    Object(&'a ObjectSchema),
    /// A list.
    List(&'a ListSchema),
    /// A single value.
    Scalar(Scalar),
    /// Anything.
    Any,
}

/// An object.
#[derive(Debug)]
pub struct ObjectSchema {
    /// The known fields, by name.
    fields: Box<[Field]>,
    /// What other keys mean.
    pub rest: Rest,
    /// Whether writers own it as a whole (`x-kubernetes-map-type: atomic`).
    pub atomic: bool,
}

/// What keys mean that are no known field.
#[derive(Debug)]
pub enum Rest {
    /// They are unknown and pruned.
    Pruned,
    /// They are kept as they are.
    Kept,
    /// They are entries of a map.
    Entries(Schema),
}

/// A known field of an object.
#[derive(Debug)]
pub struct Field {
    /// The name.
    pub name: Box<str>,
    /// The shape of its value.
    pub schema: Schema,
    /// Whether it must be there.
    pub required: bool,
    /// What stands for it where it is absent.
    pub default: Option<Box<Value>>,
    /// How a strategic merge patch treats it.
    pub patch_strategy: PatchStrategy,
    /// The key by which a strategic merge patch finds items.
    pub patch_merge_key: Option<Box<str>>,
}

/// How a strategic merge patch treats a field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PatchStrategy {
    /// Objects are merged, lists are replaced.
    #[default]
    Usual,
    /// Lists are merged too.
    Merge,
    /// Objects are replaced too.
    Replace,
}

/// A list.
#[derive(Debug)]
pub struct ListSchema {
    /// The shape of an item.
    pub items: Schema,
    /// How writers share it.
    pub topology: Topology,
}

/// How writers share a list (`x-kubernetes-list-type`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topology {
    /// One writer owns it all.
    Atomic,
    /// Each value occurs once and has owners.
    Set,
    /// Items are told apart by these fields, in alphabetical order, and have owners.
    Map(Box<[Box<str>]>),
}

/// The type of a single value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    /// Text.
    String,
    /// Base64 text.
    Bytes,
    /// A time in whole seconds.
    Time,
    /// A time in microseconds.
    MicroTime,
    /// `true` or `false`.
    Boolean,
    /// A 32-bit integer.
    Int32,
    /// A 64-bit integer.
    Int64,
    /// A number.
    Number,
    /// An integer, or text such as a percentage.
    IntOrString,
    /// An exact amount, see [`Quantity`](crate::object::Quantity).
    Quantity,
}

impl Schema {
    /// The published definition `name`, such as `io.k8s.api.apps.v1.Deployment`.
    pub fn named(name: &str) -> Option<Self> {
        Definition::named(name).map(Self::Definition)
    }

    /// Reads a schema in the form of OpenAPI v3 with Kubernetes' extensions.
    ///
    /// # Errors
    /// When the text is no such schema.
    pub fn from_open_api(text: &str) -> Result<Self, ReadError> {
        read::read(text)
    }

    /// What it is, definitions followed.
    pub fn shape(&self) -> Shape<'_> {
        match self {
            Self::Definition(definition) => definition.schema().shape(),
            Self::Object(object) => Shape::Object(object),
            Self::List(list) => Shape::List(list),
            Self::Scalar(scalar) => Shape::Scalar(*scalar),
            Self::Any => Shape::Any,
        }
    }

    /// The field `name` of an object.
    pub fn field(&self, name: &str) -> Option<&Field> {
        match self.shape() {
            Shape::Object(object) => object.field(name),
            _ => None,
        }
    }

    /// The shape of what stands under `key`: of a known field, of an entry, or anything.
    pub fn below(&self, key: &str) -> &Schema {
        match self.shape() {
            Shape::Object(object) => object.below(key),
            _ => &Schema::Any,
        }
    }
}

impl ObjectSchema {
    pub(super) fn new(mut fields: Vec<Field>, rest: Rest, atomic: bool) -> Self {
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        Self { fields: fields.into(), rest, atomic }
    }

    /// The known fields, by name.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The known field `name`.
    pub fn field(&self, name: &str) -> Option<&Field> {
        let place = self.fields.binary_search_by(|field| (*field.name).cmp(name)).ok()?;
        self.fields.get(place)
    }

    /// The shape of what stands under `key`.
    pub fn below(&self, key: &str) -> &Schema {
        match (self.field(key), &self.rest) {
            (Some(field), _) => &field.schema,
            (None, Rest::Entries(schema)) => schema,
            (None, _) => &Schema::Any,
        }
    }
}
