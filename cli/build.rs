//! Asks the linker for a smaller program: relative relocations in their short form, which are 2 MB otherwise, read at every
//! start; and, where it is optimised, functions of the same code kept once, which are 4 % of it.

use std::env::{var, var_os};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if var("PROFILE").as_deref() == Ok("release") && links_with_lld() {
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

/// Whether the linker is the one that comes with Rust here, as it does for this target alone: others may not know what is asked.
fn links_with_lld() -> bool {
    let is_chosen =
        var_os("RUSTC_LINKER").is_some() || var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| flags.contains("link"));
    var("TARGET").as_deref() == Ok("x86_64-unknown-linux-gnu") && !is_chosen
}
