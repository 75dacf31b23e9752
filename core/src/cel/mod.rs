//! The Common Expression Language, as Kubernetes speaks it: rules of custom resources, and whatever else clients write
//! expressions in.
//!
//! A [`Program`] is compiled once and run on named [`Variables`] within a [`Budget`]. The parser is the crate `cel`'s. Its
//! interpreter is not used: it cannot be stopped, and rules are users' input that runs while a write waits. Here every step
//! costs, by what it takes in time and memory, and a program whose budget is spent ends. The same program on the same values
//! costs the same everywhere.
//!
//! # Caveats
//! Expressions are checked when compiled for names and functions that are not there, and for fields their schema does not
//! have; a type that does not fit is found when it is met. The functions of Kubernetes are there but for `format.named`,
//! `semver` and comprehensions of two variables.

mod check;
mod evaluate;
mod functions;
mod made;
mod operators;
#[cfg(test)]
mod tests;
mod typing;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cel::parser::{Expression, Parser};

pub use functions::authorizer::{Authority, Authorizer, Check, Decision, Resource, What, Who};
pub use made::{Made, MadeType};
pub use typing::{Typing, TypingKind};
pub use value::{Key, Text, Value};

/// How deep an expression may nest: it is walked on the stack.
const DEPTH_MAX: u16 = 64;
/// How long an expression may be, as in Kubernetes.
const SOURCE_BYTES_MAX: usize = 1 << 16;
/// What one expression may cost, as in Kubernetes.
pub const COST_MAX: u64 = 1_000_000;
/// What all expressions on one object may cost together, as in Kubernetes.
pub const COST_PER_OBJECT_MAX: u64 = 10_000_000;

/// An expression, ready to run.
#[derive(Debug)]
pub struct Program {
    expression: Expression,
}

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CompileError(String);

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// It took too long.
    #[error("the expression costs more than it may: it is stopped")]
    Cost,
    /// Something in it does not work out.
    #[error("{0}")]
    Failed(String),
}

impl EvalError {
    fn failed(why: impl Into<String>) -> Self {
        Self::Failed(why.into())
    }

    fn no_such_overload() -> Self {
        Self::failed("no such overload")
    }
}

/// What expressions may still cost.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    left: u64,
}

impl Budget {
    /// A budget of that much.
    pub fn new(cost: u64) -> Self {
        Self { left: cost }
    }

    /// What is left.
    pub fn left(self) -> u64 {
        self.left
    }

    fn spend(&mut self, cost: u64) -> Result<(), EvalError> {
        self.left = self.left.checked_sub(cost).ok_or(EvalError::Cost)?;
        Ok(())
    }
}

/// Under which expressions find values that other expressions came to.
pub const COMPOSED: &str = "variables";

/// The named values an expression looks at.
#[derive(Debug, Default, Clone)]
pub struct Variables<'a> {
    named: Vec<(&'a str, Value<'a>)>,
    composed: Composed<'a>,
}

/// What other expressions came to: a fault is one only to who looks at it.
type Composed<'a> = Arc<BTreeMap<&'a str, Result<Value<'a>, EvalError>>>;

impl<'a> Variables<'a> {
    /// With a further one.
    #[must_use]
    pub fn with(mut self, name: &'a str, value: Value<'a>) -> Self {
        self.named.push((name, value));
        self
    }

    /// With what another expression came to, found under [`COMPOSED`].
    #[must_use]
    pub fn composed(mut self, name: &'a str, value: Result<Value<'a>, EvalError>) -> Self {
        Arc::make_mut(&mut self.composed).insert(name, value);
        self
    }

    /// Whether it is known what the other expression of that name came to.
    pub fn is_composed(&self, name: &str) -> bool {
        self.composed.contains_key(name)
    }
}

impl Program {
    /// Compiles an expression over these variables, of these types where they are known.
    ///
    /// # Errors
    /// Why it is none.
    pub fn compile(source: &str, variables: &[(&str, Option<&Typing>)]) -> Result<Self, CompileError> {
        Self::compile_making(source, variables, &[])
    }

    /// Compiles an expression that may make values of these types.
    ///
    /// # Errors
    /// Why it is none.
    pub fn compile_making(
        source: &str,
        variables: &[(&str, Option<&Typing>)],
        types: &[MadeType],
    ) -> Result<Self, CompileError> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(CompileError(format!("an expression may have at most {SOURCE_BYTES_MAX} bytes")));
        }
        let parser = Parser::new().max_recursion_depth(DEPTH_MAX).enable_optional_syntax(true);
        // The parser's errors run over several lines and point at places; a message has one line.
        let parsed = parser.parse(source);
        let expression = parsed.map_err(|errors| CompileError(errors.to_string().replace('\n', " ")))?;
        check::check(&expression, variables, types).map_err(CompileError)?;
        Ok(Self { expression })
    }

    /// Whether it looks at a variable.
    pub fn looks_at(&self, variable: &str) -> bool {
        self.expression.references().has_variable(variable)
    }

    /// The other expressions it looks at, by the names they have under [`COMPOSED`].
    pub fn composed_of(&self) -> BTreeSet<&str> {
        check::selected(&self.expression, COMPOSED)
    }

    /// Its value; `budget` is what it may cost and has less left afterwards.
    ///
    /// # Errors
    /// Why it has none.
    pub fn evaluate<'v>(&'v self, variables: Variables<'v>, budget: &mut Budget) -> Result<Value<'v>, EvalError> {
        let mut own = Budget::new(budget.left.min(COST_MAX));
        let before = own.left;
        let value = evaluate::evaluate(&self.expression, variables, &mut own);
        budget.left -= before - own.left;
        value
    }
}
