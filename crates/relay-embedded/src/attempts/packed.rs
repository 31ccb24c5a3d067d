//! The form that attempts are stored in: many to a row, each in some tens of bytes.
//!
//! A row is a version byte, then attempts in the order they were recorded, each preceded by its length. Numbers are
//! LEB128, texts preceded by their length.

use relay_core::names::{PartitionKey, SubscriptionId, TopicName};
use relay_core::pack::LaneKey;
use relay_core::ports::{Attempt, AttemptOutcome};
use relay_core::sequence::PackSequence;
use relay_core::time::Time;

const VERSION: u8 = 1;
const REPLAY: u8 = 1;
const HAS_STATUS: u8 = 2;
const HAS_ERROR: u8 = 4;
const UNORDERED: u8 = 8;

/// Attempts of one subscription.
#[derive(Debug)]
pub(crate) struct Packed {
    bytes: Vec<u8>,
    count: usize,
    latest: Time,
}

fn put_number(out: &mut Vec<u8>, mut number: u128) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_number(out, text.len() as u128);
    out.extend_from_slice(text.as_bytes());
}

impl Packed {
    pub(crate) fn new() -> Packed {
        Packed { bytes: vec![VERSION], count: 0, latest: Time(0) }
    }

    /// Adds an attempt; its subscription is not written.
    pub(crate) fn push(&mut self, attempt: &Attempt, scratch: &mut Vec<u8>) {
        scratch.clear();
        let mut flags = match attempt.outcome {
            AttemptOutcome::Delivered => 0,
            AttemptOutcome::Failed => 1 << 4,
            AttemptOutcome::Rejected => 2 << 4,
        };
        flags |= if attempt.replay { REPLAY } else { 0 };
        flags |= if attempt.status.is_some() { HAS_STATUS } else { 0 };
        flags |= if attempt.error.is_some() { HAS_ERROR } else { 0 };
        flags |= if attempt.key.is_ordered() { 0 } else { UNORDERED };
        scratch.push(flags);
        put_text(scratch, &attempt.event_id);
        put_text(scratch, attempt.topic.as_str());
        match &attempt.key {
            LaneKey::Ordered(key) => put_text(scratch, key.as_str()),
            LaneKey::Unordered(number) => put_number(scratch, u128::from(*number)),
        }
        put_number(scratch, u128::from(attempt.sequence.pack.era));
        put_number(scratch, attempt.sequence.pack.number);
        put_number(scratch, u128::from(attempt.sequence.index));
        put_number(scratch, u128::from(attempt.number));
        put_number(scratch, u128::from(attempt.started_at.0));
        put_number(scratch, u128::from(attempt.duration_ms));
        if let Some(status) = attempt.status {
            put_number(scratch, u128::from(status));
        }
        if let Some(error) = &attempt.error {
            put_text(scratch, error);
        }
        put_text(scratch, &attempt.response);
        put_number(&mut self.bytes, scratch.len() as u128);
        self.bytes.extend_from_slice(scratch);
        self.count += 1;
        self.latest = self.latest.max(attempt.started_at);
    }

    /// Adds what was recorded later.
    pub(crate) fn append(&mut self, later: &Packed) {
        self.bytes.extend_from_slice(&later.bytes[1..]);
        self.count += later.count;
        self.latest = self.latest.max(later.latest);
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// When the last of them began.
    pub(crate) fn latest(&self) -> Time {
        self.latest
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number<T: TryFrom<u128>>(&mut self) -> Option<T> {
        let (mut number, mut shift) = (0u128, 0);
        loop {
            let byte = self.byte()?;
            number |= u128::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return T::try_from(number).ok();
            }
            shift += 7;
        }
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.number::<usize>()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }
}

/// The attempts of a row, each still packed, in the order they were recorded; none if the row is damaged.
pub(crate) fn split(row: &[u8]) -> Option<Vec<&[u8]>> {
    let mut reader = Reader(row);
    if reader.byte()? != VERSION {
        return None;
    }
    let mut attempts = Vec::new();
    while !reader.0.is_empty() {
        attempts.push(reader.bytes()?);
    }
    Some(attempts)
}

/// One attempt; none if it is damaged.
pub(crate) fn decode(subscription: &SubscriptionId, packed: &[u8]) -> Option<Attempt> {
    let mut reader = Reader(packed);
    let flags = reader.byte()?;
    let event_id = reader.text()?.to_owned();
    let topic = TopicName::new(reader.text()?).ok()?;
    let key = if flags & UNORDERED != 0 {
        LaneKey::Unordered(reader.number()?)
    } else {
        LaneKey::Ordered(PartitionKey::new(reader.text()?).ok()?)
    };
    let pack = PackSequence { era: reader.number()?, number: reader.number()? };
    let attempt = Attempt {
        subscription: subscription.clone(),
        event_id,
        topic,
        key,
        sequence: pack.event(reader.number()?),
        number: reader.number()?,
        started_at: Time(reader.number()?),
        duration_ms: reader.number()?,
        outcome: match flags >> 4 {
            0 => AttemptOutcome::Delivered,
            1 => AttemptOutcome::Failed,
            2 => AttemptOutcome::Rejected,
            _ => return None,
        },
        status: if flags & HAS_STATUS != 0 { Some(reader.number()?) } else { None },
        error: if flags & HAS_ERROR != 0 { Some(reader.text()?.to_owned()) } else { None },
        response: reader.text()?.to_owned(),
        replay: flags & REPLAY != 0,
    };
    reader.0.is_empty().then_some(attempt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn attempt() -> impl Strategy<Value = Attempt> {
        let key = prop_oneof![
            "\\PC{1,20}".prop_map(|key| LaneKey::Ordered(PartitionKey::new(key).unwrap())),
            any::<u16>().prop_map(LaneKey::Unordered),
        ];
        let outcome =
            prop_oneof![Just(AttemptOutcome::Delivered), Just(AttemptOutcome::Failed), Just(AttemptOutcome::Rejected),];
        let what = (".{0,40}", key, any::<u64>(), any::<u128>(), any::<u16>(), outcome);
        let how = (any::<u32>(), any::<u64>(), any::<u64>(), any::<Option<u16>>(), any::<bool>());
        let texts = (proptest::option::of("[a-z]{1,9}"), ".{0,200}");
        (what, how, texts).prop_map(|(what, how, texts)| {
            let (event_id, key, era, number, index, outcome) = what;
            let (attempts, started_at, duration_ms, status, replay) = how;
            let (error, response) = texts;
            Attempt {
                subscription: SubscriptionId::new("sub").unwrap(),
                event_id,
                topic: TopicName::new("orders").unwrap(),
                key,
                sequence: PackSequence { era, number }.event(index),
                number: attempts,
                started_at: Time(started_at),
                duration_ms,
                outcome,
                status,
                error,
                response,
                replay,
            }
        })
    }

    proptest! {
        #[test]
        fn attempts_round_trip_and_cut_ones_are_refused(attempts in proptest::collection::vec(attempt(), 0..6)) {
            let (mut packed, mut scratch) = (Packed::new(), Vec::new());
            for attempt in &attempts {
                let mut one = Packed::new();
                one.push(attempt, &mut scratch);
                packed.append(&one);
            }
            let parts = split(packed.as_bytes()).unwrap();
            prop_assert_eq!(parts.len(), packed.count());
            for (attempt, part) in attempts.iter().zip(parts) {
                prop_assert_eq!(decode(&attempt.subscription, part), Some(attempt.clone()));
                prop_assert_eq!(decode(&attempt.subscription, &part[..part.len() - 1]), None);
            }
        }
    }
}
