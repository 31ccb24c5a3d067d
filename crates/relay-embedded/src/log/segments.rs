//! Segments as files, and what the database knows of them.

use super::{columns, entry};
use crate::fault;
use crate::files::write_durably;
use crate::readers::{row, visit};
use crate::sync::lock;
use relay_core::metrics;
use relay_core::pack::LaneKey;
use relay_core::ports::{LogEntry, PortError};
use relay_core::replay_id::LogPosition;
use relay_core::time::Time;
use relay_segment::{Frame, Index, entries_of};
use rusqlite::{Connection, params};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Indexes kept decoded, of what was read last: a reader goes through a segment in many pages, and others with it.
const INDEXES: usize = 8;

/// Segments below a data folder.
#[derive(Clone, Debug)]
pub(crate) struct Segments {
    root: Arc<PathBuf>,
    /// Tells files apart that are being written at the same time.
    writes: Arc<AtomicU64>,
    /// The segments read last, the latest at the end.
    latest: Arc<Mutex<Vec<Arc<Segment>>>>,
}

/// A segment, as the database has it. Under its path it is the same for good.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: String,
    pub(super) index: Index,
}

/// The largest number that the database holds: what is beyond it in a position means "after all of that time".
fn bounded(number: u64) -> u64 {
    number.min(i64::MAX.unsigned_abs())
}

impl Segments {
    /// Segments below `root`, the data folder.
    pub(crate) fn new(root: &Path) -> Segments {
        Segments { root: Arc::new(root.to_owned()), writes: Arc::default(), latest: Arc::default() }
    }

    /// The segment of a path, if it was among those read last.
    fn known(&self, path: &str) -> Option<Arc<Segment>> {
        lock(&self.latest).iter().find(|segment| segment.path == path).cloned()
    }

    /// Keeps a segment, and forgets the one that came first.
    fn keep(&self, segment: Arc<Segment>) {
        let mut latest = lock(&self.latest);
        if latest.len() == INDEXES {
            latest.remove(0);
        }
        latest.push(segment);
    }

    /// Writes a segment, whole or not at all. One that is there is the same, or damaged.
    pub(super) fn write(&self, path: &str, bytes: &[u8]) -> Result<(), PortError> {
        // A draft that a crash left is overwritten by a later one.
        let draft = format!("events/{}.draft", self.writes.fetch_add(1, Ordering::Relaxed));
        let (file, draft) = (self.root.join(path), self.root.join(draft));
        write_durably(&self.root, &file, &draft, bytes).map_err(|error| {
            // What is left of it would take room that there may not be.
            let _ = fs::remove_file(&draft);
            fault::of_io(&error)
        })
    }

    /// Removes a segment; one that is not there is removed already.
    pub(super) fn remove(&self, path: &str) -> Result<(), PortError> {
        match fs::remove_file(self.root.join(path)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(fault::of_io(&error)),
            _ => Ok(()),
        }
    }

    /// Opens a segment.
    pub(super) fn open(&self, segment: &Segment) -> Result<Opened, PortError> {
        let file = File::open(self.root.join(&segment.path)).map_err(|error| unreadable(&segment.path, &error))?;
        Ok(Opened { file, path: segment.path.clone() })
    }
}

fn unreadable(path: &str, error: &std::io::Error) -> PortError {
    match error.kind() {
        std::io::ErrorKind::NotFound => PortError::Corrupt(format!("the segment {path} is missing")),
        std::io::ErrorKind::UnexpectedEof => PortError::Corrupt(format!("the segment {path} is cut off")),
        _ => PortError::Unavailable(format!("the segment {path} cannot be read: {error}")),
    }
}

/// A segment that is being read.
pub(super) struct Opened {
    file: File,
    path: String,
}

impl Opened {
    /// The entries of one of its frames, or those of a key.
    pub(super) fn entries(
        &mut self,
        index: &Index,
        frame: &Frame,
        only: Option<&LaneKey>,
    ) -> Result<Vec<LogEntry>, PortError> {
        let length = usize::try_from(frame.bytes).map_err(|error| PortError::Corrupt(error.to_string()))?;
        let mut bytes = vec![0; length];
        let mut read = || {
            self.file.seek(SeekFrom::Start(frame.offset))?;
            self.file.read_exact(&mut bytes)
        };
        read().map_err(|error| unreadable(&self.path, &error))?;
        metrics::segment_read();
        entries_of(&self.path, index, frame, &bytes, only)
    }
}

