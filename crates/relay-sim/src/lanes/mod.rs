//! Held lanes and their backlogs.

mod store;

pub(crate) use store::LaneStore;

use crate::locked;
use crate::simulated::{Shape, Simulated};
use async_trait::async_trait;
use relay_core::lane::drain::Outcome;
use relay_core::lane::table::{NewLane, Progress, PutRule, Reschedule, Switched};
use relay_core::lane::{BacklogItem, HoldReason, LaneItem, Lease, OwnerId, PutId, Resolution, rest_key};
use relay_core::names::{SubscriptionId, TopicId};
use relay_core::pack::{LaneId, group_of};
use relay_core::ports::{BacklogRead, HeadFailure, HeldLanesPage, LaneLoad, Lanes, PortError, StateRead};
use relay_core::sequence::Sequence;
use relay_core::time::Time;
use std::collections::BTreeSet;

/// How many items one call of `remove` takes.
const REMOVED_AT_ONCE: usize = 100;

impl Simulated {
    /// A call on the lanes, which is one conditional write or one consistent read.
    async fn on_lanes<T: std::fmt::Debug + Send>(
        &self,
        name: &str,
        subject: &(dyn std::fmt::Debug + Sync),
        effect: impl FnOnce(&mut LaneStore) -> T + Send,
    ) -> Result<T, PortError> {
        self.gate.call(name, subject, || Ok(effect(&mut locked(&self.stores.tables).lanes))).await
    }

    fn read_backlog_at_once(&self, lane: &LaneId, limit: usize) -> BacklogRead {
        let tables = locked(&self.stores.tables);
        let before = tables.lanes.lane(lane).cloned();
        let after = before.as_ref().map(|item| item.version);
        BacklogRead { before, items: tables.lanes.backlog(lane).take(limit).cloned().collect(), after }
    }

    /// Reads items one by one, each at its own time: one that is put after its place was passed is missed, though its
    /// successor may be seen. Places are those of items that are there, and of messages that may yet be put.
    async fn read_items_torn(&self, lane: &LaneId, limit: usize) -> Vec<BacklogItem> {
        let mut places: BTreeSet<Sequence> = {
            let tables = locked(&self.stores.tables);
            let queue = locked(&self.stores.queue);
            let there = tables.lanes.backlog(lane).map(|item| item.key);
            let group = tables.lanes.lane(lane).map(|item| group_of(&item.lane.topic_id, &item.lane.key));
            there.chain(group.iter().flat_map(|group| queue.sequences(group)).map(rest_key)).collect()
        };
        let mut items: Vec<BacklogItem> = Vec::new();
        while items.len() < limit {
            self.gate.point().await;
            let Some(place) = places.pop_first() else { break };
            items.extend(locked(&self.stores.tables).lanes.item(lane, place).cloned());
        }
        items
    }

    /// Reads a backlog as a query over many pages does: no snapshot, others are at work in between.
    async fn read_backlog_torn(&self, lane: &LaneId, limit: usize) -> BacklogRead {
        let before = locked(&self.stores.tables).lanes.lane(lane).cloned();
        let items = self.read_items_torn(lane, limit).await;
        self.gate.point().await;
        BacklogRead::between(before, items, locked(&self.stores.tables).lanes.lane(lane))
    }
}

#[async_trait]
impl Lanes for Simulated {
    async fn read_state(&self, topics: &[TopicId], lanes: &[LaneId]) -> Result<StateRead, PortError> {
        let read = || {
            let tables = locked(&self.stores.tables);
            Ok(StateRead {
                versions: topics.iter().map(|topic| tables.registry.list_version(topic)).collect(),
                held: lanes.iter().map(|lane| tables.lanes.lane(lane).is_some()).collect(),
            })
        };
        self.gate.call("lanes.read_state", &lanes, read).await
    }

    async fn put_by(&self, lane: &LaneId, item: BacklogItem, rule: PutRule) -> Result<(), PortError> {
        let subject = (*lane, Shown(&item).to_string(), rule);
        self.on_lanes("lanes.put_by", &subject, |lanes| lanes.put(lane, item, rule)).await
    }

    async fn switch(&self, new: &NewLane, sooner: bool) -> Result<Switched, PortError> {
        let subject = (new.lane.id, new.reason, new.next_attempt_at, new.lease);
        self.on_lanes("lanes.switch", &subject, |lanes| lanes.switch(new, sooner)).await
    }

