//! The hot log: `LOG#topic id#shard` / time and what makes it unique. The messages of a batch and shard share an item;
//! what is large lies in `staging/` and the item refers to it. Items and objects go together, after a week, by TTL and
//! lifecycle; readers leave out what the topic's retention has passed.

use crate::objects::Objects;
use crate::packs::{compress, decompress};
use crate::registry::lists;
use crate::stamp::{Stamp, Stamps, WITHIN};
use crate::table::attributes::{Row, binary, number, text};
use crate::table::{Key, Query, Table};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{BoxFuture, try_join_all};
use relay_core::names::TopicId;
use relay_core::pack::{Pack, codec};
use relay_core::ports::{Clock, EventLog, LogEntry, LogPage, Message, PortError};
use relay_core::replay_id::{LogPosition, LogShard};
use relay_core::sequence::{PackSequence, Sequence};
use relay_core::time::Time;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// Larger entries, compressed, lie in the bucket: a PUT costs as much as eight writes of 1 KiB.
const INLINE_BYTES: usize = 8 * 1024;
/// How long the hot log keeps.
const KEPT: Duration = Duration::from_secs(7 * 86_400);
/// Readers go by the log only up to this long ago, so no writer may take longer than half of it.
const SETTLE: Duration = Duration::from_secs(2);
/// Pause between looks of a reader that waits.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Times that an append which took too long is repeated under a fresh position.
const REPEATS: usize = 3;

/// An entry as it is stored: `{"v":1,"entries":[{"sequence":"…","pack":{…}}]}`, compressed.
#[derive(Serialize, Deserialize)]
struct StoredBatch<'a> {
    v: u32,
    #[serde(borrow)]
    entries: Vec<StoredEntry<'a>>,
}

#[derive(Serialize, Deserialize)]
struct StoredEntry<'a> {
    sequence: Sequence,
    #[serde(borrow)]
    pack: &'a RawValue,
}

/// [`EventLog`] over table and bucket.
pub(crate) struct LogPort {
    table: Table,
    objects: Objects,
    stamps: Arc<Stamps>,
    clock: Arc<dyn Clock>,
}

fn position(stamp: Stamp, place: usize) -> LogPosition {
    LogPosition { at: stamp.at, unique: stamp.unique | place as u64 }
}

fn stamp_of(row: &Row) -> Result<Stamp, PortError> {
    Stamp::parse(row.text("sk")?).ok_or_else(|| PortError::Corrupt("a log item has no position".to_owned()))
}

fn partition(topic: &TopicId, shard: LogShard) -> String {
    format!("LOG#{topic}#{shard}")
}

/// Encodes the packs that share an item.
pub(crate) fn encode(packs: &[(PackSequence, &Pack)]) -> Result<Vec<u8>, PortError> {
    let invalid = |error: &dyn std::fmt::Display| PortError::Invalid(error.to_string());
    let mut texts = Vec::with_capacity(packs.len());
    for (sequence, pack) in packs {
        let encoded = String::from_utf8(codec::encode(pack)).map_err(|error| invalid(&error))?;
        texts.push((sequence.event(0), RawValue::from_string(encoded).map_err(|error| invalid(&error))?));
    }
    let entries = texts.iter().map(|(sequence, pack)| StoredEntry { sequence: *sequence, pack }).collect();
    let encoded = serde_json::to_vec(&StoredBatch { v: relay_core::record::VERSION, entries });
    compress(&encoded.map_err(|error| invalid(&error))?)
}