fn segment(path: String, record: &str) -> Result<Segment, PortError> {
    let index = Index::decode(record.as_bytes());
    let index = index.map_err(|error| PortError::Corrupt(format!("the segment {path}: {error}")))?;
    Ok(Segment { path, index })
}

/// The first segment of a shard that holds what lies after a position, of those that are kept.
pub(super) fn first_after(
    connection: &Connection,
    segments: &Segments,
    shard: i64,
    after: LogPosition,
    now: Time,
) -> Result<Option<Arc<Segment>>, PortError> {
    let sql = "SELECT path, record FROM segments
               WHERE shard = ?1 AND (last_at, last) > (?2, ?3) AND last_at + kept * 1000 >= ?4
               ORDER BY last_at, last LIMIT 1";
    let bounds = params![shard, bounded(after.at.0), bounded(after.unique), bounded(now.0)];
    let read = row(connection, sql, bounds, |row| {
        let path: String = row.get(0)?;
        // The record is large, and decoded only once.
        let known = segments.known(&path);
        let record = if known.is_none() { row.get(1)? } else { String::new() };
        Ok((known, path, record))
    })?;
    match read {
        Some((None, path, record)) => {
            let segment = Arc::new(segment(path, &record)?);
            segments.keep(segment.clone());
            Ok(Some(segment))
        }
        Some((known, ..)) => Ok(known),
        None => Ok(None),
    }
}

/// The newest entries of a shard's segments that are kept, from before a position, newest first.
pub(super) fn newest_before(
    connection: &Connection,
    segments: &Segments,
    shard: i64,
    before: Option<LogPosition>,
    (limit, now): (usize, Time),
) -> Result<Vec<LogEntry>, PortError> {
    let sql = "SELECT path, record FROM segments WHERE shard = ?1 AND last_at + kept * 1000 >= ?2
               ORDER BY last_at DESC, last DESC";
    let mut newest = Vec::new();
    visit(connection, sql, params![shard, bounded(now.0)], |row| {
        let column = |at| row.get::<_, String>(at).map_err(|error| fault::of_sqlite(&error));
        let segment = segment(column(0)?, &column(1)?)?;
        let mut opened = None;
        let frames = &segment.index.frames;
        for (at, frame) in frames.iter().enumerate().rev() {
            // A frame begins after the end of the one before it.
            let is_later = at > 0 && before.is_some_and(|before| before <= frames[at - 1].last);
            if is_later {
                continue;
            }
            let opened = match &mut opened {
                Some(opened) => opened,
                none => none.insert(segments.open(&segment)?),
            };
            let entries = opened.entries(&segment.index, frame, None)?;
            newest
                .extend(entries.into_iter().rev().filter(|entry| before.is_none_or(|before| entry.position < before)));
            if newest.len() >= limit {
                return Ok(false);
            }
        }
        Ok(true)
    })?;
    newest.truncate(limit);
    Ok(newest)
}

/// The rows of a shard from one position on to another, so many bytes of them. Answers the last one; none if that was all.
pub(super) fn rows_of(
    connection: &Connection,
    shard: i64,
    (after, through): (u64, u64),
    era: u64,
    bytes: usize,
    mut each: impl FnMut(LogEntry) -> Result<(), PortError>,
) -> Result<Option<u64>, PortError> {
    let sql =
        "SELECT position, at, pack FROM log WHERE shard = ?1 AND position > ?2 AND position <= ?3 ORDER BY position";
    let (mut seen, mut last) = (0, after);
    let is_all = visit(connection, sql, params![shard, after, through], |row| {
        let read = columns(row).map_err(|error| fault::of_sqlite(&error))?;
        (seen, last) = (seen + read.2.len(), read.0);
        each(entry(era, read)?)?;
        Ok(seen < bytes)
    })?;
    Ok(if is_all { None } else { Some(last) })
}
