//! `relay events tail`: shows events as they are accepted.

use super::pages::Pages;
use super::{Source, is_broken_pipe};
use crate::failure::Failure;
use crate::signals::Signals;
use clap::Args;
use indicatif::ProgressBar;
use relay_core::log::MAX_EVENTS;
use std::io::{self, Write};
use std::time::Duration;

/// The longest that the broker lets a reader wait.
const WAIT: Duration = Duration::from_secs(20);

/// Follow a topic: print its events as they are accepted
///
/// Goes on over restarts of the broker, without losing or repeating an event. Ctrl-C ends it, and tells the place from which
/// another `relay events tail` or `export` goes on.
#[derive(Args, Clone, Debug)]
pub(super) struct TailArgs {
    #[command(flatten)]
    source: Source,
    /// Where to begin: latest, earliest, a time such as 2026-11-20T21:00:00Z (from then on), a replay id (after it), or the
    /// place that an earlier run ended at
    #[arg(long, value_name = "PLACE", default_value = "latest")]
    from: String,
    /// End after so many events
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

pub(super) async fn run(args: TailArgs) -> Result<(), Failure> {
    let client = args.source.client.open()?;
    let mut signals = Signals::listen()?;
    let from = args.from.clone();
    let mut pages = Pages::new(args.source, client, args.from, Duration::MAX, ProgressBar::hidden());
    let followed = tokio::select! {
        followed = follow(&mut pages, args.limit.unwrap_or(u64::MAX)) => followed,
        () = signals.next() => Ok(()),
    };
    match followed {
        Err(failure) if is_broken_pipe(&failure) => Ok(()),
        // How much of its last page was written, nobody knows.
        Err(Failure::Runtime(error)) if error.is::<io::Error>() => Err(error.into()),
        followed => {
            if pages.after() != from {
                anstream::eprintln!("to go on from here: --from {}", pages.after());
            }
            followed
        }
    }
}

async fn follow(pages: &mut Pages, most: u64) -> Result<(), Failure> {
    let mut left = most;
    // The first page is not waited for: it makes a place of `latest`, which a broker that goes away cannot move any more.
    let mut wait = Duration::ZERO;
    while left > 0 {
        let limit = usize::try_from(left).unwrap_or(MAX_EVENTS).min(MAX_EVENTS);
        let events = pages.next(limit, wait).await?;
        let mut out = io::stdout().lock();
        for event in &events {
            writeln!(out, "{}", event.line())?;
        }
        out.flush()?;
        if wait.is_zero() {
            anstream::eprintln!("following; Ctrl-C ends it");
        }
        wait = WAIT;
        left -= events.len() as u64;
    }
    Ok(())
}
