//! The deployment operator.

mod plan;
pub mod resource;
