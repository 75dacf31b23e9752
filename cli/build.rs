//! Asks the linker for relative relocations in their short form: they are 2 MB of the program otherwise, read at every start.

use std::env::var;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
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
