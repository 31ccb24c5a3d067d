//! What the tables of lanes and backlogs hold. Every condition is the core's own.

use relay_core::lane::drain::Outcome;
use relay_core::lane::table::{self, NewLane, Progress, ProgressEffect, PutRule, Reschedule, Switched};
use relay_core::lane::{BacklogItem, HoldReason, LaneItem, Lease, OwnerId, PutId, Resolution};
use relay_core::names::{SubscriptionId, TopicId};
use relay_core::pack::LaneId;
use relay_core::ports::{HeadFailure, HeldLane};
use relay_core::sequence::Sequence;
use relay_core::time::Time;
use std::collections::BTreeMap;
use std::ops::Bound;

type Backlog = BTreeMap<Sequence, BacklogItem>;

#[derive(Default)]
pub(crate) struct LaneStore {
    lanes: BTreeMap<LaneId, LaneItem>,
    backlogs: BTreeMap<LaneId, Backlog>,
}

impl LaneStore {
    pub fn lane(&self, id: &LaneId) -> Option<&LaneItem> {
        self.lanes.get(id)
    }

    pub fn lanes(&self) -> impl Iterator<Item = &LaneItem> {
        self.lanes.values()
    }

    pub fn backlog(&self, id: &LaneId) -> impl Iterator<Item = &BacklogItem> {
        self.backlogs.get(id).into_iter().flat_map(BTreeMap::values)
    }

    pub fn backlogs(&self) -> impl Iterator<Item = (&LaneId, &BacklogItem)> {
        self.backlogs.iter().flat_map(|(lane, backlog)| backlog.values().map(move |item| (lane, item)))
    }

    pub fn item(&self, lane: &LaneId, key: Sequence) -> Option<&BacklogItem> {
        self.backlogs.get(lane)?.get(&key)
    }

    pub fn put(&mut self, lane: &LaneId, item: BacklogItem, rule: PutRule) {
        let backlog = self.backlogs.entry(*lane).or_default();
        if let Some(next) = rule.begins_at(backlog.get(&item.key).map(|existing| existing.next), item.next) {
            backlog.insert(item.key, BacklogItem { next, ..item });
        }
    }

    pub fn switch(&mut self, new: &NewLane, sooner: bool) -> Switched {
        let existing = self.lanes.get(&new.lane.id);
        let decide = if sooner { table::switch_sooner } else { table::switch };
        let (item, switched) = decide(existing, new);
        self.lanes.insert(new.lane.id, item);
        switched
    }

    /// Writes what a condition makes of a lane item; none if it refuses, or there is no item.
    fn write(&mut self, lane: &LaneId, decide: impl FnOnce(&LaneItem) -> Option<LaneItem>) -> Option<LaneItem> {
        let next = decide(self.lanes.get(lane)?)?;
        self.lanes.insert(*lane, next.clone());
        Some(next)
    }

    pub fn take(&mut self, lane: &LaneId, lease: Lease, now: Time, probe: bool) -> Option<LaneItem> {
        self.write(lane, |item| table::take(item, lease, now, probe))
    }

    pub fn renew(&mut self, lane: &LaneId, lease: Lease, now: Time) -> Option<LaneItem> {
        self.write(lane, |item| table::renew(item, lease, now))
    }

    pub fn reschedule(&mut self, lane: &LaneId, owner: OwnerId, to: &Reschedule) -> Option<LaneItem> {
        self.write(lane, |item| table::reschedule(item, owner, to))
    }

    pub fn make_due(&mut self, lane: &LaneId, now: Time) -> Option<LaneItem> {
        self.write(lane, |item| Some(table::make_due(item, now)))
    }

    pub fn resolve(&mut self, lane: &LaneId, resolution: Resolution) -> Option<LaneItem> {
        self.write(lane, |item| Some(table::resolve(item, resolution)))
    }

    pub fn resolved(&mut self, lane: &LaneId, owner: OwnerId, resolution: Resolution) {
        self.write(lane, |item| table::resolved(item, owner, resolution));
    }

    /// What a refused write on condition of owner and version found.
    fn refused(&self, lane: &LaneId, owner: OwnerId) -> Outcome {
        match self.lanes.get(lane) {
            Some(item) if table::owns(item, owner) => Outcome::Moved(item.version),
            _ => Outcome::Lost,
        }
    }

