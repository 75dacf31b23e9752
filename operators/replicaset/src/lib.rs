//! The replicaset operator.
