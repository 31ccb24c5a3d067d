//! What the table knows of a shard's compaction: `LOG#topic id#shard` / `SHARD`, how far it is; and one entry for each
//! segment, `SEGMENT#position of its last entry`, which goes when its class of retention has passed it.

use super::partition;
use crate::table::attributes::{Row, number, text};
use crate::table::{Condition, Key, Table, Transacted, Transaction, Written};
use relay_core::digest::{hexadecimal, sha256};
use relay_core::log::line::{parse_position, position_text};
use relay_core::names::TopicId;
use relay_core::ports::PortError;
use relay_core::replay_id::{LogPosition, LogShard};
use relay_core::time::Time;
use relay_segment::{Index, retention_of};

/// Begins the sort keys of segment entries; positions follow.
pub(super) const SEGMENT: &str = "SEGMENT#";

/// How far a shard is compacted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shard {
    /// Up to here everything is in segments, or was nothing.
    pub(crate) compacted: LogPosition,
    /// The span that somebody claimed and did not finish yet.
    pub(crate) pending: Option<Span>,
    /// Bytes of lines that came in a second, on average of the last span.
    pub(crate) bytes_per_second: u64,
}

/// A span of a shard that becomes a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Its first entry.
    pub(crate) first: LogPosition,
    /// Where it ends.
    pub(crate) through: LogPosition,
    /// The segment's name.
    pub(crate) path: String,
}

/// A segment as the table has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Its name: key of the object.
    pub(crate) path: String,
    /// Position of its first entry, or before it.
    pub(crate) first: LogPosition,
    /// Position of its last entry.
    pub(crate) last: LogPosition,
    /// Number of events.
    pub(crate) events: u64,
    /// Length of the object.
    pub(crate) bytes: u64,
    /// Where its index begins.
    pub(crate) index_at: u64,
    /// SHA-256 of the object, hexadecimal.
    pub(crate) checksum: String,
}

impl Segment {
    /// The segment of a span, by its bytes.
    pub(super) fn of(span: &Span, bytes: &[u8], index: &Index) -> Segment {
        let end = index.frames.last();
        Segment {
            path: span.path.clone(),
            first: span.first,
            last: end.map_or(span.through, |frame| frame.last),
            events: index.events,
            bytes: bytes.len() as u64,
            index_at: end.map_or(0, |frame| frame.offset + frame.bytes),
            checksum: hexadecimal(&sha256([bytes])),
        }
    }

    /// When its class of retention has passed it: when its object may be gone.
    fn expires_at(&self) -> Time {
        self.last.at + retention_of(&self.path).unwrap_or_default().duration()
    }
}

fn key_of(topic: &TopicId, shard: LogShard) -> Key {
    Key::new(partition(topic, shard), "SHARD")
}

fn position_of(row: &Row, name: &str) -> Result<LogPosition, PortError> {
    let told = row.text(name)?;
    parse_position(told).ok_or_else(|| PortError::Corrupt(format!("a shard of the log has {told:?} for its {name}")))
}

pub(crate) fn shard_of(row: &Row) -> Result<Shard, PortError> {
    let pending = match row.find_text("pendingPath") {
        Some(path) => {
            let (first, through) = (position_of(row, "pendingFirst")?, position_of(row, "pendingThrough")?);
            Some(Span { first, through, path: path.to_owned() })
        }
        None => None,
    };
    let compacted = position_of(row, "compactedThrough")?;
    Ok(Shard { compacted, pending, bytes_per_second: row.find_number("bytesPerSecond").unwrap_or(0) })
}

pub(crate) fn segment_row(topic: &TopicId, shard: LogShard, segment: &Segment) -> Row {
    let key = Key::new(partition(topic, shard), format!("{SEGMENT}{}", position_text(segment.last)));
    Row::of(&key)
        .with("segmentPath", text(&segment.path))
        .with("firstPosition", text(position_text(segment.first)))
        .with("eventCount", number(segment.events))
        .with("byteCount", number(segment.bytes))
        .with("indexAt", number(segment.index_at))
        .with("sha256", text(&segment.checksum))
        .with("expiresAt", number(segment.expires_at().0.div_ceil(1000)))
}

