//! Held lanes and their backlogs. The conditions are those of [`crate::lane::table`].

use super::PortError;
use crate::lane::drain::Outcome;
use crate::lane::table::{NewLane, Progress, PutRule, Reschedule, Switched};
use crate::lane::{BacklogItem, LaneItem, Lease, OwnerId, PutId, Resolution};
use crate::names::{SubscriptionId, TopicId};
use crate::pack::LaneId;
use crate::sequence::Sequence;
use crate::time::Time;
use async_trait::async_trait;
use futures_util::stream::{self, StreamExt, TryStreamExt};

/// The state that dispatch goes by.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StateRead {
    /// For each topic asked for, the version of its list of subscriptions; none if the topic is gone.
    pub versions: Vec<Option<u64>>,
    /// For each lane asked for, whether it is held.
    pub held: Vec<bool>,
}

/// A backlog read between two readings of the lane item. No snapshot: see [`crate::lane::drain`].
#[derive(Clone, Debug, Default)]
pub struct BacklogRead {
    /// The lane item before; none if the lane is live.
    pub before: Option<LaneItem>,
    /// The first items of the backlog, in order.
    pub items: Vec<BacklogItem>,
    /// The lane item's version after, if it is still held under the lease of `before`.
    pub after: Option<u64>,
}

impl BacklogRead {
    /// A backlog that was not read in one transaction, but item by item between two readings of the lane item.
    pub fn between(before: Option<LaneItem>, items: Vec<BacklogItem>, after: Option<&LaneItem>) -> BacklogRead {
        let holder = |item: &LaneItem| item.lease.map(|lease| lease.owner);
        let same = after.filter(|after| before.as_ref().is_some_and(|before| holder(before) == holder(after)));
        BacklogRead { after: same.map(|item| item.version), before, items }
    }
}

/// What is loaded into a lane.
#[derive(Clone, Debug)]
pub struct LaneLoad {
    /// The lane, and what its item is created with if there is none.
    pub new: NewLane,
    /// What is put into its backlog, in order.
    pub items: Vec<BacklogItem>,
}

/// Lanes that are loaded at once.
const LOADED_AT_ONCE: usize = 16;

/// What a failed attempt leaves on a backlog item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeadFailure {
    /// The item.
    pub key: Sequence,
    /// As it was when it was read: a later put is left alone.
    pub put_id: PutId,
    /// Attempts of its head so far.
    pub attempts: u32,
    /// When its head first failed.
    pub first_failed_at: Time,
    /// When it is attempted next, in an unordered lane.
    pub due_at: Option<Time>,
}

/// A held lane as an operator sees it.
#[derive(Clone, Debug)]
pub struct HeldLane {
    /// Its item.
    pub item: LaneItem,
    /// Undelivered events in its backlog.
    pub depth: u64,
    /// The first item of its backlog: for an unordered lane the one due first.
    pub head: Option<BacklogItem>,
}

/// Some of a subscription's held lanes.
#[derive(Clone, Debug, Default)]
pub struct HeldLanesPage {
    /// Lanes in the order of their ids.
    pub lanes: Vec<HeldLane>,
    /// Ask for lanes after this one for more.
    pub next: Option<LaneId>,
}

/// The table of lane items and backlogs. Every read is strongly consistent unless it says otherwise; every write is
/// durable when it answers; one that fails with `Unavailable` may have taken effect.
#[async_trait]
pub trait Lanes: Send + Sync {
    /// Reads, at one go, the versions of topics' lists of subscriptions and whether lanes are held.
    ///
    /// # Errors
    /// If any of them is unknown.
    async fn read_state(&self, topics: &[TopicId], lanes: &[LaneId]) -> Result<StateRead, PortError>;

    /// Puts a backlog item by a rule. A put that writes nothing by it has succeeded.
    ///
    /// # Errors
    /// If it may not be durable.
    async fn put_by(&self, lane: &LaneId, item: BacklogItem, rule: PutRule) -> Result<(), PortError>;

