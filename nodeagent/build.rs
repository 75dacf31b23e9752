//! Compiles the pause binary that the node agent carries: a static program without libc, for the target's architecture.

use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=pause/pause.rs");
    println!("cargo::rerun-if-changed=build.rs");
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let output = PathBuf::from(variable("OUT_DIR")).join("pause");
    let status = Command::new(variable("RUSTC"))
        .args(["pause/pause.rs", "--edition", "2024", "--crate-type", "bin", "--target", &variable("TARGET")])
        .args(["-C", "panic=abort", "-C", "opt-level=s", "-C", "strip=symbols", "-C", "relocation-model=static"])
        .args(["-C", "link-arg=-nostdlib", "-C", "link-arg=-nostartfiles", "-C", "link-arg=-static"])
        .args(["-C", "link-arg=-Wl,--build-id=none", "-o"])
        .arg(&output)
        .status()
        .expect("rustc runs: it is compiling this crate");
    assert!(status.success(), "failed to compile nodeagent/pause/pause.rs: {status}");
}
