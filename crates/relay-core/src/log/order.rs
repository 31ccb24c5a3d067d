//! Entries of a shard in the order of their keys.
//!
//! Writers' clocks differ a little, so of two entries of a key the later one may have the earlier position. They are
//! never further apart than half of the log's settle time, of which the other half is for slow appends: whoever looks
//! that far ahead can put them in order.

use crate::names::TopicId;
use crate::pack::{GroupId, LaneKey};
use crate::ports::{EventLog, LogEntry, PortError};
use crate::replay_id::{LogPosition, LogShard};
use std::collections::{HashMap, HashSet};

/// A part of a shard, in the order of its keys.
#[derive(Debug, Default)]
pub(super) struct Part {
    /// Entries in the order to be given out. Each with its place among those of the part by position; none for what was
    /// seen ahead of the part's end: it comes again.
    pub(super) entries: Vec<(LogEntry, Option<usize>)>,
    /// Positions of the part's entries, in order.
    pub(super) positions: Vec<LogPosition>,
    /// Where to go on.
    pub(super) through: LogPosition,
    /// More is there already.
    pub(super) is_more: bool,
}

/// What is read: a shard, or what it holds of a key and perhaps of others.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'a> {
    Shard(LogShard),
    Key(&'a LaneKey),
}

impl Source<'_> {
    pub(super) fn shard(self) -> LogShard {
        match self {
            Source::Shard(shard) => shard,
            Source::Key(key) => LogShard::of(key),
        }
    }
}

/// Reads so many entries, and as far ahead as is needed to know their order. That is an order of each key, so it is not
/// in the way that others may be left out.
pub(super) async fn read(
    log: &dyn EventLog,
    topic: &TopicId,
    source: Source<'_>,
    after: LogPosition,
    limit: usize,
) -> Result<Part, PortError> {
    let page_after = |after| match source {
        Source::Shard(shard) => log.read(topic, shard, after, limit),
        Source::Key(key) => log.read_key(topic, key, after, limit),
    };
    let page = page_after(after).await?;
    let (mut entries, mut end, mut is_more) = (page.entries, page.through, page.is_more);
    let window = log.settle() / 2;
    while is_more && !window.is_zero() && end.at <= page.through.at + window {
        let next = page_after(end).await?;
        (end, is_more) = (next.through, next.is_more);
        entries.extend(next.entries);
    }
    // What is closer to the end may have to wait for something behind it.
    let through = page.through.min(LogPosition { at: end.at - window, unique: end.unique }).max(after);
    let count = entries.iter().take_while(|entry| entry.position <= through).count();
    let positions = entries[..count].iter().map(|entry| entry.position).collect();
    let is_more = page.is_more && through == page.through;
    Ok(Part { entries: in_order(&entries, count), positions, through, is_more })
}

/// The first `count` entries, each after those of its key that have a lower sequence, repeats left out.
fn in_order(all: &[LogEntry], count: usize) -> Vec<(LogEntry, Option<usize>)> {
    let groups: Vec<GroupId> = all.iter().map(|entry| entry.pack.group()).collect();
    let mut of_key: HashMap<GroupId, Vec<usize>> = HashMap::new();
    for (at, group) in groups.iter().enumerate() {
        of_key.entry(*group).or_default().push(at);
    }
    for places in of_key.values_mut() {
        // Last ones first: they are taken from the end.
        places.sort_by_key(|at| std::cmp::Reverse((all[*at].sequence, *at)));
    }
    let (mut ordered, mut seen) = (Vec::with_capacity(count), HashSet::new());
    for at in 0..count {
        let places = of_key.entry(groups[at]).or_default();
        // A repeat that lies earlier than it was expected has been given out with the first of its sequence.
        while places.last().is_some_and(|next| all[*next].sequence <= all[at].sequence) {
            let Some(next) = places.pop() else { break };
            if seen.insert((groups[next], all[next].sequence)) {
                ordered.push((all[next].clone(), Some(next).filter(|next| *next < count)));
            }
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{PartitionKey, TopicName};
    use crate::pack::{LaneKey, Pack};
    use crate::sequence::PackSequence;
    use crate::time::Time;
    use std::sync::Arc;

    fn entry(at: u64, key: &str, number: u128) -> LogEntry {
        let pack = Pack {
            topic: TopicName::new("orders").unwrap(),
            topic_id: TopicId::new("top_orders").unwrap(),
            key: LaneKey::Ordered(PartitionKey::new(key).unwrap()),
            accepted_at: Time(1),
            events: vec![],
        };
        let position = LogPosition { at: Time(at), unique: 0 };
        LogEntry { position, sequence: PackSequence { era: 1, number }, pack: Arc::new(pack) }
    }

    fn ordered(part: Vec<LogEntry>, ahead: Vec<LogEntry>) -> Vec<(u128, Option<usize>)> {
        let count = part.len();
        let all: Vec<_> = part.into_iter().chain(ahead).collect();
        in_order(&all, count).into_iter().map(|(entry, at)| (entry.sequence.number, at)).collect()
    }

    #[test]
    fn entries_of_a_key_come_in_the_order_of_their_sequences_and_others_where_they_are() {
        let part = vec![entry(1, "a", 2), entry(2, "b", 10), entry(3, "a", 1), entry(4, "a", 3)];
        assert_eq!(ordered(part, vec![]), [(1, Some(2)), (2, Some(0)), (10, Some(1)), (3, Some(3))]);
    }

    #[test]
    fn what_precedes_an_entry_is_found_ahead_and_nothing_of_the_part_is_left_out() {
        let part = vec![entry(1, "a", 2), entry(2, "b", 10)];
        let ahead = vec![entry(3, "c", 20), entry(4, "a", 1), entry(5, "a", 3)];
        assert_eq!(ordered(part, ahead), [(1, None), (2, Some(0)), (10, Some(1))]);
    }

    #[test]
    fn what_was_appended_twice_comes_once() {
        let part = vec![entry(1, "a", 1), entry(2, "a", 2), entry(3, "a", 1), entry(4, "b", 1)];
        assert_eq!(ordered(part, vec![]), [(1, Some(0)), (2, Some(1)), (1, Some(3))]);
    }
}
