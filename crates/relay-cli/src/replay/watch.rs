//! A replay, watched until it ends.

use super::job::{Job, Replays};
use crate::client::{Backoff, CallFault};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_millis(500);
/// What is loaded is delivered as fast as the subscriber takes it. When nothing has been for so long, its lanes wait for
/// another attempt, or some deliveries were not counted, as after a crash: there is nothing more to see.
const STALLS_AFTER: Duration = Duration::from_secs(30);
/// How long the broker may be away meanwhile.
const PATIENCE: Duration = Duration::from_secs(120);

/// Asks again and again until the replay has ended and what it loaded is delivered, and shows how far it is.
pub(super) async fn watch(replays: &Replays, mut job: Job, bar: &ProgressBar) -> Result<Job, CallFault> {
    bar.set_style(style());
    let (mut backoff, mut answered, began) = (Backoff::default(), Instant::now(), (Instant::now(), job.delivered));
    let mut moved = Instant::now();
    loop {
        show(bar, &job, began);
        if !job.runs() && (job.undelivered() == 0 || moved.elapsed() >= STALLS_AFTER) {
            return Ok(job);
        }
        let pause = match replays.read(&job.id).await {
            Ok(read) => {
                (backoff, answered) = (Backoff::default(), Instant::now());
                if read.runs() || read.delivered != job.delivered {
                    moved = Instant::now();
                }
                job = read;
                if job.runs() || job.undelivered() > 0 { EVERY } else { Duration::ZERO }
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
    if job.runs() && job.scanned == 0 {
        bar.set_message("waiting until nobody can still send on the earlier status");
        return;
    }
    let rate = job.delivered.saturating_sub(before) as f64 / since.elapsed().as_secs_f64().max(0.001);
    bar.set_message(format!("delivered ({}/s), {} scanned", HumanCount(rate.round() as u64), HumanCount(job.scanned)));
}
