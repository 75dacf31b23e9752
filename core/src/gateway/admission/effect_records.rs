//! Effects are what operators do to the world: nobody else asks for them, or says what came of them.

use serde_json::Value;

use super::{Admission, AdmissionRequest, Operation, Verdict};
use crate::gateway::Unprepared;
use crate::resource::EFFECTS;
use crate::resource::read::text;
use crate::store::Origin;

/// What of a record is the operator's alone. The rest may be changed by whoever may change Effects: taking the finalizer
/// away is how an effect is given up whose operator is gone.
const OPERATORS: [&str; 3] = ["/spec", "/status", "/metadata/ownerReferences"];

/// An Effect is written by the step that asks for it and by the driver that has run it. By which of them a write is, no client
/// says: it is where the write comes from.
#[derive(Debug, Clone, Copy, Default)]
pub struct EffectRecords;

impl Admission for EffectRecords {
    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        matches!(request.operation, Operation::Create | Operation::Update)
            && request.mutation.target.resource() == EFFECTS
            && !matches!(request.mutation.origin, Origin::System { .. })
    }

    fn validate(&self, request: &AdmissionRequest<'_>, object: &Value) -> Result<Verdict, Unprepared> {
        // No operator asks in the name of another.
        if let Origin::Decision { operator, .. } = &request.mutation.origin
            && request.old.into_iter().chain([object]).all(|record| text(record, "/spec/operator") == operator)
        {
            return Ok(Verdict::default());
        }
        let changes = |old: &Value| OPERATORS.iter().any(|field| old.pointer(field) != object.pointer(field));
        match request.old {
            None => {
                Err(request.forbidden(object, "effects are asked for by operators, when they commit a step").into())
            }
            Some(old) if changes(old) => Err(request
                .forbidden(object, "what an effect does, and what came of it, is its operator's to say")
                .into()),
            Some(_) => Ok(Verdict::default()),
        }
    }
}
