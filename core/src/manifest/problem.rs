//! What is wrong with a file, as its author wants to be told.

use std::fmt::{self, Write as _};

use super::position::Position;

/// Lines shown before the faulty one.
const CONTEXT_LINES: u32 = 2;
/// The longest line shown whole, in characters: a wider one is cut.
const LINE_WIDTH_MAX: usize = 160;

/// Something wrong with a file, at a place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub at: Position,
    /// What, and what to do about it.
    pub message: String,
    /// The object at fault, such as `Deployment default/web`; empty where the file as a whole is at fault.
    pub object: String,
    /// The path of the field at fault; empty where it is none.
    pub field: String,
    /// The lines around the place, with a mark under it; empty where the file cannot be shown.
    pub snippet: String,
}

impl Problem {
    /// A problem of the file as a whole, or of a part that is no object yet.
    pub fn new(at: Position, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), object: String::new(), field: String::new(), snippet: String::new() }
    }

    /// About this object.
    pub fn of(mut self, object: impl Into<String>) -> Self {
        self.object = object.into();
        self
    }

    /// With this field at fault.
    pub fn in_field(mut self, field: impl Into<String>) -> Self {
        self.field = field.into();
        self
    }

    /// With the lines of `text` around the place.
    pub fn shown_in(mut self, text: &str) -> Self {
        self.snippet = snippet(text, self.at);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.at, self.message)?;
        if !self.snippet.is_empty() {
            write!(formatter, "\n{}", self.snippet)?;
        }
        Ok(())
    }
}

/// The faulty line with the lines before it, numbered, and a caret under the column.
pub(super) fn snippet(text: &str, at: Position) -> String {
    let first = at.line.saturating_sub(CONTEXT_LINES).max(1);
    let width = at.line.to_string().len();
    let mut shown = String::new();
    let wanted = text.lines().zip(1_u32..).skip(first as usize - 1).take((at.line - first) as usize + 1);
    for (line, number) in wanted {
        let cut: String = line.chars().take(LINE_WIDTH_MAX).map(|c| if c == '\t' { ' ' } else { c }).collect();
        shown.push_str(format!("{number:>width$} | {cut}").trim_end());
        shown.push('\n');
    }
    let column = (at.column as usize).min(LINE_WIDTH_MAX + 1);
    let _ = write!(shown, "{:>width$} | {:>column$}", "", "^");
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_fault() {
        let text = "kind: Pod\nspec:\n  replicas: two\n  more: x\n";
        let shown = snippet(text, Position { line: 3, column: 13 });
        assert_eq!(shown, "1 | kind: Pod\n2 | spec:\n3 |   replicas: two\n  |             ^");
    }

    #[test]
    fn a_place_past_the_end_is_shown_without_harm() {
        let shown = snippet("a: b\n", Position { line: 9, column: 1 });
        assert!(shown.ends_with('^'), "{shown}");
    }
}
