//! The job: wait, load, resume. Sweep goes on with it if its process is lost.

use super::load::Load;
use super::{Replay, ReplayState, Rewind};
use crate::edit::edit;
use crate::lane::{Lease, OwnerId};
use crate::limits::{CLOCK_ERROR, LEASE, VISIBILITY};
use crate::names::SubscriptionId;
use crate::ports::{Expect, PortError, Ports};
use crate::replay_id::LogPosition;
use crate::subscription::{Status, Subscription};
use crate::system_event::{self, SubscriptionEvent};
use crate::time::Time;
use std::sync::Arc;
use std::time::Duration;

/// How often somebody who waits looks whether the replay is still wanted.
const LOOK: Duration = Duration::from_secs(2);
/// Pause before the end of the log is looked at again.
const MOMENT: Duration = Duration::from_millis(250);

/// Works on a subscription's rewind, and makes its lanes due at its end. Stops at a time, if it is given one: sweep goes
/// on with it then.
///
/// # Errors
/// If a store fails; sweep goes on with the job then.
pub async fn run(ports: &Ports, id: &SubscriptionId, until: Option<Time>) -> Result<(), PortError> {
    // One that is given up may be followed by a catch-up.
    while let Some(mut work) = Work::take(ports, id).await? {
        let (state, fault) = match work.load(until).await {
            Ok(End::Loaded) => (ReplayState::Done, None),
            Ok(End::Cancelled) => (ReplayState::Cancelled, None),
            Err(PortError::Corrupt(fault)) => (ReplayState::Failed, Some(fault)),
            Ok(End::Lost) => return Ok(()),
            Ok(End::Later) => return work.leave().await,
            Err(error) => return work.leave().await.and(Err(error)),
        };
        if !work.finish(state, fault).await? {
            break;
        }
    }
    Ok(())
}

/// How working on it ended.
enum End {
    /// All is loaded.
    Loaded,
    /// Somebody has cancelled it.
    Cancelled,
    /// Its time is over.
    Later,
    /// It is somebody else's now, or gone.
    Lost,
}

/// A job under its lease.
struct Work<'a> {
    ports: &'a Ports,
    subscription: Arc<Subscription>,
    rewind: Rewind,
    replay: Replay,
    owner: OwnerId,
}

