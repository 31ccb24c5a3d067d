//! The events that follow a cursor.

use super::cursor::Place;
use super::order::{self, Part, Source};
use super::start::check;
use super::{Cursor, ReadRefused};
use crate::delivery::{EventRef, Outgoing};
use crate::names::{PartitionKey, TopicId};
use crate::pack::LaneKey;
use crate::ports::{EventLog, LogEntry, PortError, Ports};
use crate::replay_id::{LogPosition, LogShard, key_hash};
use crate::sequence::Sequence;
use crate::topic::Topic;
use futures_util::future::{Either, select, try_join_all};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// Most events of an answer.
pub const MAX_EVENTS: usize = 1_000;
/// Bytes of data beyond which an answer gets no further event.
const MAX_BYTES: usize = 3 * 1024 * 1024;
/// Entries of a shard read at once, at most and at least.
const PAGE: usize = 200;
const MIN_PAGE: usize = 16;
/// Entries looked at, wanted or not, before time is taken into account: a page counts for [`PAGE`] of them at least, as
/// what it leaves out is looked at, too;
const MAX_SCANNED: usize = 50_000;
/// and how long an answer is looked for while there is more to look at.
const SCAN: Duration = Duration::from_secs(15);

/// Which events are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Only those of this key.
    pub key: Option<PartitionKey>,
    /// At most so many, up to [`MAX_EVENTS`].
    pub limit: usize,
}

impl Wanted {
    fn lane_key(&self) -> Option<LaneKey> {
        self.key.clone().map(LaneKey::Ordered)
    }

    /// The shards that may have some.
    fn shards(&self) -> Vec<LogShard> {
        self.lane_key().map_or(LogShard::ALL.to_vec(), |key| vec![LogShard::of(&key)])
    }

    fn takes(&self, entry: &LogEntry) -> bool {
        self.key.as_ref().is_none_or(|key| entry.pack.key.partition_key() == Some(key))
    }
}

/// What follows a cursor.
#[derive(Debug)]
pub struct Pulled {
    /// The events, those of a key in its order.
    pub events: Vec<EventRef>,
    /// Where to go on.
    pub next: Cursor,
}

/// A shard that is being read.
struct Reader<'a> {
    source: Source<'a>,
    shard: LogShard,
    /// Where its part began.
    began: Place,
    part: Part,
    /// Index of the next entry of the part.
    next: usize,
    /// Events read of it.
    read: u16,
}

impl Reader<'_> {
    /// Reads the next part. Answers how many entries were looked at for it.
    async fn fill(&mut self, log: &dyn EventLog, topic: &TopicId, limit: usize) -> Result<usize, PortError> {
        let limit = limit.clamp(MIN_PAGE, PAGE);
        self.part = order::read(log, topic, self.source, self.began.after, limit).await?;
        (self.next, self.read) = (0, 0);
        Ok(self.part.positions.len().max(PAGE))
    }

    fn is_drained(&self) -> bool {
        self.next == self.part.entries.len()
    }

    fn head(&self) -> Option<LogPosition> {
        self.part.entries.get(self.next).map(|(entry, _)| entry.position)
    }

    /// Where this shard has been read to: before the first entry that is not read, or in the middle of it. Those of its
    /// key that lie ahead of it, though they precede it, are given out right before it: the event that was read last
    /// tells how many of them were.
    fn place(&self) -> Place {
        let unread = self.part.entries[self.next..].iter();
        let first = unread.filter_map(|(entry, place)| Some(((*place)?, entry))).min_by_key(|(place, _)| *place);
        let Some((_, first)) = first else { return Place { after: self.part.through, within: None } };
        let after = first.position.previous();
        let key = key_hash(&first.pack.key);
        let read = [self.last(), self.began.within].into_iter().flatten().filter(|(hash, _)| *hash == key);
        Place { after, within: read.max_by_key(|(_, read)| *read) }
    }

    /// The event of this part that was read last: the hash of its key, and its sequence.
    fn last(&self) -> Option<(u64, Sequence)> {
        let (entry, count) = match self.read {
            0 => self.part.entries.get(self.next.checked_sub(1)?).map(|(entry, _)| (entry, entry.pack.events.len()))?,
            read => self.part.entries.get(self.next).map(|(entry, _)| (entry, usize::from(read)))?,
        };
        let index = u16::try_from(count).unwrap_or(u16::MAX).checked_sub(1)?;
        Some((key_hash(&entry.pack.key), entry.sequence.event(index)))
    }
}

