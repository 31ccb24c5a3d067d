//! Jobs that a request starts. Nothing runs after the answer, since Lambda freezes the process then: they are run before
//! it, for a short while. Each was written down before, and sweep finishes what is left.

use relay_core::ports::Ports;
use relay_core::replay;
use relay_core::resume;
use relay_http::{Background, Job};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long an answer waits for its request's jobs.
const AT_MOST: Duration = Duration::from_secs(3);
/// What is left of that for what a job writes down when it stops.
const LAST_WRITES: Duration = Duration::from_secs(1);

/// The jobs of the present request.
#[derive(Debug, Default)]
pub struct Jobs(Mutex<Vec<Job>>);

impl Background for Jobs {
    fn start(&self, job: Job) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(job);
    }
}

impl Jobs {
    /// Runs what was started, or the first seconds of it.
    pub async fn run(&self, ports: &Ports) {
        let jobs = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if jobs.is_empty() {
            return;
        }
        let until = ports.clock.now() + AT_MOST.saturating_sub(LAST_WRITES);
        let all = async {
            for job in jobs {
                let done = match &job {
                    Job::Resume(subscription) => resume::run(ports, subscription).await,
                    Job::Replay(subscription) => replay::run(ports, subscription, Some(until)).await,
                    Job::Remove(subscription) => resume::remove(ports, subscription).await,
                };
                if let Err(error) = done {
                    tracing::warn!(%error, ?job, "a job is not finished; sweep goes on with it");
                }
            }
        };
        tokio::select! {
            () = all => {}
            () = ports.clock.sleep(AT_MOST) => tracing::info!("a job takes long; sweep goes on with it"),
        }
    }
}
