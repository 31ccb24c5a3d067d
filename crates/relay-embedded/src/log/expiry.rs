//! What the log need not keep any longer.
//!
//! Rows lie in the order of time, so those past a retention are at the beginning. A topic's rows go once they are
//! acknowledged and nothing refers to them, when they are past its retention, or an hour old and in a segment. Each
//! retention is looked through on its own, and from where the last look ended: a row is looked at once for each
//! retention in use, and once a day again, for those that something referred to.

use super::LogPort;
use crate::readers::rows;
use relay_core::names::TopicId;
use relay_core::ports::PortError;
use relay_core::time::Time;
use relay_core::topic::Retention;
use rusqlite::{Connection, params};
use std::collections::HashMap;
use std::time::Duration;

/// Entries looked at in one read,
const LOOK: usize = 4_096;
/// and removed in one transaction: others wait for it.
const REMOVE: usize = 512;
const DAY: Duration = Duration::from_secs(86_400);
/// How long rows stay that are in a segment, too: those who read the newest entries find them at once.
const COMPACTED: Duration = Duration::from_secs(3_600);

/// How long each topic's entries are kept.
pub(crate) type Retentions = HashMap<TopicId, Retention>;

/// Of a retention, how far its entries were looked through.
#[derive(Debug, Default)]
pub(crate) struct Expiry {
    through: HashMap<Duration, u64>,
    known: Retentions,
    began: Time,
}

impl Expiry {
    /// A changed retention, or a day gone by, is a reason to look from the beginning.
    pub(super) fn look_again(&mut self, retentions: &Retentions, now: Time) {
        if self.known != *retentions || now.since(self.began) >= DAY {
            *self = Expiry { through: HashMap::new(), known: retentions.clone(), began: now };
        }
    }
}

struct Look {
    /// What may go, in order.
    past: Vec<u64>,
    /// How far was looked.
    through: u64,
    /// There is nothing more to look at for now.
    is_end: bool,
}

/// Looks at entries after a position, for those of topics of one retention.
fn look(
    connection: &Connection,
    after: u64,
    until: Time,
    retention: Duration,
    known: &Retentions,
) -> Result<Look, PortError> {
    let shards = rows(connection, "SELECT number, topic, compacted FROM shards", [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, u64>(2)?))
    })?;
    // Up to where each shard's rows may go.
    let through = |topic: &String, compacted: u64| {
        if retention == COMPACTED {
            return compacted;
        }
        let kept = TopicId::new(topic.as_str()).ok().and_then(|topic| known.get(&topic).copied());
        if kept.unwrap_or_default().duration() == retention { u64::MAX } else { 0 }
    };
    let through: HashMap<i64, u64> =
        shards.iter().map(|(number, topic, compacted)| (*number, through(topic, *compacted))).collect();
    let sql = "SELECT position, at, shard FROM log WHERE position > ?1 ORDER BY position LIMIT ?2";
    let entries = rows(connection, sql, params![after, LOOK], |row| {
        Ok((row.get::<_, u64>(0)?, Time(row.get(1)?), row.get::<_, i64>(2)?))
    })?;
    let mut found = Look { past: Vec::new(), through: after, is_end: entries.len() < LOOK };
    for (position, at, shard) in entries {
        if at > until || found.past.len() >= REMOVE {
            found.is_end = at > until;
            break;
        }
        found.through = position;
        if position <= through.get(&shard).copied().unwrap_or(u64::MAX) {
            found.past.push(position);
        }
    }
    Ok(found)
}

/// Positions as ranges without a gap.
fn ranges(positions: &[u64]) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for position in positions {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *position => *last = *position,
            _ => ranges.push((*position, *position)),
        }
    }
    ranges
}

impl LogPort {
    /// Removes some, if there is any. The last entry stays: it tells which positions were given out.
    pub(super) async fn expire_some(&self, expiry: &mut Expiry, now: Time, last: u64) -> Result<u64, PortError> {
        let mut retentions: Vec<Duration> = expiry.known.values().map(|retention| retention.duration()).collect();
        retentions.extend([Retention::default().duration(), COMPACTED]);
        retentions.sort_unstable();
        retentions.dedup();
        for retention in retentions {
            loop {
                let (after, known) = (expiry.through.get(&retention).copied().unwrap_or(0), expiry.known.clone());
                let read = move |connection: &Connection| look(connection, after, now - retention, retention, &known);
                let found = self.readers.read(read).await?;
                let mut gone = self.queue.acknowledged(&found.past);
                gone.retain(|position| *position < last);
                let removed = self.remove(gone).await?;
                expiry.through.insert(retention, found.through);
                if removed > 0 {
                    return Ok(removed);
                }
                if found.is_end {
                    break;
                }
            }
        }
        Ok(0)
    }

    async fn remove(&self, positions: Vec<u64>) -> Result<u64, PortError> {
        if positions.is_empty() {
            return Ok(0);
        }
        let remove = move |tx: &crate::writer::Tx<'_>| {
            let mut removed = 0;
            for (first, last) in ranges(&positions) {
                removed += tx.execute(
                    "DELETE FROM log WHERE position BETWEEN ?1 AND ?2
                     AND NOT EXISTS(SELECT 1 FROM backlog WHERE backlog.position = log.position)
                     AND NOT EXISTS(SELECT 1 FROM dead_letters WHERE dead_letters.position = log.position)",
                    [first, last],
                )?;
            }
            Ok(removed as u64)
        };
        self.writer.write(remove).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_gathered_into_ranges() {
        assert_eq!(ranges(&[]), []);
        assert_eq!(ranges(&[1, 2, 3, 7, 9, 10]), [(1, 3), (7, 7), (9, 10)]);
    }
}
