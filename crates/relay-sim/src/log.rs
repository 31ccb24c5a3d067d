//! The log.

use crate::locked;
use crate::random::Random;
use crate::segments::Compacted;
use crate::simulated::Simulated;
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use relay_core::names::TopicId;
use relay_core::pack::{LaneKey, Pack};
use relay_core::ports::{EventLog, LogEntry, LogPage, Message, PortError};
use relay_core::replay_id::{LogPosition, LogShard};
use relay_core::sequence::PackSequence;
use relay_core::time::Time;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

/// Pause between looks for something new.
const MOMENT: Duration = Duration::from_millis(100);

pub(crate) type Entry = (PackSequence, Arc<Pack>);

pub(crate) fn entry((position, (sequence, pack)): (&LogPosition, &Entry)) -> LogEntry {
    LogEntry { position: *position, sequence: *sequence, pack: Arc::clone(pack) }
}

#[derive(Default)]
pub(crate) struct LogStore {
    topics: BTreeMap<TopicId, BTreeMap<LogPosition, Entry>>,
    /// What is in segments, too.
    pub compacted: BTreeMap<(TopicId, LogShard), Compacted>,
    /// What was ever appended, expired or not, and where last.
    appended: BTreeMap<(TopicId, PackSequence), LogPosition>,
    unique: u64,
    /// An entry lies up to this before the time when it appears: appends take time, and clocks differ.
    pub spread: Duration,
    /// Readers leave out what is younger.
    pub settle: Duration,
    /// Compaction leaves out what is younger.
    pub margin: Duration,
}

impl LogStore {
    pub fn append(&mut self, pack: &Arc<Pack>, sequence: PackSequence, at: Time) -> LogPosition {
        self.unique += 1;
        let position = LogPosition { at, unique: self.unique };
        let topic = self.topics.entry(pack.topic_id.clone()).or_default();
        topic.insert(position, (sequence, Arc::clone(pack)));
        let last = self.appended.entry((pack.topic_id.clone(), sequence)).or_insert(position);
        *last = position.max(*last);
        position
    }

    pub fn has(&self, topic: &TopicId, sequence: PackSequence) -> bool {
        self.appended.contains_key(&(topic.clone(), sequence))
    }

    pub fn has_from(&self, topic: &TopicId, sequence: PackSequence, from: LogPosition) -> bool {
        self.appended.get(&(topic.clone(), sequence)).is_some_and(|last| *last >= from)
    }

    /// The newest entries; of one that was appended more than once, the newest.
    fn newest(&self, topic: &TopicId, before: Option<LogPosition>, limit: usize) -> Vec<LogEntry> {
        let Some(entries) = self.topics.get(topic) else { return Vec::new() };
        let older = entries.iter().rev().filter(|(position, _)| before.is_none_or(|before| **position < before));
        older.take(limit).map(entry).collect()
    }

    /// All entries of a topic up to a place in the order in which they appeared.
    pub fn appeared(&self, topic: &TopicId, until: u64) -> Vec<LogEntry> {
        let all = self.topics.get(topic).into_iter().flatten().map(entry);
        all.filter(|entry| entry.position.unique <= until).collect()
    }

    /// All packs that are retained.
    pub fn packs(&self) -> impl Iterator<Item = &Pack> {
        self.topics.values().flatten().map(|(_, (_, pack))| &**pack)
    }

    /// The place of the last one.
    pub fn last(&self) -> u64 {
        self.unique
    }

    /// All topics that have entries.
    pub fn topics(&self) -> impl Iterator<Item = &TopicId> {
        self.topics.keys()
    }

    /// What a shard has after a position, in segments or not.
    pub fn hot(&self, topic: &TopicId, shard: LogShard, after: LogPosition) -> impl Iterator<Item = LogEntry> {
        let all = self.topics.get(topic).into_iter();
        let later = all.flat_map(move |entries| entries.range((Bound::Excluded(after), Bound::Unbounded)));
        later.map(entry).filter(move |entry| LogShard::of(&entry.pack.key) == shard)
    }