/// Decodes the packs that share an item.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<(PackSequence, Arc<Pack>)>, PortError> {
    let corrupt = |error: &dyn std::fmt::Display| PortError::Corrupt(error.to_string());
    let bytes = decompress(bytes)?;
    let stored: StoredBatch<'_> = serde_json::from_slice(&bytes).map_err(|error| corrupt(&error))?;
    if stored.v != relay_core::record::VERSION {
        return Err(PortError::Corrupt(format!("a log item has version {}", stored.v)));
    }
    let pack = |entry: &StoredEntry<'_>| {
        let source = Bytes::copy_from_slice(entry.pack.get().as_bytes());
        Ok((entry.sequence.pack, Arc::new(codec::decode(&source).map_err(|error| corrupt(&error))?)))
    };
    stored.entries.iter().map(pack).collect()
}

impl LogPort {
    pub(crate) fn new(table: Table, objects: Objects, stamps: Arc<Stamps>, clock: Arc<dyn Clock>) -> LogPort {
        LogPort { table, objects, stamps, clock }
    }

    /// Appends what shares an item. An append that took longer than readers wait for may have been passed by them: it
    /// is made again under a fresh position.
    async fn append_item(&self, partition: &str, messages: &[&Message]) -> Result<Stamp, PortError> {
        let packs: Vec<_> = messages.iter().map(|message| (message.sequence, &*message.pack)).collect();
        let encoded = Bytes::from(encode(&packs)?);
        for _ in 0..REPEATS {
            let stamp = self.stamps.next();
            let key = Key::new(partition, stamp.key());
            let row = Row::of(&key).with("expiresAt", number((stamp.at + KEPT).0.div_ceil(1000)));
            let row = if encoded.len() <= INLINE_BYTES {
                row.with("entries", binary(encoded.to_vec()))
            } else {
                let object = format!("staging/{}/{}", partition.replace('#', "/"), stamp.key());
                self.objects.put(&object, encoded.clone(), "application/zstd").await?;
                row.with("entriesObject", text(object))
            };
            self.table.put(row).await?;
            if self.clock.now().since(stamp.at) <= SETTLE / 2 {
                return Ok(stamp);
            }
        }
        Err(PortError::Unavailable("appending to the log takes longer than its readers wait".to_owned()))
    }

    async fn entries_of(&self, row: &Row) -> Result<Vec<LogEntry>, PortError> {
        let stamp = stamp_of(row)?;
        let packs = match (row.find_binary("entries"), row.find_text("entriesObject")) {
            (Some(inline), _) => decode(inline)?,
            (None, Some(object)) => match self.objects.get(object).await {
                Ok(bytes) => decode(&bytes)?,
                // Item and object expire at about the same time, not at the same moment.
                Err(PortError::NotFound) => Vec::new(),
                Err(error) => return Err(error),
            },
            (None, None) => return Err(PortError::Corrupt("a log item has no entries".to_owned())),
        };
        let placed = packs.into_iter().enumerate();
        let entry = |(place, (sequence, pack))| LogEntry { position: position(stamp, place), sequence, pack };
        Ok(placed.map(entry).collect())
    }

    /// The newest entries of a shard, newest first.
    async fn newest_of_shard(
        &self,
        topic: &TopicId,
        shard: LogShard,
        (from, before): (Time, Option<LogPosition>),
        limit: usize,
    ) -> Result<Vec<LogEntry>, PortError> {
        let end = before.unwrap_or(LogPosition { at: Time(9_999_999_999_999), unique: u64::MAX });
        let (first, last) = (Stamp { at: from, unique: 0 }, Stamp { at: end.at, unique: end.unique });
        if first > last {
            return Ok(Vec::new());
        }
        let query = Query::of(partition(topic, shard)).between(first.key(), last.key()).backward().limit(limit);
        let rows = self.table.query(query).await?;
        let mut entries = try_join_all(rows.iter().map(|row| self.entries_of(row))).await?.concat();
        entries.retain(|entry| before.is_none_or(|before| entry.position < before));
        Ok(entries)
    }
}

