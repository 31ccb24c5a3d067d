//! `relay events export`: a copy of what is in a topic's log.

mod destination;
mod durable;
mod file;
mod folder;
mod manifest;

use super::event::Event;
use super::pages::Pages;
use super::{Source, is_broken_pipe};
use crate::failure::Failure;
use crate::signals::Signals;
use clap::Args;
use destination::Destination;
use indicatif::{HumanCount, HumanDuration, ProgressBar};
use manifest::Request;
use relay_core::log::MAX_EVENTS;
use relay_core::time::Time;
use std::time::{Duration, Instant};

/// How long the broker may be away meanwhile.
const PATIENCE: Duration = Duration::from_secs(120);
/// Entries may lie so far out of the order of their times, since clocks differ: many times the log's settle time.
const SLACK: Duration = Duration::from_secs(30);
/// Before a page that had nothing is asked for again.
const PAUSE: Duration = Duration::from_millis(100);

/// Copy a topic's events to stdout, a file or a folder
///
/// Copies what is in the log when it begins, and ends. A folder gets files by date, date=YYYY-MM-DD/part-NNNNNN.jsonl, each of
/// which appears whole. Run again on the same folder, it goes on after the last event that is there: after an interruption,
/// or later, for what came since. A file appears whole, at the end.
#[derive(Args, Clone, Debug)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    source: Source,
    /// Where to begin: earliest, a time such as 2026-11-20T21:00:00Z (from then on), a replay id (after it), or the place that
    /// an earlier run ended at. A folder that has events goes on after them [default: earliest]
    #[arg(long, value_name = "PLACE")]
    from: Option<String>,
    /// Only events that were logged before this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    to: Option<Time>,
    /// Where to write: a file that ends in .jsonl or .jsonl.zst, a folder, or - for stdout
    #[arg(long, value_name = "PATH", default_value = "-")]
    out: String,
    /// After so many events, further ones go to another file of the folder
    #[arg(long, value_name = "NUMBER", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    file_events: u64,
}

fn parse_time(text: &str) -> Result<Time, String> {
    Time::parse(text).ok_or_else(|| "is a time such as 2026-11-20T21:00:00Z".to_owned())
}

pub(super) async fn run(args: ExportArgs) -> Result<(), Failure> {
    let client = args.source.client.open()?;
    let mut signals = Signals::listen()?;
    let request = Request {
        topic: args.source.topic.clone(),
        partition_key: args.source.key.clone(),
        from: args.from,
        to: args.to.map(|to| to.to_string()),
    };
    let mut copy = Copy {
        destination: Destination::open(&args.out, request, args.file_events)?,
        to: args.to,
        events: 0,
        leaves_out: false,
        is_torn: false,
        began: Instant::now(),
        line: ProgressBar::new_spinner(),
    };
    let Some(from) = copy.destination.begins_at() else {
        anstream::eprintln!("{} has all of it already", args.out);
        return Ok(());
    };
    let mut pages = Pages::new(args.source, client, from.clone(), PATIENCE, copy.line.clone());
    let copied = tokio::select! {
        copied = copy.all(&mut pages) => copied,
        () = signals.next() => Err(Failure::Interrupted),
    };
    copy.line.finish_and_clear();
    let told = match &copied {
        Ok(is_complete) => {
            // What was read is more than what was wanted: the rest is what was logged since.
            let place =
                copy.to.filter(|_| copy.leaves_out).map_or_else(|| pages.after().to_owned(), |to| to.to_string());
            copy.destination.finish(pages.after(), &place, *is_complete)?
        }
        Err(failure) if is_broken_pipe(failure) => return Ok(()),
        // Nothing was read; or what was written of the last page is left out, or only its reader knows of it.
        Err(_) if copy.is_torn || pages.after() == from => return copied.map(drop),
        Err(_) => copy.destination.stop(pages.after())?,
    };
    anstream::eprintln!("{} events in {}; {told}", HumanCount(copy.events), HumanDuration(copy.began.elapsed()));
    copied.map(drop)
}

struct Copy {
    destination: Destination,
    to: Option<Time>,
    events: u64,
    /// Something was read that was logged at `to` or later.
    leaves_out: bool,
    /// A page has been written in part.
    is_torn: bool,
    began: Instant,
    line: ProgressBar,
}

impl Copy {
    /// Copies pages until the end that the log had when it began. Whenever this waits, whole pages have been written.
    /// Answers whether all that is wanted is there, and nothing more can come.
    async fn all(&mut self, pages: &mut Pages) -> Result<bool, Failure> {
        let end = pages.end().await?;
        loop {
            let before = pages.after().to_owned();
            let events = pages.next(MAX_EVENTS, Duration::ZERO).await?;
            self.is_torn = true;
            let is_complete = self.write(&events)?;
            self.destination.end_page(pages.after())?;
            self.is_torn = false;
            self.show(events.last());
            let is_end = pages.has_reached(&end) || (events.is_empty() && pages.after() == before);
            if is_complete || is_end {
                return Ok(is_complete);
            }
            if events.is_empty() {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Writes those that are wanted. Answers whether none that follows can be.
    fn write(&mut self, events: &[Event]) -> Result<bool, Failure> {
        for event in events {
            if let Some(to) = self.to {
                let at = event.logged_at()?;
                self.leaves_out |= at >= to;
                if at >= to + SLACK {
                    return Ok(true);
                }
                if at >= to {
                    continue;
                }
            }
            self.destination.write(event)?;
            self.events += 1;
        }
        Ok(false)
    }

    /// The line on a terminal; nothing elsewhere.
    fn show(&self, last: Option<&Event>) {
        let rate = self.events as f64 / self.began.elapsed().as_secs_f64().max(0.001);
        let at = last.and_then(|event| event.logged_at().ok()).map(|at| format!(", at {at}")).unwrap_or_default();
        self.line.set_message(format!(
            "{} events ({}/s){at}",
            HumanCount(self.events),
            HumanCount(rate.round() as u64)
        ));
        self.line.tick();
    }
}
