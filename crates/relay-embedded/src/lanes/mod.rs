//! Held lanes and their backlogs. Every conditional write is one of [`relay_core::lane::table`], run by the writer on
//! what its transaction sees, so that it is atomic without any lock.

mod backlog;
mod items;
pub(crate) mod mirror;

use crate::readers::{Readers, row, rows};
use crate::registry::Mirror;
use crate::writer::{Tx, Writer};
use async_trait::async_trait;
use mirror::LaneMirror;
use relay_core::lane::drain::Outcome;
use relay_core::lane::table::{self, NewLane, Progress, PutRule, Reschedule, Switched};
use relay_core::lane::{BacklogItem, HoldReason, LaneItem, Lease, OwnerId, PutId, Resolution};
use relay_core::names::{SubscriptionId, TopicId};
use relay_core::pack::LaneId;
use relay_core::ports::{BacklogRead, HeadFailure, HeldLane, HeldLanesPage, LaneLoad, Lanes, PortError, StateRead};
use relay_core::record;
use relay_core::sequence::Sequence;
use relay_core::time::Time;
use rusqlite::{Connection, params};
use std::sync::Arc;

/// Backlog items removed in one transaction: others wait for it.
const REMOVE: usize = 512;

/// [`Lanes`] over tables and their mirror.
pub(crate) struct LanesPort {
    pub(crate) writer: Arc<Writer>,
    pub(crate) readers: Readers,
    pub(crate) registry: Arc<Mirror>,
    pub(crate) mirror: Arc<LaneMirror>,
}

fn read_item(connection: &Connection, lane: &LaneId) -> Result<Option<LaneItem>, PortError> {
    let text = row(connection, "SELECT item FROM lanes WHERE lane = ?1", [lane.0], |row| row.get::<_, String>(0))?;
    text.map(|text| record::decode(&text)).transpose()
}

fn read_items(
    connection: &Connection,
    subscription: &SubscriptionId,
    after: Option<LaneId>,
    limit: usize,
) -> Result<Vec<LaneItem>, PortError> {
    let sql = "SELECT item FROM lanes WHERE subscription = ?1 AND lane > ?2 ORDER BY lane LIMIT ?3";
    let after = after.map_or(Vec::new(), |after| after.0.to_vec());
    let texts = rows(connection, sql, params![subscription.as_str(), after, limit], |row| row.get::<_, String>(0))?;
    texts.iter().map(|text| record::decode(text)).collect()
}

fn head_of(connection: &Connection, item: &LaneItem) -> Result<Option<BacklogItem>, PortError> {
    if !item.lane.key.is_ordered()
        && let Some(first) = backlog::first_due(connection, &item.lane.id)?
    {
        return Ok(Some(first));
    }
    Ok(backlog::first(connection, &item.lane.id, 1)?.pop())
}

fn switch(tx: &Tx<'_>, mirror: &Arc<LaneMirror>, new: &NewLane, sooner: bool) -> Result<Switched, PortError> {
    let before = items::read(tx, &new.lane.id)?;
    let switch = if sooner { table::switch_sooner } else { table::switch };
    let (after, switched) = switch(before.as_ref(), new);
    match &before {
        Some(before) => items::update(tx, before, &after)?,
        None => items::create(tx, mirror, &after)?,
    }
    Ok(switched)
}

impl LanesPort {
    async fn change(
        &self,
        lane: &LaneId,
        condition: impl FnOnce(&LaneItem) -> Option<LaneItem> + Send + 'static,
    ) -> Result<Option<LaneItem>, PortError> {
        let lane = *lane;
        self.writer.write(move |tx| items::change(tx, &lane, condition)).await
    }

    /// Does something on condition of owner and version.
    async fn if_owned(
        &self,
        lane: &LaneId,
        owner: OwnerId,
        act: impl FnOnce(&Tx<'_>, &LaneItem) -> Result<bool, PortError> + Send + 'static,
    ) -> Result<Outcome, PortError> {
        let lane = *lane;
        let act = move |tx: &Tx<'_>| {
            let Some(item) = items::read(tx, &lane)? else { return Ok(Outcome::Lost) };
            Ok(match (act(tx, &item)?, table::owns(&item, owner)) {
                (true, _) => Outcome::Done,
                (false, true) => Outcome::Moved(item.version),
                (false, false) => Outcome::Lost,
            })
        };
        self.writer.write(act).await
    }
}

