//! `sampan`: the binary that carries Sampan's own operators and no others.

fn main() -> std::process::ExitCode {
    sampan::Daemon::builder().run()
}
