//! The log: a short index in the table, long data in the bucket.
//!
//! | key | what |
//! | --- | --- |
//! | `LOG#topic id#shard` / time and what makes it unique | hot: the messages of a batch and shard, for a week |
//! | `LOG#topic id#shard` / `SHARD` | how far the shard is compacted |
//! | `LOG#topic id#shard` / `SEGMENT#position` | a segment, for its class of retention |
//!
//! Large hot entries lie in `staging/`, segments in `events/`. Items and objects go by TTL and lifecycle, never by
//! deletes; readers leave out what the topic's retention has passed. They go by the hot log as long as it keeps, and by
//! segments for what is older.

mod append;
mod compaction;
mod hot;
pub(crate) mod item;
mod looks;
mod segments;
pub(crate) mod shard;

use crate::objects::Objects;
use crate::registry::lists;
use crate::stamp::Stamps;
use crate::table::Table;
use async_trait::async_trait;
use futures_util::future::{BoxFuture, try_join_all};
use looks::Looks;
use relay_core::names::TopicId;
use relay_core::pack::LaneKey;
use relay_core::ports::{Clock, EventLog, LogEntry, LogPage, Message, PortError};
use relay_core::replay_id::{LogPosition, LogShard};
use relay_core::time::Time;
use segments::Segments;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long readers go by the hot log.
const HOT: Duration = Duration::from_secs(7 * 86_400);
/// Readers go by the log only up to this long ago, so no writer may take longer than half of it.
const SETTLE: Duration = Duration::from_secs(2);
/// Pause between looks of a reader that waits.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// After everything that was ever logged.
const END: LogPosition = LogPosition { at: Time(9_999_999_999_999), unique: u64::MAX };

/// [`EventLog`] over table and bucket.
pub(crate) struct LogPort {
    table: Table,
    objects: Objects,
    stamps: Arc<Stamps>,
    clock: Arc<dyn Clock>,
    segments: Segments,
    looks: Mutex<Looks>,
}

fn partition(topic: &TopicId, shard: LogShard) -> String {
    format!("LOG#{topic}#{shard}")
}

impl LogPort {
    pub(crate) fn new(table: Table, objects: Objects, stamps: Arc<Stamps>, clock: Arc<dyn Clock>) -> LogPort {
        let segments = Segments::new(table.clone(), objects.clone());
        LogPort { table, objects, stamps, clock, segments, looks: Mutex::default() }
    }

    /// Reads a shard, or what it holds of a key: of the hot log that is the shard.
    async fn page(
        &self,
        topic: &TopicId,
        (shard, only): (LogShard, Option<&LaneKey>),
        after: LogPosition,
        limit: usize,
    ) -> Result<LogPage, PortError> {
        let now = self.clock.now();
        let settled = LogPosition::before(now - SETTLE);
        if after >= settled {
            return Ok(LogPage { through: after, ..LogPage::default() });
        }
        if after.at < now - HOT {
            let place = partition(topic, shard);
            if let Some(page) = self.segments.page((&place, only), after, (now - HOT, now), limit).await? {
                return Ok(page);
            }
        }
        self.hot_page(topic, shard, (after, settled), limit).await
    }

    /// The newest entries of a shard since a time, newest first.
    async fn newest_of_shard(
        &self,
        topic: &TopicId,
        shard: LogShard,
        (from, before): (Time, LogPosition),
        limit: usize,
    ) -> Result<Vec<LogEntry>, PortError> {
        let now = self.clock.now();
        let hot_from = from.max(now - HOT);
        let mut newest = self.hot_newest(topic, shard, (hot_from, before), limit).await?;
        if newest.len() < limit && from < hot_from {
            let before = before.min(LogPosition { at: hot_from, unique: 0 });
            let (place, rest) = (partition(topic, shard), limit - newest.len());
            newest.extend(self.segments.newest(&place, (from, before), now, rest).await?);
        }
        Ok(newest)
    }
}

#[async_trait]
impl EventLog for LogPort {
    async fn append(&self, messages: &[Message]) -> Result<Vec<LogPosition>, PortError> {
        self.append_all(messages).await
    }

    async fn newest(
        &self,
        topic: &TopicId,
        before: Option<LogPosition>,
        limit: usize,
    ) -> Result<Vec<LogEntry>, PortError> {
        // TTL deletes within days (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html).
        let kept = lists::retention(&self.table, topic).await?.unwrap_or(HOT);
        let bounds = (self.clock.now() - kept, before.unwrap_or(END));
        let shards = LogShard::ALL.into_iter().map(|shard| self.newest_of_shard(topic, shard, bounds, limit));
        let mut entries: Vec<LogEntry> = try_join_all(shards).await?.concat();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.position));
        // What was appended again is shown once.
        let mut seen = HashSet::new();
        entries.retain(|entry| seen.insert((entry.pack.group(), entry.sequence)));
        entries.truncate(limit);
        Ok(entries)
    }

    async fn read(
        &self,
        topic: &TopicId,
        shard: LogShard,
        after: LogPosition,
        limit: usize,
    ) -> Result<LogPage, PortError> {
        self.page(topic, (shard, None), after, limit).await
    }

    async fn read_key(
        &self,
        topic: &TopicId,
        key: &LaneKey,
        after: LogPosition,
        limit: usize,
    ) -> Result<LogPage, PortError> {
        self.page(topic, (LogShard::of(key), Some(key)), after, limit).await
    }

    /// Nobody tells of what another process appends: it is time to look again.
    fn news(&self) -> BoxFuture<'static, ()> {
        let clock = self.clock.clone();
        Box::pin(async move { clock.sleep(LOOK_AGAIN).await })
    }

    fn settle(&self) -> Duration {
        SETTLE
    }

    async fn compact(&self, now: Time) -> Result<u64, PortError> {
        self.compact_some(now).await
    }

    async fn compaction_lag(&self, now: Time) -> Result<Option<Duration>, PortError> {
        self.longest_wait(now).await.map(Some)
    }

    /// Nothing to do: TTL and lifecycle remove what is old, for nothing.
    async fn expire(&self, _: Time) -> Result<u64, PortError> {
        Ok(0)
    }
}
