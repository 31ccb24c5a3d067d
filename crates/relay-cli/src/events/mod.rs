//! `relay events`: reads a topic's log through the API of a running broker.
//!
//! ```text
//!                      ┌─▶ tail: stdout, for as long as somebody looks
//!   Client ─▶ Pages ───┤
//!                      └─▶ export: stdout, a file, or a folder that can be gone on with
//! ```

mod event;
mod export;
mod get;
mod pages;
mod tail;

use crate::client::ClientArgs;
use crate::failure::Failure;
use clap::{Args, Subcommand};
use relay_core::names::{PartitionKey, TopicName};

/// Read a topic's log: follow it, look one event up, or export it
///
/// Events are written as JSON, one a line. The key (RELAY_API_KEY, or --key-file) needs the grant to subscribe to the topic.
#[derive(Args, Clone, Debug)]
pub struct EventsArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Clone, Debug)]
enum Command {
    Tail(tail::TailArgs),
    Get(get::GetArgs),
    Export(export::ExportArgs),
}

/// What is read.
#[derive(Args, Clone, Debug)]
struct Source {
    /// The topic
    #[arg(value_parser = parse_topic)]
    topic: TopicName,
    /// Only events of this partition key
    #[arg(long, value_name = "PARTITION KEY", value_parser = parse_key)]
    key: Option<PartitionKey>,
    #[command(flatten)]
    client: ClientArgs,
}

fn parse_topic(text: &str) -> Result<TopicName, String> {
    TopicName::new(text).map_err(|fault| fault.to_string())
}

fn parse_key(text: &str) -> Result<PartitionKey, String> {
    PartitionKey::new(text).map_err(|fault| fault.to_string())
}

/// Runs a command.
///
/// # Errors
/// If the broker cannot be asked, or refuses, or what it answers cannot be written.
pub async fn run(args: EventsArgs) -> Result<(), Failure> {
    match args.command {
        Command::Tail(args) => tail::run(args).await,
        Command::Get(args) => get::run(args).await,
        Command::Export(args) => export::run(args).await,
    }
}

/// True if whoever read what was written has gone: it has seen enough, which is no failure.
fn is_broken_pipe(failure: &Failure) -> bool {
    let Failure::Runtime(error) = failure else { return false };
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
