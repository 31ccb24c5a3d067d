//! Backlog items: rows that refer to the log's.

use super::mirror::LaneMirror;
use crate::fault;
use crate::readers::{row, rows};
use crate::rows::decode_pack;
use crate::writer::Tx;
use relay_core::lane::table::{self, Progress, ProgressEffect, PutRule};
use relay_core::lane::{BacklogItem, PutId};
use relay_core::limits::BACKLOG_READ_BYTES;
use relay_core::pack::{LaneId, Pack, codec};
use relay_core::ports::{HeadFailure, PortError};
use relay_core::replay_id::{LogPosition, LogShard};
use relay_core::sequence::{PackSequence, Sequence};
use relay_core::time::Time;
use rusqlite::{Connection, Params, Row, params};
use std::sync::Arc;

/// A key's bytes sort as the key does.
const KEY: usize = 8 + 8 + 2;

fn encode_key(key: Sequence) -> Result<[u8; KEY], PortError> {
    let number =
        u64::try_from(key.pack.number).map_err(|_| PortError::Invalid("a sequence of another queue".into()))?;
    let mut bytes = [0; KEY];
    bytes[..8].copy_from_slice(&key.pack.era.to_be_bytes());
    bytes[8..16].copy_from_slice(&number.to_be_bytes());
    bytes[16..].copy_from_slice(&key.index.to_be_bytes());
    Ok(bytes)
}

fn decode_key(bytes: [u8; KEY]) -> Sequence {
    let wide = |at: usize| bytes[at..at + 8].iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    let index = u16::from(bytes[16]) << 8 | u16::from(bytes[17]);
    PackSequence { era: wide(0), number: u128::from(wide(8)) }.event(index)
}

/// What the protocol goes by, of a stored item.
struct Stored {
    put_id: PutId,
    next: u16,
    past: u16,
}

impl Stored {
    fn depth(&self) -> i64 {
        i64::from(self.past.saturating_sub(self.next))
    }
}

fn read(tx: &Tx<'_>, lane: &LaneId, key: &[u8; KEY]) -> Result<Option<Stored>, PortError> {
    let sql = "SELECT put_id, next, past FROM backlog WHERE lane = ?1 AND key = ?2";
    tx.row(sql, params![lane.0, key], |row| {
        Ok(Stored { put_id: PutId(row.get(0)?), next: row.get(1)?, past: row.get(2)? })
    })
}

/// Puts an item by a rule.
pub(super) fn put(
    tx: &Tx<'_>,
    mirror: &Arc<LaneMirror>,
    lane: LaneId,
    item: &BacklogItem,
    rule: PutRule,
) -> Result<(), PortError> {
    let key = encode_key(item.key)?;
    let stored = read(tx, &lane, &key)?;
    let Some(next) = rule.begins_at(stored.as_ref().map(|stored| stored.next), item.next) else { return Ok(()) };
    if !insert(tx, &lane, &key, item, next)? {
        restore(tx, item)?;
        if !insert(tx, &lane, &key, item, next)? {
            return Err(PortError::Invalid("a backlog item refers to what is not in the log".to_owned()));
        }
    }
    let depth = i64::from(item.end.saturating_sub(next)) - stored.map_or(0, |stored| stored.depth());
    mirror.deepen(tx, lane, &item.pack.topic_id, depth);
    Ok(())
}

/// Writes an item; false if there is no row of the log that it could refer to.
fn insert(tx: &Tx<'_>, lane: &LaneId, key: &[u8; KEY], item: &BacklogItem, next: u16) -> Result<bool, PortError> {
    let written = tx.execute(
        "INSERT OR REPLACE INTO backlog(lane, key, position, next, past, put_id, revision, attempts, first_failed_at,
                                        due_at, replay)
         SELECT ?1, ?2, position, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11 FROM log WHERE position = ?3",
        params![
            lane.0,
            key,
            item.position.unique,
            next,
            item.end,
            item.put_id.0,
            item.revision,
            item.attempts,
            item.first_failed_at.map(|at| at.0),
            item.due_at.map(|at| at.0),
            item.replay,
        ],
    )?;
    Ok(written > 0)
}

