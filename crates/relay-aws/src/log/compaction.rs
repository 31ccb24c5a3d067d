//! From the hot log to segments.
//!
//! A span of a shard is claimed, with the name that its segment will have; then the object is written, unless it is
//! there; then the span counts as compacted and its segment as part of the log, in one transaction. Whoever dies in
//! between has left a claim, and the next one finishes that: no tool that reads the bucket sees an event twice, and no
//! reader misses one. Hot items stay, and expire.

use super::item::{end_of_item, stamp_of};
use super::looks::{Look, Looks};
use super::shard::{self, Segment, Shard, Span};
use super::{HOT, LogPort, partition};
use crate::payloads;
use crate::registry::topics;
use crate::stamp::Stamp;
use crate::table::Query;
use futures_util::stream::{self, StreamExt};
use relay_core::ports::{LogEntry, PortError};
use relay_core::replay_id::{LogPosition, LogShard};
use relay_core::time::Time;
use relay_core::topic::{Retention, Topic};
use relay_segment::{Builder, Built, index_of, path_of, retention_of};
use std::sync::Arc;
use std::time::Duration;

/// A shard is compacted when its oldest entry that is not is so old,
const AGE: Duration = Duration::from_secs(15 * 60);
/// or when it has so many bytes of lines, as far as its last span tells; so many at a time.
const SEGMENT_BYTES: u64 = 8 * 1024 * 1024;
/// What is younger stays: readers wait for slow writers, and clocks differ more than anybody knows. What appears within a
/// span that is compacted would be in no segment, and to wait costs nothing.
const MARGIN: Duration = Duration::from_secs(30);
/// Shards that are looked at, and compacted, at the same time: each may hold a segment in memory.
const LOOKS: usize = 16;
const AT_ONCE: usize = 4;
/// Segments of a call.
const SOME: usize = 32;
/// Items of a page, and of them so many that are decoded at once: each may have a megabyte or two.
const ITEMS: usize = 256;
const DECODED: usize = 4;

/// What there is of a span.
struct Gathered {
    first: LogPosition,
    /// The last entry, and the end of its item.
    last: LogPosition,
    through: LogPosition,
    raw_bytes: u64,
    built: Built,
}

/// A shard that is due.
struct Due {
    topic: Arc<Topic>,
    number: LogShard,
    shard: Shard,
    oldest: Time,
}

fn key_of(position: LogPosition) -> String {
    Stamp { at: position.at, unique: position.unique }.key()
}

/// The sort key that follows a position's.
fn key_after(position: LogPosition) -> String {
    key_of(match position.unique.checked_add(1) {
        Some(unique) => LogPosition { unique, ..position },
        None => LogPosition { at: Time(position.at.0 + 1), unique: 0 },
    })
}

impl LogPort {
    /// Compacts a span of each shard that is due, of those that wait longest if there are many. Answers how many events
    /// went. A shard that cannot be compacted does not hold up the others.
    pub(super) async fn compact_some(&self, now: Time) -> Result<u64, PortError> {
        let mut faults = Vec::new();
        let mut due = self.due(now, &mut faults).await?;
        due.sort_by_key(|due| due.oldest);
        due.truncate(SOME);
        let compacted: Vec<_> =
            stream::iter(due).map(|due| self.compact_shard(due, now)).buffer_unordered(AT_ONCE).collect().await;
        let mut events = 0;
        for result in compacted {
            result.map_or_else(|fault| faults.push(fault), |some| events += some);
        }
        match faults.pop() {
            Some(fault) if events == 0 => Err(fault),
            Some(error) => {
                tracing::warn!(%error, "a shard of the log cannot be compacted");
                Ok(events)
            }
            None => Ok(events),
        }
    }

    /// How long the oldest entry has waited, as far as is known: what came since a shard was looked at is younger.
    pub(super) async fn longest_wait(&self, now: Time) -> Result<Duration, PortError> {
        let mut faults = Vec::new();
        self.due(now, &mut faults).await?;
        match faults.pop() {
            Some(fault) => Err(fault),
            None => Ok(self.looks().oldest().map_or(Duration::ZERO, |oldest| now.since(oldest))),
        }
    }