/// Where the segment of an entry ends.
pub(super) fn last_of(row: &Row) -> Result<LogPosition, PortError> {
    let corrupt = || PortError::Corrupt("a segment of the log has no position".to_owned());
    row.text("sk")?.strip_prefix(SEGMENT).and_then(parse_position).ok_or_else(corrupt)
}

/// The segment of an entry, unless its time has passed: TTL removes entries within days.
pub(crate) fn segment_of(row: &Row, now: Time) -> Result<Option<Segment>, PortError> {
    let segment = Segment {
        path: row.text("segmentPath")?.to_owned(),
        first: position_of(row, "firstPosition")?,
        last: last_of(row)?,
        events: row.number("eventCount")?,
        bytes: row.number("byteCount")?,
        index_at: row.number("indexAt")?,
        checksum: row.text("sha256")?.to_owned(),
    };
    Ok(Some(segment).filter(|segment| segment.expires_at() > now))
}

/// How far a shard is compacted.
pub(super) async fn get(table: &Table, topic: &TopicId, shard: LogShard) -> Result<Shard, PortError> {
    let row = table.get(&key_of(topic, shard)).await?;
    row.map_or(Ok(Shard::default()), |row| shard_of(&row))
}

/// Claims a span. Answers whether it is claimed; if not, somebody else was faster.
pub(super) async fn claim(
    table: &Table,
    (topic, shard): (&TopicId, LogShard),
    compacted: LogPosition,
    span: &Span,
    bytes_per_second: u64,
) -> Result<bool, PortError> {
    let update = "SET compactedThrough = :c, pendingFirst = :f, pendingThrough = :t, pendingPath = :p, \
                  bytesPerSecond = :b, v = :form";
    let is_first = if compacted == LogPosition::default() { "attribute_not_exists(pk) OR " } else { "" };
    let condition = format!("{is_first}(compactedThrough = :c AND attribute_not_exists(pendingPath))");
    let condition = Condition::new(condition)
        .value(":c", text(position_text(compacted)))
        .value(":f", text(position_text(span.first)))
        .value(":t", text(position_text(span.through)))
        .value(":p", text(&span.path))
        .value(":b", number(bytes_per_second))
        .value(":form", number(1));
    match table.update_if(&key_of(topic, shard), update, condition).await? {
        Written::Yes(_) => Ok(true),
        // This very claim, whose answer was lost.
        Written::Refused(Some(row)) => {
            let there = shard_of(&row)?;
            Ok(there.compacted == compacted && there.pending.as_ref() == Some(span))
        }
        Written::Refused(None) => Ok(false),
    }
}

/// Ends a claim: the shard is compacted through its span, and the segment is part of the log; none if nothing was left
/// to write. Answers whether it was this call that did.
pub(super) async fn finish(
    table: &Table,
    (topic, shard): (&TopicId, LogShard),
    compacted: LogPosition,
    span: &Span,
    segment: Option<&Segment>,
) -> Result<bool, PortError> {
    let update = "SET compactedThrough = :t REMOVE pendingFirst, pendingThrough, pendingPath";
    let condition = Condition::new("compactedThrough = :c AND pendingThrough = :t AND pendingPath = :p")
        .value(":c", text(position_text(compacted)))
        .value(":t", text(position_text(span.through)))
        .value(":p", text(&span.path));
    let mut transaction = Transaction::default().update_if(&key_of(topic, shard), update, condition);
    if let Some(segment) = segment {
        transaction = transaction.put(segment_row(topic, shard, segment));
    }
    Ok(table.transact(transaction).await? == Transacted::Done)
}
