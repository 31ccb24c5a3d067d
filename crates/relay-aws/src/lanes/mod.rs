//! Held lanes and their backlogs in the table.

mod backlog;
pub(crate) mod item;
mod listing;
pub(crate) mod stored;

use crate::objects::Objects;
use crate::registry::lists;
use crate::table::{Key, Table};
use async_trait::async_trait;
use backlog::Backlog;
use item::{Changed, Items};
use relay_core::lane::drain::Outcome;
use relay_core::lane::table::{self, NewLane, Progress, PutRule, Reschedule, Switched};
use relay_core::lane::{BacklogItem, HoldReason, LaneItem, Lease, OwnerId, PutId, Resolution};
use relay_core::names::{SubscriptionId, TopicId};
use relay_core::pack::LaneId;
use relay_core::ports::{BacklogRead, HeadFailure, HeldLanesPage, Ids, Lanes, PortError, StateRead};
use relay_core::sequence::Sequence;
use relay_core::time::Time;
use std::sync::Arc;

/// Attempts at a switch between others that hold and release the lane.
const TURNS: usize = 16;

/// [`Lanes`] over the table.
pub(crate) struct LanesPort {
    pub(crate) table: Table,
    pub(crate) objects: Objects,
    pub(crate) ids: Arc<dyn Ids>,
}

impl LanesPort {
    fn items(&self) -> Items<'_> {
        Items { table: &self.table, ids: &*self.ids }
    }

    fn backlog_of(&self, lane: &LaneId) -> Backlog<'_> {
        Backlog { table: &self.table, objects: &self.objects, lane: *lane }
    }

    /// The item after a change, or none if the rule refused or the lane is live.
    async fn changed(
        &self,
        lane: &LaneId,
        rule: impl Fn(&LaneItem) -> Option<LaneItem>,
    ) -> Result<Option<LaneItem>, PortError> {
        Ok(match self.items().change(lane, rule).await? {
            Changed::Done(item) => Some(item),
            Changed::Refused(_) | Changed::Absent => None,
        })
    }

    /// Moves the version, or makes the lane due sooner besides; none if the lane is live.
    async fn bump(&self, new: &NewLane, sooner: bool) -> Result<Option<Switched>, PortError> {
        let is_held = if sooner {
            self.changed(&new.lane.id, |item| Some(table::switch_sooner(Some(item), new).0)).await?.is_some()
        } else {
            self.items().bump(&new.lane.id).await?
        };
        Ok(is_held.then_some(Switched::Bumped))
    }
}

/// How a write on condition of owner and version ended.
fn outcome(changed: Changed, owner: OwnerId) -> Outcome {
    match changed {
        Changed::Done(_) => Outcome::Done,
        Changed::Refused(item) if table::owns(&item, owner) => Outcome::Moved(item.version),
        Changed::Refused(_) | Changed::Absent => Outcome::Lost,
    }
}

#[async_trait]
impl Lanes for LanesPort {
    async fn read_state(&self, topics: &[TopicId], lanes: &[LaneId]) -> Result<StateRead, PortError> {
        let of_topics: Vec<Key> = topics.iter().map(lists::key_of).collect();
        let of_lanes: Vec<Key> = lanes.iter().map(item::key_of).collect();
        let keys: Vec<Key> = of_topics.iter().chain(&of_lanes).cloned().collect();
        let rows = self.table.batch_get(&keys, Some(lists::PROJECTION)).await?;
        Ok(StateRead {
            versions: of_topics.iter().map(|key| rows.get(key).and_then(lists::version_of)).collect(),
            held: of_lanes.iter().map(|key| rows.contains_key(key)).collect(),
        })
    }

    async fn put_by(&self, lane: &LaneId, item: BacklogItem, rule: PutRule) -> Result<(), PortError> {
        self.backlog_of(lane).put(&item, rule).await
    }

    async fn switch(&self, new: &NewLane, sooner: bool) -> Result<Switched, PortError> {
        for _ in 0..TURNS {
            if let Some(switched) = self.bump(new, sooner).await? {
                return Ok(switched);
            }
            let (item, switched) = if sooner { table::switch_sooner(None, new) } else { table::switch(None, new) };
            if self.items().create(&item).await? {
                return Ok(switched);
            }
        }
        Err(PortError::Throttled)
    }

