//! What is retained of a topic.

use super::{Message, PortError};
use crate::names::TopicId;
use crate::pack::{LaneKey, Pack};
use crate::replay_id::{LogPosition, LogShard};
use crate::sequence::PackSequence;
use crate::time::Time;
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// An entry of a topic's log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEntry {
    /// Where it lies.
    pub position: LogPosition,
    /// Its place among those of its key.
    pub sequence: PackSequence,
    /// The events.
    pub pack: Arc<Pack>,
}

/// Part of a shard of a topic's log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogPage {
    /// Entries in the order of their positions.
    pub entries: Vec<LogEntry>,
    /// Where to go on: every entry at or before it has been answered, and none will appear there any more.
    pub through: LogPosition,
    /// More is there already.
    pub is_more: bool,
}

/// The log of accepted events.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// Appends what a batch of messages carries, and answers their positions in the same order. When `Ok`, all are
    /// durable. Appending a message again is harmless: readers drop repeats.
    ///
    /// # Errors
    /// If not all of them could be made durable.
    async fn append(&self, messages: &[Message]) -> Result<Vec<LogPosition>, PortError>;

    /// The newest entries of a topic, newest first, from before a position. A page may be short, since what was logged
    /// twice is shown once; an empty one is the end.
    ///
    /// # Errors
    /// If the log cannot be read.
    async fn newest(
        &self,
        topic: &TopicId,
        before: Option<LogPosition>,
        limit: usize,
    ) -> Result<Vec<LogEntry>, PortError>;

    /// Entries of a shard of a topic's log, after a position, oldest first: at most `limit`, fewer if they are large.
    /// An entry that was appended again is there again. Those of one key may be out of the order of their sequences
    /// where they are closer to each other than [`EventLog::settle`].
    ///
    /// # Errors
    /// If the log cannot be read.
    async fn read(
        &self,
        topic: &TopicId,
        shard: LogShard,
        after: LogPosition,
        limit: usize,
    ) -> Result<LogPage, PortError>;

    /// As [`EventLog::read`], of the shard of a key, for a reader who wants nothing else of it: entries of other keys may
    /// be left out, so that a page may have none although there are more.
    ///
    /// # Errors
    /// If the log cannot be read.
    async fn read_key(
        &self,
        topic: &TopicId,
        key: &LaneKey,
        after: LogPosition,
        limit: usize,
    ) -> Result<LogPage, PortError> {
        self.read(topic, LogShard::of(key), after, limit).await
    }

    /// Completes when something may have been appended since this was called, at the latest after a moment that the
    /// adapter chooses.
    fn news(&self) -> BoxFuture<'static, ()>;

    /// Readers leave out what is younger than this, since an entry with an earlier position may still appear.
    fn settle(&self) -> Duration;

    /// Writes what is old or large enough into segments, which are kept for the topic's retention; some of it, if there
    /// is much. Answers how many events went. It may be called by several at once, and die at any point.
    ///
    /// # Errors
    /// If the log cannot be read, or a segment not be written.
    async fn compact(&self, now: Time) -> Result<u64, PortError>;

    /// How long the oldest entry has waited to be compacted; none if this log does not compact.
    ///
    /// # Errors
    /// If the log cannot be read.
    async fn compaction_lag(&self, now: Time) -> Result<Option<Duration>, PortError>;

    /// Removes what its topic's retention has passed and nothing refers to any more; some of it, if there is much.
    /// Answers how many entries went.
    ///
    /// # Errors
    /// If the log cannot be written.
    async fn expire(&self, now: Time) -> Result<u64, PortError>;
}