/// Puts back a row of the log that is gone, since a segment has it: its number is free for good. Its message is
/// acknowledged and its shard compacted beyond it, so that only what refers to it sees it, and it goes when nothing
/// does any more.
fn restore(tx: &Tx<'_>, item: &BacklogItem) -> Result<(), PortError> {
    let pack = &item.pack;
    tx.execute(
        "INSERT INTO log(position, at, shard, grp, dedup, pack)
         SELECT ?1, ?2, number, ?3, ?4, ?5 FROM shards WHERE topic = ?6 AND shard = ?7 AND compacted >= ?1",
        params![
            item.position.unique,
            item.position.at.0,
            pack.group().0,
            pack.dedup().0,
            codec::encode(pack),
            pack.topic_id.as_str(),
            LogShard::of(&pack.key).number(),
        ],
    )
    .map(drop)
}

/// Writes the progress of a delivery.
pub(super) fn progress(
    tx: &Tx<'_>,
    mirror: &Arc<LaneMirror>,
    lane: LaneId,
    progress: &Progress<Sequence, PutId>,
) -> Result<(), PortError> {
    let key = encode_key(progress.key)?;
    let stored = read(tx, &lane, &key)?;
    let depth = stored.as_ref().map_or(0, Stored::depth);
    match table::progress(stored.as_ref().map(|stored| &stored.put_id), progress) {
        ProgressEffect::Ignored => return Ok(()),
        ProgressEffect::Advance(next) => {
            tx.execute(
                "UPDATE backlog SET next = ?3, attempts = 0, first_failed_at = NULL WHERE lane = ?1 AND key = ?2",
                params![lane.0, key, next],
            )?;
            let left = stored.map_or(0, |stored| Stored { next, ..stored }.depth());
            mirror.change_depth(tx, lane, left - depth);
        }
        ProgressEffect::Delete => {
            tx.execute("DELETE FROM backlog WHERE lane = ?1 AND key = ?2", params![lane.0, key])?;
            mirror.change_depth(tx, lane, -depth);
        }
    }
    Ok(())
}

/// Writes what a failed attempt leaves, if it is still that put.
pub(super) fn fail(tx: &Tx<'_>, lane: &LaneId, failure: &HeadFailure) -> Result<(), PortError> {
    let key = encode_key(failure.key)?;
    let (at, due_at) = (failure.first_failed_at.0, failure.due_at.map(|at| at.0));
    let (put_id, attempts) = (failure.put_id.0, failure.attempts);
    if failure.due_at.is_some() {
        tx.execute(
            "UPDATE backlog SET attempts = ?4, first_failed_at = ?5, due_at = ?6
             WHERE lane = ?1 AND key = ?2 AND put_id = ?3",
            params![lane.0, key, put_id, attempts, at, due_at],
        )?;
    } else {
        tx.execute(
            "UPDATE backlog SET attempts = ?4, first_failed_at = ?5 WHERE lane = ?1 AND key = ?2 AND put_id = ?3",
            params![lane.0, key, put_id, attempts, at],
        )?;
    }
    Ok(())
}

/// Removes up to `most` items; true if there were no more.
pub(super) fn remove(tx: &Tx<'_>, mirror: &Arc<LaneMirror>, lane: LaneId, most: usize) -> Result<bool, PortError> {
    let sql = "SELECT key, past - next FROM backlog WHERE lane = ?1 ORDER BY key LIMIT ?2";
    let items = rows(tx.connection(), sql, params![lane.0, most], |row| {
        Ok((row.get::<_, [u8; KEY]>(0)?, row.get::<_, i64>(1)?))
    })?;
    for (key, depth) in &items {
        tx.execute("DELETE FROM backlog WHERE lane = ?1 AND key = ?2", params![lane.0, key])?;
        mirror.change_depth(tx, lane, -depth);
    }
    Ok(items.len() < most)
}

const ITEMS: &str = "SELECT b.key, b.position, b.next, b.past, b.put_id, b.revision, b.attempts, b.first_failed_at,
                            b.due_at, b.replay, l.at, l.pack
                     FROM backlog b JOIN log l ON l.position = b.position WHERE b.lane = ?1";

fn item(row: &Row<'_>, pack: Arc<Pack>) -> rusqlite::Result<BacklogItem> {
    Ok(BacklogItem {
        key: decode_key(row.get(0)?),
        pack,
        position: LogPosition { at: Time(row.get(10)?), unique: row.get(1)? },
        next: row.get(2)?,
        end: row.get(3)?,
        put_id: PutId(row.get(4)?),
        revision: row.get(5)?,
        attempts: row.get(6)?,
        first_failed_at: row.get::<_, Option<u64>>(7)?.map(Time),
        due_at: row.get::<_, Option<u64>>(8)?.map(Time),
        replay: row.get(9)?,
    })
}