/// What is in the log after a cursor. If that is nothing, waits for something to come, up to a span.
///
/// # Errors
/// [`ReadRefused::Expired`] if the topic's retention has passed the cursor, or the log cannot be read.
pub async fn pull(
    ports: &Ports,
    topic: &Topic,
    cursor: Cursor,
    wanted: &Wanted,
    wait: Duration,
) -> Result<Pulled, ReadRefused> {
    let began = ports.clock.now();
    let mut cursor = cursor;
    loop {
        let (news, asked) = (ports.log.news(), ports.clock.now());
        check(ports, topic, &cursor, &wanted.shards()).await?;
        let (mut pulled, is_end) = read(&*ports.log, &topic.id, cursor, wanted, MAX_SCANNED).await?;
        if is_end && pulled.events.is_empty() {
            // A log may end with its newest entry, however old that is. Whoever asks is not to be taken for late.
            pulled.next.keep_up(&wanted.shards(), asked - topic.retention.duration() / 2);
        }
        let now = ports.clock.now();
        if !is_end && pulled.events.is_empty() && now.since(began) < SCAN {
            cursor = pulled.next;
            continue;
        }
        let left = (began + wait).since(now);
        if !pulled.events.is_empty() || !is_end || left.is_zero() {
            return Ok(pulled);
        }
        cursor = pulled.next;
        match select(news, pin!(ports.clock.sleep(left))).await {
            Either::Left(_) => {}
            Either::Right(_) => return Ok(pulled),
        }
    }
}

/// Reads what is wanted, of so many entries and a page of each shard. Also answers whether there is no more.
async fn read(
    log: &dyn EventLog,
    topic: &TopicId,
    cursor: Cursor,
    wanted: &Wanted,
    most: usize,
) -> Result<(Pulled, bool), PortError> {
    let key = wanted.lane_key();
    let sources = match &key {
        Some(key) => vec![Source::Key(key)],
        None => LogShard::ALL.map(Source::Shard).to_vec(),
    };
    let readers = sources.into_iter().map(|source| async move {
        let shard = source.shard();
        let began = cursor.places[shard.index()];
        let mut reader = Reader { source, shard, began, part: Part::default(), next: 0, read: 0 };
        let looked = reader.fill(log, topic, wanted.limit).await?;
        Ok::<_, PortError>((reader, looked))
    });
    let (mut readers, looked): (Vec<_>, Vec<_>) = try_join_all(readers).await?.into_iter().unzip();
    let mut scanned: usize = looked.into_iter().sum();
    let (mut events, mut bytes, mut is_end) = (Vec::new(), 0, false);
    'reading: loop {
        for reader in readers.iter_mut().filter(|reader| reader.is_drained() && reader.part.is_more) {
            if scanned >= most {
                break 'reading;
            }
            reader.began = Place { after: reader.part.through, within: None };
            scanned += reader.fill(log, topic, PAGE).await?;
        }
        let heads = readers.iter_mut().filter(|reader| !reader.is_drained());
        let Some(reader) = heads.min_by_key(|reader| reader.head()) else {
            is_end = true;
            break;
        };
        let (entry, _) = &reader.part.entries[reader.next];
        if wanted.takes(entry) {
            let outgoing = Arc::new(Outgoing::new(entry.pack.clone(), entry.sequence, entry.position));
            for index in cursor.first_unread(reader.shard, entry)..outgoing.len() {
                if events.len() >= wanted.limit || bytes >= MAX_BYTES {
                    reader.read = index;
                    break 'reading;
                }
                let event = EventRef::new(outgoing.clone(), index);
                bytes += event.event().data.len();
                events.push(event);
            }
        }
        reader.next += 1;
    }
    let mut next = cursor;
    for reader in &readers {
        next.places[reader.shard.index()] = reader.place();
    }
    Ok((Pulled { events, next }, is_end))
}

#[cfg(test)]
#[path = "pull_tests.rs"]
mod tests;
