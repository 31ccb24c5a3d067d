//! Reading the hot log.

use super::item::{end_of_item, stamp_of};
use super::{LogPort, partition};
use crate::stamp::{Stamp, WITHIN};
use crate::table::Query;
use futures_util::future::try_join_all;
use relay_core::names::TopicId;
use relay_core::ports::{LogEntry, LogPage, PortError};
use relay_core::replay_id::{LogPosition, LogShard};
use relay_core::time::Time;

/// Bytes of data that a page of entries has, roughly, and items that are read for it at the same time: each may have
/// some megabytes.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
const AT_ONCE: usize = 4;

fn size(entry: &LogEntry) -> usize {
    entry.pack.events.iter().map(|event| event.data.len()).sum()
}

impl LogPort {
    /// Entries of a shard after a position and up to another, oldest first.
    pub(super) async fn hot_page(
        &self,
        topic: &TopicId,
        shard: LogShard,
        (after, end): (LogPosition, LogPosition),
        limit: usize,
    ) -> Result<LogPage, PortError> {
        // The item that `after` lies in may hold more.
        let first = Stamp { at: after.at, unique: after.unique >> WITHIN << WITHIN };
        let last = Stamp { at: end.at, unique: end.unique };
        let query = Query::of(partition(topic, shard)).between(first.key(), last.key()).limit(limit + 1);
        let rows = self.table.query(query).await?;
        let (mut entries, mut bytes, mut read) = (Vec::new(), 0, 0);
        for some in rows.chunks(AT_ONCE) {
            let found = try_join_all(some.iter().map(|row| self.entries_of(row))).await?.concat();
            entries
                .extend(found.into_iter().filter(|entry| entry.position > after).inspect(|entry| bytes += size(entry)));
            read += some.len();
            if bytes > PAGE_BYTES {
                break;
            }
        }
        let is_cut = read < rows.len() || rows.len() > limit;
        if entries.len() > limit {
            entries.truncate(limit);
            let through = entries.last().map_or(after, |entry| entry.position);
            return Ok(LogPage { entries, through, is_more: true });
        }
        match rows[..read].last().filter(|_| is_cut) {
            Some(last) => Ok(LogPage { entries, through: end_of_item(stamp_of(last)?), is_more: true }),
            None => Ok(LogPage { entries, through: end, is_more: false }),
        }
    }

    /// The newest entries of a shard, newest first, from before a position and not from before a time.
    pub(super) async fn hot_newest(
        &self,
        topic: &TopicId,
        shard: LogShard,
        (from, before): (Time, LogPosition),
        limit: usize,
    ) -> Result<Vec<LogEntry>, PortError> {
        let (first, last) = (Stamp { at: from, unique: 0 }, Stamp { at: before.at, unique: before.unique });
        if first > last {
            return Ok(Vec::new());
        }
        let query = Query::of(partition(topic, shard)).between(first.key(), last.key()).backward().limit(limit);
        let rows = self.table.query(query).await?;
        let mut entries = Vec::new();
        for some in rows.chunks(AT_ONCE) {
            let found = try_join_all(some.iter().map(|row| self.entries_of(row))).await?.concat();
            entries.extend(found.into_iter().filter(|entry| entry.position < before));
            if entries.len() >= limit {
                break;
            }
        }
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.position));
        Ok(entries)
    }
}