#[async_trait]
impl EventLog for LogPort {
    async fn append(&self, messages: &[Message]) -> Result<Vec<LogPosition>, PortError> {
        let mut items: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, message) in messages.iter().enumerate() {
            let shard = LogShard::of(&message.pack.key);
            items.entry(partition(&message.pack.topic_id, shard)).or_default().push(at);
        }
        let chunks: Vec<(String, Vec<usize>)> = items
            .into_iter()
            .flat_map(|(partition, places)| {
                let chunks: Vec<_> =
                    places.chunks(1 << WITHIN).map(|chunk| (partition.clone(), chunk.to_vec())).collect();
                chunks
            })
            .collect();
        let written = chunks.iter().map(|(partition, places)| async move {
            let of_item: Vec<&Message> = places.iter().map(|at| &messages[*at]).collect();
            self.append_item(partition, &of_item).await
        });
        let stamps = try_join_all(written).await?;
        let mut positions = vec![LogPosition::default(); messages.len()];
        for ((_, places), stamp) in chunks.iter().zip(stamps) {
            for (place, at) in places.iter().enumerate() {
                positions[*at] = position(stamp, place);
            }
        }
        Ok(positions)
    }

    async fn newest(
        &self,
        topic: &TopicId,
        before: Option<LogPosition>,
        limit: usize,
    ) -> Result<Vec<LogEntry>, PortError> {
        // TTL deletes within days (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html).
        let kept = lists::retention(&self.table, topic).await?.map_or(KEPT, |retention| retention.min(KEPT));
        let from = self.clock.now() - kept;
        let shards = LogShard::ALL.into_iter().map(|shard| self.newest_of_shard(topic, shard, (from, before), limit));
        let mut entries: Vec<LogEntry> = try_join_all(shards).await?.concat();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.position));
        // What was appended again is shown once.
        let mut seen = HashSet::new();
        entries.retain(|entry| seen.insert((entry.pack.group(), entry.sequence)));
        entries.truncate(limit);
        Ok(entries)
    }

    async fn read(
        &self,
        topic: &TopicId,
        shard: LogShard,
        after: LogPosition,
        limit: usize,
    ) -> Result<LogPage, PortError> {
        let settled = LogPosition::before(self.clock.now() - SETTLE);
        let end = LogPage { through: after.max(settled), ..LogPage::default() };
        if after >= settled {
            return Ok(end);
        }
        // The item that `after` lies in may hold more.
        let first = Stamp { at: after.at, unique: after.unique >> WITHIN << WITHIN };
        let last = Stamp { at: settled.at, unique: settled.unique };
        let query = Query::of(partition(topic, shard)).between(first.key(), last.key()).limit(limit + 1);
        let rows = self.table.query(query).await?;
        let mut entries = try_join_all(rows.iter().map(|row| self.entries_of(row))).await?.concat();
        entries.retain(|entry| entry.position > after);
        if entries.len() > limit {
            entries.truncate(limit);
            let through = entries.last().map_or(after, |entry| entry.position);
            return Ok(LogPage { entries, through, is_more: true });
        }
        match rows.last().filter(|_| rows.len() > limit) {
            Some(last) => {
                let through = position(stamp_of(last)?, (1 << WITHIN) - 1);
                Ok(LogPage { entries, through, is_more: true })
            }
            None => Ok(LogPage { entries, ..end }),
        }
    }

    /// Nobody tells of what another process appends: it is time to look again.
    fn news(&self) -> BoxFuture<'static, ()> {
        let clock = self.clock.clone();
        Box::pin(async move { clock.sleep(LOOK_AGAIN).await })
    }

    fn settle(&self) -> Duration {
        SETTLE
    }

    /// Not built yet: the log keeps seven days.
    async fn compact(&self, _: Time) -> Result<u64, PortError> {
        Ok(0)
    }

    async fn compaction_lag(&self, _: Time) -> Result<Option<Duration>, PortError> {
        Ok(None)
    }

    /// Nothing to do: TTL and lifecycle remove what is old, for nothing.
    async fn expire(&self, _: Time) -> Result<u64, PortError> {
        Ok(0)
    }
}