    fn looks(&self) -> std::sync::MutexGuard<'_, Looks> {
        self.looks.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The shards that are due. Only those are looked at that may be.
    async fn due(&self, now: Time, faults: &mut Vec<PortError>) -> Result<Vec<Due>, PortError> {
        let topics = topics::all(&self.table).await?;
        self.looks().keep(&topics);
        let shards = topics.iter().flat_map(|topic| LogShard::ALL.map(|number| (topic.clone(), number)));
        let waiting: Vec<_> =
            shards.filter(|(topic, number)| self.looks().may_be_due(&topic.id, *number, now)).collect();
        let looked = stream::iter(waiting).map(|(topic, number)| self.look(topic, number, now));
        let mut due = Vec::new();
        for result in looked.buffer_unordered(LOOKS).collect::<Vec<_>>().await {
            result.map_or_else(|fault| faults.push(fault), |found| due.extend(found));
        }
        Ok(due)
    }

    /// Looks at a shard, and notes until when there is no need to look again.
    async fn look(&self, topic: Arc<Topic>, number: LogShard, now: Time) -> Result<Option<Due>, PortError> {
        let shard = shard::get(&self.table, &topic.id, number).await?;
        let pending = shard.pending.as_ref().map(|span| span.first.at);
        let oldest = match pending {
            None => self.oldest_after(&topic, number, shard.compacted).await?,
            pending => pending,
        };
        // Nothing more comes of a topic that is deleted.
        let age = if topic.deleted_at.is_some() { Duration::ZERO } else { AGE };
        let due_at = match oldest {
            _ if pending.is_some() => now,
            Some(oldest) => oldest + age.min(shard.fills_in()),
            // What comes next may come as fast as what came just now.
            None if now.since(shard.compacted.at) < AGE => now + shard.fills_in(),
            None => now + AGE,
        };
        self.looks().note(&topic.id, number, Look { oldest, due_at });
        Ok(oldest.filter(|_| due_at <= now).map(|oldest| Due { topic, number, shard, oldest }))
    }

    /// When the first item after a position was written.
    async fn oldest_after(
        &self,
        topic: &Topic,
        number: LogShard,
        after: LogPosition,
    ) -> Result<Option<Time>, PortError> {
        let until = LogPosition::before(self.clock.now() - MARGIN);
        if after >= until {
            return Ok(None);
        }
        let query = Query::of(partition(&topic.id, number)).between(key_after(after), key_of(until));
        let rows = self.table.query(query.only("sk").limit(1)).await?;
        rows.first().map(|row| Ok(stamp_of(row)?.at)).transpose()
    }

    /// Compacts a span. Answers how many events it had.
    async fn compact_shard(&self, due: Due, now: Time) -> Result<u64, PortError> {
        let Due { topic, number, shard, .. } = due;
        let place = (&topic.id, number);
        let (span, gathered) = match shard.pending.clone() {
            // Whoever claimed it may have died after the object was written.
            Some(span) => (span, None),
            None => {
                let until = LogPosition::before(now.min(self.clock.now()) - MARGIN);
                let bounds = (shard.compacted, until);
                let gathered = self.gather(&topic, topic.retention, number, bounds, SEGMENT_BYTES).await?;
                let Some(gathered) = gathered else { return Ok(0) };
                let (first, through) = (gathered.first, gathered.through);
                let path = path_of(topic.retention, (&topic.name, &topic.id), number, (first, gathered.last));
                let span = Span { first, through, path };
                let rate = shard.rate_of(&gathered);
                if !shard::claim(&self.table, place, shard.compacted, &span, rate).await? {
                    return Ok(0);
                }
                (span, Some(gathered.built))
            }
        };
        let segment = self.write(&topic, number, &span, gathered).await?;
        if segment.is_none() {
            tracing::error!(path = span.path, "entries of the log were gone before they were in a segment");
        }
        let is_done = shard::finish(&self.table, place, shard.compacted, &span, segment.as_ref()).await?;
        self.looks().forget(&topic.id, number);
        Ok(if is_done { segment.map_or(1, |segment| segment.events.max(1)) } else { 0 })
    }

