//! `sampan`: the binary that carries Sampan's own operators and no others.

/// Half of what requests and steps cost is memory taken and given back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    sampan::Daemon::builder().run()
}
