//! A replay, watched until it ends.

use super::job::{Job, Replays};
use crate::client::{Backoff, CallFault};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_millis(500);
/// How long the broker may be away meanwhile.
const PATIENCE: Duration = Duration::from_secs(120);

/// Asks again and again until the replay has ended, and shows how far it is.
pub(super) async fn watch(replays: &Replays, mut job: Job, bar: &ProgressBar) -> Result<Job, CallFault> {
    bar.set_style(style());
    let (mut backoff, mut answered, began) = (Backoff::default(), Instant::now(), (Instant::now(), job.delivered));
    loop {
        show(bar, &job, began);
        if !job.runs() {
            return Ok(job);
        }
        let pause = match replays.read(&job.id).await {
            Ok(read) => {
                (job, backoff, answered) = (read, Backoff::default(), Instant::now());
                if job.runs() { EVERY } else { Duration::ZERO }
            }
            Err(fault) if fault.is_transient() && answered.elapsed() < PATIENCE => {
                bar.set_message(format!("{fault}; trying again"));
                backoff.next(fault.retry_after())
            }
            Err(fault) => return Err(fault),
        };
        tokio::time::sleep(pause).await;
    }
}

fn style() -> ProgressStyle {
    let template = "{wide_bar} {human_pos}/{human_len} {msg}";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// The bar on a terminal; nothing elsewhere. It grows with what is found, until all is.
fn show(bar: &ProgressBar, job: &Job, (since, before): (Instant, u64)) {
    bar.set_length(job.enqueued.max(job.matched));
    bar.set_position(job.delivered);
    let rate = job.delivered.saturating_sub(before) as f64 / since.elapsed().as_secs_f64().max(0.001);
    bar.set_message(format!("delivered ({}/s), {} scanned", HumanCount(rate.round() as u64), HumanCount(job.scanned)));
}
