//! `relay replay`: has old events delivered again, and shows how far that is.

mod job;
mod watch;

use crate::client::ClientArgs;
use crate::failure::Failure;
use crate::signals::Signals;
use anyhow::anyhow;
use clap::Args;
use indicatif::{HumanCount, ProgressBar};
use job::{Job, Replays, Wanted};
use relay_core::names::PartitionKey;
use std::io::Write;

/// Deliver a subscription's events again, from some place in the log on
///
/// Old events are delivered in order, then the live ones that waited behind them. Shows how far it is until all of them are, then
/// prints the replay as JSON. Ctrl-C leaves the replay running.
#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    /// The subscription's id
    subscription: String,
    /// A replay that was begun already, to be watched, or with --cancel cancelled
    #[arg(conflicts_with_all = ["from", "to", "key", "rate"])]
    job: Option<String>,
    /// Where to begin: earliest, a time such as 2026-11-20T21:00:00Z (from then on), or a replay id (after it)
    #[arg(long, value_name = "PLACE", required_unless_present = "job")]
    from: Option<String>,
    /// Where to end: a time or a replay id, with it [default: where live events go on]
    #[arg(long, value_name = "PLACE")]
    to: Option<String>,
    /// Only events of this partition key
    #[arg(long, value_name = "PARTITION KEY", value_parser = parse_key)]
    key: Option<PartitionKey>,
    /// At most so many events a second
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Only begin it
    #[arg(long, conflicts_with = "cancel")]
    no_wait: bool,
    /// Cancel the replay: nothing more is loaded, what was loaded is delivered
    #[arg(long, requires = "job")]
    cancel: bool,
    #[command(flatten)]
    client: ClientArgs,
}

fn parse_key(text: &str) -> Result<PartitionKey, String> {
    PartitionKey::new(text).map_err(|fault| fault.to_string())
}

/// Runs the command.
///
/// # Errors
/// If the broker cannot be asked, or refuses; or if the replay ends in another way than with all delivered.
pub async fn run(args: ReplayArgs) -> Result<(), Failure> {
    let replays = Replays { client: args.client.open()?, subscription: args.subscription };
    let mut signals = Signals::listen()?;
    let job = match (&args.job, args.from) {
        (Some(job), _) if args.cancel => {
            replays.cancel(job).await?;
            anstream::eprintln!("the replay {job} is cancelled: what it has loaded is still delivered");
            return Ok(());
        }
        (Some(job), _) => replays.read(job).await?,
        (None, Some(from)) => {
            let wanted = Wanted { from, to: args.to, partition_key: args.key, rate_limit: args.rate };
            replays.begin(&wanted).await?
        }
        (None, None) => return Err(Failure::configuration(["--from: where does the replay begin?"])),
    };
    if args.no_wait {
        return print(&job);
    }
    let (id, subscription, bar) = (job.id.clone(), &replays.subscription, ProgressBar::new(0));
    anstream::eprintln!("the replay {id} of {subscription} runs; Ctrl-C leaves it running");
    let watched = tokio::select! {
        watched = watch::watch(&replays, job, &bar) => watched,
        () = signals.next() => {
            bar.abandon();
            anstream::eprintln!(
                "the replay goes on\n  to watch it:  relay replay {subscription} {id}\n  \
                 to cancel it: relay replay --cancel {subscription} {id}"
            );
            return Err(Failure::Interrupted);
        }
    };
    bar.finish_and_clear();
    let job = watched?;
    print(&job)?;
    let mut told = format!("{} scanned, {} delivered", HumanCount(job.scanned), HumanCount(job.delivered));
    if job.undelivered() > 0 {
        told += &format!(", {} loaded and not delivered yet", HumanCount(job.undelivered()));
    }
    if job.state == "done" {
        anstream::eprintln!("done: {told}");
        return Ok(());
    }
    let reason = job.reason().map(|reason| format!(", {reason}")).unwrap_or_default();
    Err(anyhow!("the replay {id} ended as {}{reason}: {told}", job.state).into())
}

fn print(job: &Job) -> Result<(), Failure> {
    Ok(writeln!(std::io::stdout().lock(), "{}", job.line())?)
}
