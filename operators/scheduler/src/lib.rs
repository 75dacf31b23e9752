//! The scheduler operator.
