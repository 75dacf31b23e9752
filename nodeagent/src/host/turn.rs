//! One turn of a host: what is to be done is done until nothing more happens at once, then what there is to tell is told.

use jiff::Timestamp;

use super::{Effect, Host, Message};

/// Rounds of steps and immediate outcomes before other messages get their turn.
const ROUNDS_AT_ONCE: usize = 64;

/// Carries out what a host wants done.
pub trait Hands {
    /// Carries out an effect; the answer, where there is one at once. Any other comes as a message later.
    fn carry_out(&mut self, effect: Effect) -> Option<Message>;
}

impl Host {
    /// Takes messages in, steps until nothing more happens at once, then sends what there is to tell.
    pub fn turn(
        &mut self,
        messages: impl IntoIterator<Item = Message>,
        clock: impl Fn() -> Timestamp,
        hands: &mut dyn Hands,
    ) {
        let moment = clock();
        let mut effects: Vec<Effect> = Vec::new();
        for message in messages {
            effects.extend(self.receive(message, moment));
        }
        for _ in 0..ROUNDS_AT_ONCE {
            effects.extend(self.advance(clock()));
            if effects.is_empty() {
                break;
            }
            let answers: Vec<Message> = effects.drain(..).filter_map(|effect| hands.carry_out(effect)).collect();
            for answer in answers {
                effects.extend(self.receive(answer, clock()));
            }
        }
        for effect in self.posts(clock()) {
            hands.carry_out(effect);
        }
    }
}