    /// Puts a backlog item as an append does.
    ///
    /// # Errors
    /// If it may not be durable.
    async fn put_backlog(&self, lane: &LaneId, item: BacklogItem) -> Result<(), PortError> {
        self.put_by(lane, item, PutRule::Append).await
    }

    /// The switch, after the puts: bumps the lane item's version or creates it. With `sooner`, an existing lane that
    /// is due later becomes due at the new one's next attempt. The version may rise by more than one, if an adapter
    /// had to repeat a call whose answer was lost: it says that something was appended, not how often.
    ///
    /// # Errors
    /// If it may not be durable.
    async fn switch(&self, new: &NewLane, sooner: bool) -> Result<Switched, PortError>;

    /// An append: the puts, in the order of their keys, each awaited, and only then the switch. A crash in between
    /// leaves at worst a late duplicate; the other way round an event could be lost. An adapter whose writes share a
    /// transaction does all of it in one.
    ///
    /// # Errors
    /// If some of it may not be durable.
    async fn append(&self, items: Vec<BacklogItem>, new: &NewLane, sooner: bool) -> Result<Switched, PortError> {
        for item in items {
            self.put_backlog(&new.lane.id, item).await?;
        }
        self.switch(new, sooner).await
    }

    /// Loads what was read of the log: for each lane the puts by a rule, and then the switch. An adapter whose writes
    /// share a transaction does all of it in one.
    ///
    /// # Errors
    /// If some of it may not be durable.
    async fn load(&self, lanes: Vec<LaneLoad>, rule: PutRule) -> Result<(), PortError> {
        let loads = stream::iter(lanes).map(|LaneLoad { new, items }| async move {
            for item in items {
                self.put_by(&new.lane.id, item, rule).await?;
            }
            self.switch(&new, false).await.map(drop)
        });
        loads.buffer_unordered(LOADED_AT_ONCE).try_collect().await
    }

    /// Takes a lane's lease ([`crate::lane::table::take`]); none if it is not to be had.
    ///
    /// # Errors
    /// If it may not be durable.
    async fn take_lease(
        &self,
        lane: &LaneId,
        lease: Lease,
        now: Time,
        probe: bool,
    ) -> Result<Option<LaneItem>, PortError>;

    /// Renews a lease that has not ended; none if it is lost.
    ///
    /// # Errors
    /// If it may not be durable.
    async fn renew_lease(&self, lane: &LaneId, lease: Lease, now: Time) -> Result<Option<LaneItem>, PortError>;

    /// The lane item.
    ///
    /// # Errors
    /// If it cannot be read.
    async fn lane(&self, lane: &LaneId) -> Result<Option<LaneItem>, PortError>;

    /// Reads version, the first items of the backlog, and the version again: at most `limit` items, and about
    /// [`crate::limits::BACKLOG_READ_BYTES`] of them, but at least one if there is any.
    ///
    /// # Errors
    /// If it cannot be read.
    async fn backlog(&self, lane: &LaneId, limit: usize) -> Result<BacklogRead, PortError>;

    /// The key, put id and next index of the backlog's first item.
    ///
    /// # Errors
    /// If it cannot be read.
    async fn head(&self, lane: &LaneId) -> Result<Option<(Sequence, PutId, u16)>, PortError>;

    /// Of an unordered lane: the first `limit` items that are due, in the order they are due, and when the next one
    /// after those is due.
    ///
    /// # Errors
    /// If it cannot be read.
    async fn due_items(
        &self,
        lane: &LaneId,
        now: Time,
        limit: usize,
    ) -> Result<(Vec<BacklogItem>, Option<Time>), PortError>;

    /// One item of a backlog.
    ///
    /// # Errors
    /// If it cannot be read.
    async fn backlog_item(&self, lane: &LaneId, key: Sequence) -> Result<Option<BacklogItem>, PortError>;

