//! Segments of the log, made as the adapter to AWS makes them: a span of a shard is claimed, its segment written, and then
//! it counts, each in a call of its own. So compactors may die in between, be late, or work at the same time. Readers go
//! by segments as soon as they count.

use crate::locked;
use crate::log::{Entry, LogStore, entry};
use crate::simulated::Simulated;
use relay_core::names::TopicId;
use relay_core::ports::{LogEntry, PortError};
use relay_core::replay_id::{LogPosition, LogShard};
use relay_core::time::Time;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

/// Compaction trusts the clocks of those who compact and of those who write to differ by no more than this.
const CLOCKS_DIFFER: Duration = Duration::from_secs(25);
/// Entries of a segment: few, so that there are many.
const SPAN: usize = 8;

/// What is compacted of a shard.
#[derive(Default)]
pub(crate) struct Compacted {
    /// Readers go by segments up to here.
    through: LogPosition,
    /// Up to here the next segment goes.
    claimed: Option<LogPosition>,
    /// Segments by their ends.
    segments: BTreeMap<LogPosition, BTreeMap<LogPosition, Entry>>,
}

impl Compacted {
    /// The position from which on readers go by the hot log.
    pub fn through(&self) -> LogPosition {
        self.through
    }

    /// What segments have after a position, in order.
    pub fn after(&self, after: LogPosition) -> impl Iterator<Item = LogEntry> {
        let bounds = (Bound::Excluded(after.min(self.through)), Bound::Included(self.through));
        let those = self.segments.range(bounds);
        let entries = those.flat_map(|(_, entries)| entries.iter().map(entry));
        entries.filter(move |entry| entry.position > after)
    }

    /// Forgets what is older.
    pub fn expire(&mut self, oldest: Time) {
        self.segments.values_mut().for_each(|entries| entries.retain(|position, _| position.at >= oldest));
    }
}

/// A span that is to be a segment.
#[derive(Clone, Debug)]
struct Span {
    topic: TopicId,
    shard: LogShard,
    from: LogPosition,
    through: LogPosition,
}

impl LogStore {
    /// The span that is claimed of a shard, or could be of what lies up to a position.
    fn span(&self, topic: &TopicId, shard: LogShard, until: LogPosition) -> Option<Span> {
        let compacted = self.compacted.get(&(topic.clone(), shard));
        let from = compacted.map_or_else(LogPosition::default, Compacted::through);
        let hot = || self.hot(topic, shard, from).map(|entry| entry.position).take_while(|position| *position <= until);
        let through = compacted.and_then(|compacted| compacted.claimed).or_else(|| hot().take(SPAN).last())?;
        Some(Span { topic: topic.clone(), shard, from, through })
    }

    /// Spans of all shards.
    fn spans(&self, until: LogPosition) -> Vec<Span> {
        let shards = self.topics().flat_map(|topic| LogShard::ALL.map(|shard| (topic, shard)));
        shards.filter_map(|(topic, shard)| self.span(topic, shard, until)).collect()
    }

    fn of(&mut self, span: &Span) -> &mut Compacted {
        self.compacted.entry((span.topic.clone(), span.shard)).or_default()
    }

    /// Claims a span, unless another one is claimed: then that is the one.
    fn claim(&mut self, span: &Span) -> Option<Span> {
        let of = self.of(span);
        if of.through != span.from {
            return None;
        }
        let through = *of.claimed.get_or_insert(span.through);
        Some(Span { through, ..span.clone() })
    }

    /// Writes a span's segment, unless it is there. Answers how many entries it has.
    fn write(&mut self, span: &Span) -> usize {
        let hot = self.hot(&span.topic, span.shard, span.from).take_while(|entry| entry.position <= span.through);
        let entries = hot.map(|entry| (entry.position, (entry.sequence, entry.pack))).collect();
        self.of(span).segments.entry(span.through).or_insert(entries).len()
    }

    /// Lets a span's segment count. Answers how many events went.
    fn count(&mut self, span: &Span) -> u64 {
        let of = self.of(span);
        if of.through != span.from || of.claimed != Some(span.through) {
            return 0;
        }
        (of.through, of.claimed) = (span.through, None);
        let entries = of.segments.get(&span.through).into_iter().flatten();
        entries.map(|(_, (_, pack))| pack.events.len() as u64).sum()
    }
}

impl Simulated {
    /// Makes a segment of each shard that has something which is old enough.
    pub(crate) async fn compact_some(&self, now: Time) -> Result<u64, PortError> {
        let (store, exact) = (|| locked(&self.stores.log), self.clock.now());
        let now = now.clamp(exact - CLOCKS_DIFFER, exact + CLOCKS_DIFFER);
        let margin = store().margin;
        let until = if margin.is_zero() {
            LogPosition { at: now, unique: u64::MAX }
        } else {
            LogPosition::before(now - margin)
        };
        let mut events = 0;
        let spans = store().spans(until);
        for span in spans {
            let claimed = self.gate.call("log.claim", &span, || Ok(store().claim(&span))).await?;
            let Some(span) = claimed else { continue };
            self.gate.call("log.write_segment", &span, || Ok(store().write(&span))).await?;
            events += self.gate.call("log.compacted", &span, || Ok(store().count(&span))).await?;
        }
        Ok(events)
    }

    /// How long the oldest entry has waited that is in no segment.
    pub(crate) fn waits(&self, now: Time) -> Duration {
        let log = locked(&self.stores.log);
        let spans = log.spans(LogPosition { at: now, unique: u64::MAX });
        let oldest = spans.iter().filter_map(|span| log.hot(&span.topic, span.shard, span.from).next());
        oldest.map(|entry| now.since(entry.position.at)).max().unwrap_or_default()
    }
}
