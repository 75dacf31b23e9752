//! Rust text without what is not code, so that a rule about code does not trip over a comment.

/// The code of a file line by line: comments and the insides of literals blanked, and everything from the trailing
/// test module on left out. Line numbers stay.
pub fn code_lines(text: &str) -> Vec<String> {
    let blanked = blank(text);
    let end = blanked.find("#[cfg(test)]\nmod ").unwrap_or(blanked.len());
    blanked.get(..end).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Whether `line` holds `word` as a whole path segment: `fjall::` in `use fjall::Database`, not in `my_fjall::x`
/// and not in `other::fjall::y`.
pub fn imports(line: &str, krate: &str) -> bool {
    let names_it = |needle: &str| {
        line.match_indices(needle).any(|(at, _)| {
            let before = line.get(..at).and_then(|head| head.chars().next_back());
            !before.is_some_and(|before| before.is_alphanumeric() || matches!(before, '_' | ':' | '.'))
        })
    };
    names_it(&format!("{krate}::")) || names_it(&format!("use {krate};")) || names_it(&format!("use {krate} as"))
}

/// Whether `line` calls or names `needle`, which may be a path (`Instant::now`), as whole identifiers.
pub fn mentions(line: &str, needle: &str) -> bool {
    line.match_indices(needle).any(|(at, found)| {
        let before = line.get(..at).and_then(|head| head.chars().next_back());
        let after = line.get(at + found.len()..).and_then(|tail| tail.chars().next());
        !is_word(before) && (needle.ends_with(|last: char| !is_word(Some(last))) || !is_word(after))
    })
}

fn is_word(character: Option<char>) -> bool {
    character.is_some_and(|character| character.is_alphanumeric() || character == '_')
}

/// Where the scanner stands.
enum Inside {
    Code,
    Line,
    Block(usize),
    Text,
    RawText(usize),
}

/// Replaces comments and literals by spaces, keeping line breaks.
fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut inside = Inside::Code;
    while let Some(next) = rest.chars().next() {
        let mut taken = next.len_utf8();
        let mut keep = false;
        inside = match inside {
            Inside::Code => {
                if let Some((state, length)) = opening(rest, &out) {
                    taken = length;
                    state
                } else {
                    keep = true;
                    Inside::Code
                }
            }
            Inside::Line if next == '\n' => Inside::Code,
            Inside::Block(depth) if rest.starts_with("*/") => {
                taken = 2;
                if depth == 1 { Inside::Code } else { Inside::Block(depth - 1) }
            }
            Inside::Block(depth) if rest.starts_with("/*") => {
                taken = 2;
                Inside::Block(depth + 1)
            }
            Inside::Text if next == '\\' => {
                taken += rest.chars().nth(1).map_or(0, char::len_utf8);
                Inside::Text
            }
            Inside::Text if next == '"' => Inside::Code,
            Inside::RawText(hashes) if next == '"' && closes_raw(rest, hashes) => {
                taken += hashes;
                Inside::Code
            }
            other => other,
        };
        let (piece, tail) = rest.split_at(taken.min(rest.len()));
        out.extend(piece.chars().map(|character| if keep || character == '\n' { character } else { ' ' }));
        rest = tail;
    }
    out
}

/// What starts at `rest` while in code, and how many bytes open it. Character literals are taken whole.
fn opening(rest: &str, before: &str) -> Option<(Inside, usize)> {
    if rest.starts_with("//") {
        return Some((Inside::Line, 2));
    }
    if rest.starts_with("/*") {
        return Some((Inside::Block(1), 2));
    }
    if rest.starts_with('"') {
        return Some((Inside::Text, 1));
    }
    if rest.starts_with('r') && !is_word(before.chars().next_back()) {
        let hashes = rest.bytes().skip(1).take_while(|byte| *byte == b'#').count();
        if rest.as_bytes().get(1 + hashes) == Some(&b'"') {
            return Some((Inside::RawText(hashes), 2 + hashes));
        }
    }
    char_literal(rest).map(|length| (Inside::Code, length))
}

/// The length of a character literal such as `'"'` or `'\''`; lifetimes are none.
fn char_literal(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix('\'')?;
    let first = body.chars().next()?;
    if first == '\\' {
        let close = body.get(2..)?.find('\'')?;
        return Some(close + 4);
    }
    body.get(first.len_utf8()..)?.starts_with('\'').then(|| first.len_utf8() + 2)
}

fn closes_raw(rest: &str, hashes: usize) -> bool {
    rest.bytes().skip(1).take(hashes).filter(|byte| *byte == b'#').count() == hashes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_not_code() {
        let text = "let a = \"spawn(\"; // spawn(\n/* spawn( /* */ */ let q = '\"'; let r = r#\"sleep(\"#; sleep(1);\n";
        let lines = code_lines(text);
        assert!(!mentions(&lines[0], "spawn"), "{}", lines[0]);
        assert!(lines[0].starts_with("let a ="));
        assert!(!mentions(&lines[1], "spawn"));
        assert!(mentions(&lines[1], "sleep("), "code after a raw literal is still code: {}", lines[1]);
    }

    #[test]
    fn the_trailing_test_module_is_left_out() {
        let lines = code_lines("fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { spawn() }\n}\n");
        assert_eq!(lines, ["fn a() {}"]);
    }

    #[test]
    fn names_are_matched_whole() {
        assert!(mentions("std::thread::sleep(d)", "sleep("));
        assert!(!mentions("self.oversleep(d)", "sleep("));
        assert!(!mentions("Instant::nowhere", "Instant::now"));
        assert!(imports("use fjall::Database;", "fjall"));
        assert!(!imports("use our::fjall::Backend;", "fjall"));
        assert!(!imports("let my_fjall::x", "fjall"));
    }

    #[test]
    fn lifetimes_are_not_character_literals() {
        let lines = code_lines("fn a<'a>(x: &'a str) { spawn(x) }\n");
        assert!(mentions(&lines[0], "spawn("));
    }
}
