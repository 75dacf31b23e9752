//! Lines on their way out, block by block.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::line::Lines;
use crate::query::Query;
use crate::run::Run;
use crate::search::RunCursor;

/// The lines of many runs, block by block: those of one run in order, the runs in turn. One block is in memory at a time.
#[derive(Debug, Default)]
pub struct Passage {
    cursors: VecDeque<RunCursor>,
    begun: Option<(Arc<Run>, Lines)>,
}

impl Passage {
    pub(crate) fn new(cursors: VecDeque<RunCursor>) -> Self {
        Self { cursors, begun: None }
    }

    /// The next block. Those that are damaged are left out: their lines are missing among the sequences.
    pub(crate) fn next_block(&mut self) -> io::Result<Option<(Arc<Run>, Lines)>> {
        if let Some(begun) = self.begun.take() {
            return Ok(Some(begun));
        }
        while let Some(mut cursor) = self.cursors.pop_front() {
            match cursor.next_block(&Query::default(), |_| true) {
                Ok(Some(lines)) => {
                    let run = cursor.run().clone();
                    self.cursors.push_back(cursor);
                    return Ok(Some((run, lines)));
                }
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidData => self.cursors.push_front(cursor),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Gives a block back of which not all was taken.
    pub(crate) fn put_back(&mut self, run: Arc<Run>, lines: Lines) {
        self.begun = Some((run, lines));
    }

    /// Whether everything was read.
    pub fn is_at_end(&self) -> bool {
        self.begun.is_none() && self.cursors.is_empty()
    }
}
