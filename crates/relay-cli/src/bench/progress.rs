//! The one line on stderr that says how a run goes; nothing where stderr is no terminal.

use crate::load::generator::{SharedPublished, lock};
use crate::load::ledger::Ledger;
use indicatif::{HumanCount, ProgressBar};
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub(super) struct Progress {
    published: SharedPublished,
    ledger: Arc<Mutex<Ledger>>,
}

const EVERY: Duration = Duration::from_millis(500);

impl Progress {
    pub fn new(published: SharedPublished, ledger: Arc<Mutex<Ledger>>) -> Progress {
        Progress { published, ledger }
    }

    /// Waits for something, and shows how it goes until then.
    pub async fn during<F: Future>(&self, work: F) -> F::Output {
        let line = ProgressBar::new_spinner();
        let (mut at, mut before) = (Instant::now(), self.counts());
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => {
                    line.finish_and_clear();
                    return done;
                }
                () = tokio::time::sleep(EVERY) => {
                    let counts = self.counts();
                    let rate = |now: u64, before: u64| {
                        HumanCount(((now - before) as f64 / at.elapsed().as_secs_f64()).round() as u64)
                    };
                    line.set_message(format!(
                        "accepted {} ({}/s), delivered {} ({}/s)",
                        HumanCount(counts.0), rate(counts.0, before.0), HumanCount(counts.1), rate(counts.1, before.1),
                    ));
                    line.tick();
                    (at, before) = (Instant::now(), counts);
                }
            }
        }
    }

    fn counts(&self) -> (u64, u64) {
        let delivered = lock(&self.ledger).accounts().iter().map(|account| account.delivered()).sum();
        (lock(&self.published).accepted(), delivered)
    }
}
