//! From rows to segments.
//!
//! A span of a shard is claimed first, with the path that its segment will have; then the file is written, whole or not
//! at all; then the span counts as compacted and its segment as part of the log, in one transaction. Whoever dies in
//! between has left a claim, and the next one writes the same file again: nobody sees a span twice, or not at all.

use super::LogPort;
use super::segments::{Segments, rows_of};
use crate::fault;
use crate::readers::{row, rows, visit};
use crate::writer::Tx;
use relay_core::names::TopicId;
use relay_core::ports::PortError;
use relay_core::replay_id::{LogPosition, LogShard};
use relay_core::time::Time;
use relay_core::topic::Retention;
use relay_segment::{Builder, path_of, retention_of};
use rusqlite::{Connection, params};
use std::time::Duration;

/// A shard's rows are compacted when the oldest is so old,
const AGE: Duration = Duration::from_secs(15 * 60);
/// or when they have so many bytes;
const ENOUGH_BYTES: u64 = 8 * 1024 * 1024;
/// of more, so many at a time.
const SEGMENT_BYTES: u64 = 32 * 1024 * 1024;
/// Between the last look for a segment and its removal.
const UNREAD: Duration = Duration::from_secs(60);
/// Bytes of rows read in one snapshot.
const PART_BYTES: usize = 4 * 1024 * 1024;

/// A span that was claimed.
#[derive(Clone, Debug)]
struct Claim {
    shard: i64,
    number: LogShard,
    after: u64,
    through: u64,
    path: String,
}

impl Claim {
    /// The retention that the span was claimed with.
    fn retention(&self) -> Retention {
        retention_of(&self.path).unwrap_or_default()
    }
}

/// A shard as the database has it.
struct Shard {
    number: i64,
    topic: TopicId,
    shard: LogShard,
    compacted: u64,
    pending: Option<(u64, String)>,
}

fn shards(connection: &Connection) -> Result<Vec<Shard>, PortError> {
    let sql = "SELECT number, topic, shard, compacted, pending, pending_path FROM shards ORDER BY number";
    let read = rows(connection, sql, [], |row| {
        let pending = row.get::<_, Option<u64>>(4)?.zip(row.get::<_, Option<String>>(5)?);
        Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get(3)?, pending))
    })?;
    let shard = |(number, topic, shard, compacted, pending)| {
        let topic = TopicId::new(topic).map_err(|fault| PortError::Corrupt(fault.to_string()))?;
        let shard = LogShard::new(shard).ok_or_else(|| PortError::Corrupt("a shard of the log is none".to_owned()))?;
        Ok(Shard { number, topic, shard, compacted, pending })
    };
    read.into_iter().map(shard).collect()
}

/// The span of a shard that is due, if there is one: its first and its last row.
fn due(connection: &Connection, shard: &Shard, now: Time) -> Result<Option<(LogPosition, LogPosition)>, PortError> {
    let sql = "SELECT position, at, length(pack) FROM log WHERE shard = ?1 AND position > ?2 ORDER BY position";
    let (mut first, mut last, mut bytes) = (None, None, 0);
    visit(connection, sql, params![shard.number, shard.compacted], |row| {
        let read = || Ok((row.get::<_, u64>(0)?, row.get::<_, u64>(1)?, row.get::<_, u64>(2)?));
        let (row, at, length) = read().map_err(|error| fault::of_sqlite(&error))?;
        let position = LogPosition { at: Time(at), unique: row };
        first.get_or_insert(position);
        (last, bytes) = (Some(position), bytes + length);
        Ok(bytes < SEGMENT_BYTES)
    })?;
    Ok(first.filter(|first| bytes >= ENOUGH_BYTES || now.since(first.at) >= AGE).zip(last))
}

fn topic_name_at(connection: &Connection, position: u64) -> Result<relay_core::names::TopicName, PortError> {
    Ok(crate::rows::pack_at(connection, position)?.topic.clone())
}

impl LogPort {
    /// Compacts a span of each shard that is due. Answers how many events went. One that cannot be compacted holds up no
    /// other; a fault is answered if nothing went.
    pub(super) async fn compact_some(&self, now: Time) -> Result<u64, PortError> {
        let (mut events, mut fault) = (0, None);
        for shard in self.readers.read(shards).await? {
            match self.compact_shard(shard, now).await {
                Ok(compacted) => events += compacted,
                Err(error) => fault = Some(error),
            }
        }
        match fault {
            Some(fault) if events == 0 => Err(fault),
            Some(error) => {
                tracing::warn!(%error, "a shard of the log cannot be compacted");
                Ok(events)
            }
            None => Ok(events),
        }
    }

    async fn compact_shard(&self, shard: Shard, now: Time) -> Result<u64, PortError> {
        match self.claim(shard, now).await? {
            Some(claim) => self.write_segment(claim).await,
            None => Ok(0),
        }
    }

