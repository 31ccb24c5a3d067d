//! Puts parts of a topic's log into a subscription's lanes.

use super::Until;
use crate::lane::table::{NewLane, PutRule};
use crate::lane::{BacklogItem, HoldReason, LaneRef, rest_key};
use crate::limits::LEASE;
use crate::log::Cursor;
use crate::names::PartitionKey;
use crate::pack::LaneKey;
use crate::ports::{LaneLoad, LogEntry, PortError, Ports};
use crate::replay_id::{LogPosition, LogShard};
use crate::subscription::Subscription;
use crate::time::Time;
use std::collections::BTreeMap;

/// Entries of a shard that are loaded at once.
const PART: usize = 512;

/// What is loaded, and for whom.
pub(super) struct Load<'a> {
    pub ports: &'a Ports,
    pub subscription: &'a Subscription,
    /// Events that it leaves out are not wanted.
    pub from: Cursor,
    /// What was logged since may still have been queued when the load began. Unless it is acknowledged by now, it is
    /// loaded though it lie before the start: what follows it in its lane must not be delivered first.
    pub queued_since: Option<Time>,
    pub until: Option<Until>,
    pub key: Option<&'a PartitionKey>,
    /// It puts what is absent, and nothing is a replay.
    pub joins: bool,
}

/// What a part came to.
pub(super) struct Loaded {
    /// Where the next one begins.
    pub through: LogPosition,
    /// This was the end of the shard as it is now.
    pub is_end: bool,
    /// Events looked at, and put into lanes.
    pub scanned: u64,
    pub matched: u64,
}

impl Load<'_> {
    /// The shards that can have what is wanted.
    pub fn shards(&self) -> Vec<LogShard> {
        match self.key {
            Some(key) => vec![LogShard::of(&LaneKey::Ordered(key.clone()))],
            None => LogShard::ALL.to_vec(),
        }
    }

    /// Loads a part of a shard, after a position.
    pub async fn part(&self, shard: LogShard, after: LogPosition) -> Result<Loaded, PortError> {
        let (log, topic) = (&self.ports.log, &self.subscription.topic_id);
        let page = match self.key {
            Some(key) => log.read_key(topic, &LaneKey::Ordered(key.clone()), after, PART).await?,
            None => log.read(topic, shard, after, PART).await?,
        };
        let mut loaded = Loaded { through: page.through, is_end: !page.is_more, scanned: 0, matched: 0 };
        let mut lanes: BTreeMap<_, LaneLoad> = BTreeMap::new();
        for entry in page.entries {
            loaded.scanned += entry.pack.events.len() as u64;
            let (next, end) = self.wanted(shard, &entry);
            if next >= end {
                continue;
            }
            // Of a key, a pack is loaded to its end: an item that is there has it, and dispatch counts on that.
            let end = if entry.pack.key.is_ordered() { count_of(&entry) } else { end };
            loaded.matched += u64::from(end - next);
            let pack = &entry.pack;
            let lane = LaneRef::new(&self.subscription.id, &pack.topic_id, &pack.topic, &pack.key);
            let load = lanes.entry(lane.id).or_insert_with(|| LaneLoad { new: self.new_lane(lane), items: Vec::new() });
            self.items(&entry, next, end, &mut load.items);
        }
        let rule = if self.joins { PutRule::Join } else { PutRule::Rewind };
        self.ports.lanes.load(lanes.into_values().collect(), rule).await?;
        Ok(loaded)
    }

    /// Which of an entry's events are wanted.
    fn wanted(&self, shard: LogShard, entry: &LogEntry) -> (u16, u16) {
        if self.key.is_some_and(|key| entry.pack.key.partition_key() != Some(key)) {
            return (0, 0);
        }
        let count = count_of(entry);
        if self.subscription.skipped_from.is_some_and(|from| entry.position >= from) {
            return (0, count); // it is in no backlog, and nowhere else
        }
        let may_be_queued = self.queued_since.is_some_and(|since| entry.position.at >= since)
            && !self.ports.queue.has_acknowledged(entry.position);
        let next = if may_be_queued {
            0
        } else if entry.position <= self.from.after_in(shard) {
            count // it is older than the start, and was read only since others may be queued
        } else {
            self.from.first_unread(shard, entry)
        };
        (next, self.until.map_or(count, |until| until.wanted(entry)))
    }

    /// Due some time: the resume at the end makes it due at once, unless this loader was stopped for so long that
    /// somebody else has ended the job.
    fn new_lane(&self, lane: LaneRef) -> NewLane {
        let now = self.ports.clock.now();
        NewLane {
            lane,
            reason: HoldReason::Rewinding,
            since: now,
            next_attempt_at: Some(now + LEASE),
            lease: None,
            attempts: 0,
            last_status: None,
            last_error: None,
        }
    }

    fn items(&self, entry: &LogEntry, next: u16, end: u16, items: &mut Vec<BacklogItem>) {
        let item = BacklogItem {
            key: rest_key(entry.sequence),
            pack: entry.pack.clone(),
            position: entry.position,
            next,
            end,
            put_id: self.ports.ids.put_id(),
            revision: self.subscription.revision,
            attempts: 0,
            first_failed_at: None,
            due_at: None,
            replay: !self.joins,
        };
        if entry.pack.key.is_ordered() {
            return items.push(item);
        }
        let now = Some(self.ports.clock.now());
        items.extend((next..end).map(|index| BacklogItem {
            key: entry.sequence.event(index),
            next: index,
            end: index + 1,
            put_id: self.ports.ids.put_id(),
            due_at: now,
            ..item.clone()
        }));
    }
}

fn count_of(entry: &LogEntry) -> u16 {
    u16::try_from(entry.pack.events.len()).unwrap_or(u16::MAX)
}
