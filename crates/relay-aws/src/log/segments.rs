//! Reading segments: the table says which there are, so the bucket is never listed; an index is read once and remembered,
//! and then each frame with one ranged read.

use super::shard::{SEGMENT, Segment, last_of, segment_of};
use crate::objects::Objects;
use crate::table::{Query, Table};
use bytes::Bytes;
use relay_core::log::line::position_text;
use relay_core::pack::LaneKey;
use relay_core::ports::{LogEntry, LogPage, PortError};
use relay_core::replay_id::LogPosition;
use relay_core::time::Time;
use relay_segment::{Frame, Index, entries_of, index_of};
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// Segments that are asked for at once: those whose time has passed may stand before the first that is meant.
const PAGE: usize = 16;
/// Bytes of lines of a page of entries beyond which it ends.
const PAGE_BYTES: u64 = 4 * 1024 * 1024;
/// Indexes that are remembered, each of some kilobytes.
const REMEMBERED: usize = 256;

/// Segments of the log.
pub(super) struct Segments {
    table: Table,
    objects: Objects,
    indexes: Mutex<Indexes>,
}

/// Indexes by the segment's name; those read first are forgotten first.
#[derive(Default)]
struct Indexes {
    known: HashMap<String, Arc<Index>>,
    order: VecDeque<String>,
}

impl Indexes {
    fn remember(&mut self, path: &str, index: &Arc<Index>) {
        if self.known.insert(path.to_owned(), index.clone()).is_none() {
            self.order.push_back(path.to_owned());
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

/// Sort key of the segment that ends at a position.
fn key_of(last: LogPosition) -> String {
    format!("{SEGMENT}{}", position_text(last))
}

/// The largest sort key of a segment that ends before a position.
fn key_before(position: LogPosition) -> String {
    key_of(position.previous())
}

/// Names the segment in an error of its object.
fn named(path: &str, error: PortError) -> PortError {
    match error {
        PortError::NotFound => PortError::Corrupt(format!("the segment {path} is missing")),
        PortError::Corrupt(what) => PortError::Corrupt(format!("the segment {path}: {what}")),
        other => other,
    }
}

impl Segments {
    pub(super) fn new(table: Table, objects: Objects) -> Segments {
        Segments { table, objects, indexes: Mutex::default() }
    }

    async fn bytes(&self, segment: &Segment, range: Range<u64>) -> Result<Bytes, PortError> {
        self.objects.get_range(&segment.path, range).await.map_err(|error| named(&segment.path, error))
    }

    async fn index(&self, segment: &Segment) -> Result<Arc<Index>, PortError> {
        let known = || self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = known().known.get(&segment.path) {
            return Ok(index.clone());
        }
        let tail = self.bytes(segment, segment.index_at..segment.bytes).await?;
        let index = Arc::new(index_of(&tail).map_err(|error| named(&segment.path, error))?);
        known().remember(&segment.path, &index);
        Ok(index)
    }

    /// The entries of a frame, or those of a key.
    async fn entries(
        &self,
        segment: &Segment,
        index: &Index,
        frame: &Frame,
        only: Option<&LaneKey>,
    ) -> Result<Vec<LogEntry>, PortError> {
        let bytes = self.bytes(segment, frame.offset..frame.offset + frame.bytes).await?;
        entries_of(&segment.path, index, frame, &bytes, only)
    }

    /// The first segment of a shard that holds what lies after a position.
    async fn first_after(&self, partition: &str, after: LogPosition, now: Time) -> Result<Option<Segment>, PortError> {
        let mut from = key_of(after);
        loop {
            // A key sorts before itself with anything behind it.
            let query = Query::of(partition).between(format!("{from}+"), format!("{SEGMENT}~")).limit(PAGE);
            let rows = self.table.query(query).await?;
            for row in &rows {
                if let Some(segment) = segment_of(row, now)? {
                    return Ok(Some(segment));
                }
            }
            match rows.last().filter(|_| rows.len() == PAGE) {
                Some(last) => from = last.text("sk")?.to_owned(),
                None => return Ok(None),
            }
        }
    }

    /// Entries after a position, or those of a key, if the segment that they are in begins before a time.
    pub(super) async fn page(
        &self,
        (partition, only): (&str, Option<&LaneKey>),
        after: LogPosition,
        (until, now): (Time, Time),
        limit: usize,
    ) -> Result<Option<LogPage>, PortError> {
        let segment = self.first_after(partition, after, now).await?;
        let Some(segment) = segment.filter(|segment| segment.first.at < until) else { return Ok(None) };
        let index = self.index(&segment).await?;
        let (mut entries, mut bytes, mut through) = (Vec::new(), 0, index.last());
        for frame in index.after(after, only) {
            let found = self.entries(&segment, &index, frame, only).await?;
            entries.extend(found.into_iter().filter(|entry| entry.position > after));
            bytes += frame.raw_bytes;
            if entries.len() >= limit || bytes > PAGE_BYTES {
                through = frame.last;
                break;
            }
        }
        if entries.len() > limit {
            entries.truncate(limit);
            through = entries.last().map_or(after, |entry: &LogEntry| entry.position);
        }
        if through <= after {
            return Err(PortError::Corrupt(format!("the segment {} ends before its time", segment.path)));
        }
        Ok(Some(LogPage { entries, through, is_more: true }))
    }

    /// The newest entries from before a position and not from before a time, newest first.
    pub(super) async fn newest(
        &self,
        partition: &str,
        (from, before): (Time, LogPosition),
        now: Time,
        limit: usize,
    ) -> Result<Vec<LogEntry>, PortError> {
        let mut newest = Vec::new();
        // The one that the position lies in, and then those that end before it.
        let within = self.first_after(partition, before.previous(), now).await?;
        if let Some(segment) = within.filter(|segment| segment.first < before)
            && self.add_newest(&mut newest, &segment, (from, before), limit).await?
        {
            return Ok(newest);
        }
        let (start, mut end) = (key_of(LogPosition { at: from, unique: 0 }), key_before(before));
        while start <= end {
            let query = Query::of(partition).between(&start, &end).backward().limit(PAGE);
            let rows = self.table.query(query).await?;
            for row in &rows {
                if let Some(segment) = segment_of(row, now)?
                    && self.add_newest(&mut newest, &segment, (from, before), limit).await?
                {
                    return Ok(newest);
                }
            }
            match rows.last().filter(|_| rows.len() == PAGE) {
                Some(last) => end = key_before(last_of(last)?),
                None => break,
            }
        }
        Ok(newest)
    }

    /// Adds a segment's entries, newest first; answers whether that is enough.
    async fn add_newest(
        &self,
        newest: &mut Vec<LogEntry>,
        segment: &Segment,
        (from, before): (Time, LogPosition),
        limit: usize,
    ) -> Result<bool, PortError> {
        let index = self.index(segment).await?;
        for (at, frame) in index.frames.iter().enumerate().rev() {
            // A frame begins after the end of the one before it.
            let begins_after = at.checked_sub(1).map(|at| index.frames[at].last);
            if frame.last.at < from || begins_after.is_some_and(|last| before <= last) {
                continue;
            }
            let entries = self.entries(segment, &index, frame, None).await?;
            let is_meant = |entry: &LogEntry| entry.position < before && entry.position.at >= from;
            newest.extend(entries.into_iter().rev().filter(is_meant));
            if newest.len() >= limit {
                newest.truncate(limit);
                return Ok(true);
            }
        }
        Ok(false)
    }
}
