//! Readers against a log whose writers are slow and whose clocks differ, as far as the log's settle time allows.

use super::*;
use crate::event::EventData;
use crate::names::{TopicId, TopicName};
use crate::pack::{LaneKey, Pack};
use crate::ports::{EventLog, LogPage, Message};
use crate::sequence::PackSequence;
use crate::time::Time;
use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

const SETTLE: u64 = 2_000;

/// What was appended, each with the time from which on it can be seen.
struct SkewedLog {
    settle: Duration,
    now: Mutex<u64>,
    entries: Mutex<Vec<(u64, LogEntry)>>,
}

#[async_trait]
impl EventLog for SkewedLog {
    async fn append(&self, _: &[Message]) -> Result<Vec<LogPosition>, PortError> {
        unreachable!("the test appends")
    }

    async fn newest(&self, _: &TopicId, _: Option<LogPosition>, _: usize) -> Result<Vec<LogEntry>, PortError> {
        unreachable!("nobody asks")
    }

    async fn read(&self, _: &TopicId, shard: LogShard, after: LogPosition, limit: usize) -> Result<LogPage, PortError> {
        let now = *self.now.lock().unwrap();
        let settled = LogPosition::before(Time(now) - self.settle);
        let there = |(seen, entry): &&(u64, LogEntry)| {
            *seen <= now
                && after < entry.position
                && entry.position <= settled
                && LogShard::of(&entry.pack.key) == shard
        };
        let mut entries: Vec<LogEntry> =
            self.entries.lock().unwrap().iter().filter(there).map(|(_, entry)| entry.clone()).collect();
        entries.sort_by_key(|entry| entry.position);
        let is_more = entries.len() > limit;
        entries.truncate(limit);
        let last = entries.last().map(|entry| entry.position).filter(|_| is_more);
        Ok(LogPage { through: last.unwrap_or(settled).max(after), entries, is_more })
    }

    /// Leaves out whatever it may.
    async fn read_key(
        &self,
        topic: &TopicId,
        key: &LaneKey,
        after: LogPosition,
        limit: usize,
    ) -> Result<LogPage, PortError> {
        let mut page = self.read(topic, LogShard::of(key), after, limit).await?;
        page.entries.retain(|entry| entry.pack.key == *key);
        Ok(page)
    }

    fn news(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }

    fn settle(&self) -> Duration {
        self.settle
    }

    async fn compact(&self, _: Time) -> Result<u64, PortError> {
        Ok(0)
    }

    async fn compaction_lag(&self, _: Time) -> Result<Option<Duration>, PortError> {
        Ok(None)
    }

    async fn expire(&self, _: Time) -> Result<u64, PortError> {
        Ok(0)
    }
}

fn entry(at: u64, unique: u64, key: u8, number: u128, events: usize) -> LogEntry {
    let mut event = crate::event::samples::plain();
    event.data = EventData::None;
    let pack = Pack {
        topic: TopicName::new("orders").unwrap(),
        topic_id: TopicId::new("top_orders").unwrap(),
        key: LaneKey::Ordered(self::key(key)),
        accepted_at: Time(at),
        events: vec![event; events],
    };
    LogEntry {
        position: LogPosition { at: Time(at), unique },
        sequence: PackSequence { era: 1, number },
        pack: Arc::new(pack),
    }
}

/// A pack of some events is appended to a key, by a writer whose clock is off and who takes a while.
#[derive(Clone, Debug)]
struct Append {
    pause: u64,
    key: u8,
    skew: u64,
    delay: u64,
    events: usize,
    /// How many events are read after it, if any.
    read: Option<usize>,
}

fn appends() -> impl Strategy<Value = Vec<Append>> {
    let append = (0..800u64, 0..6u8, 0..=SETTLE / 2, 0..=SETTLE / 2, 1..4usize, proptest::option::of(1..20usize));
    let append =
        append.prop_map(|(pause, key, skew, delay, events, read)| Append { pause, key, skew, delay, events, read });
    proptest::collection::vec(append, 1..60)
}

/// What a reader has seen of each key, first occurrences only; or that it is not in order.
#[derive(Default)]
struct Seen(HashMap<LaneKey, Vec<(u128, u16)>>);

impl Seen {
    fn note(&mut self, events: &[EventRef]) -> Result<(), String> {
        for event in events {
            let (sequence, key) = (event.sequence(), event.outgoing.pack.key.clone());
            let of_key = self.0.entry(key).or_default();
            let one = (sequence.pack.number, sequence.index);
            if !of_key.contains(&one) {
                if of_key.last().is_some_and(|last| *last > one) {
                    return Err(format!("{one:?} after {:?}", of_key.last()));
                }
                of_key.push(one);
            }
        }
        Ok(())
    }
}

fn key(number: u8) -> PartitionKey {
    PartitionKey::new(format!("k{number}")).unwrap()
}

