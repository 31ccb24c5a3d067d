//! Faults planted in the protocol on purpose: the simulation must find each of them.

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use relay_core::lane::drain::Outcome;
use relay_core::lane::table::{NewLane, Progress, PutRule, Reschedule, Switched};
use relay_core::lane::{BacklogItem, HoldReason, LaneItem, Lease, OwnerId, PutId, Resolution};
use relay_core::names::{SubscriptionId, TopicId};
use relay_core::pack::LaneId;
use relay_core::ports::{
    BacklogRead, EventLog, HeadFailure, HeldLanesPage, Lanes, LogEntry, LogPage, Message, PortError, Ports, StateRead,
};
use relay_core::replay_id::{LogPosition, LogShard};
use relay_core::sequence::Sequence;
use relay_core::time::Time;
use relay_sim::schedule::{Scheduler, TaskKind};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Which fault is planted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plant {
    /// None: the protocol as it is.
    Nothing,
    /// A failure is not held.
    SkippedHold,
    /// A message is acknowledged before the log has it.
    AcknowledgedBeforeLogged,
    /// The version moves (or the lane item is made) before the backlog item is put.
    SwitchedBeforePut,
    /// A lane is released whatever its version is.
    ReleasedWithoutVersion,
    /// Dispatch makes lanes of a subscription that is not active never due.
    NeverDueWhilePaused,
    /// A backlog query is taken for a snapshot.
    TornReadTrusted,
    /// A rewind leaves items alone that are in the backlog already.
    RewoundAsAppended,
    /// Readers of the log do not wait for what is not settled.
    UnsettledRead,
    /// Compaction takes what is not settled, and readers go by its segment.
    CompactedUnsettled,
    /// What was skipped is not loaded.
    JoinedWithoutLoad,
}

impl Plant {
    /// All that are to be found.
    pub const FAULTS: [Plant; 10] = [
        Plant::SkippedHold,
        Plant::AcknowledgedBeforeLogged,
        Plant::SwitchedBeforePut,
        Plant::ReleasedWithoutVersion,
        Plant::NeverDueWhilePaused,
        Plant::TornReadTrusted,
        Plant::RewoundAsAppended,
        Plant::UnsettledRead,
        Plant::CompactedUnsettled,
        Plant::JoinedWithoutLoad,
    ];

    /// The ports of a process in which the fault is planted.
    pub fn into_ports(self, ports: Ports, scheduler: &Scheduler) -> Ports {
        match self {
            Plant::Nothing | Plant::UnsettledRead | Plant::CompactedUnsettled => ports,
            Plant::AcknowledgedBeforeLogged => {
                let log = HastyLog { inner: ports.log.clone(), scheduler: scheduler.clone() };
                Ports { log: Arc::new(log), ..ports }
            }
            plant => {
                let lanes = FaultyLanes { plant, inner: ports.lanes.clone(), unput: Mutex::default() };
                Ports { lanes: Arc::new(lanes), ..ports }
            }
        }
    }
}

/// Answers before anything is appended.
struct HastyLog {
    inner: Arc<dyn EventLog>,
    scheduler: Scheduler,
}

#[async_trait]
impl EventLog for HastyLog {
    async fn append(&self, messages: &[Message]) -> Result<Vec<LogPosition>, PortError> {
        let (inner, messages) = (self.inner.clone(), messages.to_vec());
        let at = Time(self.scheduler.now_ms());
        let positions = messages.iter().map(|message| message.position.unwrap_or(LogPosition { at, unique: 0 }));
        let positions = positions.collect();
        let kind = TaskKind { name: "hasty log".to_owned(), group: None, mortal: true };
        let scheduler = self.scheduler.clone();
        drop(self.scheduler.spawn(kind, async move {
            scheduler.sleep(Duration::from_millis(200)).await;
            let _ = inner.append(&messages).await;
        }));
        Ok(positions)
    }

    async fn newest(
        &self,
        topic: &TopicId,
        before: Option<LogPosition>,
        limit: usize,
    ) -> Result<Vec<LogEntry>, PortError> {
        self.inner.newest(topic, before, limit).await
    }

    async fn read(
        &self,
        topic: &TopicId,
        shard: LogShard,
        after: LogPosition,
        limit: usize,
    ) -> Result<LogPage, PortError> {
        self.inner.read(topic, shard, after, limit).await
    }

    fn news(&self) -> BoxFuture<'static, ()> {
        self.inner.news()
    }

    fn settle(&self) -> Duration {
        self.inner.settle()
    }

    async fn compact(&self, now: Time) -> Result<u64, PortError> {
        self.inner.compact(now).await
    }

    async fn compaction_lag(&self, now: Time) -> Result<Option<Duration>, PortError> {
        self.inner.compaction_lag(now).await
    }

    async fn expire(&self, now: Time) -> Result<u64, PortError> {
        self.inner.expire(now).await
    }
}

/// Lanes that break one rule of the protocol.
struct FaultyLanes {
    plant: Plant,
    inner: Arc<dyn Lanes>,
    /// Backlog items whose put waits for the switch.
    unput: Mutex<BTreeMap<LaneId, Vec<BacklogItem>>>,
}

#[async_trait]
impl Lanes for FaultyLanes {
    async fn put_by(&self, lane: &LaneId, item: BacklogItem, rule: PutRule) -> Result<(), PortError> {
        match self.plant {
            Plant::SkippedHold => Ok(()),
            Plant::SwitchedBeforePut => {
                self.unput.lock().unwrap().entry(*lane).or_default().push(item);
                Ok(())
            }
            Plant::JoinedWithoutLoad if rule == PutRule::Join => Ok(()),
            Plant::RewoundAsAppended => self.inner.put_by(lane, item, PutRule::Append).await,
            _ => self.inner.put_by(lane, item, rule).await,
        }
    }

