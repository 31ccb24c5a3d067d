//! The log: the queue's rows, the segments that they are written into, and expiry.

mod compaction;
mod expiry;
pub(crate) mod segments;

use crate::fault;
use crate::payloads::PayloadFiles;
use crate::queue::Queue;
use crate::readers::{Readers, row, rows, visit};
use crate::registry::Mirror;
use crate::rows::decode_pack;
use crate::sync::lock;
use crate::writer::Writer;
use async_trait::async_trait;
use expiry::Expiry;
use futures_util::future::BoxFuture;
use relay_core::names::TopicId;
use relay_core::pack::{GroupId, LaneKey, group_of};
use relay_core::ports::{Clock, EventLog, LogEntry, LogPage, Message, PortError};
use relay_core::replay_id::{LogPosition, LogShard};
use relay_core::sequence::PackSequence;
use relay_core::time::Time;
use rusqlite::{Connection, Row, params};
use segments::{Segment, Segments, first_after, newest_before};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// [`EventLog`] over the rows that the queue wrote.
pub(crate) struct LogPort {
    pub(crate) queue: Arc<Queue>,
    pub(crate) writer: Arc<Writer>,
    pub(crate) readers: Readers,
    pub(crate) registry: Arc<Mirror>,
    pub(crate) expiry: Mutex<Expiry>,
    pub(crate) era: u64,
    pub(crate) segments: Segments,
    payloads: Arc<PayloadFiles>,
    clock: Arc<dyn Clock>,
}

impl LogPort {
    pub(crate) fn new(
        queue: Arc<Queue>,
        writer: Arc<Writer>,
        readers: Readers,
        registry: Arc<Mirror>,
        (era, clock): (u64, Arc<dyn Clock>),
        (segments, payloads): (Segments, Arc<PayloadFiles>),
    ) -> LogPort {
        LogPort { queue, writer, readers, registry, expiry: Mutex::default(), era, segments, payloads, clock }
    }
}

/// A row as an entry.
fn entry(era: u64, (position, at, pack): (u64, u64, Vec<u8>)) -> Result<LogEntry, PortError> {
    let sequence = PackSequence { era, number: u128::from(position) };
    Ok(LogEntry { position: LogPosition { at: Time(at), unique: position }, sequence, pack: decode_pack(pack)? })
}

