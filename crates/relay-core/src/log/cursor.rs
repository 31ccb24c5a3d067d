//! Where a reader of a topic's log is: a place in each shard.

use crate::names::PartitionKey;
use crate::pack::LaneKey;
use crate::ports::LogEntry;
use crate::replay_id::{LogPosition, LogShard, ReplayId, key_hash};
use crate::sequence::{PackSequence, Sequence};
use crate::time::Time;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Where a reader is. Its text form is base64url of a format version, the places in order of their shards and, for one
/// that began at a replay id, what it leaves out; it stays good whatever becomes of the entries behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Cursor {
    pub(super) places: [Place; LogShard::ALL.len()],
    /// Of one key, events up to this one are left out.
    pub(super) known: Option<(u64, Sequence)>,
}

/// A place in a shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Place {
    /// Everything up to here has been read,
    pub(super) after: LogPosition,
    /// and so many events of the entry here.
    pub(super) within: Option<(LogPosition, u16)>,
}

impl Place {
    /// True if all that lies behind another place surely lies behind this one.
    fn reaches(&self, other: &Place) -> bool {
        self.after >= other.within.map_or(other.after, |(entry, _)| entry.max(other.after))
    }
}

const VERSION: u8 = 1;
const PLACE: usize = 8 + 8 + 8 + 8 + 2;
const KNOWN: usize = 8 + 8 + 16 + 2;
const LENGTH: usize = 1 + PLACE * LogShard::ALL.len();

impl Cursor {
    /// Everything from a position on, in every shard.
    pub(super) fn after(after: LogPosition) -> Cursor {
        Cursor { places: [Place { after, within: None }; LogShard::ALL.len()], known: None }
    }

    /// What follows a known event: all of its key, and what was logged of other keys since a time before it.
    pub(super) fn after_event(known: ReplayId, since: Time) -> Cursor {
        let known = Some((known.key_hash, known.sequence));
        Cursor { known, ..Cursor::after(LogPosition::before(since)) }
    }

    /// Up to where a shard is read.
    pub fn after_in(&self, shard: LogShard) -> LogPosition {
        self.places[shard.index()].after
    }

    /// A shard is read up to there.
    pub(crate) fn set_after(&mut self, shard: LogShard, after: LogPosition) {
        self.places[shard.index()] = Place { after, within: None };
    }

    /// The same, but in no shard later than a position.
    #[must_use]
    pub(crate) fn no_later_than(self, position: LogPosition) -> Cursor {
        let earlier =
            |place: Place| if place.after > position { Place { after: position, within: None } } else { place };
        Cursor { places: self.places.map(earlier), ..self }
    }

    /// True if all that lies behind another cursor surely lies behind this one: of a key, or of the whole topic.
    pub fn covers(&self, other: &Cursor, key: Option<&PartitionKey>) -> bool {
        let of_key = key.map(|key| LogShard::of(&LaneKey::Ordered(key.clone())));
        let mut shards = LogShard::ALL.into_iter().filter(|shard| of_key.is_none_or(|of_key| of_key == *shard));
        shards.all(|shard| self.places[shard.index()].reaches(&other.places[shard.index()]))
    }

    /// Passes over what was logged before a time in these shards, of which there is nothing.
    pub(super) fn keep_up(&mut self, shards: &[LogShard], since: Time) {
        for shard in shards {
            let place = &mut self.places[shard.index()];
            place.after = place.after.max(LogPosition::before(since));
        }
    }

