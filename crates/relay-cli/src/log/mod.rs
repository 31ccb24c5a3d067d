//! `relay log`: the log as files.

mod compact;
mod verify;

use crate::failure::Failure;
use clap::{Args, Subcommand};

/// Look after the log of a data folder: the files below events/
#[derive(Args, Clone, Debug)]
pub struct LogArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Clone, Debug)]
enum Command {
    Compact(compact::CompactArgs),
    Verify(verify::VerifyArgs),
}

/// Runs a command.
///
/// # Errors
/// If the folder cannot be read, or what was checked does not hold.
pub async fn run(args: LogArgs) -> Result<(), Failure> {
    match args.command {
        Command::Compact(args) => compact::run(args).await,
        Command::Verify(args) => verify::run(&args),
    }
}
