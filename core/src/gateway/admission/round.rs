//! One round of those who may change an object, and who of them is to see it once more.

use serde_json::Value;

/// A round of policies or webhooks, each asked in its turn.
pub(in crate::gateway) struct Round<A> {
    has_changed: bool,
    /// Who was asked and wants to see what others change.
    asked: Vec<A>,
    /// Who of them was asked before the last change.
    again: Vec<A>,
    /// The object as the round left it, where anybody wants to see what comes after.
    output: Option<Value>,
}

impl<A> Default for Round<A> {
    fn default() -> Self {
        Self { has_changed: false, asked: Vec::new(), again: Vec::new(), output: None }
    }
}

impl<A: Clone> Round<A> {
    /// Somebody was asked, and has changed the object or not; `who` names them where they want to see later changes.
    pub(super) fn heard(&mut self, who: Option<A>, has_changed: bool) {
        if has_changed {
            self.has_changed = true;
            self.again.clone_from(&self.asked);
        }
        self.asked.extend(who);
    }

    /// Nobody is left to ask.
    pub(super) fn end(mut self, object: &Value) -> Self {
        self.output = (!self.asked.is_empty()).then(|| object.clone());
        self
    }

    /// Whether anybody has changed anything.
    pub(in crate::gateway) fn has_changed(&self) -> bool {
        self.has_changed
    }

    /// Who is to be asked again about the object as it is by now: all who want to, where it was changed since the round.
    pub(super) fn again(self, object: &Value) -> Vec<A> {
        match self.output {
            Some(output) if output != *object => self.asked,
            _ => self.again,
        }
    }
}
