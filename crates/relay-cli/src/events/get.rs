//! `relay events get`: one event.

use super::event::Event;
use super::parse_topic;
use crate::client::{ClientArgs, Target};
use crate::failure::Failure;
use clap::Args;
use http::Method;
use relay_core::names::TopicName;
use std::io::Write;

/// Print one event, by its replay id
#[derive(Args, Clone, Debug)]
pub(super) struct GetArgs {
    /// The topic
    #[arg(value_parser = parse_topic)]
    topic: TopicName,
    /// The event's `replayid`, or the `replayId` that its publisher was answered
    replay_id: String,
    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: GetArgs) -> Result<(), Failure> {
    let client = args.client.open()?;
    let target = Target::path(&["v1", "topics", args.topic.as_str(), "events", &args.replay_id]);
    let event: Event = client.json(Method::GET, &target, None).await?;
    writeln!(std::io::stdout().lock(), "{}", event.line())?;
    Ok(())
}
