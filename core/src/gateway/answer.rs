//! Questions: a create that is answered, and of which nothing is kept.

use std::sync::Arc;

use super::preparation::Preparation;
use super::{Action, Answer, Prepared, Subresource};
use crate::resource::{AnswerContext, Question};
use crate::status::Status;

impl Preparation<'_> {
    /// What is answered at the place of the path; `None` where objects are kept there.
    pub(super) fn question(&self) -> Option<Arc<dyn Question>> {
        let name = match self.mutation.target.subresource {
            Subresource::Whole => "",
            Subresource::Named(name) => name,
            Subresource::Status | Subresource::Scale => return None,
        };
        self.definition.question(name).cloned()
    }

    pub(super) fn answer(mut self, action: &Action) -> Result<Prepared, Status> {
        let (Some(question), Action::Create(body)) = (self.question(), action) else {
            return Err(Status::method_not_allowed());
        };
        let is_part = self.mutation.target.subresource != Subresource::Whole;
        let of = if is_part { Some(self.existing()?) } else { None };
        let mut asked = if is_part { self.decode_spoken(body)? } else { self.decode(body)? };
        let strategy = self.definition.strategy.clone();
        if !is_part {
            strategy.default(&mut asked);
            self.refuse_faults("", strategy.validate(&asked))?;
        }
        let mut cx = AnswerContext {
            identity: &self.mutation.identity,
            namespace: self.mutation.target.namespace.as_deref(),
            now: self.now,
            snapshot: self.snapshot,
            authorizer: self.gateway.authorizer(),
            tokens: self.gateway.tokens(),
            entropy: &mut *self.entropy,
        };
        question.answer(&mut asked, of.map(|object| &**object), &mut cx)?;
        Ok(self.answered(Answer::Preview(Box::new(asked))))
    }
}