    async fn switch(&self, new: &NewLane, sooner: bool) -> Result<Switched, PortError> {
        let inactive = matches!(new.reason, HoldReason::Paused | HoldReason::Suspended | HoldReason::Disabled);
        match self.plant {
            Plant::SkippedHold => Ok(Switched::Bumped),
            Plant::SwitchedBeforePut => {
                let switched = self.inner.switch(new, sooner).await?;
                let items = self.unput.lock().unwrap().remove(&new.lane.id);
                for item in items.into_iter().flatten() {
                    self.inner.put_backlog(&new.lane.id, item).await?;
                }
                Ok(switched)
            }
            Plant::NeverDueWhilePaused if inactive => {
                self.inner.switch(&NewLane { next_attempt_at: None, ..new.clone() }, sooner).await
            }
            _ => self.inner.switch(new, sooner).await,
        }
    }

    async fn release(&self, lane: &LaneId, owner: OwnerId, version: u64) -> Result<Outcome, PortError> {
        let mut version = version;
        loop {
            match self.inner.release(lane, owner, version).await? {
                Outcome::Moved(moved) if self.plant == Plant::ReleasedWithoutVersion => version = moved,
                outcome => return Ok(outcome),
            }
        }
    }

    async fn backlog(&self, lane: &LaneId, limit: usize) -> Result<BacklogRead, PortError> {
        let read = self.inner.backlog(lane, limit).await?;
        if self.plant == Plant::TornReadTrusted {
            let after = read.before.as_ref().map(|item| item.version);
            return Ok(BacklogRead { after, ..read });
        }
        Ok(read)
    }

    async fn read_state(&self, topics: &[TopicId], lanes: &[LaneId]) -> Result<StateRead, PortError> {
        self.inner.read_state(topics, lanes).await
    }

    async fn take_lease(
        &self,
        lane: &LaneId,
        lease: Lease,
        now: Time,
        probe: bool,
    ) -> Result<Option<LaneItem>, PortError> {
        self.inner.take_lease(lane, lease, now, probe).await
    }

    async fn renew_lease(&self, lane: &LaneId, lease: Lease, now: Time) -> Result<Option<LaneItem>, PortError> {
        self.inner.renew_lease(lane, lease, now).await
    }

    async fn lane(&self, lane: &LaneId) -> Result<Option<LaneItem>, PortError> {
        self.inner.lane(lane).await
    }

    async fn head(&self, lane: &LaneId) -> Result<Option<(Sequence, PutId, u16)>, PortError> {
        self.inner.head(lane).await
    }

    async fn due_items(
        &self,
        lane: &LaneId,
        now: Time,
        limit: usize,
    ) -> Result<(Vec<BacklogItem>, Option<Time>), PortError> {
        self.inner.due_items(lane, now, limit).await
    }

    async fn backlog_item(&self, lane: &LaneId, key: Sequence) -> Result<Option<BacklogItem>, PortError> {
        self.inner.backlog_item(lane, key).await
    }

    async fn progress(&self, lane: &LaneId, progress: Progress<Sequence, PutId>) -> Result<(), PortError> {
        self.inner.progress(lane, progress).await
    }

    async fn fail_head(&self, lane: &LaneId, failure: HeadFailure) -> Result<(), PortError> {
        self.inner.fail_head(lane, failure).await
    }

    async fn reschedule(&self, lane: &LaneId, owner: OwnerId, to: &Reschedule) -> Result<Option<LaneItem>, PortError> {
        self.inner.reschedule(lane, owner, to).await
    }

    async fn park(
        &self,
        lane: &LaneId,
        owner: OwnerId,
        version: u64,
        reason: HoldReason,
    ) -> Result<Outcome, PortError> {
        self.inner.park(lane, owner, version, reason).await
    }

    async fn make_due(&self, lane: &LaneId, now: Time) -> Result<Option<LaneItem>, PortError> {
        self.inner.make_due(lane, now).await
    }

    async fn resolve(&self, lane: &LaneId, resolution: Resolution) -> Result<Option<LaneItem>, PortError> {
        self.inner.resolve(lane, resolution).await
    }

    async fn resolved(&self, lane: &LaneId, owner: OwnerId, resolution: Resolution) -> Result<(), PortError> {
        self.inner.resolved(lane, owner, resolution).await
    }

    async fn held(
        &self,
        subscription: &SubscriptionId,
        after: Option<LaneId>,
        limit: usize,
    ) -> Result<HeldLanesPage, PortError> {
        self.inner.held(subscription, after, limit).await
    }

    async fn held_items(
        &self,
        subscription: &SubscriptionId,
        after: Option<LaneId>,
        limit: usize,
    ) -> Result<Vec<LaneItem>, PortError> {
        self.inner.held_items(subscription, after, limit).await
    }

    async fn due(&self, now: Time, limit: usize) -> Result<Vec<LaneItem>, PortError> {
        self.inner.due(now, limit).await
    }

    async fn remove(&self, lane: &LaneId) -> Result<bool, PortError> {
        self.inner.remove(lane).await
    }

    async fn held_count(&self, topic: &TopicId) -> Result<(u64, Option<Time>), PortError> {
        self.inner.held_count(topic).await
    }
    async fn held_events(&self, topic: &TopicId) -> Result<u64, PortError> {
        self.inner.held_events(topic).await
    }
}
