//! Benchmarks, each a command that prints figures.
