//! The published definitions: one text, an index over it, and what was read of it so far.

use std::sync::OnceLock;

use super::{Schema, read};

include!(concat!(env!("OUT_DIR"), "/definitions.rs"));

static TEXT: &str = include_str!(concat!(env!("OUT_DIR"), "/definitions.json"));
static READ: [OnceLock<Schema>; COUNT] = [const { OnceLock::new() }; COUNT];

/// Where a definition stands in the text: `(start, end)` of each part.
pub(super) struct Row {
    name: (u32, u32),
    text: (u32, u32),
    references: (u32, u32),
}

/// A published definition, by its place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Definition(u16);

impl Definition {
    /// The definition `name`, such as `io.k8s.api.core.v1.Pod`.
    pub fn named(name: &str) -> Option<Self> {
        let place = ROWS.binary_search_by(|row| slice(row.name).cmp(name)).ok()?;
        u16::try_from(place).ok().map(Self)
    }

    /// All definitions, by name.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..COUNT).filter_map(|place| u16::try_from(place).ok().map(Self))
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        slice(self.row().name)
    }

    /// Its text with descriptions, a JSON object in the form of OpenAPI v3.
    pub fn text(self) -> &'static str {
        slice(self.row().text)
    }

    /// The definitions it refers to.
    pub(super) fn references(self) -> impl Iterator<Item = Self> {
        let (start, end) = self.row().references;
        REFERENCES.get(start as usize..end as usize).unwrap_or_default().iter().copied().map(Self)
    }

    /// What it says; read on first use and kept.
    pub fn schema(self) -> &'static Schema {
        let read = READ.get(usize::from(self.0)).expect("a definition is one of those published");
        read.get_or_init(|| {
            let schema = read::read(self.text());
            schema.unwrap_or_else(|error| panic!("the published definition {} is damaged: {error}", self.name()))
        })
    }

    fn row(self) -> &'static Row {
        ROWS.get(usize::from(self.0)).expect("a definition is one of those published")
    }
}

impl std::fmt::Debug for Definition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A hash of all published definitions.
pub(super) const fn hash() -> u64 {
    HASH
}

fn slice((start, end): (u32, u32)) -> &'static str {
    TEXT.get(start as usize..end as usize).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Shape;

    #[test]
    fn every_published_definition_is_found_by_its_name_and_can_be_read() {
        for definition in Definition::all() {
            assert_eq!(Definition::named(definition.name()), Some(definition));
            definition.schema().shape();
        }
        assert!(Definition::named("io.k8s.api.core.v1.Nothing").is_none());
    }

    #[test]
    fn a_definition_knows_what_it_refers_to() {
        let pod = Definition::named("io.k8s.api.core.v1.Pod").unwrap();
        let names: Vec<_> = pod.references().map(Definition::name).collect();
        assert_eq!(
            names,
            [
                "io.k8s.api.core.v1.PodSpec",
                "io.k8s.api.core.v1.PodStatus",
                "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
            ]
        );
    }

    #[test]
    fn sampans_own_types_are_published_beside_those_of_kubernetes() {
        let file = Schema::named("dev.sampan.v1.ManifestFile").unwrap();
        assert!(matches!(file.below("status").below("problems").shape(), Shape::List(_)));
    }
}
