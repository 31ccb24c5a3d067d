//! The writing side of the queue: gives packs their positions. Runs on the writer's thread, in its transaction.

use super::dedup::{Dedup, Sealed};
use crate::fault;
use relay_core::limits::DEDUPLICATION_WINDOW;
use relay_core::names::TopicId;
use relay_core::pack::{DedupId, GroupId, Pack, codec};
use relay_core::ports::PortError;
use relay_core::replay_id::{LogPosition, LogShard};
use relay_core::time::Time;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashMap;
use std::sync::Arc;

/// A pack, ready to be written.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) pack: Arc<Pack>,
    pub(crate) group: GroupId,
    pub(crate) dedup: DedupId,
    pub(crate) shard: LogShard,
    pub(crate) encoded: Vec<u8>,
}

impl Prepared {
    pub(crate) fn new(pack: Arc<Pack>) -> Prepared {
        let (group, dedup, encoded) = (pack.group(), pack.dedup(), codec::encode(&pack));
        let shard = LogShard::of(&pack.key);
        Prepared { pack, group, dedup, shard, encoded }
    }
}

/// What became of a pack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given {
    pub(crate) position: LogPosition,
    /// It is that of an earlier send of the same pack.
    pub(crate) repeated: bool,
}

/// A shard of a topic's log.
type Shard = (TopicId, LogShard);

/// What has to be undone if the transaction does not commit.
#[derive(Debug)]
enum Undo {
    Sent { hash: u32, position: u64 },
    Shard(Shard),
}

/// Gives out positions.
#[derive(Debug)]
pub(crate) struct Intake {
    last: u64,
    last_at: Time,
    committed: (u64, Time),
    dedup: Dedup,
    /// Numbers that rows name shards by.
    shards: HashMap<Shard, i64>,
    undo: Vec<Undo>,
    /// The first generation that was sealed and is not written yet.
    unwritten: Option<u64>,
}

