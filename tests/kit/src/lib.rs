//! Conformance suites for operators, as a library.
