//! Positions of events within their partition key.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Position of a pack within its (topic, partition key): the era of the queue, then the number that the queue gave it.
/// Packs of one group compare as they were accepted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct PackSequence {
    /// When the queue was created, in Unix milliseconds (13 digits): a new queue's numbers sort after an old one's.
    pub era: u64,
    /// The queue's number (20 digits, hence wider than 64 bits).
    pub number: u128,
}

/// Position of an event within its (topic, partition key). Its text form has 36 digits and sorts as the number does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Sequence {
    /// The pack that holds the event.
    pub pack: PackSequence,
    /// Index of the event in its pack.
    pub index: u16,
}

impl Sequence {
    /// The index that stands for "what is left of the pack": it sorts after every event of it (see [`crate::lane`]).
    pub const REST_OF_PACK: u16 = 999;
}

impl PackSequence {
    /// The event at `index` of this pack.
    pub const fn event(self, index: u16) -> Sequence {
        Sequence { pack: self, index }
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:013}{:020}{:03}", self.pack.era, self.pack.number, self.index)
    }
}

/// The text is not a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sequence has 36 digits")]
pub struct SequenceFault;

impl FromStr for Sequence {
    type Err = SequenceFault;
    fn from_str(text: &str) -> Result<Self, SequenceFault> {
        if text.len() != 36 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(SequenceFault);
        }
        let era = text[..13].parse().map_err(|_| SequenceFault)?;
        let number = text[13..33].parse().map_err(|_| SequenceFault)?;
        let index = text[33..].parse().map_err(|_| SequenceFault)?;
        Ok(Sequence { pack: PackSequence { era, number }, index })
    }
}

impl Serialize for Sequence {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sequence {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_form_round_trips_and_sorts_as_the_number(
            a in (0u64..10_000_000_000_000, 0u128..100_000_000_000_000_000_000, 0u16..1000),
            b in (0u64..10_000_000_000_000, 0u128..100_000_000_000_000_000_000, 0u16..1000),
        ) {
            let make = |(era, number, index)| PackSequence { era, number }.event(index);
            let (a, b) = (make(a), make(b));
            prop_assert_eq!(a.to_string().parse(), Ok(a));
            prop_assert_eq!(a.to_string().cmp(&b.to_string()), a.cmp(&b));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in ["", "1", "+00000000000000000000000000000000000", &"9".repeat(37)] {
            assert_eq!(bad.parse::<Sequence>(), Err(SequenceFault), "{bad}");
        }
    }
}
