//! What a process remembers of shards that it looked at: until when nothing in them can be due. So a broker at rest is
//! looked at four times an hour, and not every minute.

use relay_core::names::TopicId;
use relay_core::replay_id::LogShard;
use relay_core::time::Time;
use relay_core::topic::Topic;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// A look at a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// When the oldest entry was written that is in no segment; none if there was none.
    pub(super) oldest: Option<Time>,
    /// When the shard is due, at the earliest.
    pub(super) due_at: Time,
}

/// The looks of a process.
#[derive(Debug, Default)]
pub(super) struct Looks(HashMap<TopicId, [Option<Look>; LogShard::ALL.len()]>);

impl Looks {
    /// Forgets all other topics.
    pub(super) fn keep(&mut self, topics: &[Arc<Topic>]) {
        let known: HashSet<&TopicId> = topics.iter().map(|topic| &topic.id).collect();
        self.0.retain(|topic, _| known.contains(topic));
    }

    pub(super) fn note(&mut self, topic: &TopicId, shard: LogShard, look: Look) {
        self.0.entry(topic.clone()).or_default()[shard.index()] = Some(look);
    }

    pub(super) fn forget(&mut self, topic: &TopicId, shard: LogShard) {
        if let Some(looks) = self.0.get_mut(topic) {
            looks[shard.index()] = None;
        }
    }

    /// Whether a shard was not looked at yet, or may be due by now.
    pub(super) fn may_be_due(&self, topic: &TopicId, shard: LogShard, now: Time) -> bool {
        self.0.get(topic).and_then(|looks| looks[shard.index()]).is_none_or(|look| look.due_at <= now)
    }

    /// When the oldest entry was written that is in no segment.
    pub(super) fn oldest(&self) -> Option<Time> {
        self.0.values().flatten().flatten().filter_map(|look| look.oldest).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_core::names::TopicName;

    #[test]
    fn a_shard_is_looked_at_again_when_it_may_be_due_and_not_before() {
        let topic =
            |id: &str| Arc::new(Topic::new(TopicId::new(id).unwrap(), TopicName::new("orders").unwrap(), Time(1)));
        let (one, other) = (topic("top_1"), topic("top_2"));
        let (shard, mut looks) = (LogShard::ALL[1], Looks::default());
        assert!(looks.may_be_due(&one.id, shard, Time(5)), "it was not looked at yet");
        looks.note(&one.id, shard, Look { oldest: Some(Time(70)), due_at: Time(100) });
        looks.note(&other.id, shard, Look { oldest: Some(Time(30)), due_at: Time(60) });
        assert!(!looks.may_be_due(&one.id, shard, Time(99)));
        assert!(looks.may_be_due(&one.id, shard, Time(100)));
        assert!(looks.may_be_due(&one.id, LogShard::ALL[0], Time(99)), "another shard");
        assert_eq!(looks.oldest(), Some(Time(30)));
        looks.keep(std::slice::from_ref(&one));
        assert_eq!(looks.oldest(), Some(Time(70)));
        looks.forget(&one.id, shard);
        assert!(looks.may_be_due(&one.id, shard, Time(1)));
        assert_eq!(looks.oldest(), None);
    }
}