    /// Claims a shard's span that is due, or finds the claim of who did not finish.
    async fn claim(&self, shard: Shard, now: Time) -> Result<Option<Claim>, PortError> {
        let retention = self.registry.retentions().get(&shard.topic).copied().unwrap_or_default();
        let claim = |shard: &Shard, through, path| {
            let (number, after) = (shard.shard, shard.compacted);
            Claim { shard: shard.number, number, after, through, path }
        };
        if let Some((through, path)) = &shard.pending {
            return Ok(Some(claim(&shard, *through, path.clone())));
        }
        let find = move |connection: &Connection| {
            let Some(span) = due(connection, &shard, now)? else { return Ok(None) };
            let name = topic_name_at(connection, span.0.unique)?;
            let path = path_of(retention, (&name, &shard.topic), shard.shard, span);
            Ok(Some(claim(&shard, span.1.unique, path)))
        };
        let Some(claim) = self.readers.read(find).await? else { return Ok(None) };
        let written = claim.clone();
        let claimed = self.writer.write(move |tx: &Tx<'_>| {
            let sql = "UPDATE shards SET pending = ?3, pending_path = ?4
                       WHERE number = ?1 AND compacted = ?2 AND pending IS NULL";
            Ok(tx.execute(sql, params![written.shard, written.after, written.through, written.path])? == 1)
        });
        Ok(claimed.await?.then_some(claim))
    }

    async fn write_segment(&self, claim: Claim) -> Result<u64, PortError> {
        let (mut after, mut builder, mut last) = (Some(claim.after), None::<Builder>, None);
        while let Some(from) = after {
            let (claimed, era, payloads) = (claim.clone(), self.era, self.payloads.clone());
            let part = move |connection: &Connection| {
                let span = (from, claimed.through);
                let next = rows_of(connection, claimed.shard, span, era, PART_BYTES, |mut entry| {
                    let (pack, renamed) = entry.pack.retained(claimed.retention());
                    renamed.iter().try_for_each(|(from, to)| payloads.copy(from, to))?;
                    entry.pack = pack;
                    let topic = || (entry.pack.topic.clone(), entry.pack.topic_id.clone());
                    let into = match &mut builder {
                        Some(builder) => builder,
                        none => none.insert(Builder::new(topic().0, topic().1, claimed.number)?),
                    };
                    last = Some(entry.position);
                    into.push(&entry)
                })?;
                Ok((next, builder, last))
            };
            (after, builder, last) = self.readers.read(part).await?;
        }
        let mut segment = None;
        let mut events = 0;
        if let Some((builder, last)) = builder.zip(last) {
            let (segments, path) = (self.segments.clone(), claim.path.clone());
            let index = self.readers.read(move |_| {
                let built = builder.finish()?;
                segments.write(&path, &built.bytes)?;
                Ok(built.index)
            });
            let index = index.await?;
            events = index.events;
            segment = Some((last, index.encode()?));
        }
        let kept = claim.retention().duration().as_secs();
        let finish = move |tx: &Tx<'_>| {
            let sql = "UPDATE shards SET compacted = pending, pending = NULL, pending_path = NULL
                       WHERE number = ?1 AND compacted = ?2 AND pending = ?3";
            if tx.execute(sql, params![claim.shard, claim.after, claim.through])? == 0 {
                return Ok(());
            }
            if let Some((last, record)) = &segment {
                let sql = "INSERT OR REPLACE INTO segments(shard, last_at, last, kept, path, record)
                           VALUES(?1, ?2, ?3, ?4, ?5, ?6)";
                tx.execute(sql, params![claim.shard, last.at.0, last.unique, kept, claim.path, record])?;
            }
            Ok(())
        };
        self.writer.write(finish).await?;
        Ok(events.max(1))
    }

    /// Removes segments that are past the retention that they were written with, some time after they are read no more:
    /// a reader may be about to open one. Answers how many there were.
    pub(super) async fn expire_segments(&self, now: Time) -> Result<u64, PortError> {
        let now = now - UNREAD;
        let find = move |connection: &Connection| {
            let sql = "SELECT shard, last_at, last, path FROM segments WHERE last_at + kept * 1000 < ?1 LIMIT 64";
            rows(connection, sql, [now.0], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, u64>(1)?, row.get::<_, u64>(2)?, row.get::<_, String>(3)?))
            })
        };
        let found = self.readers.read(find).await?;
        if found.is_empty() {
            return Ok(0);
        }
        let segments: Segments = self.segments.clone();
        let gone = self.readers.read(move |_| {
            // The file first: what the database does not know, nobody would remove.
            found.iter().try_for_each(|(.., path)| segments.remove(path))?;
            Ok(found)
        });
        let gone = gone.await?;
        let count = gone.len() as u64;
        let forget = move |tx: &Tx<'_>| {
            for (shard, at, last, _) in &gone {
                let sql = "DELETE FROM segments WHERE shard = ?1 AND last_at = ?2 AND last = ?3";
                tx.execute(sql, params![shard, at, last])?;
            }
            Ok(count)
        };
        self.writer.write(forget).await
    }
}

/// When the oldest row was written that is in no segment yet.
pub(super) fn oldest_uncompacted(connection: &Connection) -> Result<Option<Time>, PortError> {
    let sql = "SELECT min((SELECT at FROM log WHERE log.shard = shards.number AND position > compacted
                           ORDER BY position LIMIT 1)) FROM shards";
    Ok(row(connection, sql, [], |row| row.get::<_, Option<u64>>(0))?.flatten().map(Time))
}