/// Items, and when the next one is due if there were more.
type Items = (Vec<BacklogItem>, Option<Time>);

/// Items, and about [`BACKLOG_READ_BYTES`] of them. Those of one pack, next to each other, share it.
fn items(connection: &Connection, rest: &str, params: impl Params) -> Result<Items, PortError> {
    let run = || -> rusqlite::Result<Result<Items, PortError>> {
        let mut statement = connection.prepare_cached(&format!("{ITEMS} {rest}"))?;
        let (mut rows, mut found, mut bytes) = (statement.query(params)?, Vec::<BacklogItem>::new(), 0);
        while let Some(row) = rows.next()? {
            if bytes >= BACKLOG_READ_BYTES {
                return Ok(Ok((found, row.get::<_, Option<u64>>(8)?.map(Time))));
            }
            let position: u64 = row.get(1)?;
            let pack = match found.last().filter(|before| before.position.unique == position) {
                Some(before) => before.pack.clone(),
                None => {
                    let encoded: Vec<u8> = row.get(11)?;
                    bytes += encoded.len();
                    match decode_pack(encoded) {
                        Ok(pack) => pack,
                        Err(error) => return Ok(Err(error)),
                    }
                }
            };
            found.push(item(row, pack)?);
        }
        Ok(Ok((found, None)))
    };
    run().map_err(|error| fault::of_sqlite(&error))?
}

/// The first items of a backlog.
pub(super) fn first(connection: &Connection, lane: &LaneId, limit: usize) -> Result<Vec<BacklogItem>, PortError> {
    items(connection, "ORDER BY b.key LIMIT ?2", params![lane.0, limit]).map(|(items, _)| items)
}

/// One item.
pub(super) fn one(connection: &Connection, lane: &LaneId, key: Sequence) -> Result<Option<BacklogItem>, PortError> {
    Ok(items(connection, "AND b.key = ?2", params![lane.0, encode_key(key)?])?.0.pop())
}

/// The items that are due, and when the next one is.
pub(super) fn due(
    connection: &Connection,
    lane: &LaneId,
    now: Time,
    limit: usize,
) -> Result<(Vec<BacklogItem>, Option<Time>), PortError> {
    let rest = "AND b.due_at <= ?2 ORDER BY b.due_at, b.key LIMIT ?3";
    let (mut due, mut next) = items(connection, rest, params![lane.0, now.0, limit.saturating_add(1)])?;
    if due.len() > limit {
        next = due.pop().and_then(|item| item.due_at);
    }
    if next.is_some() {
        return Ok((due, next));
    }
    let sql = "SELECT min(due_at) FROM backlog WHERE lane = ?1 AND due_at > ?2";
    let next = row(connection, sql, params![lane.0, now.0], |row| row.get::<_, Option<u64>>(0))?;
    Ok((due, next.flatten().map(Time)))
}

/// The item that is due first.
pub(super) fn first_due(connection: &Connection, lane: &LaneId) -> Result<Option<BacklogItem>, PortError> {
    let rest = "AND b.due_at IS NOT NULL ORDER BY b.due_at, b.key LIMIT 1";
    Ok(items(connection, rest, params![lane.0])?.0.pop())
}

/// Key, put id and index of the first item.
pub(super) fn head(connection: &Connection, lane: &LaneId) -> Result<Option<(Sequence, PutId, u16)>, PortError> {
    let sql = "SELECT key, put_id, next FROM backlog WHERE lane = ?1 ORDER BY key LIMIT 1";
    row(connection, sql, [lane.0], |row| Ok((decode_key(row.get(0)?), PutId(row.get(1)?), row.get(2)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_sort_as_their_bytes_and_round_trip(
            a in (0u64..10_000_000_000_000, 0u64.., 0u16..1000),
            b in (0u64..10_000_000_000_000, 0u64.., 0u16..1000),
        ) {
            let make = |(era, number, index): (u64, u64, u16)| PackSequence { era, number: number.into() }.event(index);
            let (a, b) = (make(a), make(b));
            let (left, right) = (encode_key(a).unwrap(), encode_key(b).unwrap());
            prop_assert_eq!(decode_key(left), a);
            prop_assert_eq!(left.cmp(&right), a.cmp(&b));
        }
    }
}