impl<'a> Work<'a> {
    /// Takes the lease of a subscription's job, if there is one and nobody has it.
    async fn take(ports: &'a Ports, id: &SubscriptionId) -> Result<Option<Work<'a>>, PortError> {
        let Some(subscription) = ports.registry.subscription(id).await? else { return Ok(None) };
        let Some(rewind) = subscription.rewind.clone() else { return Ok(None) };
        let now = ports.clock.now();
        let stored = ports.replays.replay(id, &rewind.job).await?;
        if stored.as_ref().and_then(|stored| stored.lease).is_some_and(|lease| now < lease.until) {
            return Ok(None);
        }
        let (replay, expect) = match stored {
            Some(stored) => (Replay { version: stored.version + 1, ..stored.clone() }, Expect::Version(stored.version)),
            None => (Replay::begun(&subscription, &rewind, now), Expect::Absent),
        };
        let owner = ports.ids.owner();
        let replay = Replay { lease: Some(Lease { owner, until: now + LEASE }), ..replay };
        match ports.replays.put_replay(replay.clone(), expect).await {
            Ok(()) => Ok(Some(Work { ports, subscription, rewind, replay, owner })),
            Err(PortError::Conflict) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the record, if it is still ours.
    async fn write(&mut self) -> Result<(), PortError> {
        let version = self.replay.version;
        self.replay.version += 1;
        self.ports.replays.put_replay(self.replay.clone(), Expect::Version(version)).await
    }

    /// Writes how far it is, holds on to the lease, and looks whether it is still wanted.
    async fn keep(&mut self) -> Result<Option<End>, PortError> {
        let until = self.ports.clock.now() + LEASE;
        self.replay.lease = Some(Lease { owner: self.owner, until });
        match self.write().await {
            Err(PortError::Conflict) => return Ok(Some(End::Lost)),
            other => other?,
        }
        let stored = self.ports.registry.subscription(&self.subscription.id).await?;
        let Some(stored) = stored.filter(|stored| stored.deleted_at.is_none()) else { return Ok(Some(End::Cancelled)) };
        match &stored.rewind {
            Some(rewind) if rewind.job != self.rewind.job => Ok(Some(End::Lost)),
            Some(rewind) if rewind.is_cancelled => Ok(Some(End::Cancelled)),
            Some(_) => {
                self.subscription = stored;
                Ok(None)
            }
            None => Ok(Some(End::Lost)),
        }
    }

    async fn load(&mut self, until: Option<Time>) -> Result<End, PortError> {
        let is_over = |now: Time| until.is_some_and(|until| now >= until);
        while self.ports.clock.now() < self.replay.loads_at {
            if is_over(self.ports.clock.now()) {
                return Ok(End::Later);
            }
            let left = self.replay.loads_at.since(self.ports.clock.now());
            self.ports.clock.sleep(left.min(LOOK)).await;
            if let Some(end) = self.keep().await? {
                return Ok(end);
            }
        }
        let end = self.begin().await?;
        if let Some(end) = self.keep().await? {
            return Ok(end);
        }
        for shard in self.part_of().shards() {
            while self.replay.cursor.after_in(shard) < end {
                if is_over(self.ports.clock.now()) {
                    return Ok(End::Later);
                }
                let loaded = self.part_of().part(shard, self.replay.cursor.after_in(shard)).await?;
                self.replay.cursor.set_after(shard, loaded.through);
                self.replay.scanned += loaded.scanned;
                self.replay.matched += loaded.matched;
                self.replay.enqueued += loaded.matched;
                if let Some(end) = self.keep().await? {
                    return Ok(end);
                }
                if loaded.is_end && loaded.through < end {
                    // The rest is there, but not settled yet.
                    self.ports.clock.sleep(MOMENT).await;
                }
            }
        }
        Ok(End::Loaded)
    }

    fn part_of(&self) -> Load<'_> {
        Load {
            ports: self.ports,
            subscription: &self.subscription,
            from: self.rewind.from,
            queued_since: self.replay.queued_since,
            until: self.rewind.until,
            key: self.rewind.key.as_ref(),
            joins: self.rewind.joins,
        }
    }

    /// Where the load ends: all that was logged before the status was changed is there by now. Reaches back to what may
    /// still be queued. Both go by positions in the log, since clocks differ.
    async fn begin(&mut self) -> Result<LogPosition, PortError> {
        if let Some(end) = self.replay.end {
            return Ok(end);
        }
        let newest = self.ports.log.newest(&self.subscription.topic_id, None, 1).await?;
        let end = newest.first().map_or(LogPosition::default(), |entry| entry.position);
        let (lag, settle) = (self.ports.queue.lag().await?, self.ports.log.settle());
        // Where dispatch writes the log, what precedes an entry in its lane is done, and was skipped or held: a join need
        // not reach back.
        if lag.messages > 0 && (settle.is_zero() || !self.rewind.joins) {
            // Where there are several processes, each knows of its own messages only, which are hidden for so long.
            let age = if settle.is_zero() { lag.oldest } else { lag.oldest.max(VISIBILITY) };
            let since = end.at - age - settle - CLOCK_ERROR;
            self.replay.queued_since = Some(since);
            self.replay.cursor = self.replay.cursor.no_later_than(LogPosition::before(since));
        }
        if let Some(skipped) = self.subscription.skipped_from {
            self.replay.cursor = self.replay.cursor.no_later_than(skipped.previous());
        }
        self.replay.end = Some(end);
        Ok(end)
    }

    /// Whoever comes next need not wait for the end of the lease.
    async fn leave(mut self) -> Result<(), PortError> {
        self.replay.lease = None;
        self.write().await
    }

    /// Writes the record's end, and only then the subscription's: in between sweep would write the latter again.
    /// Answers whether another job follows.
    async fn finish(mut self, state: ReplayState, fault: Option<String>) -> Result<bool, PortError> {
        self.replay.state = state;
        self.replay.reason = fault;
        self.replay.finished_at = Some(self.ports.clock.now());
        self.replay.lease = None;
        match self.write().await {
            Err(PortError::Conflict) => return Ok(false),
            other => other?,
        }
        let is_stuck = self.rewind.joins && state == ReplayState::Failed;
        let (ports, id, fault) = (self.ports, &self.subscription.id, self.replay.reason.as_deref());
        let written = edit(ports, id, |stored| {
            let is_mine = stored.rewind.as_ref().is_some_and(|rewind| rewind.job == self.rewind.job);
            match state {
                _ if !is_mine || stored.deleted_at.is_some() => None,
                ReplayState::Done => stored.loaded(ports.clock.now()),
                _ => stored.given_up(fault, ports.clock.now()),
            }
        });
        match written.await? {
            Some(next) if next.rewind.is_some() => Ok(true),
            Some(next) if next.status == Status::Disabled && is_stuck => {
                tracing::error!(subscription = %id, fault, "it cannot catch up: disabled until it is resumed");
                system_event::subscription(ports, &next, SubscriptionEvent::Disabled).await;
                Ok(false)
            }
            Some(_) => crate::resume::run(ports, id).await.map(|()| false),
            None => Ok(false),
        }
    }
}
