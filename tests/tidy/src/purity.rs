//! Code that a simulation must repeat holds no clock, thread, sleep, entropy or unordered iteration.
//!
//! The core, the operators and the pod machine are advanced by calls; the clock and the entropy are arguments. Where
//! a thin shell around them owns a thread or reads the clock, `allowed.txt` names the file and says why.

use crate::Finding;
use crate::source::{code_lines, mentions};
use crate::tree::Tree;

/// What pure code must not name, and what to do instead.
const FORBIDDEN: [(&str, &str); 13] = [
    ("Instant::now", "take `now` as an argument"),
    ("SystemTime::now", "take `now` as an argument"),
    ("Timestamp::now", "take `now` as an argument"),
    ("Zoned::now", "take `now` as an argument"),
    ("spawn(", "threads and tasks live in the thin shells"),
    ("sleep(", "return when to be called again"),
    ("interval(", "return when to be called again"),
    ("rand::", "take randomness as an argument"),
    ("getrandom", "take randomness as an argument"),
    ("thread_rng", "take randomness as an argument"),
    ("Uuid::new_v4", "take the identity as an argument"),
    ("RandomState", "use an ordered map, or hash with fixed keys"),
    ("tokio::", "the shells own the runtime"),
];

/// What walks over a collection.
const WALKS: [&str; 9] = [
    ".iter()",
    ".iter_mut()",
    ".into_iter()",
    ".keys()",
    ".values()",
    ".values_mut()",
    ".drain(",
    ".into_keys()",
    ".into_values()",
];

/// Every impure line in code that must be pure.
pub fn check(tree: &Tree) -> Vec<Finding> {
    tree.rust_files().filter(|(path, _)| is_pure(path)).flat_map(|(path, text)| check_file(path, text)).collect()
}

/// The files under the rule: the core, the operators and every machine; their tests are free.
fn is_pure(path: &str) -> bool {
    let sources = path.starts_with("core/") || path.starts_with("operators/") || path.ends_with("/machine.rs");
    sources && path.contains("/src/") && !path.contains("/tests/") && !path.ends_with("/tests.rs")
}

fn check_file(path: &str, text: &str) -> Vec<Finding> {
    let lines = code_lines(text);
    let unordered = unordered_names(&lines);
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        for (name, instead) in FORBIDDEN.iter().filter(|(name, _)| mentions(line, name)) {
            found.push(Finding::line("purity", path, index + 1, format!("`{name}` in pure code: {instead}")));
        }
        for name in unordered.iter().filter(|name| walks_over(line, name)) {
            let message = format!("the order of `{name}` differs from run to run: use a BTreeMap, or sort");
            found.push(Finding::line("purity", path, index + 1, message));
        }
    }
    found
}

/// Fields and variables the file declares as `HashMap` or `HashSet`.
fn unordered_names(lines: &[String]) -> Vec<String> {
    let mut names = Vec::new();
    for line in lines {
        for at in ["HashMap", "HashSet"].iter().flat_map(|kind| line.match_indices(kind)).map(|(at, _)| at) {
            let head = line.get(..at).unwrap_or_default();
            let declared = head.rsplit_once(": ").or_else(|| head.rsplit_once(" = ")).map(|(name, _)| name);
            let name = declared.unwrap_or_default().rsplit(|c: char| !(c.is_alphanumeric() || c == '_')).next();
            names.extend(name.filter(|name| !name.is_empty()).map(str::to_owned));
        }
    }
    names.sort();
    names.dedup();
    names
}

fn walks_over(line: &str, name: &str) -> bool {
    let called = WALKS.iter().any(|walk| mentions(line, &format!("{name}{walk}")));
    let looped = line.split_once(" in ").is_some_and(|(head, tail)| {
        let target = tail.trim_start_matches(['&', ' ']).trim_start_matches("mut ").trim_start_matches("self.");
        let target = target.split([' ', '{']).next().unwrap_or_default();
        head.trim_start().starts_with("for ") && target == name
    });
    called || looped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<usize> {
        check(&Tree::of(&[(path, text)])).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn clocks_threads_and_entropy_are_refused_in_pure_code() {
        for (name, _) in FORBIDDEN {
            let call = if name.ends_with(['(', ':']) { name.to_owned() } else { format!("{name}()") };
            let text = format!("fn step() {{\n    let x = {call};\n}}\n");
            assert_eq!(found("operators/replicaset/src/plan.rs", &text), [2], "{name}");
        }
    }

    #[test]
    fn shells_outside_the_core_and_tests_are_free() {
        let text = "fn a() {\n    std::thread::spawn(run);\n}\n";
        assert_eq!(found("cli/src/main.rs", text), Vec::<usize>::new());
        assert_eq!(found("core/src/store/tests.rs", text), Vec::<usize>::new());
        assert_eq!(found("core/src/store/log.rs", text), [2]);
        assert_eq!(found("nodeagent/src/pod/machine.rs", text), [2]);
    }

    #[test]
    fn walking_over_a_hash_map_is_refused_and_looking_up_is_not() {
        let text = "struct A {\n    keys: HashMap<K, V>,\n}\nfn a(&self) {\n    self.keys.get(&k);\n    for (k, v) in &self.keys {\n    }\n    self.keys.values().sum();\n    let mut seen = HashSet::new();\n    for x in seen {}\n}\n";
        assert_eq!(found("core/src/store/index.rs", text), [6, 8, 10]);
    }

    #[test]
    fn walking_over_an_ordered_map_is_fine() {
        let text = "struct A {\n    keys: BTreeMap<K, V>,\n}\nfn a(&self) {\n    for k in self.keys.keys() {}\n}\n";
        assert_eq!(found("core/src/store/index.rs", text), Vec::<usize>::new());
    }
}