    /// Writes the progress of a delivery ([`crate::lane::table::progress`]). One that is refused is ignored. Where
    /// the item stays, its head is a new one: its attempts and first failure are forgotten.
    ///
    /// # Errors
    /// If it may not be durable.
    async fn progress(&self, lane: &LaneId, progress: Progress<Sequence, PutId>) -> Result<(), PortError>;

    /// Writes what a failed attempt leaves on an item, if it is still that put of it.
    ///
    /// # Errors
    /// If it may not be durable.
    async fn fail_head(&self, lane: &LaneId, failure: HeadFailure) -> Result<(), PortError>;

    /// Sets the next attempt and drops the lease ([`crate::lane::table::reschedule`]); the item as it is then, or
    /// none if the lease was lost.
    ///
    /// # Errors
    /// If it may not be durable.
    async fn reschedule(&self, lane: &LaneId, owner: OwnerId, to: &Reschedule) -> Result<Option<LaneItem>, PortError>;

    /// Parks the lane ([`crate::lane::table::park`]).
    ///
    /// # Errors
    /// If it may not be durable.
    async fn park(
        &self,
        lane: &LaneId,
        owner: OwnerId,
        version: u64,
        reason: crate::lane::HoldReason,
    ) -> Result<Outcome, PortError>;

    /// Releases the lane ([`crate::lane::table::may_release`]).
    ///
    /// # Errors
    /// If it may not be durable.
    async fn release(&self, lane: &LaneId, owner: OwnerId, version: u64) -> Result<Outcome, PortError>;

    /// Makes a held lane due now and bumps its version ([`crate::lane::table::make_due`]); the item as it is then.
    ///
    /// # Errors
    /// If it may not be durable.
    async fn make_due(&self, lane: &LaneId, now: Time) -> Result<Option<LaneItem>, PortError>;

    /// Writes down what to do with the head ([`crate::lane::table::resolve`]); none if the lane is live.
    ///
    /// # Errors
    /// If it may not be durable.
    async fn resolve(&self, lane: &LaneId, resolution: Resolution) -> Result<Option<LaneItem>, PortError>;

    /// Forgets a resolution ([`crate::lane::table::resolved`]).
    ///
    /// # Errors
    /// If it may not be durable.
    async fn resolved(&self, lane: &LaneId, owner: OwnerId, resolution: Resolution) -> Result<(), PortError>;

    /// A subscription's held lanes in the order of their ids, never by an index that may be stale.
    ///
    /// # Errors
    /// If they cannot be read.
    async fn held(
        &self,
        subscription: &SubscriptionId,
        after: Option<LaneId>,
        limit: usize,
    ) -> Result<HeldLanesPage, PortError>;

    /// As [`Lanes::held`], without heads and depths: for jobs.
    ///
    /// # Errors
    /// If they cannot be read.
    async fn held_items(
        &self,
        subscription: &SubscriptionId,
        after: Option<LaneId>,
        limit: usize,
    ) -> Result<Vec<LaneItem>, PortError>;

    /// Lanes that are due, earliest first; may be stale, which does no harm.
    ///
    /// # Errors
    /// If they cannot be read.
    async fn due(&self, now: Time, limit: usize) -> Result<Vec<LaneItem>, PortError>;

    /// Removes a lane and its backlog: of a subscription or topic that is gone. Removes some, and answers whether
    /// that was all.
    ///
    /// # Errors
    /// If it may not be durable.
    async fn remove(&self, lane: &LaneId) -> Result<bool, PortError>;

    /// Number of a topic's held lanes, and since when the oldest is held.
    ///
    /// # Errors
    /// If they cannot be read.
    async fn held_count(&self, topic: &TopicId) -> Result<(u64, Option<Time>), PortError>;

    /// Number of undelivered events in the backlogs of a topic's held lanes: may cost a read for each lane.
    ///
    /// # Errors
    /// If they cannot be read.
    async fn held_events(&self, topic: &TopicId) -> Result<u64, PortError>;
}
