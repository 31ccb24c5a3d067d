//! `relay demo`: the whole job in one terminal, and a verdict on it that is checked here, not claimed by the broker.

mod board;
mod story;
mod verdict;

use crate::failure::Failure;
use crate::load::broker::{Broker, BrokerArgs, random};
use clap::Args;
use std::io::Write;

/// Show the whole job in one terminal: publish, deliver, hold while a webhook fails, catch up, check
///
/// Two webhooks subscribe to one topic. One of them fails for a while; the other must not notice. At the end everything
/// that arrived is checked: order per key, losses, duplicates, signatures.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    #[command(flatten)]
    broker: BrokerArgs,
    /// Events to publish
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(50..=1_000_000))]
    events: u32,
    /// Events a second
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
}

/// Runs the demo and prints its verdict.
///
/// # Errors
/// [`Failure::Verdict`] if what arrived is not what was promised.
pub async fn run(args: DemoArgs) -> Result<(), Failure> {
    let broker = Broker::open(&args.broker).await?;
    let run = random();
    let topic = story::topic_of(run);
    // Before anything that could fail: only a topic that was made can be left behind.
    broker.api.create_topic(&topic).await?;
    let outcome = tokio::select! {
        outcome = story::tell(&args, &broker, run) => outcome.map_err(Failure::Runtime),
        _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
    };
    if broker.outlives_run()
        && let Err(error) = broker.api.delete_topic(&topic).await
    {
        eprintln!("warning: the topic {topic} is left behind: {error:#}");
    }
    let closed = broker.close().await;
    let verdict = outcome?;
    write!(anstream::stdout().lock(), "{verdict}")?;
    closed?;
    if verdict.holds() { Ok(()) } else { Err(Failure::Verdict) }
}