fn columns(row: &Row<'_>) -> rusqlite::Result<(u64, u64, Vec<u8>)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

/// Where the log ends, unless it never had an entry: the last one stays.
fn newest_position(connection: &Connection) -> Result<Option<LogPosition>, PortError> {
    let sql = "SELECT position, at FROM log ORDER BY position DESC LIMIT 1";
    row(connection, sql, [], |row| Ok(LogPosition { at: Time(row.get(1)?), unique: row.get(0)? }))
}

/// The last row that does not lie after a position, of those up to the newest; 0 if all do. Rows rise in time, too, so
/// it is found by halving.
fn row_before(connection: &Connection, after: LogPosition, newest: u64) -> Result<u64, PortError> {
    let sql = "SELECT position, at FROM log WHERE position >= ?1 ORDER BY position LIMIT 1";
    let first_from = |number: u64| -> Result<Option<LogPosition>, PortError> {
        row(connection, sql, [number], |row| Ok(LogPosition { at: Time(row.get(1)?), unique: row.get(0)? }))
    };
    // Mostly it is that of a row, or of right before one.
    if after.unique <= newest
        && first_from(after.unique)?.is_some_and(|row| row.unique == after.unique && row <= after)
        && first_from(after.unique + 1)?.is_none_or(|row| after < row)
    {
        return Ok(after.unique);
    }
    // Rows up to `low` do not lie after it; those from `high` do, or there are none.
    let (mut low, mut high) = (0, newest + 1);
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        match first_from(middle)? {
            Some(found) if found <= after => low = found.unique,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// Bytes of a page of entries, as they are stored, beyond which it ends.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// A shard's number, and the position up to which it is compacted.
fn shard_of(connection: &Connection, topic: &TopicId, shard: LogShard) -> Result<Option<(i64, u64)>, PortError> {
    let sql = "SELECT number, compacted FROM shards WHERE topic = ?1 AND shard = ?2";
    row(connection, sql, params![topic.as_str(), shard.number()], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Rows looked at for a page of one key.
const PAGE_ROWS: usize = 4_096;

/// Entries of a shard that lie in rows after a position, in order, or those of a group. If there are more, answers how
/// far it looked.
fn forward(
    connection: &Connection,
    (shard, only): (i64, Option<GroupId>),
    after: u64,
    limit: usize,
    era: u64,
) -> Result<(Vec<LogEntry>, Option<LogPosition>), PortError> {
    let sql = "SELECT position, at, pack, grp FROM log WHERE shard = ?1 AND position > ?2 ORDER BY position LIMIT ?3";
    let (mut entries, mut bytes, mut through, mut left) = (Vec::new(), 0, None, PAGE_ROWS.max(limit));
    let is_whole = visit(connection, sql, params![shard, after, left + 1], |row| {
        if entries.len() == limit || bytes > PAGE_BYTES || left == 0 {
            return Ok(false);
        }
        // The pack, which is most of a row, is read of those alone that are wanted.
        let place = || Ok((LogPosition { at: Time(row.get(1)?), unique: row.get(0)? }, GroupId(row.get(3)?)));
        let (position, group) = place().map_err(|error| fault::of_sqlite(&error))?;
        (through, left) = (Some(position), left - 1);
        if only.is_some_and(|only| only != group) {
            return Ok(true);
        }
        let row = columns(row).map_err(|error| fault::of_sqlite(&error))?;
        bytes += row.2.len();
        entries.push(entry(era, row)?);
        Ok(true)
    })?;
    Ok((entries, through.filter(|_| !is_whole)))
}

/// The newest entries of a shard that lie in rows after one position and before another, newest first.
fn backward(
    connection: &Connection,
    shard: i64,
    (after, before): (u64, u64),
    limit: usize,
    era: u64,
) -> Result<Vec<LogEntry>, PortError> {
    let sql = "SELECT position, at, pack FROM log WHERE shard = ?1 AND position > ?2 AND position < ?3
               ORDER BY position DESC LIMIT ?4";
    let read = rows(connection, sql, params![shard, after, before, limit], columns)?;
    read.into_iter().map(|row| entry(era, row)).collect()
}

/// The entries of a segment after a position, or those of a key, some of them; and how far it looked.
fn of_segment(
    segments: &Segments,
    segment: &Segment,
    after: LogPosition,
    limit: usize,
    only: Option<&LaneKey>,
) -> Result<(Vec<LogEntry>, LogPosition), PortError> {
    let index = &segment.index;
    let (mut opened, mut entries, mut events, mut bytes) = (None, Vec::new(), 0, 0);
    for frame in index.after(after, only) {
        let opened = match &mut opened {
            Some(opened) => opened,
            none => none.insert(segments.open(segment)?),
        };
        let found = opened.entries(index, frame, only)?;
        let of_frame: usize = found.iter().map(|entry| entry.pack.events.len()).sum();
        entries.extend(found.into_iter().filter(|entry| entry.position > after));
        if entries.len() > limit {
            entries.truncate(limit);
            let last = entries.last().map_or(after, |entry: &LogEntry| entry.position);
            return Ok((entries, last));
        }
        (events, bytes) = (events + of_frame, bytes + frame.raw_bytes as usize);
        // Another frame like this would be more than was asked for, and be decompressed again for the next page.
        if events + of_frame > limit || bytes > PAGE_BYTES {
            return Ok((entries, frame.last));
        }
    }
    Ok((entries, index.last()))
}

impl LogPort {
    /// Reads a shard, or what it holds of a key.
    async fn page(
        &self,
        topic: &TopicId,
        (shard, only): (LogShard, Option<LaneKey>),
        after: LogPosition,
        limit: usize,
    ) -> Result<LogPage, PortError> {
        let (topic, era, segments, now) = (topic.clone(), self.era, self.segments.clone(), self.clock.now());
        let read = move |connection: &Connection| {
            let found = shard_of(connection, &topic, shard)?;
            if let Some((number, _)) = found
                && let Some(segment) = first_after(connection, &segments, number, after, now)?
            {
                let (entries, through) = of_segment(&segments, &segment, after, limit, only.as_ref())?;
                return Ok(LogPage { is_more: through > after, entries, through });
            }
            // What is committed later has a later position than any that is there now.
            let newest = newest_position(connection)?;
            let end = newest.unwrap_or(after).max(after);
            let Some((number, compacted)) = found else {
                return Ok(LogPage { through: end, ..LogPage::default() });
            };
            let row = row_before(connection, after, newest.map_or(0, |newest| newest.unique))?.max(compacted);
            let of = (number, only.map(|key| group_of(&topic, &key)));
            let (entries, more_after) = forward(connection, of, row, limit, era)?;
            Ok(LogPage { through: more_after.unwrap_or(end), entries, is_more: more_after.is_some() })
        };
        self.readers.read(read).await
    }
}

#[async_trait]
impl EventLog for LogPort {
    async fn append(&self, messages: &[Message]) -> Result<Vec<LogPosition>, PortError> {
        // The queue's row is the log's.
        let position = |message: &Message| message.position;
        let missing = || PortError::Invalid("a message of another queue".to_owned());
        messages.iter().map(position).collect::<Option<Vec<_>>>().ok_or_else(missing)
    }

    async fn newest(
        &self,
        topic: &TopicId,
        before: Option<LogPosition>,
        limit: usize,
    ) -> Result<Vec<LogEntry>, PortError> {
        let (topic, era, segments, now) = (topic.clone(), self.era, self.segments.clone(), self.clock.now());
        let read = move |connection: &Connection| {
            let mut entries = Vec::new();
            for shard in LogShard::ALL {
                let Some((shard, compacted)) = shard_of(connection, &topic, shard)? else { continue };
                let bounds = (compacted, before.map_or(i64::MAX.unsigned_abs(), |before| before.unique));
                let hot = backward(connection, shard, bounds, limit, era)?;
                let rest = limit - hot.len();
                entries.extend(hot);
                if rest > 0 {
                    entries.extend(newest_before(connection, &segments, shard, before, (rest, now))?);
                }
            }
            entries.sort_by_key(|entry: &LogEntry| std::cmp::Reverse(entry.position));
            entries.truncate(limit);
            Ok(entries)
        };
        self.readers.read(read).await
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
        self.page(topic, (LogShard::of(key), Some(key.clone())), after, limit).await
    }

    fn news(&self) -> BoxFuture<'static, ()> {
        let mut commits = self.queue.commits();
        Box::pin(async move {
            // Without a queue there will be no more.
            let _ = commits.changed().await;
        })
    }

    fn settle(&self) -> Duration {
        Duration::ZERO
    }

    async fn compact(&self, now: Time) -> Result<u64, PortError> {
        self.compact_some(now).await
    }

    async fn compaction_lag(&self, now: Time) -> Result<Option<Duration>, PortError> {
        let oldest = self.readers.read(compaction::oldest_uncompacted).await?;
        Ok(Some(oldest.map_or(Duration::ZERO, |since| now.since(since))))
    }

    async fn expire(&self, now: Time) -> Result<u64, PortError> {
        let (retentions, last) = (self.registry.retentions(), self.queue.last());
        let mut expiry = std::mem::take(&mut *lock(&self.expiry));
        expiry.look_again(&retentions, now);
        let result = self.expire_some(&mut expiry, now, last).await;
        *lock(&self.expiry) = expiry;
        Ok(result? + self.expire_segments(now).await?)
    }
}
