//! The one way in: verb → authorize → decode → default → admit → validate → strategy → commit.
//!
//! HTTP requests, manifests and operators' commands are all [`Mutation`]s. [`prepare`](Gateway::prepare) is a function of
//! the mutation and a snapshot: it yields the [`Write`](crate::store::Write) to hand to the sequencer, which may refuse it
//! if the world has moved on. It does no I/O and may run on any thread.

mod mutation;

pub use mutation::{
    Action, Body, DeleteOptions, FieldValidation, Identity, Mutation, Options, PatchKind, Prepared, Propagation,
    Subresource, Target,
};