    async fn append(&self, items: Vec<BacklogItem>, new: &NewLane, sooner: bool) -> Result<Switched, PortError> {
        let lane = new.lane.id;
        if self.stores.shape == Shape::Apart {
            for item in items {
                self.put_backlog(&lane, item).await?;
            }
            return self.switch(new, sooner).await;
        }
        let shown: Vec<_> = items.iter().map(|item| Shown(item).to_string()).collect();
        let append = |lanes: &mut LaneStore| {
            items.into_iter().for_each(|item| lanes.put(&lane, item, PutRule::Append));
            lanes.switch(new, sooner)
        };
        self.on_lanes("lanes.append", &(lane, shown, new.next_attempt_at, new.lease), append).await
    }

    async fn load(&self, loads: Vec<LaneLoad>, rule: PutRule) -> Result<(), PortError> {
        if self.stores.shape == Shape::Apart {
            for LaneLoad { new, items } in loads {
                for item in items {
                    self.put_by(&new.lane.id, item, rule).await?;
                }
                self.switch(&new, false).await?;
            }
            return Ok(());
        }
        let shown: Vec<_> = loads.iter().map(|load| (load.new.lane.id, load.items.len())).collect();
        let load = |lanes: &mut LaneStore| {
            for LaneLoad { new, items } in loads {
                items.into_iter().for_each(|item| lanes.put(&new.lane.id, item, rule));
                lanes.switch(&new, false);
            }
        };
        self.on_lanes("lanes.load", &(shown, rule), load).await
    }

    async fn take_lease(
        &self,
        lane: &LaneId,
        lease: Lease,
        now: Time,
        probe: bool,
    ) -> Result<Option<LaneItem>, PortError> {
        let subject = (lane, lease, probe);
        self.on_lanes("lanes.take_lease", &subject, |lanes| lanes.take(lane, lease, now, probe)).await
    }

    async fn renew_lease(&self, lane: &LaneId, lease: Lease, now: Time) -> Result<Option<LaneItem>, PortError> {
        self.on_lanes("lanes.renew_lease", &(lane, lease), |lanes| lanes.renew(lane, lease, now)).await
    }

    async fn lane(&self, lane: &LaneId) -> Result<Option<LaneItem>, PortError> {
        self.on_lanes("lanes.lane", lane, |lanes| lanes.lane(lane).cloned()).await
    }

    async fn backlog(&self, lane: &LaneId, limit: usize) -> Result<BacklogRead, PortError> {
        let read = if self.gate.strikes(|hazards| hazards.torn_read) {
            self.gate.point().await;
            self.read_backlog_torn(lane, limit).await
        } else {
            self.gate.point().await;
            self.read_backlog_at_once(lane, limit)
        };
        let shown = || {
            let items: Vec<_> = read.items.iter().map(|item| Shown(item).to_string()).collect();
            (read.before.as_ref().map(|item| item.version), items, read.after)
        };
        if let Some(scheduler) = self.gate.scheduler() {
            scheduler.note(|| format!("  reads backlog {lane:?} → {:?}", shown()));
        }
        self.gate.call("lanes.backlog", lane, || Ok(())).await.map(|()| read)
    }

    async fn head(&self, lane: &LaneId) -> Result<Option<(Sequence, PutId, u16)>, PortError> {
        let head = |lanes: &mut LaneStore| lanes.backlog(lane).next().map(|item| (item.key, item.put_id, item.next));
        self.on_lanes("lanes.head", lane, head).await
    }

    async fn due_items(
        &self,
        lane: &LaneId,
        now: Time,
        limit: usize,
    ) -> Result<(Vec<BacklogItem>, Option<Time>), PortError> {
        let items = if self.gate.strikes(|hazards| hazards.torn_read) {
            self.read_items_torn(lane, usize::MAX).await
        } else {
            self.gate.point().await;
            locked(&self.stores.tables).lanes.backlog(lane).cloned().collect()
        };
        let (items, next) = due_of(items, now, limit);
        let shown: Vec<_> = items.iter().map(|item| Shown(item).to_string()).collect();
        self.gate.call("lanes.due_items", &(lane, shown, next), || Ok(())).await?;
        Ok((items, next))
    }

    async fn backlog_item(&self, lane: &LaneId, key: Sequence) -> Result<Option<BacklogItem>, PortError> {
        self.on_lanes("lanes.backlog_item", lane, |lanes| lanes.item(lane, key).cloned()).await
    }

    async fn progress(&self, lane: &LaneId, progress: Progress<Sequence, PutId>) -> Result<(), PortError> {
        let subject = (*lane, progress.key.to_string(), progress.put_id, progress.next);
        self.on_lanes("lanes.progress", &subject, |lanes| lanes.progress(lane, &progress)).await
    }

    async fn fail_head(&self, lane: &LaneId, failure: HeadFailure) -> Result<(), PortError> {
        self.on_lanes("lanes.fail_head", &failure, |lanes| lanes.fail_head(lane, &failure)).await
    }