    fn read(&self, topic: &TopicId, shard: LogShard, after: LogPosition, limit: usize, now: Time) -> LogPage {
        if !self.topics.contains_key(topic) {
            return LogPage { through: after, ..LogPage::default() };
        }
        let settled = LogPosition::before(now - self.settle);
        let compacted = self.compacted.get(&(topic.clone(), shard));
        let hot_after = compacted.map_or(after, |compacted| after.max(compacted.through()));
        let hot = self.hot(topic, shard, hot_after);
        let hot = hot.take_while(|entry| self.settle.is_zero() || entry.position <= settled);
        let mut all = compacted.into_iter().flat_map(|compacted| compacted.after(after)).chain(hot);
        let entries: Vec<LogEntry> = all.by_ref().take(limit).collect();
        let is_more = all.next().is_some();
        let last = entries.last().map(|entry| entry.position);
        let end = if self.settle.is_zero() { LogPosition { at: now, unique: self.unique } } else { settled };
        let end = last.map_or(end, |last| last.max(end));
        LogPage { through: last.filter(|_| is_more).unwrap_or(end).max(after), entries, is_more }
    }

    fn expire(&mut self, keep: impl Fn(&TopicId) -> Duration, now: Time) -> u64 {
        let mut gone = 0;
        for (topic, entries) in &mut self.topics {
            let oldest = now - keep(topic);
            let before = entries.len();
            entries.retain(|position, _| position.at >= oldest);
            gone += (before - entries.len()) as u64;
        }
        self.compacted.iter_mut().for_each(|((topic, _), compacted)| compacted.expire(now - keep(topic)));
        gone
    }
}

#[async_trait]
impl EventLog for Simulated {
    async fn append(&self, messages: &[Message]) -> Result<Vec<LogPosition>, PortError> {
        let append = || {
            let mut log = locked(&self.stores.log);
            let spread = log.spread;
            let late = |random: &mut Random| Duration::from_millis(random.within(0..1 + spread.as_millis() as u64));
            let late = self.gate.scheduler().map_or(Duration::ZERO, |scheduler| scheduler.draw(late));
            let now = self.clock.now() - late;
            let at = |message: &Message| match message.position {
                Some(position) => position,
                None => log.append(&message.pack, message.sequence, now),
            };
            Ok(messages.iter().map(at).collect())
        };
        let sequences: Vec<u128> = messages.iter().map(|message| message.sequence.number).collect();
        self.gate.call("log.append", &sequences, append).await
    }

    async fn newest(
        &self,
        topic: &TopicId,
        before: Option<LogPosition>,
        limit: usize,
    ) -> Result<Vec<LogEntry>, PortError> {
        self.gate.call("log.newest", topic, || Ok(locked(&self.stores.log).newest(topic, before, limit))).await
    }

    async fn read(
        &self,
        topic: &TopicId,
        shard: LogShard,
        after: LogPosition,
        limit: usize,
    ) -> Result<LogPage, PortError> {
        let read = || Ok(locked(&self.stores.log).read(topic, shard, after, limit, self.clock.now()));
        self.gate.call("log.read", topic, read).await
    }

    async fn read_key(
        &self,
        topic: &TopicId,
        key: &LaneKey,
        after: LogPosition,
        limit: usize,
    ) -> Result<LogPage, PortError> {
        let mut page = EventLog::read(self, topic, LogShard::of(key), after, limit).await?;
        page.entries.retain(|entry| entry.pack.key == *key);
        Ok(page)
    }

    fn news(&self) -> BoxFuture<'static, ()> {
        let clock = self.clock.clone();
        Box::pin(async move { clock.sleep(MOMENT).await })
    }

    fn settle(&self) -> Duration {
        locked(&self.stores.log).settle
    }

    async fn compact(&self, now: Time) -> Result<u64, PortError> {
        self.compact_some(now).await
    }

    async fn compaction_lag(&self, now: Time) -> Result<Option<Duration>, PortError> {
        Ok(Some(self.waits(now)))
    }

    async fn expire(&self, now: Time) -> Result<u64, PortError> {
        let expire = || {
            let tables = locked(&self.stores.tables);
            let keep = |topic: &TopicId| tables.registry.retention(topic);
            Ok(locked(&self.stores.log).expire(keep, now))
        };
        self.gate.call("log.expire", &now, expire).await
    }
}