    async fn take_lease(
        &self,
        lane: &LaneId,
        lease: Lease,
        now: Time,
        probe: bool,
    ) -> Result<Option<LaneItem>, PortError> {
        self.changed(lane, |item| table::take(item, lease, now, probe)).await
    }

    async fn renew_lease(&self, lane: &LaneId, lease: Lease, now: Time) -> Result<Option<LaneItem>, PortError> {
        self.changed(lane, |item| table::renew(item, lease, now)).await
    }

    async fn lane(&self, lane: &LaneId) -> Result<Option<LaneItem>, PortError> {
        self.items().get(lane).await
    }

    async fn backlog(&self, lane: &LaneId, limit: usize) -> Result<BacklogRead, PortError> {
        let before = self.items().get(lane).await?;
        let items = self.backlog_of(lane).first(limit).await?;
        let after = if before.is_some() { self.items().get(lane).await? } else { None };
        Ok(BacklogRead::between(before, items, after.as_ref()))
    }

    async fn head(&self, lane: &LaneId) -> Result<Option<(Sequence, PutId, u16)>, PortError> {
        self.backlog_of(lane).head().await
    }

    async fn due_items(
        &self,
        lane: &LaneId,
        now: Time,
        limit: usize,
    ) -> Result<(Vec<BacklogItem>, Option<Time>), PortError> {
        self.backlog_of(lane).due(now, limit).await
    }

    async fn backlog_item(&self, lane: &LaneId, key: Sequence) -> Result<Option<BacklogItem>, PortError> {
        self.backlog_of(lane).one(key).await
    }

    async fn progress(&self, lane: &LaneId, progress: Progress<Sequence, PutId>) -> Result<(), PortError> {
        self.backlog_of(lane).progress(&progress).await
    }

    async fn fail_head(&self, lane: &LaneId, failure: HeadFailure) -> Result<(), PortError> {
        self.backlog_of(lane).fail(&failure).await
    }

    async fn reschedule(&self, lane: &LaneId, owner: OwnerId, to: &Reschedule) -> Result<Option<LaneItem>, PortError> {
        self.changed(lane, |item| table::reschedule(item, owner, to)).await
    }

    async fn park(
        &self,
        lane: &LaneId,
        owner: OwnerId,
        version: u64,
        reason: HoldReason,
    ) -> Result<Outcome, PortError> {
        let parked = self.items().change(lane, |item| table::park(item, owner, version, reason)).await?;
        Ok(outcome(parked, owner))
    }

    async fn release(&self, lane: &LaneId, owner: OwnerId, version: u64) -> Result<Outcome, PortError> {
        let released = self.items().delete(lane, |item| table::may_release(item, owner, version)).await?;
        Ok(outcome(released, owner))
    }

    async fn make_due(&self, lane: &LaneId, now: Time) -> Result<Option<LaneItem>, PortError> {
        self.changed(lane, |item| Some(table::make_due(item, now))).await
    }

    async fn resolve(&self, lane: &LaneId, resolution: Resolution) -> Result<Option<LaneItem>, PortError> {
        self.changed(lane, |item| Some(table::resolve(item, resolution))).await
    }

    async fn resolved(&self, lane: &LaneId, owner: OwnerId, resolution: Resolution) -> Result<(), PortError> {
        self.changed(lane, |item| table::resolved(item, owner, resolution)).await.map(drop)
    }

    async fn held(
        &self,
        subscription: &SubscriptionId,
        after: Option<LaneId>,
        limit: usize,
    ) -> Result<HeldLanesPage, PortError> {
        self.list_held(subscription, after, limit).await
    }

    async fn held_items(
        &self,
        subscription: &SubscriptionId,
        after: Option<LaneId>,
        limit: usize,
    ) -> Result<Vec<LaneItem>, PortError> {
        self.list_items(subscription, after, limit).await
    }

    async fn due(&self, now: Time, limit: usize) -> Result<Vec<LaneItem>, PortError> {
        self.list_due(now, limit).await
    }

    async fn remove(&self, lane: &LaneId) -> Result<bool, PortError> {
        let is_all = self.backlog_of(lane).remove().await?;
        if is_all {
            self.items().delete(lane, |_| true).await?;
        }
        Ok(is_all)
    }

    async fn held_count(&self, topic: &TopicId) -> Result<(u64, Option<Time>), PortError> {
        self.count_held(topic).await
    }

    async fn held_events(&self, topic: &TopicId) -> Result<u64, PortError> {
        self.count_events(topic).await
    }
}
