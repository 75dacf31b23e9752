//! The node: pods on Docker, probes, logs, volumes.
