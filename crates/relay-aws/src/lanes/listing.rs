//! Lists of held lanes.

use super::LanesPort;
use super::item::{self, SHARDS, due_lanes, markers_of, topic_lanes};
use crate::table::{Key, Query};
use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use relay_core::lane::LaneItem;
use relay_core::names::{SubscriptionId, TopicId};
use relay_core::pack::LaneId;
use relay_core::ports::{HeldLane, HeldLanesPage, PortError};
use relay_core::time::Time;

/// Backlogs read at the same time.
const AT_ONCE: usize = 8;

fn lane_id(text: &str) -> Result<LaneId, PortError> {
    text.parse().map_err(|_| PortError::Corrupt(format!("{text:?} is no lane's id")))
}

impl LanesPort {
    /// Ids of held lanes after one, in order.
    async fn markers(
        &self,
        subscription: &SubscriptionId,
        after: Option<LaneId>,
        limit: usize,
    ) -> Result<Vec<LaneId>, PortError> {
        let of_shard = |shard| {
            let query = Query::of(markers_of(subscription.as_str(), shard)).only("sk").limit(limit);
            self.table.query(query.after(after.map(|after| after.to_string())))
        };
        let mut ids = Vec::new();
        for row in try_join_all(SHARDS.map(of_shard)).await?.into_iter().flatten() {
            ids.push(lane_id(row.text("sk")?)?);
        }
        ids.sort_unstable();
        ids.truncate(limit);
        Ok(ids)
    }

    /// The items of lanes, in their order, but for those released since.
    async fn items_of(&self, ids: &[LaneId]) -> Result<Vec<LaneItem>, PortError> {
        let keys: Vec<Key> = ids.iter().map(item::key_of).collect();
        let rows = self.table.batch_get(&keys, None).await?;
        keys.iter().filter_map(|key| rows.get(key)).map(item::item_of).collect()
    }

    pub(super) async fn list_items(
        &self,
        subscription: &SubscriptionId,
        after: Option<LaneId>,
        limit: usize,
    ) -> Result<Vec<LaneItem>, PortError> {
        let (mut items, mut after) = (Vec::new(), after);
        // A page that is not full is the last one to the caller: go on where lanes were released meanwhile.
        while items.len() < limit {
            let wanted = limit - items.len();
            let ids = self.markers(subscription, after, wanted).await?;
            items.extend(self.items_of(&ids).await?);
            if ids.len() < wanted {
                break;
            }
            after = ids.last().copied();
        }
        Ok(items)
    }

    pub(super) async fn list_held(
        &self,
        subscription: &SubscriptionId,
        after: Option<LaneId>,
        limit: usize,
    ) -> Result<HeldLanesPage, PortError> {
        let mut ids = self.markers(subscription, after, limit.saturating_add(1)).await?;
        let is_more = ids.len() > limit;
        ids.truncate(limit);
        let next = ids.last().copied().filter(|_| is_more);
        let items = self.items_of(&ids).await?;
        let lanes = stream::iter(items).map(|item| self.shown(item)).buffered(AT_ONCE).try_collect().await?;
        Ok(HeldLanesPage { lanes, next })
    }

    async fn shown(&self, item: LaneItem) -> Result<HeldLane, PortError> {
        let backlog = self.backlog_of(&item.lane.id);
        let depth = backlog.depth().await?;
        let due = if item.lane.key.is_ordered() { None } else { backlog.first_due().await? };
        let head = match due {
            Some(due) => Some(due),
            None => backlog.first(1).await?.pop(),
        };
        Ok(HeldLane { item, depth, head })
    }

    /// By the index, which may be behind: what it names is read again.
    pub(super) async fn list_due(&self, now: Time, limit: usize) -> Result<Vec<LaneItem>, PortError> {
        let of_shard = |shard| {
            let until = format!("{:013}~", now.0);
            self.table.query(Query::of_index(due_lanes(shard)).up_to(until).limit(limit))
        };
        let mut due = Vec::new();
        for row in try_join_all(SHARDS.map(of_shard)).await?.into_iter().flatten() {
            due.push(row.text("gsk")?.to_owned());
        }
        due.sort_unstable();
        due.truncate(limit);
        let ids: Result<Vec<LaneId>, _> =
            due.iter().map(|gsk| lane_id(gsk.split('#').nth(1).unwrap_or_default())).collect();
        let mut items = self.items_of(&ids?).await?;
        items.retain(|item| item.due_at().is_some_and(|at| at <= now));
        items.sort_by_key(LaneItem::due_at);
        Ok(items)
    }

    /// A topic's held lanes and since when they are, by the index, which may be behind.
    async fn held_of(&self, topic: &TopicId) -> Result<Vec<(LaneId, Time)>, PortError> {
        let of_shard = |shard| self.table.query(Query::of_index(topic_lanes(topic.as_str(), shard)));
        let mut lanes = Vec::new();
        for row in try_join_all(SHARDS.map(of_shard)).await?.into_iter().flatten() {
            let (at, id) = row.text("gsk")?.split_once('#').unwrap_or_default();
            let at = Time(at.parse().map_err(|_| PortError::Corrupt("a held lane has no time".to_owned()))?);
            lanes.push((lane_id(id)?, at));
        }
        Ok(lanes)
    }

    pub(super) async fn count_held(&self, topic: &TopicId) -> Result<(u64, Option<Time>), PortError> {
        let held = self.held_of(topic).await?;
        Ok((held.len() as u64, held.iter().map(|(_, since)| *since).min()))
    }

    /// Backlogs as they are.
    pub(super) async fn count_events(&self, topic: &TopicId) -> Result<u64, PortError> {
        let held = self.held_of(topic).await?;
        let depths = stream::iter(held).map(|(lane, _)| async move { self.backlog_of(&lane).depth().await });
        depths.buffer_unordered(AT_ONCE).try_fold(0, |sum, depth| async move { Ok(sum + depth) }).await
    }
}
