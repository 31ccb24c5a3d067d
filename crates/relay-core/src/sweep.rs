//! Sweep: once a minute, makes up for what was lost, and removes what nobody needs any more.
//!
//! Every part is a hint or a repeat of a job that may run twice; a part that fails is logged and comes again.

use crate::attempt::health::change;
use crate::circuit::probe_delay;
use crate::limits::{ATTEMPTS_KEPT, DISABLE_AFTER, SKIP_AFTER, TOMBSTONE_KEPT};
use crate::ports::{PortError, Ports, WakeUp};
use crate::replay;
use crate::resume;
use crate::subscription::{Change, Status, Subscription};
use crate::time::Time;
use std::sync::Arc;
use std::time::Duration;

/// Due lanes woken in one sweep.
const LANES: usize = 10_000;
/// How long after it was due a probe counts as lost.
const PROBE_GRACE: Duration = Duration::from_secs(30);
/// How long one sweep works on replays.
const LOADING: Duration = Duration::from_secs(40);

/// The sweep use-case.
pub struct Sweeper {
    ports: Ports,
    loads: bool,
    skip_after: Duration,
}

impl Sweeper {
    /// A sweeper over these ports.
    pub fn new(ports: Ports) -> Sweeper {
        Sweeper { ports, loads: true, skip_after: SKIP_AFTER }
    }

    /// A sweeper that leaves it to others to load what replays want.
    #[must_use]
    pub fn without_loads(self) -> Sweeper {
        Sweeper { loads: false, ..self }
    }

    /// A sweeper that lets subscriptions skip that have not been active for so long.
    #[must_use]
    pub fn with_skip_after(self, skip_after: Duration) -> Sweeper {
        Sweeper { skip_after, ..self }
    }

    /// Sweeps once.
    pub async fn run(&self) {
        self.report("wake-ups", self.wake_due_lanes().await);
        match self.ports.registry.unsettled().await {
            Ok(subscriptions) => {
                for subscription in &subscriptions {
                    self.report("a subscription", self.settle(subscription).await);
                }
                self.report("replays", self.load(&subscriptions).await);
            }
            Err(error) => self.report("subscriptions", Err(error)),
        }
        let now = self.ports.clock.now();
        self.report("attempts", self.expire_attempts(now).await);
        self.report("log", self.expire_log(now).await);
        self.report("payloads", self.ports.payloads.expire(now).await.map(drop));
    }

    /// Compacts the log until nothing is due, for so long at most. Apart from the rest, which must not wait for it.
    pub async fn compact(&self, at_most: Duration) {
        let until = self.ports.clock.now() + at_most;
        self.report("compaction", self.compact_until(until).await);
    }

    fn report(&self, part: &str, result: Result<(), PortError>) {
        if let Err(error) = result {
            tracing::warn!(%error, part, "sweep could not finish a part");
        }
    }

    /// Wakes lanes that are due: later than a wake-up's longest delay, or whose wake-up or lease holder was lost.
    async fn wake_due_lanes(&self) -> Result<(), PortError> {
        let due = self.ports.lanes.due(self.ports.clock.now(), LANES).await?;
        let wake_ups = due.into_iter().map(|item| (WakeUp::Lane(item.lane), Duration::ZERO)).collect();
        self.ports.wake_ups.send(wake_ups).await
    }

    async fn settle(&self, subscription: &Subscription) -> Result<(), PortError> {
        let now = self.ports.clock.now();
        if let Some(deleted_at) = subscription.deleted_at {
            resume::remove(&self.ports, &subscription.id).await?;
            if now.since(deleted_at) > TOMBSTONE_KEPT {
                self.ports.registry.forget_subscription(&subscription.id).await?;
            }
            return Ok(());
        }
        if subscription.status.is_idle() {
            replay::watch(&self.ports, subscription, self.skip_after).await?;
        }
        if subscription.resuming {
            resume::run(&self.ports, &subscription.id).await?;
        }
        let enabled = matches!(subscription.status, Status::Active | Status::Suspended);
        if enabled && subscription.failing_since.is_some_and(|since| now.since(since) > DISABLE_AFTER) {
            change(&self.ports, &subscription.id, Change::Disable, "failing").await?;
            return Ok(());
        }
        let probe_at = subscription.updated_at + probe_delay(subscription.probes) + PROBE_GRACE;
        if subscription.status == Status::Suspended && now > probe_at {
            self.ports.wake_ups.send(vec![(WakeUp::Probe(subscription.id.clone()), Duration::ZERO)]).await?;
        }
        Ok(())
    }

    /// Goes on with replays, for so long in all: what is left is left to the next sweep.
    async fn load(&self, subscriptions: &[Arc<Subscription>]) -> Result<(), PortError> {
        let until = self.ports.clock.now() + LOADING;
        let loading = subscriptions.iter().filter(|one| self.loads && one.rewind.is_some() && one.deleted_at.is_none());
        for subscription in loading {
            replay::run(&self.ports, &subscription.id, Some(until)).await?;
        }
        Ok(())
    }

    async fn expire_attempts(&self, now: Time) -> Result<(), PortError> {
        while self.ports.attempts.expire(now - ATTEMPTS_KEPT).await? > 0 {}
        Ok(())
    }

    async fn compact_until(&self, until: Time) -> Result<(), PortError> {
        loop {
            let now = self.ports.clock.now();
            if now >= until || self.ports.log.compact(now).await? == 0 {
                return Ok(());
            }
        }
    }

    async fn expire_log(&self, now: Time) -> Result<(), PortError> {
        while self.ports.log.expire(now).await? > 0 {}
        Ok(())
    }
}
