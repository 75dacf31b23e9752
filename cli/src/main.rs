//! Kubernetes manifests, run from one binary and a directory.

fn main() {}