    /// Of an entry of a shard, the index of the first event that is still to be read.
    pub fn first_unread(&self, shard: LogShard, entry: &LogEntry) -> u16 {
        let of_entry = self.places[shard.index()].within.filter(|(position, _)| *position == entry.position);
        let within = of_entry.map_or(0, |(_, read)| read);
        match self.known {
            Some((hash, known)) if hash == key_hash(&entry.pack.key) => {
                let count = u16::try_from(entry.pack.events.len()).unwrap_or(u16::MAX);
                let follows = |index: &u16| entry.sequence.event(*index) > known;
                within.max((0..count).find(follows).unwrap_or(count))
            }
            _ => within,
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(LENGTH + KNOWN);
        bytes.push(VERSION);
        for place in &self.places {
            let (within, read) = place.within.unwrap_or_default();
            for number in [place.after.at.0, place.after.unique, within.at.0, within.unique] {
                bytes.extend_from_slice(&number.to_be_bytes());
            }
            bytes.extend_from_slice(&read.to_be_bytes());
        }
        if let Some((hash, known)) = self.known {
            bytes.extend_from_slice(&hash.to_be_bytes());
            bytes.extend_from_slice(&known.pack.era.to_be_bytes());
            bytes.extend_from_slice(&known.pack.number.to_be_bytes());
            bytes.extend_from_slice(&known.index.to_be_bytes());
        }
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// The text is not a cursor of this broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor")]
pub struct CursorFault;

/// Takes numbers off the front of bytes.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], CursorFault> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(CursorFault)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn wide(&mut self) -> Result<u64, CursorFault> {
        self.take().map(u64::from_be_bytes)
    }

    fn position(&mut self) -> Result<LogPosition, CursorFault> {
        Ok(LogPosition { at: Time(self.wide()?), unique: self.wide()? })
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> String {
        cursor.to_string()
    }
}

impl TryFrom<String> for Cursor {
    type Error = CursorFault;

    fn try_from(text: String) -> Result<Cursor, CursorFault> {
        text.parse()
    }
}

impl FromStr for Cursor {
    type Err = CursorFault;

    fn from_str(text: &str) -> Result<Cursor, CursorFault> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorFault)?;
        if bytes.first() != Some(&VERSION) || ![LENGTH, LENGTH + KNOWN].contains(&bytes.len()) {
            return Err(CursorFault);
        }
        let mut numbers = Numbers(&bytes[1..]);
        let mut cursor = Cursor::default();
        for place in &mut cursor.places {
            let (after, within) = (numbers.position()?, numbers.position()?);
            let read = numbers.take().map(u16::from_be_bytes)?;
            *place = Place { after, within: (read > 0).then_some((within, read)) };
        }
        if bytes.len() > LENGTH {
            let hash = numbers.wide()?;
            let pack = PackSequence { era: numbers.wide()?, number: numbers.take().map(u128::from_be_bytes)? };
            cursor.known = Some((hash, pack.event(numbers.take().map(u16::from_be_bytes)?)));
        }
        Ok(cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn position() -> impl Strategy<Value = LogPosition> {
        (any::<u64>(), any::<u64>()).prop_map(|(at, unique)| LogPosition { at: Time(at), unique })
    }

    proptest! {
        #[test]
        fn text_form_round_trips(
            places in proptest::array::uniform4((position(), proptest::option::of((position(), 1u16..500)))),
            known in proptest::option::of((any::<u64>(), any::<u64>(), any::<u128>(), 0u16..500)),
        ) {
            let places = places.map(|(after, within)| Place { after, within });
            let known = known.map(|(hash, era, number, index)| (hash, PackSequence { era, number }.event(index)));
            let cursor = Cursor { places, known };
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
    }

    #[test]
    fn a_cursor_covers_what_lies_behind_it() {
        let at = |at| LogPosition { at: Time(at), unique: 0 };
        let key = PartitionKey::new("k").unwrap();
        let shard = LogShard::of(&LaneKey::Ordered(key.clone())).index();
        let end = Cursor::after(at(5));
        assert!(Cursor::after(at(5)).covers(&end, None) && Cursor::after(at(6)).covers(&end, Some(&key)));
        assert!(!Cursor::after(at(4)).covers(&end, None));
        let mut of_key = Cursor::after(at(1));
        of_key.places[shard].after = at(5);
        assert!(of_key.covers(&end, Some(&key)) && !of_key.covers(&end, None));
        // Of an entry that another has read in part, the whole.
        let mut within = Cursor::after(at(5));
        within.places[shard].within = Some((at(7), 3));
        assert!(Cursor::after(at(7)).covers(&within, None) && !Cursor::after(at(6)).covers(&within, None));
    }

    #[test]
    fn other_texts_are_refused() {
        let good = Cursor::default().to_string();
        for bad in
            ["", "earliest", "AAAA", &good[..good.len() - 1], &format!("{good}AAAA"), &good.replacen('A', "B", 1)]
        {
            assert_eq!(bad.parse::<Cursor>(), Err(CursorFault), "{bad}");
        }
    }
}
