//! Replay ids: opaque tokens that name an event in its topic.

use crate::digest::sha256;
use crate::pack::LaneKey;
use crate::sequence::{PackSequence, Sequence};
use crate::time::Time;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use std::str::FromStr;

/// Place of an entry in a topic's log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct LogPosition {
    /// When the entry was appended.
    pub at: Time,
    /// What tells entries of the same millisecond apart.
    pub unique: u64,
}

impl LogPosition {
    /// After everything that was logged before this time, and before all else.
    pub fn before(time: Time) -> LogPosition {
        LogPosition { at: Time(time.0.saturating_sub(1)), unique: u64::MAX }
    }

    /// The position right before this one.
    #[must_use]
    pub fn previous(self) -> LogPosition {
        match self.unique.checked_sub(1) {
            Some(unique) => LogPosition { unique, ..self },
            None => LogPosition::before(self.at),
        }
    }
}

/// A shard of a topic's log: all events of a key are in one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LogShard(u8);

impl LogShard {
    /// All shards of a topic.
    pub const ALL: [LogShard; LOG_SHARDS as usize] = [LogShard(0), LogShard(1), LogShard(2), LogShard(3)];

    /// The shard of a key.
    pub fn of(key: &LaneKey) -> LogShard {
        LogShard::of_hash(key_hash(key))
    }

    const fn of_hash(hash: u64) -> LogShard {
        LogShard((hash % LOG_SHARDS) as u8)
    }

    /// The shard of that number; none if there is no such shard.
    pub fn new(number: u8) -> Option<LogShard> {
        (u64::from(number) < LOG_SHARDS).then_some(LogShard(number))
    }

    /// Its number, from zero.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Its number, as an index into [`LogShard::ALL`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for LogShard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names an event in its topic. Its text form is base64url of a format version, log shard, hash of the key, log
/// position (or the time of acceptance, where the position is not known yet) and sequence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplayId {
    /// Shard of the log that it lies in.
    pub shard: LogShard,
    /// First 64 bits of the SHA-256 of the key.
    pub key_hash: u64,
    /// When the event was logged, or accepted if `unique` is absent.
    pub at: Time,
    /// Completes the log position.
    pub unique: Option<u64>,
    /// The event's sequence within its key.
    pub sequence: Sequence,
}

/// Number of shards of every topic's log.
pub const LOG_SHARDS: u64 = 4;
const VERSION: u8 = 1;
const LENGTH: usize = 1 + 1 + 1 + 8 + 8 + 8 + 8 + 16 + 2;

impl ReplayId {
    /// The replay id of a logged event.
    pub fn logged(key: &LaneKey, position: LogPosition, sequence: Sequence) -> ReplayId {
        ReplayId { unique: Some(position.unique), ..ReplayId::accepted(key, position.at, sequence) }
    }

    /// The replay id of an event whose log position is not known yet.
    pub fn accepted(key: &LaneKey, at: Time, sequence: Sequence) -> ReplayId {
        let key_hash = key_hash(key);
        ReplayId { shard: LogShard::of_hash(key_hash), key_hash, at, unique: None, sequence }
    }
}

/// First 64 bits of the SHA-256 of a key: what the log is sharded by.
pub fn key_hash(key: &LaneKey) -> u64 {
    let digest = match key {
        LaneKey::Ordered(key) => sha256([key.as_str().as_bytes()]),
        LaneKey::Unordered(number) => sha256([&number.to_be_bytes()[..]]),
    };
    digest[..8].iter().fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

impl fmt::Display for ReplayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0u8; LENGTH];
        bytes[0] = VERSION;
        bytes[1] = self.shard.number();
        bytes[2] = u8::from(self.unique.is_some());
        bytes[3..11].copy_from_slice(&self.key_hash.to_be_bytes());
        bytes[11..19].copy_from_slice(&self.at.0.to_be_bytes());
        bytes[19..27].copy_from_slice(&self.unique.unwrap_or(0).to_be_bytes());
        bytes[27..35].copy_from_slice(&self.sequence.pack.era.to_be_bytes());
        bytes[35..51].copy_from_slice(&self.sequence.pack.number.to_be_bytes());
        bytes[51..53].copy_from_slice(&self.sequence.index.to_be_bytes());
        let mut text = [0u8; 72];
        let written = URL_SAFE_NO_PAD.encode_slice(bytes, &mut text).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&text[..written]).map_err(|_| fmt::Error)?)
    }
}

/// The text is not a replay id of this broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a replay id")]
pub struct ReplayIdFault;

impl FromStr for ReplayId {
    type Err = ReplayIdFault;
    fn from_str(text: &str) -> Result<Self, ReplayIdFault> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| ReplayIdFault)?;
        if bytes.len() != LENGTH || bytes[0] != VERSION || bytes[2] > 1 {
            return Err(ReplayIdFault);
        }
        let wide = |at: usize| bytes[at..at + 8].iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        let number = u128::from(wide(35)) << 64 | u128::from(wide(43));
        let index = u16::from(bytes[51]) << 8 | u16::from(bytes[52]);
        Ok(ReplayId {
            shard: LogShard::new(bytes[1]).ok_or(ReplayIdFault)?,
            key_hash: wide(3),
            at: Time(wide(11)),
            unique: (bytes[2] == 1).then(|| wide(19)),
            sequence: PackSequence { era: wide(27), number }.event(index),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_form_round_trips(
            number: u16, at: u64, unique: Option<u64>, era: u64, sequence: u128, index in 0u16..1000,
        ) {
            let key = LaneKey::Unordered(number);
            let sequence = PackSequence { era, number: sequence }.event(index);
            let id = ReplayId { unique, ..ReplayId::accepted(&key, Time(at), sequence) };
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in ["", "latest", "AAAA", &"A".repeat(71)] {
            assert_eq!(bad.parse::<ReplayId>(), Err(ReplayIdFault), "{bad}");
        }
    }
}
