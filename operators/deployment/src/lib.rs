//! The deployment operator.

mod plan;
