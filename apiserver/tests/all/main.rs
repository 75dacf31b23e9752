//! The API over real connections, on a store in memory.

mod discovery;
mod hostile;
mod nodes;
mod objects;
mod secure;
mod watches;
mod world;
