//! The walls between crates and the rules of the house, held by tests.
