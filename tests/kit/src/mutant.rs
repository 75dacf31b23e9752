//! Operators that must not get through.

use sampan_core::operator::{Command, Context, Declaration, Operator, Wake};
use sampan_machine::Chart;

/// An operator whose commands are spoiled on their way out.
#[derive(Clone)]
pub struct Mutant<O> {
    operator: O,
    spoil: fn(&mut Vec<Command>),
}

impl<O> Mutant<O> {
    /// The operator, with its commands spoiled.
    pub fn of(operator: O, spoil: fn(&mut Vec<Command>)) -> Self {
        Self { operator, spoil }
    }
}

impl<O: Operator> Operator for Mutant<O> {
    type Machine = O::Machine;

    fn chart(&self) -> &'static Chart {
        self.operator.chart()
    }

    fn machine(&self) -> O::Machine {
        self.operator.machine()
    }

    fn declaration(&self) -> Declaration {
        self.operator.declaration()
    }

    fn step(&self, machine: &mut O::Machine, wake: &Wake, cx: &mut Context<'_>) {
        self.operator.step(machine, wake, cx);
        (self.spoil)(cx.commands());
    }
}
