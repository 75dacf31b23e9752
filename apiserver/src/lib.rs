//! The Kubernetes HTTP API over the gateway.