    pub fn park(&mut self, lane: &LaneId, owner: OwnerId, version: u64, reason: HoldReason) -> Outcome {
        match self.write(lane, |item| table::park(item, owner, version, reason)) {
            Some(_) => Outcome::Done,
            None => self.refused(lane, owner),
        }
    }

    pub fn release(&mut self, lane: &LaneId, owner: OwnerId, version: u64) -> Outcome {
        if self.lanes.get(lane).is_some_and(|item| table::may_release(item, owner, version)) {
            self.lanes.remove(lane);
            return Outcome::Done;
        }
        self.refused(lane, owner)
    }

    pub fn progress(&mut self, lane: &LaneId, progress: &Progress<Sequence, PutId>) {
        let Some(backlog) = self.backlogs.get_mut(lane) else { return };
        let stored = backlog.get(&progress.key).map(|item| item.put_id);
        match (table::progress(stored.as_ref(), progress), backlog.get_mut(&progress.key)) {
            (ProgressEffect::Advance(next), Some(item)) => {
                (item.next, item.attempts, item.first_failed_at, item.due_at) = (next, 0, None, None);
            }
            (ProgressEffect::Delete, _) => {
                backlog.remove(&progress.key);
                if backlog.is_empty() {
                    self.backlogs.remove(lane);
                }
            }
            (ProgressEffect::Ignored | ProgressEffect::Advance(_), _) => {}
        }
    }

    pub fn fail_head(&mut self, lane: &LaneId, failure: &HeadFailure) {
        let item = self.backlogs.get_mut(lane).and_then(|backlog| backlog.get_mut(&failure.key));
        if let Some(item) = item.filter(|item| item.put_id == failure.put_id) {
            item.attempts = failure.attempts;
            item.first_failed_at = Some(failure.first_failed_at);
            item.due_at = failure.due_at;
        }
    }

    pub fn held_item(&self, item: &LaneItem) -> HeldLane {
        let id = &item.lane.id;
        let head = if item.lane.key.is_ordered() {
            self.backlog(id).next()
        } else {
            self.backlog(id).min_by_key(|item| (item.due_at, item.key))
        };
        HeldLane { item: item.clone(), depth: self.backlog(id).map(BacklogItem::depth).sum(), head: head.cloned() }
    }

    pub fn held<'a>(&'a self, of: &'a SubscriptionId, after: Option<LaneId>) -> impl Iterator<Item = &'a LaneItem> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.lanes
            .range((from, Bound::Unbounded))
            .map(|(_, item)| item)
            .filter(move |item| item.lane.subscription == *of)
    }

    /// Lanes that are due, earliest first.
    pub fn due(&self, now: Time) -> Vec<&LaneItem> {
        let mut due: Vec<_> = self.lanes.values().filter(|item| item.due_at().is_some_and(|at| at <= now)).collect();
        due.sort_by_key(|item| (item.due_at(), item.lane.id));
        due
    }

    /// Removes up to some items of the backlog, and the lane with the last of them; true if all is gone.
    pub fn remove(&mut self, lane: &LaneId, limit: usize) -> bool {
        if let Some(backlog) = self.backlogs.get_mut(lane) {
            for _ in 0..limit {
                backlog.pop_first();
            }
            if !backlog.is_empty() {
                return false;
            }
            self.backlogs.remove(lane);
        }
        self.lanes.remove(lane);
        true
    }

    pub fn held_count(&self, topic: &TopicId) -> (u64, Option<Time>) {
        (self.of_topic(topic).count() as u64, self.of_topic(topic).map(|item| item.since).min())
    }

    pub fn held_events(&self, topic: &TopicId) -> u64 {
        let depth = |item: &LaneItem| self.backlog(&item.lane.id).map(BacklogItem::depth).sum::<u64>();
        self.of_topic(topic).map(depth).sum()
    }

    fn of_topic(&self, topic: &TopicId) -> impl Iterator<Item = &LaneItem> {
        self.lanes.values().filter(move |item| item.lane.topic_id == *topic)
    }
}
