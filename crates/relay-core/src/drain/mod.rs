//! Drain: delivers the backlog of a held lane under its lease, and releases the lane when it is empty.

mod ordered;
mod probe;
mod unordered;

use crate::attempt::Attempter;
use crate::lane::{HoldReason, LaneItem, LaneRef, Lease, OwnerId};
use crate::limits::LEASE;
use crate::ports::{Attempt, AttemptOutcome, PortError, Ports, WakeUp};
use crate::subscription::{Status, Subscription};
use crate::time::Time;
use std::sync::Arc;
use std::time::Duration;

/// How long one drain goes on with one lane before it gives others a turn.
const TURN: Duration = Duration::from_secs(20);
/// Attempts that are recorded together.
const RECORDS: usize = 50;

/// The drain use-case.
pub struct Drainer {
    ports: Ports,
    attempter: Arc<Attempter>,
}

/// A lane whose lease is held.
struct Held {
    lane: LaneRef,
    owner: OwnerId,
    item: LaneItem,
    /// When this drain gives others a turn.
    turn_ends: Time,
    attempts: Vec<Attempt>,
    /// The replay that delivered events may be part of.
    replay: Option<String>,
}

impl Drainer {
    /// A drainer over these ports. Share the dispatcher's attempter: it knows which endpoints are slow.
    pub fn new(ports: Ports, attempter: Arc<Attempter>) -> Drainer {
        Drainer { ports, attempter }
    }

    /// Follows a hint. One that is out of date does nothing.
    ///
    /// # Errors
    /// If a store fails: the lane's lease ends by itself, and sweep sends another hint.
    pub async fn handle(&self, wake_up: WakeUp) -> Result<(), PortError> {
        match wake_up {
            WakeUp::Lane(lane) => self.lane(lane, None).await.map(drop),
            WakeUp::Probe(subscription) => self.probe(&subscription).await,
        }
    }

    /// Drains a lane, if its lease is to be had. With `probe`, one event is attempted although the subscription's
    /// circuit is open; answers whether something was delivered, or none if nothing was attempted.
    async fn lane(&self, lane: LaneRef, probe: Option<u64>) -> Result<Option<bool>, PortError> {
        let now = self.ports.clock.now();
        let lease = Lease { owner: self.ports.ids.owner(), until: now + LEASE };
        let Some(item) = self.ports.lanes.take_lease(&lane.id, lease, now, probe.is_some()).await? else {
            return Ok(None);
        };
        let ordered = lane.key.is_ordered();
        let mut held =
            Held { lane, owner: lease.owner, item, turn_ends: now + TURN, attempts: Vec::new(), replay: None };
        let result =
            if ordered { self.ordered(&mut held, probe).await } else { self.unordered(&mut held, probe).await };
        self.record(&mut held).await;
        result
    }

    async fn record(&self, held: &mut Held) {
        if held.attempts.is_empty() {
            return;
        }
        let replayed =
            held.attempts.iter().filter(|attempt| attempt.replay && attempt.outcome == AttemptOutcome::Delivered);
        let (replayed, subscription) = (replayed.count() as u64, &held.lane.subscription);
        if let Some(job) = &held.replay
            && replayed > 0
            && let Err(error) = self.ports.replays.add_delivered(subscription, job, replayed).await
        {
            tracing::debug!(%error, "delivered events of a replay are not counted");
        }
        if let Err(error) = self.ports.attempts.record(std::mem::take(&mut held.attempts)).await {
            tracing::warn!(%error, "attempts are not recorded");
        }
    }

    async fn wake(&self, lane: &LaneRef, at: Option<Time>) {
        if let Some(at) = at {
            crate::dispatch::wake(&self.ports, lane.clone(), at).await;
        }
    }
}

/// Why a lane is parked.
fn parked_reason(subscription: Option<&Subscription>) -> HoldReason {
    match subscription.map(|subscription| subscription.status) {
        Some(Status::Paused) => HoldReason::Paused,
        Some(Status::Suspended) => HoldReason::Suspended,
        Some(Status::Rewinding | Status::CatchingUp | Status::Active) => HoldReason::Rewinding,
        Some(Status::Disabled) | None => HoldReason::Disabled,
    }
}
