//! One event by its replay id.

use super::ReadRefused;
use super::start::{expired, kept_since};
use crate::delivery::{EventRef, Outgoing};
use crate::ports::{LogEntry, Ports};
use crate::replay_id::{LogPosition, ReplayId, key_hash};
use crate::topic::Topic;
use std::sync::Arc;

/// A replay id that was given at acceptance does not say where the event was logged: so many entries are looked through
/// from then on, and so many of them at once.
const ENTRIES: usize = 20_000;
const PAGE: usize = 500;

/// Reads the event that a replay id names.
///
/// # Errors
/// [`ReadRefused::Expired`] if the topic's retention has passed it, or it is of an earlier topic of that name;
/// [`ReadRefused::NotFound`] if there is none.
pub async fn event(ports: &Ports, topic: &Topic, id: ReplayId) -> Result<EventRef, ReadRefused> {
    if id.at < kept_since(topic, ports.clock.now()) {
        return Err(expired(ports, topic).await?);
    }
    let is_it = |entry: &LogEntry| entry.sequence == id.sequence.pack && key_hash(&entry.pack.key) == id.key_hash;
    let (mut after, most) = match id.unique {
        Some(unique) => (LogPosition { at: id.at, unique }.previous(), 1),
        None => (LogPosition::before(id.at - ports.log.settle()), ENTRIES),
    };
    let mut seen = 0;
    while seen < most {
        let page = ports.log.read(&topic.id, id.shard, after, PAGE.min(most)).await?;
        if let Some(entry) = page.entries.iter().find(|entry| is_it(entry)) {
            let index = id.sequence.index;
            let is_there = usize::from(index) < entry.pack.events.len();
            let outgoing = Outgoing::new(entry.pack.clone(), entry.sequence, entry.position);
            return is_there.then(|| EventRef::new(Arc::new(outgoing), index)).ok_or(ReadRefused::NotFound);
        }
        if !page.is_more {
            break;
        }
        (after, seen) = (page.through, seen + page.entries.len());
    }
    Err(ReadRefused::NotFound)
}