fn unsigned(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<u64> {
    row.get(index)
}

impl Intake {
    /// Reads what the store knows of earlier sends.
    pub(crate) fn load(connection: &Connection, seed: u64, now: Time) -> Result<Intake, PortError> {
        let read = || -> rusqlite::Result<Result<Intake, PortError>> {
            let newest = "SELECT position, at FROM log ORDER BY position DESC LIMIT 1";
            let newest = connection.query_row(newest, [], |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?)));
            let (last, last_at) = newest.optional()?.unwrap_or((0, 0));
            let mut shards = HashMap::new();
            let mut statement = connection.prepare("SELECT number, topic, shard FROM shards")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let (topic, shard) = (TopicId::new(row.get::<_, String>(1)?), LogShard::new(row.get(2)?));
                let (Ok(topic), Some(shard)) = (topic, shard) else {
                    return Ok(Err(PortError::Corrupt("a shard of the log is none".to_owned())));
                };
                shards.insert((topic, shard), row.get(0)?);
            }
            let mut dedup = Dedup::new(seed, 1, now);
            let mut through = 0;
            let recent = "SELECT first, through, ended, entries FROM recent ORDER BY through";
            let mut statement = connection.prepare(recent)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                through = unsigned(row, 1)?;
                let ended = Time(unsigned(row, 2)?);
                if ended + DEDUPLICATION_WINDOW < now {
                    continue;
                }
                let bytes = row.get_ref(3)?.as_blob().unwrap_or_default();
                let Some(sealed) = Sealed::decode(unsigned(row, 0)?, through, ended, bytes) else {
                    return Ok(Err(PortError::Corrupt("the sends of late cannot be read".to_owned())));
                };
                dedup.restore(sealed);
            }
            let tail = "SELECT position, at, grp, dedup FROM log WHERE position > ?1 ORDER BY position";
            let mut statement = connection.prepare(tail)?;
            let mut rows = statement.query([through])?;
            while let Some(row) = rows.next()? {
                let position = unsigned(row, 0)?;
                if Time(unsigned(row, 1)?) + DEDUPLICATION_WINDOW >= now {
                    let hash = dedup.hash(&GroupId(row.get(2)?), &DedupId(row.get(3)?));
                    dedup.begin_at(position);
                    dedup.insert(hash, position);
                }
            }
            dedup.begin_at(last + 1);
            let committed = (last, Time(last_at));
            let intake =
                Intake { last, last_at: Time(last_at), committed, dedup, shards, undo: Vec::new(), unwritten: None };
            Ok(Ok(intake))
        };
        read().map_err(|error| fault::of_sqlite(&error))?
    }

    /// The position that was given out last, of those that are committed.
    pub(crate) fn last(&self) -> u64 {
        self.committed.0
    }

    /// Writes a pack, or finds the earlier send of it.
    pub(crate) fn take(&mut self, connection: &Connection, pack: &Prepared, now: Time) -> rusqlite::Result<Given> {
        let hash = self.dedup.hash(&pack.group, &pack.dedup);
        let now = now.max(self.last_at);
        for candidate in self.dedup.candidates(hash, now) {
            if let Some(at) = sent_at(connection, candidate, pack)?
                && now.since(at) <= DEDUPLICATION_WINDOW
            {
                return Ok(Given { position: LogPosition { at, unique: candidate }, repeated: true });
            }
        }
        let shard = self.shard(connection, &pack.pack.topic_id, pack.shard)?;
        let position = self.last + 1;
        let mut insert = connection
            .prepare_cached("INSERT INTO log(position, at, shard, grp, dedup, pack) VALUES(?1, ?2, ?3, ?4, ?5, ?6)")?;
        insert.execute(params![position, now.0, shard, pack.group.0, pack.dedup.0, pack.encoded])?;
        (self.last, self.last_at) = (position, now);
        self.dedup.insert(hash, position);
        self.undo.push(Undo::Sent { hash, position });
        Ok(Given { position: LogPosition { at: now, unique: position }, repeated: false })
    }

    fn shard(&mut self, connection: &Connection, topic: &TopicId, shard: LogShard) -> rusqlite::Result<i64> {
        let key = (topic.clone(), shard);
        if let Some(known) = self.shards.get(&key) {
            return Ok(*known);
        }
        let mut insert = connection.prepare_cached("INSERT INTO shards(topic, shard) VALUES(?1, ?2)")?;
        let number = insert.insert(params![topic.as_str(), shard.number()])?;
        self.undo.push(Undo::Shard(key.clone()));
        self.shards.insert(key, number);
        Ok(number)
    }

    /// The transaction is committed. Now and then there is something to note with the next one.
    pub(crate) fn committed(&mut self, now: Time) {
        self.undo.clear();
        self.committed = (self.last, self.last_at);
        if let Some(sealed) = self.dedup.turn(self.last, now) {
            self.unwritten.get_or_insert(sealed.span().1);
        }
    }

    /// The transaction is not committed.
    pub(crate) fn rolled_back(&mut self) {
        (self.last, self.last_at) = self.committed;
        for undo in std::mem::take(&mut self.undo).into_iter().rev() {
            match undo {
                Undo::Sent { hash, position } => self.dedup.remove(hash, position),
                Undo::Shard(shard) => {
                    self.shards.remove(&shard);
                }
            }
        }
    }

    /// True if there is something to note.
    pub(crate) fn has_notes(&self) -> bool {
        self.unwritten.is_some()
    }

    /// Notes what a start would otherwise have to find out from the log. Call [`Intake::noted`] once it is committed.
    pub(crate) fn write_notes(&self, connection: &Connection, now: Time) -> rusqlite::Result<()> {
        let Some(through) = self.unwritten else { return Ok(()) };
        let mut put = connection
            .prepare_cached("INSERT OR REPLACE INTO recent(through, first, ended, entries) VALUES(?1, ?2, ?3, ?4)")?;
        for sealed in self.dedup.sealed_since(through) {
            let (first, through, ended) = sealed.span();
            put.execute(params![through, first, ended.0, sealed.encode()])?;
        }
        let before = now.0.saturating_sub(2 * DEDUPLICATION_WINDOW.as_millis() as u64);
        connection.prepare_cached("DELETE FROM recent WHERE ended < ?1")?.execute([before])?;
        Ok(())
    }

    /// What was noted is committed.
    pub(crate) fn noted(&mut self) {
        self.unwritten = None;
    }
}

fn sent_at(connection: &Connection, position: u64, pack: &Prepared) -> rusqlite::Result<Option<Time>> {
    let mut read = connection.prepare_cached("SELECT at, grp = ?2 AND dedup = ?3 FROM log WHERE position = ?1")?;
    let found = read.query_row(params![position, pack.group.0, pack.dedup.0], |row| {
        Ok((unsigned(row, 0)?, row.get::<_, bool>(1)?))
    });
    Ok(found.optional()?.filter(|(_, is_same)| *is_same).map(|(at, _)| Time(at)))
}