/// Plays a history, reading now and then, and at last all, or all of a key: nothing is missed, each key is in order.
fn play(history: &[Append], settle: Duration, only: Option<u8>) -> Result<(), String> {
    let log = SkewedLog { settle, now: Mutex::new(1_000_000), entries: Mutex::default() };
    let (mut seen, mut cursor) = (Seen::default(), Cursor::after(LogPosition::default()));
    let mut expected: BTreeMap<u8, Vec<(u128, u16)>> = BTreeMap::new();
    // The next message of a key is dispatched when the one before it lies in the log.
    let mut free_at: HashMap<u8, u64> = HashMap::new();
    let topic = TopicId::new("top_orders").unwrap();
    let mut step = |cursor: &mut Cursor, limit: usize| -> Result<bool, String> {
        let wanted = Wanted { key: only.map(key), limit };
        let read = read(&log, &topic, *cursor, &wanted, MAX_SCANNED).now_or_never().unwrap();
        let (pulled, is_end) = read.map_err(|error| error.to_string())?;
        if pulled.next.is_behind(cursor) {
            return Err(format!("{:?} is behind {cursor:?}", pulled.next));
        }
        *cursor = pulled.next.to_string().parse().map_err(|_| "a cursor cannot be read".to_owned())?;
        seen.note(&pulled.events)?;
        Ok(pulled.events.is_empty() && is_end)
    };
    for (number, append) in history.iter().enumerate() {
        let began = {
            let mut now = log.now.lock().unwrap();
            *now = (*now + append.pause).max(free_at.get(&append.key).copied().unwrap_or(0));
            *now
        };
        // A quarter of the settle time before or after the true time.
        let at = began + append.skew - SETTLE / 4;
        free_at.insert(append.key, began + append.delay);
        let number = number as u128;
        let made = entry(at, number as u64, append.key, number, append.events);
        log.entries.lock().unwrap().push((began + append.delay, made));
        expected.entry(append.key).or_default().extend((0..append.events).map(|index| (number, index as u16)));
        if let Some(limit) = append.read {
            step(&mut cursor, limit)?;
        }
    }
    *log.now.lock().unwrap() += 10 * SETTLE;
    let mut parts = 0;
    while !step(&mut cursor, 1 + history.len() % 7)? {
        parts += 1;
        if parts > 1_000 {
            return Err("reading does not end".to_owned());
        }
    }
    for (number, expected) in expected.into_iter().filter(|(number, _)| only.is_none_or(|only| only == *number)) {
        let found = seen.0.remove(&LaneKey::Ordered(key(number))).unwrap_or_default();
        if found != expected {
            return Err(format!("of k{number}: {found:?}, not {expected:?}"));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
    #[test]
    fn a_reader_misses_nothing_and_sees_each_key_in_order(
        history in appends(),
        only in proptest::option::of(0..6u8),
    ) {
        prop_assert_eq!(play(&history, Duration::from_millis(SETTLE), only), Ok(()));
    }
}

#[test]
fn a_log_that_does_not_settle_is_caught() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let caught = (0..200).filter(|_| {
        let history = appends().new_tree(&mut runner).unwrap().current();
        play(&history, Duration::ZERO, None).is_err()
    });
    assert!(caught.count() > 50, "readers who do not wait miss events, and this test would see it");
}

#[test]
fn a_part_ends_anywhere_and_the_next_goes_on_there() {
    let log = SkewedLog { settle: Duration::ZERO, now: Mutex::new(1_000_000), entries: Mutex::default() };
    for number in 0..400u64 {
        let made = entry(1_000 + number, number, (number % 5) as u8, u128::from(number), 1 + (number % 9) as usize);
        log.entries.lock().unwrap().push((0, made));
    }
    let topic = TopicId::new("top_orders").unwrap();
    let all = |limit: usize, key: Option<&str>| {
        let wanted = Wanted { key: key.map(|key| PartitionKey::new(key).unwrap()), limit };
        let (mut events, mut cursor) = (Vec::new(), Cursor::after(LogPosition::default()));
        loop {
            // Whatever is looked at of it at once.
            let (pulled, is_end) = read(&log, &topic, cursor, &wanted, 10).now_or_never().unwrap().unwrap();
            if pulled.events.is_empty() && is_end {
                return events;
            }
            assert!(pulled.events.len() <= limit);
            events.extend(pulled.events.iter().map(EventRef::sequence));
            cursor = pulled.next;
        }
    };
    let whole = all(1_000, None);
    assert_eq!(whole.len(), (0..400).map(|number| 1 + number % 9).sum::<usize>());
    for limit in [1, 2, 3, 7, 50] {
        assert_eq!(all(limit, None), whole, "{limit} at a time: each exactly once");
        assert_eq!(all(limit, Some("k3")), all(1_000, Some("k3")));
    }
}
