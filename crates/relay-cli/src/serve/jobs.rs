//! Hands the jobs that requests start to the engine.

use relay_engine::Jobs;
use relay_http::{Background, Job};

pub(super) struct EngineJobs(pub Jobs);

impl Background for EngineJobs {
    fn start(&self, job: Job) {
        match job {
            Job::Resume(subscription) => self.0.resume(subscription),
            Job::Replay(subscription) => self.0.replay(subscription),
            Job::Remove(subscription) => self.0.remove(subscription),
        }
    }
}
