//! The `relay` binary.

use clap::Parser;
use relay_cli::command_line::CommandLine;
use std::process::ExitCode;

/// A broker allocates and frees small things all day, on many threads: see `docs/performance.md` for what this saves.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match CommandLine::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit_code()
        }
    }
}
