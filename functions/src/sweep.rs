//! Sweep: called by a schedule.

use crate::deadline::Deadline;
use relay_core::manage::ensure_system_topic;
use relay_core::metrics;
use relay_core::ports::Ports;
use relay_core::sweep::Sweeper;
use std::time::Duration;

/// How long one sweep compacts: what is woken by the next one waits for it.
const COMPACTION: Duration = Duration::from_secs(20);

/// The function.
pub struct SweepFunction {
    ports: Ports,
    sweeper: Sweeper,
    metrics: bool,
}

impl SweepFunction {
    /// Sweep over these ports, which measures the gauges if `metrics` are written.
    pub fn new(ports: Ports, metrics: bool) -> SweepFunction {
        SweepFunction { sweeper: Sweeper::new(ports.clone()), ports, metrics }
    }

    /// Sweeps once. What is not done by the deadline is left to the next minute.
    pub async fn handle(&self, deadline: Deadline) {
        let work = async {
            // Here rather than in what answers requests: it is needed once in the life of a table.
            if let Err(error) = ensure_system_topic(&self.ports).await {
                tracing::warn!(%error, "the topic of system events is not made yet");
            }
            // Neither waits for the other.
            futures_util::join!(self.sweeper.run(), self.sweeper.compact(COMPACTION));
            if self.metrics
                && let Err(error) = metrics::measure(&self.ports).await
            {
                tracing::warn!(%error, "gauges cannot be measured");
            }
        };
        if deadline.bound(&*self.ports.clock, work).await.is_none() {
            tracing::warn!("time is up: the next sweep goes on");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_core::names::TopicName;
    use relay_core::time::Time;
    use relay_sim::{ManualClock, Simulated};
    use std::sync::Arc;

    #[tokio::test]
    async fn the_first_sweep_makes_the_topic_of_system_events() {
        let ports = Simulated::calm(Arc::new(ManualClock::new(Time(1_000_000)))).ports();
        let sweep = SweepFunction::new(ports.clone(), false);
        assert!(ports.registry.topic(&TopicName::system()).await.unwrap().is_none());
        sweep.handle(Deadline::of_invocation(1_060_000)).await;
        let made = ports.registry.topic(&TopicName::system()).await.unwrap();
        sweep.handle(Deadline::of_invocation(1_060_000)).await;
        assert_eq!(made, ports.registry.topic(&TopicName::system()).await.unwrap());
        assert!(made.is_some());
    }
}
