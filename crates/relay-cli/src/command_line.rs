//! The commands, and how each is run.

use crate::aws::AwsArgs;
use crate::bench::BenchArgs;
use crate::demo::DemoArgs;
use crate::events::EventsArgs;
use crate::failure::Failure;
use crate::log::LogArgs;
use crate::replay::ReplayArgs;
use crate::serve::ServeArgs;
use clap::{Parser, Subcommand};
use std::future::Future;
use tokio::runtime::Runtime;

/// Event Relay: an ordered, durable event broker that delivers to webhooks
#[derive(Parser, Debug)]
#[command(name = "relay", version, arg_required_else_help = true)]
pub struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Serve(ServeArgs),
    Aws(AwsArgs),
    Log(LogArgs),
    Events(EventsArgs),
    Replay(ReplayArgs),
    Demo(DemoArgs),
    Bench(Box<BenchArgs>),
    /// A webhook for trying things out: shows what it receives
    Listen(crate::listen::Args),
}

impl CommandLine {
    /// Runs the command.
    ///
    /// # Errors
    /// A [`Failure`], which knows its exit code.
    pub fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Serve(args) => crate::serve::run(args.with_environment()),
            Command::Aws(args) => on_one_thread(crate::aws::run(args)),
            Command::Log(args) => on_one_thread(crate::log::run(args)),
            Command::Events(args) => on_one_thread(crate::events::run(args)),
            Command::Replay(args) => on_one_thread(crate::replay::run(args)),
            Command::Demo(args) => on_one_thread(crate::demo::run(args)),
            Command::Bench(args) => on_one_thread(crate::bench::run(*args)),
            Command::Listen(args) => on_one_thread(crate::listen::run(args)),
        }
    }
}

/// Load and its checks take little, and must leave the machine to the broker.
fn on_one_thread(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime: Runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_flags_do_not_contradict_each_other() {
        CommandLine::command().debug_assert();
    }
}
