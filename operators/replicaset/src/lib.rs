//! The replicaset operator.

pub mod resource;
