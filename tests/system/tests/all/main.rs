//! The whole system from outside: the binary, kubectl, Docker.

mod access;
mod bad_input;
mod clients;
mod conformance;
mod crashes;
mod custom;
mod database;
mod directory;
mod join;
mod kinds;
mod kube_rs;
mod kubectl;
mod kubectl_table;
mod log_outputs;
mod plugin_databases;
mod plugin_effects;
mod plugins;
mod quiet;
mod services;
mod several_nodes;
mod simulated;
mod tour;
mod traffic;
mod webhooks;
mod why;
mod workloads;