#[async_trait]
impl Lanes for LanesPort {
    async fn read_state(&self, topics: &[TopicId], lanes: &[LaneId]) -> Result<StateRead, PortError> {
        // In this order: what is known of a subscription is then no later than what is known of its lanes.
        let versions = self.registry.versions(topics);
        Ok(StateRead { versions, held: self.mirror.are_held(lanes) })
    }

    async fn put_by(&self, lane: &LaneId, item: BacklogItem, rule: PutRule) -> Result<(), PortError> {
        let (lane, mirror) = (*lane, self.mirror.clone());
        self.writer.write(move |tx| backlog::put(tx, &mirror, lane, &item, rule)).await
    }

    async fn switch(&self, new: &NewLane, sooner: bool) -> Result<Switched, PortError> {
        self.append(Vec::new(), new, sooner).await
    }

    async fn append(&self, items: Vec<BacklogItem>, new: &NewLane, sooner: bool) -> Result<Switched, PortError> {
        let (new, mirror) = (new.clone(), self.mirror.clone());
        let append = move |tx: &Tx<'_>| {
            for item in &items {
                backlog::put(tx, &mirror, new.lane.id, item, PutRule::Append)?;
            }
            switch(tx, &mirror, &new, sooner)
        };
        self.writer.write(append).await
    }

    async fn load(&self, lanes: Vec<LaneLoad>, rule: PutRule) -> Result<(), PortError> {
        let mirror = self.mirror.clone();
        let load = move |tx: &Tx<'_>| {
            for LaneLoad { new, items } in &lanes {
                for item in items {
                    backlog::put(tx, &mirror, new.lane.id, item, rule)?;
                }
                switch(tx, &mirror, new, false)?;
            }
            Ok(())
        };
        self.writer.write(load).await
    }

    async fn take_lease(
        &self,
        lane: &LaneId,
        lease: Lease,
        now: Time,
        probe: bool,
    ) -> Result<Option<LaneItem>, PortError> {
        self.change(lane, move |item| table::take(item, lease, now, probe)).await
    }

    async fn renew_lease(&self, lane: &LaneId, lease: Lease, now: Time) -> Result<Option<LaneItem>, PortError> {
        self.change(lane, move |item| table::renew(item, lease, now)).await
    }

    async fn lane(&self, lane: &LaneId) -> Result<Option<LaneItem>, PortError> {
        let lane = *lane;
        self.readers.read(move |connection| read_item(connection, &lane)).await
    }

    async fn backlog(&self, lane: &LaneId, limit: usize) -> Result<BacklogRead, PortError> {
        let lane = *lane;
        let read = move |connection: &Connection| {
            // One snapshot: the version cannot move between the two looks at it.
            let before = read_item(connection, &lane)?;
            let after = before.as_ref().map(|item| item.version);
            Ok(BacklogRead { before, items: backlog::first(connection, &lane, limit)?, after })
        };
        self.readers.read(read).await
    }

    async fn head(&self, lane: &LaneId) -> Result<Option<(Sequence, PutId, u16)>, PortError> {
        let lane = *lane;
        self.readers.read(move |connection| backlog::head(connection, &lane)).await
    }

    async fn due_items(
        &self,
        lane: &LaneId,
        now: Time,
        limit: usize,
    ) -> Result<(Vec<BacklogItem>, Option<Time>), PortError> {
        let lane = *lane;
        self.readers.read(move |connection| backlog::due(connection, &lane, now, limit)).await
    }

    async fn backlog_item(&self, lane: &LaneId, key: Sequence) -> Result<Option<BacklogItem>, PortError> {
        let lane = *lane;
        self.readers.read(move |connection| backlog::one(connection, &lane, key)).await
    }

    async fn progress(&self, lane: &LaneId, progress: Progress<Sequence, PutId>) -> Result<(), PortError> {
        let (lane, mirror) = (*lane, self.mirror.clone());
        self.writer.write(move |tx| backlog::progress(tx, &mirror, lane, &progress)).await
    }

    async fn fail_head(&self, lane: &LaneId, failure: HeadFailure) -> Result<(), PortError> {
        let lane = *lane;
        self.writer.write(move |tx| backlog::fail(tx, &lane, &failure)).await
    }

    async fn reschedule(&self, lane: &LaneId, owner: OwnerId, to: &Reschedule) -> Result<Option<LaneItem>, PortError> {
        let to = to.clone();
        self.change(lane, move |item| table::reschedule(item, owner, &to)).await
    }

    async fn park(
        &self,
        lane: &LaneId,
        owner: OwnerId,
        version: u64,
        reason: HoldReason,
    ) -> Result<Outcome, PortError> {
        self.if_owned(lane, owner, move |tx, item| match table::park(item, owner, version, reason) {
            Some(after) => items::update(tx, item, &after).map(|()| true),
            None => Ok(false),
        })
        .await
    }

    async fn release(&self, lane: &LaneId, owner: OwnerId, version: u64) -> Result<Outcome, PortError> {
        let mirror = self.mirror.clone();
        self.if_owned(lane, owner, move |tx, item| {
            let may = table::may_release(item, owner, version);
            if may {
                items::delete(tx, &mirror, item)?;
            }
            Ok(may)
        })
        .await
    }

    async fn make_due(&self, lane: &LaneId, now: Time) -> Result<Option<LaneItem>, PortError> {
        self.change(lane, move |item| Some(table::make_due(item, now))).await
    }

    async fn resolve(&self, lane: &LaneId, resolution: Resolution) -> Result<Option<LaneItem>, PortError> {
        self.change(lane, move |item| Some(table::resolve(item, resolution))).await
    }

    async fn resolved(&self, lane: &LaneId, owner: OwnerId, resolution: Resolution) -> Result<(), PortError> {
        self.change(lane, move |item| table::resolved(item, owner, resolution)).await.map(drop)
    }

    async fn held(
        &self,
        subscription: &SubscriptionId,
        after: Option<LaneId>,
        limit: usize,
    ) -> Result<HeldLanesPage, PortError> {
        let (subscription, mirror) = (subscription.clone(), self.mirror.clone());
        let read = move |connection: &Connection| {
            let mut items = read_items(connection, &subscription, after, limit.saturating_add(1))?;
            let is_more = items.len() > limit;
            items.truncate(limit);
            let next = items.last().filter(|_| is_more).map(|item| item.lane.id);
            let ids: Vec<LaneId> = items.iter().map(|item| item.lane.id).collect();
            let held = items.into_iter().zip(mirror.depths(&ids)).map(|(item, depth)| {
                let head = head_of(connection, &item)?;
                Ok(HeldLane { item, depth, head })
            });
            Ok(HeldLanesPage { lanes: held.collect::<Result<_, PortError>>()?, next })
        };
        self.readers.read(read).await
    }

    async fn held_items(
        &self,
        subscription: &SubscriptionId,
        after: Option<LaneId>,
        limit: usize,
    ) -> Result<Vec<LaneItem>, PortError> {
        let subscription = subscription.clone();
        self.readers.read(move |connection| read_items(connection, &subscription, after, limit)).await
    }

    async fn due(&self, now: Time, limit: usize) -> Result<Vec<LaneItem>, PortError> {
        let read = move |connection: &Connection| {
            let sql = "SELECT item FROM lanes WHERE due_at <= ?1 ORDER BY due_at LIMIT ?2";
            let texts = rows(connection, sql, params![now.0, limit], |row| row.get::<_, String>(0))?;
            texts.iter().map(|text| record::decode(text)).collect()
        };
        self.readers.read(read).await
    }

    async fn remove(&self, lane: &LaneId) -> Result<bool, PortError> {
        let (lane, mirror) = (*lane, self.mirror.clone());
        let remove = move |tx: &Tx<'_>| {
            let is_all = backlog::remove(tx, &mirror, lane, REMOVE)?;
            if is_all && let Some(item) = items::read(tx, &lane)? {
                items::delete(tx, &mirror, &item)?;
            }
            Ok(is_all)
        };
        self.writer.write(remove).await
    }

    async fn held_events(&self, topic: &TopicId) -> Result<u64, PortError> {
        Ok(self.mirror.totals(topic).1)
    }

    async fn held_count(&self, topic: &TopicId) -> Result<(u64, Option<Time>), PortError> {
        let (lanes, _) = self.mirror.totals(topic);
        let topic = topic.clone();
        let read = move |connection: &Connection| {
            let sql = "SELECT min(since) FROM lanes WHERE topic = ?1";
            row(connection, sql, [topic.as_str()], |row| row.get::<_, Option<u64>>(0))
        };
        let since = if lanes > 0 { self.readers.read(read).await?.flatten() } else { None };
        Ok((lanes, since.map(Time)))
    }
}
