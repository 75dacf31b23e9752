//! Cuts the published schemas into one text and an index over it, so that nothing is parsed before it is asked for; and tells by a
//! digest of the source how objects are read into what they are found by.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

const SOURCES: [&str; 3] = ["kubernetes-1.35.json.gz", "metrics-v1beta1.json", "sampan-v1.json"];
/// The source that says what objects are found by, and counted by.
const INDEXING: [&str; 2] = ["src/object", "src/resource"];
const REFERENCE: &str = "\"#/components/schemas/";

type Definitions = BTreeMap<String, Box<RawValue>>;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let mut definitions = Definitions::new();
    for source in SOURCES {
        let path = Path::new("schema").join(source);
        println!("cargo::rerun-if-changed={}", path.display());
        definitions.extend(read(&path));
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let (text, index) = cut(&definitions);
    std::fs::write(out.join("definitions.json"), text).expect("OUT_DIR is writable");
    std::fs::write(out.join("definitions.rs"), index).expect("OUT_DIR is writable");
    println!("cargo::rustc-env=SAMPAN_INDEXING={:016x}", indexing());
}

fn indexing() -> u64 {
    let mut files = Vec::new();
    for folder in INDEXING {
        println!("cargo::rerun-if-changed={folder}");
        list(Path::new(folder), &mut files);
    }
    files.sort();
    let read = |path: &PathBuf| std::fs::read(path).expect("the source can be read");
    fnv(&files.iter().flat_map(read).collect::<Vec<u8>>())
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder is part of the source") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            list(&path, files);
        } else {
            files.push(path);
        }
    }
}

fn read(path: &Path) -> Definitions {
    let bytes = std::fs::read(path).expect("the schema file is part of the source");
    let mut text = String::new();
    if path.extension().is_some_and(|extension| extension == "gz") {
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).expect("the schema file is gzip");
    } else {
        let value: serde_json::Value = serde_json::from_slice(&bytes).expect("the schema file is JSON");
        text = value.to_string();
    }
    serde_json::from_str(&text).expect("the schema file is an object of definitions")
}

/// The definitions as one JSON object, and a Rust table of where each stands in it and what it refers to. The table holds
/// offsets, not string slices: pointers would be relocated at start, which costs private memory.
fn cut(definitions: &Definitions) -> (String, String) {
    let names: Vec<&str> = definitions.keys().map(String::as_str).collect();
    let (mut text, mut rows, mut references) = (String::from("{"), String::new(), Vec::new());
    for (name, definition) in definitions {
        text.push_str(if text.len() == 1 { "\"" } else { ",\"" });
        let name_at = text.len();
        write!(text, "{name}\":").expect("writing to a string");
        let at = text.len();
        text.push_str(definition.get());
        let first = references.len();
        references.extend(referred(definition.get(), &names));
        writeln!(
            rows,
            "    Row {{ name: ({name_at}, {}), text: ({at}, {}), references: ({first}, {}) }},",
            name_at + name.len(),
            text.len(),
            references.len()
        )
        .expect("writing to a string");
    }
    text.push('}');
    let index = format!(
        "/// How many definitions there are.\npub(super) const COUNT: usize = {};\n\
         /// The definitions by name.\n#[allow(clippy::unreadable_literal)]\npub(super) static ROWS: [Row; COUNT] = [\n{rows}];\n\
         /// What definitions refer to, by place in `ROWS`.\n#[allow(clippy::unreadable_literal)]\npub(super) static REFERENCES: [u16; {}] = {references:?};\n\
         /// A hash of all definitions.\n#[allow(clippy::unreadable_literal)]\npub(super) const HASH: u64 = {};\n",
        names.len(),
        references.len(),
        fnv(text.as_bytes()),
    );
    (text, index)
}

fn referred(definition: &str, names: &[&str]) -> Vec<u16> {
    let mut found: Vec<u16> = definition
        .split(REFERENCE)
        .skip(1)
        .map(|rest| {
            let name = rest.split('"').next().unwrap_or_default();
            let place = names.binary_search(&name).unwrap_or_else(|_| panic!("{name} is referred to and not defined"));
            u16::try_from(place).expect("fewer than 65536 definitions")
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
