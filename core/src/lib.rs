//! The framework: store, gateway, operators, manifests. No HTTP, no Docker.
