//! The log.

use crate::locked;
use crate::random::Random;
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

type Entry = (PackSequence, Arc<Pack>);

fn entry((position, (sequence, pack)): (&LogPosition, &Entry)) -> LogEntry {
    LogEntry { position: *position, sequence: *sequence, pack: Arc::clone(pack) }
}

#[derive(Default)]
pub(crate) struct LogStore {
    topics: BTreeMap<TopicId, BTreeMap<LogPosition, Entry>>,
    /// What was ever appended, expired or not, and where last.
    appended: BTreeMap<(TopicId, PackSequence), LogPosition>,
    unique: u64,
    /// An entry lies up to this before the time when it appears: appends take time, and clocks differ.
    pub spread: Duration,
    /// Readers leave out what is younger.
    pub settle: Duration,
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

    /// The place of the last one.
    pub fn last(&self) -> u64 {
        self.unique
    }

    fn read(&self, topic: &TopicId, shard: LogShard, after: LogPosition, limit: usize, now: Time) -> LogPage {
        let Some(entries) = self.topics.get(topic) else { return LogPage { through: after, ..LogPage::default() } };
        let settled = LogPosition::before(now - self.settle);
        let later = entries.range((Bound::Excluded(after), Bound::Unbounded));
        let later = later.take_while(|(position, _)| self.settle.is_zero() || **position <= settled);
        let mut of_shard = later.filter(|(_, (_, pack))| LogShard::of(&pack.key) == shard);
        let entries: Vec<LogEntry> = of_shard.by_ref().take(limit).map(entry).collect();
        let is_more = of_shard.next().is_some();
        let last = entries.last().map(|entry| entry.position);
        let end = if self.settle.is_zero() { LogPosition { at: now, unique: self.unique } } else { settled };
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

    /// Nothing to do: all of it is kept in memory.
    async fn compact(&self, _: Time) -> Result<u64, PortError> {
        Ok(0)
    }

    async fn compaction_lag(&self, _: Time) -> Result<Option<Duration>, PortError> {
        Ok(None)
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