    /// Writes the segment of a span, or finds it written. None if there is nothing left to write.
    async fn write(
        &self,
        topic: &Topic,
        number: LogShard,
        span: &Span,
        built: Option<Built>,
    ) -> Result<Option<Segment>, PortError> {
        let built = match built {
            Some(built) => built,
            None => match self.written(span).await {
                Err(PortError::NotFound) => {
                    let all = (span.first.previous(), span.through);
                    let retention = retention_of(&span.path).unwrap_or(topic.retention);
                    let again = self.gather(topic, retention, number, all, u64::MAX).await?;
                    let Some(again) = again else { return Ok(None) };
                    again.built
                }
                found => return found.map(Some),
            },
        };
        match self.objects.put_new(&span.path, built.bytes.clone(), "application/zstd").await {
            Ok(()) => Ok(Some(Segment::of(span, &built.bytes, &built.index))),
            Err(PortError::Conflict) => match self.written(span).await {
                Err(PortError::NotFound) => Err(PortError::Unavailable(format!("{} is being written", span.path))),
                found => found.map(Some),
            },
            Err(error) => Err(error),
        }
    }

    /// The segment of a span, as it lies in the bucket.
    async fn written(&self, span: &Span) -> Result<Segment, PortError> {
        let bytes = self.objects.get(&span.path).await?;
        let index = index_of(&bytes).map_err(|error| PortError::Corrupt(format!("{}: {error}", span.path)))?;
        Ok(Segment::of(span, &bytes, &index))
    }

    /// Makes a segment of what follows a position, up to another or until it has so many bytes of lines.
    async fn gather(
        &self,
        topic: &Topic,
        retention: Retention,
        number: LogShard,
        (after, until): (LogPosition, LogPosition),
        most: u64,
    ) -> Result<Option<Gathered>, PortError> {
        let mut builder = Builder::new(topic.name.clone(), topic.id.clone(), number)?;
        let (mut span, mut through) = (None::<(LogPosition, LogPosition)>, after);
        'pages: while through < until && builder.raw_bytes() < most {
            let query = Query::of(partition(&topic.id, number)).between(key_after(through), key_of(until));
            let rows = self.table.query_while(query.limit(ITEMS), |_| false).await?;
            for some in rows.chunks(DECODED) {
                for (row, entries) in some.iter().zip(self.decoded(some).await?) {
                    for entry in entries {
                        let (pack, renamed) = entry.pack.retained(retention);
                        for (from, to) in &renamed {
                            payloads::copy(&self.objects, from, to).await?;
                        }
                        let entry = LogEntry { pack, ..entry };
                        builder.push(&entry)?;
                        span = Some((span.map_or(entry.position, |(first, _)| first), entry.position));
                    }
                    through = end_of_item(stamp_of(row)?);
                    if builder.raw_bytes() >= most {
                        break 'pages;
                    }
                }
            }
            if rows.is_empty() {
                break;
            }
        }
        let Some((first, last)) = span else { return Ok(None) };
        let (raw_bytes, built) = (builder.raw_bytes(), builder.finish()?);
        Ok(Some(Gathered { first, last, through, raw_bytes, built }))
    }

    async fn decoded(&self, rows: &[crate::table::attributes::Row]) -> Result<Vec<Vec<LogEntry>>, PortError> {
        let all = futures_util::future::try_join_all(rows.iter().map(|row| self.entries_of(row))).await?;
        for (row, _) in rows.iter().zip(&all).filter(|(_, entries)| entries.is_empty()) {
            let stamp = stamp_of(row)?;
            if self.clock.now().since(stamp.at) < HOT {
                let object = row.find_text("entriesObject").unwrap_or_default();
                tracing::error!(object, "entries of the log are missing from the bucket");
            }
        }
        Ok(all)
    }
}

impl Shard {
    /// How long it takes until there are a segment's bytes, if they come as they did: an estimate that costs no read. If
    /// they come slower, the next segment is smaller, and the one after it is waited for longer.
    fn fills_in(&self) -> Duration {
        let seconds = SEGMENT_BYTES.checked_div(self.bytes_per_second);
        seconds.map_or(AGE, |seconds| Duration::from_secs(seconds).min(AGE))
    }

    /// How fast the bytes of a span came. One that is not full began, for all we know, where the one before it ended.
    fn rate_of(&self, gathered: &Gathered) -> u64 {
        let end = gathered.last.at;
        let is_full = gathered.raw_bytes >= SEGMENT_BYTES;
        let began = if is_full { gathered.first.at } else { self.compacted.at.max(end - AGE) };
        gathered.raw_bytes / end.since(began).as_secs().max(1)
    }
}
