//! What a segment holds, and where in it.

use crate::keys::FrameKeys;
use relay_core::names::{TopicId, TopicName};
use relay_core::pack::LaneKey;
use relay_core::ports::PortError;
use relay_core::replay_id::LogPosition;
use relay_core::time::Time;
use serde::{Deserialize, Serialize};

/// Version of the index that is written.
const VERSION: u32 = 1;
/// A skippable frame: any of these numbers, by RFC 8878, 3.1.2.
const SKIPPABLE: u32 = 0x184D_2A5E;
const MARK: &[u8; 8] = b"RELAYSEG";
/// Bytes at the end of a segment that surely hold the whole index.
pub const MAX_INDEX_BYTES: usize = 1024 * 1024;
/// Keys of frames that an index has at most: they take a third of its bytes.
const MAX_KEYS: usize = 128 * 1024;

/// Index of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    v: u32,
    /// The topic's name when it was written.
    pub topic: TopicName,
    /// The topic.
    pub topic_id: TopicId,
    /// Number of its shard.
    pub shard: u8,
    /// Number of events.
    pub events: u64,
    /// Number of bytes of its lines.
    pub raw_bytes: u64,
    /// Its frames, in order.
    pub frames: Vec<Frame>,
    /// Which keys each of them may hold; of the frames beyond its end that is not known, nor of any in segments of earlier
    /// brokers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    keys: Vec<FrameKeys>,
}

/// A frame of a segment: some whole entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Packed", into = "Packed")]
pub struct Frame {
    /// Where it begins in the segment, in bytes.
    pub offset: u64,
    /// Its length there.
    pub bytes: u64,
    /// The length of its lines.
    pub raw_bytes: u64,
    /// Position of its last entry.
    pub last: LogPosition,
}

/// A frame without names, of which there are many.
#[derive(Serialize, Deserialize)]
struct Packed(u64, u64, u64, u64, u64);

impl From<Packed> for Frame {
    fn from(Packed(offset, bytes, raw_bytes, at, unique): Packed) -> Frame {
        Frame { offset, bytes, raw_bytes, last: LogPosition { at: Time(at), unique } }
    }
}

impl From<Frame> for Packed {
    fn from(frame: Frame) -> Packed {
        Packed(frame.offset, frame.bytes, frame.raw_bytes, frame.last.at.0, frame.last.unique)
    }
}

impl Index {
    pub(crate) fn new(topic: TopicName, topic_id: TopicId, shard: u8) -> Index {
        Index { v: VERSION, topic, topic_id, shard, events: 0, raw_bytes: 0, frames: Vec::new(), keys: Vec::new() }
    }

    /// The frames that hold what lies after a position, in order: of those only the ones that may hold a key, if one is
    /// given.
    pub fn after(&self, position: LogPosition, only: Option<&LaneKey>) -> impl Iterator<Item = &Frame> {
        let first = self.frames.partition_point(|frame| frame.last <= position);
        let may_hold = move |place: usize| match (only, self.keys.get(place)) {
            (Some(key), Some(keys)) => keys.may_hold(key),
            _ => true,
        };
        self.frames.iter().enumerate().skip(first).filter(move |(place, _)| may_hold(*place)).map(|(_, frame)| frame)
    }

    /// Position of its last entry.
    pub fn last(&self) -> LogPosition {
        self.frames.last().map(|frame| frame.last).unwrap_or_default()
    }

    /// Adds a frame. Once there are too many keys for an index, those of further frames are left out.
    pub(crate) fn push(&mut self, frame: Frame, keys: FrameKeys) {
        let known: usize = self.keys.iter().map(FrameKeys::len).sum();
        if self.keys.len() == self.frames.len() && known + keys.len() <= MAX_KEYS {
            self.keys.push(keys);
        }
        self.raw_bytes += frame.raw_bytes;
        self.frames.push(frame);
    }

    /// The text form that stores keep.
    ///
    /// # Errors
    /// `Invalid` if it has none.
    pub fn encode(&self) -> Result<String, PortError> {
        serde_json::to_string(self).map_err(|error| PortError::Invalid(error.to_string()))
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// `Corrupt` if it is none, or one of a later version.
    pub fn decode(text: &[u8]) -> Result<Index, PortError> {
        let index: Index = serde_json::from_slice(text).map_err(|error| PortError::Corrupt(error.to_string()))?;
        match index.v {
            VERSION => Ok(index),
            other => Err(PortError::Corrupt(format!("the index has version {other}; this broker reads {VERSION}"))),
        }
    }

    /// The skippable frame at a segment's end.
    pub(crate) fn trailer(&self) -> Result<Vec<u8>, PortError> {
        let text = self.encode()?;
        let too_large = || PortError::Invalid("a segment's index is too large".to_owned());
        let length =
            u32::try_from(text.len()).ok().filter(|_| text.len() + 64 < MAX_INDEX_BYTES).ok_or_else(too_large)?;
        let content = length + 4 + MARK.len() as u32;
        let mut out = Vec::with_capacity(text.len() + 24);
        out.extend_from_slice(&SKIPPABLE.to_le_bytes());
        out.extend_from_slice(&content.to_le_bytes());
        out.extend_from_slice(text.as_bytes());
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(MARK);
        Ok(out)
    }
}

/// The index of a segment of which this is the end: all of it, or its last [`MAX_INDEX_BYTES`].
///
/// # Errors
/// `Corrupt` if there is none: the segment is cut off, or none of ours.
pub fn index_of(tail: &[u8]) -> Result<Index, PortError> {
    let none = || PortError::Corrupt("there is no index at its end".to_owned());
    let rest = tail.strip_suffix(MARK).ok_or_else(none)?;
    let (rest, length) = rest.split_last_chunk::<4>().ok_or_else(none)?;
    let length = u32::from_le_bytes(*length) as usize;
    let start = rest.len().checked_sub(length).ok_or_else(none)?;
    Index::decode(&rest[start..])
}
