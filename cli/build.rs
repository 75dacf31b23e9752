//! Asks the linker for a smaller program: relative relocations in their short form, which are 2 MB otherwise, read at every
//! start; and, where it is optimised, functions of the same code kept once, which are 4 % of it.

use std::env::{var, var_os};
use std::io::Write as _;
use std::process::{Command, Stdio};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if var("PROFILE").as_deref() == Ok("release") && linker_folds_functions() {
        println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
    }
    let is_for_here = var("TARGET") == var("HOST") && var("CARGO_CFG_TARGET_ENV").as_deref() == Ok("gnu");
    if is_for_here && libc_reads_them() {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// Whether this machine's C library knows that form: glibc does since 2.36, and refuses to start such a program before.
fn libc_reads_them() -> bool {
    let told = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let told = told.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let minor = told.trim().strip_prefix("glibc 2.").and_then(|minor| minor.parse::<u32>().ok());
    minor.is_some_and(|minor| minor >= 36)
}

/// Whether the linker knows how, which not all do: an empty program tells. What is given up is that functions of the same code have
/// addresses of their own, which Rust promises nobody, and that a backtrace names the right one of them.
fn linker_folds_functions() -> bool {
    let mut rustc = Command::new(var_os("RUSTC").expect("cargo names the compiler"));
    let folder = var_os("OUT_DIR").expect("cargo gives a folder");
    rustc
        .args(["-", "--crate-name=probe", "-Clink-arg=-Wl,--icf=all", "--target"])
        .arg(var_os("TARGET").expect("cargo names the target"));
    rustc.args(var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default().split('\x1f').filter(|flag| !flag.is_empty()));
    rustc.args(var("RUSTC_LINKER").map(|linker| format!("-Clinker={linker}")));
    let rustc = rustc.arg("--out-dir").arg(folder).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut probe) = rustc.spawn() else { return false };
    let told = probe.stdin.take().is_some_and(|mut source| source.write_all(b"fn main() {}").is_ok());
    probe.wait().is_ok_and(|status| told && status.success())
}
