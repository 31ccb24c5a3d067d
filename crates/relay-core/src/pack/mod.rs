//! Packs: the events of one publish request that share a partition key, in one queue message.

pub mod codec;

use crate::digest::sha256_of_list;
use crate::event::{Event, EventData, StoredData};
use crate::names::{PartitionKey, TopicId, TopicName};
use crate::time::Time;
use crate::topic::Retention;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// What orders a pack's events: its partition key, or nothing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LaneKey {
    /// Events with this partition key, in order.
    Ordered(PartitionKey),
    /// One of the groups that events without a partition key are spread over: order is not promised.
    Unordered(u16),
}

impl LaneKey {
    /// The partition key, if there is one.
    pub fn partition_key(&self) -> Option<&PartitionKey> {
        match self {
            LaneKey::Ordered(key) => Some(key),
            LaneKey::Unordered(_) => None,
        }
    }

    /// True if events of this key are delivered in order.
    pub fn is_ordered(&self) -> bool {
        matches!(self, LaneKey::Ordered(_))
    }
}

macro_rules! hash_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// Hashes parts, each preceded by its length, with SHA-256 cut to 128 bits.
            pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
                let mut short = [0; 16];
                short.copy_from_slice(&sha256_of_list(parts)[..16]);
                Self(short)
            }
        }

        impl fmt::Display for $name {
            /// 32 hexadecimal digits.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", u128::from_be_bytes(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = HashFault;
            fn from_str(text: &str) -> Result<Self, HashFault> {
                let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
                let number = u128::from_str_radix(text, 16).map_err(|_| HashFault)?;
                if digits { Ok(Self(number.to_be_bytes())) } else { Err(HashFault) }
            }
        }

        impl From<$name> for String {
            fn from(hash: $name) -> String {
                hash.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = HashFault;
            fn try_from(text: String) -> Result<Self, HashFault> {
                text.parse()
            }
        }
    };
}

/// The text is not the hash that it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 32 hexadecimal digits")]
pub struct HashFault;

hash_type!(
    /// The queue's message group: hash of (topic id, key). Messages of a group are handled strictly one after another.
    GroupId
);
hash_type!(
    /// What recognises a repeated pack within a group: hash of its list of (source, id).
    DedupId
);
hash_type!(
    /// Names a lane: hash of (subscription, topic id, key).
    LaneId
);

/// Events that are accepted, queued, retried and stored as a whole. Not empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Pack {
    /// The topic's name when the events were accepted.
    pub topic: TopicName,
    /// The topic's identifier: queue, lanes and log go by it.
    pub topic_id: TopicId,
    /// What the events share.
    pub key: LaneKey,
    /// When the request was accepted.
    pub accepted_at: Time,
    /// At least 1, at most [`crate::limits::MAX_EVENTS_PER_PACK`].
    pub events: Vec<Event>,
}

impl Pack {
    /// The message group that the pack belongs to.
    pub fn group(&self) -> GroupId {
        group_of(&self.topic_id, &self.key)
    }

    /// Bytes that the pack keeps in memory, roughly.
    pub fn size(&self) -> usize {
        let event = |event: &Event| event.data.len() + event.id.len() + event.source.len() + 512;
        self.events.iter().map(event).sum()
    }

    /// The payloads that it names, which are not in it.
    pub fn stored(&self) -> impl Iterator<Item = &StoredData> {
        self.events.iter().filter_map(|event| match &event.data {
            EventData::Stored(stored) => Some(stored),
            _ => None,
        })
    }

    /// The pack as it is to be retained: with payloads that are stored for no shorter time. Beside it each of those that
    /// have to be stored anew, as it is and as it is to be.
    pub fn retained(self: &Arc<Pack>, retention: Retention) -> (Arc<Pack>, Vec<(StoredData, StoredData)>) {
        let wanted = |stored: &StoredData| StoredData { retention: Some(retention), ..stored.clone() };
        let too_short = |stored: &StoredData| stored.kept() < wanted(stored).kept();
        let mut renamed = Vec::new();
        if !self.stored().any(too_short) {
            return (self.clone(), renamed);
        }
        let mut pack = Pack::clone(self);
        for event in &mut pack.events {
            if let EventData::Stored(stored) = &mut event.data
                && too_short(stored)
            {
                renamed.push((stored.clone(), wanted(stored)));
                *stored = wanted(stored);
            }
        }
        (Arc::new(pack), renamed)
    }

    /// What recognises the same pack published again.
    pub fn dedup(&self) -> DedupId {
        DedupId::of(self.events.iter().flat_map(|event| [event.source.as_bytes(), event.id.as_bytes()]))
    }
}

/// The message group of a key of a topic.
pub fn group_of(topic: &TopicId, key: &LaneKey) -> GroupId {
    match key {
        LaneKey::Ordered(key) => GroupId::of([topic.as_str().as_bytes(), key.as_str().as_bytes()]),
        LaneKey::Unordered(number) => GroupId::of([topic.as_str().as_bytes(), &number.to_be_bytes(), b"unordered"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{StoredForm, samples};

    #[test]
    fn payloads_are_retained_no_shorter_than_their_events() {
        let named = |retention| StoredData { hash: "ab".repeat(32), bytes: 1, form: StoredForm::Json, retention };
        let event = |retention| Event { data: EventData::Stored(named(retention)), ..samples::plain() };
        let [short, long, unknown] = [Some(Retention::Days1), Some(Retention::Days30), None];
        let pack = Arc::new(Pack {
            topic: TopicName::new("orders").unwrap(),
            topic_id: TopicId::new("top_1").unwrap(),
            key: LaneKey::Unordered(1),
            accepted_at: Time(1),
            events: vec![event(short), samples::plain(), event(long), event(unknown)],
        });
        let (same, renamed) = pack.retained(Retention::Days1);
        assert!(Arc::ptr_eq(&same, &pack) && renamed.is_empty());
        let (longer, renamed) = pack.retained(Retention::Days14);
        assert_eq!(renamed, [(named(short), named(Some(Retention::Days14)))]);
        let retentions: Vec<_> = longer.stored().map(|payload| payload.retention).collect();
        assert_eq!(retentions, [Some(Retention::Days14), long, unknown]);
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let hash = |parts: &[&str]| DedupId::of(parts.iter().map(|part| part.as_bytes()));
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
        assert_eq!(hash(&["ab", "c"]).to_string().parse(), Ok(hash(&["ab", "c"])));
        assert!("+fffffffffffffffffffffffffffffff".parse::<LaneId>().is_err());
    }
}
