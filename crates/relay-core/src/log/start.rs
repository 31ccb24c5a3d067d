//! Where reading starts.

use super::{Cursor, ReadRefused};
use crate::ports::Ports;
use crate::replay_id::{LogPosition, LogShard, ReplayId};
use crate::time::Time;
use crate::topic::Topic;
use std::time::Duration;

/// Clocks of dispatchers differ and batches are delayed: of other keys than that of a replay id, so much of what came
/// before it is read again.
const OVERLAP: Duration = Duration::from_secs(60);
/// A reader that follows the end of the retention is not turned away for being a little late.
const GRACE: Duration = Duration::from_secs(60);

/// Where reading starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the oldest event that is kept.
    Earliest,
    /// With what is accepted from now on, and perhaps a few events from just before.
    Latest,
    /// With what was logged at this time, and later. A time that is still to come counts as [`Start::Latest`]: the clock of
    /// whoever names it may be ahead, and nothing is to be missed.
    Time(Time),
    /// After an event: of its key exactly what follows it; of other keys what was logged since a minute before it.
    After(ReplayId),
}

/// Since when a topic's events are kept.
pub(super) fn kept_since(topic: &Topic, now: Time) -> Time {
    topic.created_at.max(now - topic.retention.duration())
}

/// The place to start at.
///
/// # Errors
/// [`ReadRefused::Expired`] if the topic's retention has passed it, or if it is of an earlier topic of that name.
pub async fn begin(ports: &Ports, topic: &Topic, start: Start) -> Result<Cursor, ReadRefused> {
    let now = ports.clock.now();
    let kept = kept_since(topic, now);
    let latest = || Cursor::after(LogPosition::before(now - ports.log.settle()).max(LogPosition::before(kept)));
    match start {
        Start::Earliest => Ok(Cursor::after(LogPosition::before(kept))),
        Start::Latest => Ok(latest()),
        Start::Time(at) if at > now => Ok(latest()),
        // Before there was a topic, nothing was missed.
        Start::Time(at) if at <= topic.created_at && kept == topic.created_at => {
            Ok(Cursor::after(LogPosition::before(kept)))
        }
        Start::Time(at) if at < kept => Err(expired(ports, topic).await?),
        Start::Time(at) => Ok(Cursor::after(LogPosition::before(at))),
        Start::After(id) if id.at < kept => Err(expired(ports, topic).await?),
        Start::After(id) => Ok(Cursor::after_event(id, kept.max(id.at - OVERLAP))),
    }
}

/// Refuses a cursor which the retention has passed in any of these shards.
pub(super) async fn check(
    ports: &Ports,
    topic: &Topic,
    cursor: &Cursor,
    shards: &[LogShard],
) -> Result<(), ReadRefused> {
    let kept = kept_since(topic, ports.clock.now());
    let is_late = shards.iter().any(|shard| cursor.places[shard.index()].after.at + GRACE < kept);
    if is_late { Err(expired(ports, topic).await?) } else { Ok(()) }
}

/// The refusal that names the oldest event.
pub(super) async fn expired(ports: &Ports, topic: &Topic) -> Result<ReadRefused, ReadRefused> {
    let from = LogPosition::before(kept_since(topic, ports.clock.now()));
    let mut oldest = None;
    for shard in LogShard::ALL {
        let page = ports.log.read(&topic.id, shard, from, 1).await?;
        oldest = page.entries.into_iter().chain(oldest).min_by_key(|entry| entry.position);
    }
    let id = oldest.map(|entry| ReplayId::logged(&entry.pack.key, entry.position, entry.sequence.event(0)));
    Ok(ReadRefused::Expired(id))
}
