//! The writing side of the queue: gives packs their positions. Runs on the writer's thread, in its transaction.

use super::dedup::{Dedup, Sealed};
use crate::fault;
use relay_core::limits::DEDUPLICATION_WINDOW;
use relay_core::names::TopicId;
use relay_core::pack::{DedupId, GroupId, Pack, codec};
use relay_core::ports::PortError;
use relay_core::replay_id::LogPosition;
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
    pub(crate) encoded: Vec<u8>,
}

impl Prepared {
    pub(crate) fn new(pack: Arc<Pack>) -> Prepared {
        let (group, dedup, encoded) = (pack.group(), pack.dedup(), codec::encode(&pack));
        Prepared { pack, group, dedup, encoded }
    }
}

/// What became of a pack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given {
    pub(crate) position: LogPosition,
    /// It is that of an earlier send of the same pack.
    pub(crate) repeated: bool,
}

#[derive(Clone, Copy, Debug)]
struct TopicNumber {
    number: i64,
    /// The newest entry of the topic; 0 if there is none.
    last: u64,
}

/// What has to be undone if the transaction does not commit.
#[derive(Debug)]
enum Undo {
    Sent { hash: u32, position: u64 },
    Topic { topic: TopicId, before: Option<TopicNumber> },
}

/// Gives out positions.
#[derive(Debug)]
pub(crate) struct Intake {
    last: u64,
    last_at: Time,
    committed: (u64, Time),
    dedup: Dedup,
    topics: HashMap<TopicId, TopicNumber>,
    undo: Vec<Undo>,
    /// The first generation that was sealed and is not written yet.
    unwritten: Option<u64>,
    /// Topics' newest entries up to this position are written.
    noted_through: u64,
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
            let mut topics = HashMap::new();
            let mut numbers = HashMap::new();
            let mut statement = connection.prepare("SELECT number, topic, last FROM topic_numbers")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let Ok(topic) = TopicId::new(row.get::<_, String>(1)?) else {
                    return Ok(Err(PortError::Corrupt("a topic's identifier is none".to_owned())));
                };
                let number: i64 = row.get(0)?;
                numbers.insert(number, topic.clone());
                topics.insert(topic, TopicNumber { number, last: unsigned(row, 2)? });
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
            let tail = "SELECT position, at, topic, grp, dedup FROM log WHERE position > ?1 ORDER BY position";
            let mut statement = connection.prepare(tail)?;
            let mut rows = statement.query([through])?;
            while let Some(row) = rows.next()? {
                let position = unsigned(row, 0)?;
                let topic = numbers.get(&row.get::<_, i64>(2)?).and_then(|topic| topics.get_mut(topic));
                if let Some(topic) = topic {
                    topic.last = position;
                }
                if Time(unsigned(row, 1)?) + DEDUPLICATION_WINDOW >= now {
                    let hash = dedup.hash(&GroupId(row.get(3)?), &DedupId(row.get(4)?));
                    dedup.begin_at(position);
                    dedup.insert(hash, position);
                }
            }
            dedup.begin_at(last + 1);
            let committed = (last, Time(last_at));
            let intake = Intake {
                last,
                last_at: Time(last_at),
                committed,
                dedup,
                topics,
                undo: Vec::new(),
                unwritten: None,
                noted_through: through,
            };
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
        let topic = self.topic(connection, &pack.pack.topic_id)?;
        let position = self.last + 1;
        let mut insert = connection.prepare_cached(
            "INSERT INTO log(position, at, topic, prev, grp, dedup, pack) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        let (number, prev) = (topic.number, topic.last);
        insert.execute(params![position, now.0, number, prev, pack.group.0, pack.dedup.0, pack.encoded])?;
        (self.last, self.last_at) = (position, now);
        self.dedup.insert(hash, position);
        self.undo.push(Undo::Sent { hash, position });
        let before = self.topics.insert(pack.pack.topic_id.clone(), TopicNumber { last: position, ..topic });
        self.undo.push(Undo::Topic { topic: pack.pack.topic_id.clone(), before });
        Ok(Given { position: LogPosition { at: now, unique: position }, repeated: false })
    }

    fn topic(&mut self, connection: &Connection, topic: &TopicId) -> rusqlite::Result<TopicNumber> {
        if let Some(known) = self.topics.get(topic) {
            return Ok(*known);
        }
        let mut insert = connection.prepare_cached("INSERT INTO topic_numbers(topic, last) VALUES(?1, 0)")?;
        let number = insert.insert([topic.as_str()])?;
        let known = TopicNumber { number, last: 0 };
        self.topics.insert(topic.clone(), known);
        self.undo.push(Undo::Topic { topic: topic.clone(), before: None });
        Ok(known)
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
                Undo::Topic { topic, before: Some(before) } => {
                    self.topics.insert(topic, before);
                }
                Undo::Topic { topic, before: None } => {
                    self.topics.remove(&topic);
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
        let mut last = connection.prepare_cached("UPDATE topic_numbers SET last = ?2 WHERE number = ?1")?;
        for topic in self.topics.values().filter(|topic| topic.last > self.noted_through) {
            last.execute(params![topic.number, topic.last])?;
        }
        Ok(())
    }

    /// What was noted is committed.
    pub(crate) fn noted(&mut self) {
        if self.unwritten.take().is_some() {
            self.noted_through = self.last;
        }
    }

    /// The newest entry of a topic.
    pub(crate) fn newest_of(&self, topic: &TopicId) -> u64 {
        self.topics.get(topic).map_or(0, |topic| topic.last)
    }
}

fn sent_at(connection: &Connection, position: u64, pack: &Prepared) -> rusqlite::Result<Option<Time>> {
    let mut read = connection.prepare_cached("SELECT at, grp = ?2 AND dedup = ?3 FROM log WHERE position = ?1")?;
    let found = read.query_row(params![position, pack.group.0, pack.dedup.0], |row| {
        Ok((unsigned(row, 0)?, row.get::<_, bool>(1)?))
    });
    Ok(found.optional()?.filter(|(_, is_same)| *is_same).map(|(at, _)| Time(at)))
}