    async fn reschedule(&self, lane: &LaneId, owner: OwnerId, to: &Reschedule) -> Result<Option<LaneItem>, PortError> {
        let subject = (lane, owner, to);
        self.on_lanes("lanes.reschedule", &subject, |lanes| lanes.reschedule(lane, owner, to)).await
    }

    async fn park(
        &self,
        lane: &LaneId,
        owner: OwnerId,
        version: u64,
        reason: HoldReason,
    ) -> Result<Outcome, PortError> {
        let subject = (lane, owner, version, reason);
        self.on_lanes("lanes.park", &subject, |lanes| lanes.park(lane, owner, version, reason)).await
    }

    async fn release(&self, lane: &LaneId, owner: OwnerId, version: u64) -> Result<Outcome, PortError> {
        let subject = (lane, owner, version);
        self.on_lanes("lanes.release", &subject, |lanes| lanes.release(lane, owner, version)).await
    }

    async fn make_due(&self, lane: &LaneId, now: Time) -> Result<Option<LaneItem>, PortError> {
        self.on_lanes("lanes.make_due", lane, |lanes| lanes.make_due(lane, now)).await
    }

    async fn resolve(&self, lane: &LaneId, resolution: Resolution) -> Result<Option<LaneItem>, PortError> {
        self.on_lanes("lanes.resolve", &(lane, resolution), |lanes| lanes.resolve(lane, resolution)).await
    }

    async fn resolved(&self, lane: &LaneId, owner: OwnerId, resolution: Resolution) -> Result<(), PortError> {
        let subject = (lane, owner, resolution);
        self.on_lanes("lanes.resolved", &subject, |lanes| lanes.resolved(lane, owner, resolution)).await
    }

    async fn held(
        &self,
        subscription: &SubscriptionId,
        after: Option<LaneId>,
        limit: usize,
    ) -> Result<HeldLanesPage, PortError> {
        let list = |lanes: &mut LaneStore| {
            let mut found = lanes.held(subscription, after);
            let page: Vec<_> = found.by_ref().take(limit).map(|item| lanes.held_item(item)).collect();
            let next = found.next().and(page.last()).map(|held| held.item.lane.id);
            HeldLanesPage { lanes: page, next }
        };
        self.on_lanes("lanes.held", subscription, list).await
    }

    async fn held_items(
        &self,
        subscription: &SubscriptionId,
        after: Option<LaneId>,
        limit: usize,
    ) -> Result<Vec<LaneItem>, PortError> {
        let list = |lanes: &mut LaneStore| lanes.held(subscription, after).take(limit).cloned().collect::<Vec<_>>();
        self.on_lanes("lanes.held_items", subscription, list).await
    }

    async fn due(&self, now: Time, limit: usize) -> Result<Vec<LaneItem>, PortError> {
        let list = |lanes: &mut LaneStore| {
            let seen = |_: &&LaneItem| !self.gate.strikes(|hazards| hazards.stale_index);
            lanes.due(now).into_iter().filter(seen).take(limit).cloned().collect::<Vec<_>>()
        };
        self.on_lanes("lanes.due", &now, list).await
    }

    async fn remove(&self, lane: &LaneId) -> Result<bool, PortError> {
        self.on_lanes("lanes.remove", lane, |lanes| lanes.remove(lane, REMOVED_AT_ONCE)).await
    }

    async fn held_count(&self, topic: &TopicId) -> Result<(u64, Option<Time>), PortError> {
        self.on_lanes("lanes.held_count", topic, |lanes| lanes.held_count(topic)).await
    }

    async fn held_events(&self, topic: &TopicId) -> Result<u64, PortError> {
        self.on_lanes("lanes.held_events", topic, |lanes| lanes.held_events(topic)).await
    }
}

/// The items that are due, in the order they are due, and when the next one after those is.
fn due_of(mut items: Vec<BacklogItem>, now: Time, limit: usize) -> (Vec<BacklogItem>, Option<Time>) {
    items.sort_by_key(|item| (item.due_at, item.key));
    let due = items.iter().take_while(|item| item.due_at.is_none_or(|at| at <= now)).count().min(limit);
    let next = items.get(due).map(|item| item.due_at.unwrap_or(now));
    items.truncate(due);
    (items, next)
}

/// A backlog item, short.
struct Shown<'a>(&'a BacklogItem);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let item = self.0;
        let number = item.key.pack.number;
        write!(f, "#{number}.{} {}..{} put {:x} r{}", item.key.index, item.next, item.end, item.put_id.0, item.revision)
    }
}
