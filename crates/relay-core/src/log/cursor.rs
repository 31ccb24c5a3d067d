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
    /// and, of the key of the entry that follows, events up to this one.
    pub(super) within: Option<(u64, Sequence)>,
}

impl Place {
    /// What orders the places of a shard. At the same position the same entry follows, so its key is the same.
    fn front(&self) -> (LogPosition, Option<Sequence>) {
        (self.after, self.within.map(|(_, read)| read))
    }
}

const VERSION: u8 = 1;
const PLACE: usize = 8 + 8 + 1 + EVENT;
const EVENT: usize = 8 + 8 + 16 + 2;
const LENGTH: usize = 1 + PLACE * LogShard::ALL.len();

impl Cursor {
    /// Everything from a position on, in every shard.
    pub(crate) fn after(after: LogPosition) -> Cursor {
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

    /// True if all that lies behind another cursor lies behind this one: of a key, or of the whole topic.
    pub fn covers(&self, other: &Cursor, key: Option<&PartitionKey>) -> bool {
        let of_key = key.map(|key| LogShard::of(&LaneKey::Ordered(key.clone())));
        let mut shards = LogShard::ALL.into_iter().filter(|shard| of_key.is_none_or(|of_key| of_key == *shard));
        shards.all(|shard| self.places[shard.index()].front() >= other.places[shard.index()].front())
    }

    /// Passes over what was logged before a time in these shards, of which there is nothing.
    pub(super) fn keep_up(&mut self, shards: &[LogShard], since: Time) {
        for shard in shards {
            let place = &mut self.places[shard.index()];
            place.after = place.after.max(LogPosition::before(since));
        }
    }

    /// True if it leaves something to be read, in any shard, that the other one does not.
    pub fn is_behind(&self, other: &Cursor) -> bool {
        self.places.iter().zip(&other.places).any(|(place, other)| place.front() < other.front())
    }

    /// True if an event has been read, or is left out.
    pub fn has_passed(&self, key: &LaneKey, position: LogPosition, sequence: Sequence) -> bool {
        let shard = LogShard::of(key);
        position <= self.places[shard.index()].after || self.read_of(shard, key).is_some_and(|read| sequence <= read)
    }

    /// Up to which event a key has been read, or is left out, where that goes beyond the shard's place.
    fn read_of(&self, shard: LogShard, key: &LaneKey) -> Option<Sequence> {
        let within = self.places[shard.index()].within;
        if self.known.is_none() && within.is_none() {
            return None;
        }
        let hash = key_hash(key);
        [self.known, within].into_iter().flatten().filter(|(of, _)| *of == hash).map(|(_, read)| read).max()
    }

    /// What was logged before this has been read in every shard.
    pub fn oldest(&self) -> Time {
        self.places.iter().map(|place| place.after.at).min().unwrap_or_default()
    }

    /// Of an entry of a shard, the index of the first event that is still to be read.
    pub fn first_unread(&self, shard: LogShard, entry: &LogEntry) -> u16 {
        let Some(read) = self.read_of(shard, &entry.pack.key) else { return 0 };
        let count = u16::try_from(entry.pack.events.len()).unwrap_or(u16::MAX);
        (0..count).find(|index| entry.sequence.event(*index) > read).unwrap_or(count)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(LENGTH + EVENT);
        bytes.push(VERSION);
        for place in &self.places {
            bytes.extend_from_slice(&place.after.at.0.to_be_bytes());
            bytes.extend_from_slice(&place.after.unique.to_be_bytes());
            bytes.push(u8::from(place.within.is_some()));
            push_event(&mut bytes, place.within.unwrap_or(NOTHING));
        }
        if let Some(known) = self.known {
            push_event(&mut bytes, known);
        }
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// Stands where no event is named.
const NOTHING: (u64, Sequence) = (0, Sequence { pack: PackSequence { era: 0, number: 0 }, index: 0 });

fn push_event(bytes: &mut Vec<u8>, (hash, event): (u64, Sequence)) {
    bytes.extend_from_slice(&hash.to_be_bytes());
    bytes.extend_from_slice(&event.pack.era.to_be_bytes());
    bytes.extend_from_slice(&event.pack.number.to_be_bytes());
    bytes.extend_from_slice(&event.index.to_be_bytes());
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

    fn event(&mut self) -> Result<(u64, Sequence), CursorFault> {
        let hash = self.wide()?;
        let pack = PackSequence { era: self.wide()?, number: self.take().map(u128::from_be_bytes)? };
        Ok((hash, pack.event(self.take().map(u16::from_be_bytes)?)))
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
        if bytes.first() != Some(&VERSION) || ![LENGTH, LENGTH + EVENT].contains(&bytes.len()) {
            return Err(CursorFault);
        }
        let mut numbers = Numbers(&bytes[1..]);
        let mut cursor = Cursor::default();
        for place in &mut cursor.places {
            let after = LogPosition { at: Time(numbers.wide()?), unique: numbers.wide()? };
            let is_within = match numbers.take()? {
                [0] => false,
                [1] => true,
                _ => return Err(CursorFault),
            };
            *place = Place { after, within: Some(numbers.event()?).filter(|_| is_within) };
        }
        if bytes.len() > LENGTH {
            cursor.known = Some(numbers.event()?);
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

    fn event() -> impl Strategy<Value = (u64, Sequence)> {
        let event = (any::<u64>(), any::<u64>(), any::<u128>(), 0u16..500);
        event.prop_map(|(hash, era, number, index)| (hash, PackSequence { era, number }.event(index)))
    }

    proptest! {
        #[test]
        fn text_form_round_trips(
            places in proptest::array::uniform4((position(), proptest::option::of(event()))),
            known in proptest::option::of(event()),
        ) {
            let places = places.map(|(after, within)| Place { after, within });
            let cursor = Cursor { places, known };
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
    }

    fn at(at: u64) -> LogPosition {
        LogPosition { at: Time(at), unique: 0 }
    }

    fn sequence(index: u16) -> Sequence {
        PackSequence { era: 1, number: 7 }.event(index)
    }

    #[test]
    fn a_cursor_is_behind_one_that_has_read_more_of_any_shard() {
        let place =
            |after, within: Option<u16>| Place { after: at(after), within: within.map(|read| (7, sequence(read))) };
        // Each has read more than the one before.
        let rising = [place(1, None), place(4, None), place(4, Some(1)), place(4, Some(2)), place(5, None)];
        for (index, one) in rising.iter().enumerate() {
            for (other_index, other) in rising.iter().enumerate() {
                let mut cursors = [Cursor::after(at(9)), Cursor::after(at(9))];
                (cursors[0].places[2], cursors[1].places[2]) = (*one, *other);
                assert_eq!(cursors[0].is_behind(&cursors[1]), index < other_index, "{one:?} {other:?}");
            }
        }
        let (mut one, mut other) = (Cursor::after(at(5)), Cursor::after(at(5)));
        (one.places[0].after, other.places[3].after) = (at(6), at(6));
        assert!(one.is_behind(&other) && other.is_behind(&one), "each in another shard");
    }

    #[test]
    fn what_a_cursor_has_passed_is_before_its_place_or_known() {
        let (key, other) = (LaneKey::Unordered(3), LaneKey::Unordered(4));
        let mut cursor = Cursor::after(at(4));
        cursor.places[LogShard::of(&key).index()].within = Some((key_hash(&key), sequence(1)));
        for (position, index, is_passed) in [(4, 9, true), (6, 0, true), (6, 1, true), (6, 2, false), (7, 1, true)] {
            assert_eq!(cursor.has_passed(&key, at(position), sequence(index)), is_passed, "{position} {index}");
        }
        assert!(!cursor.has_passed(&other, at(5), sequence(0)));
        cursor.known = Some((key_hash(&key), sequence(2)));
        assert!(cursor.has_passed(&key, at(9), sequence(2)) && !cursor.has_passed(&key, at(9), sequence(3)));
    }

    #[test]
    fn a_cursor_covers_what_lies_behind_it() {
        let key = PartitionKey::new("k").unwrap();
        let shard = LogShard::of(&LaneKey::Ordered(key.clone())).index();
        let end = Cursor::after(at(5));
        assert!(Cursor::after(at(5)).covers(&end, None) && Cursor::after(at(6)).covers(&end, Some(&key)));
        assert!(!Cursor::after(at(4)).covers(&end, None));
        let mut of_key = Cursor::after(at(1));
        of_key.places[shard].after = at(5);
        assert!(of_key.covers(&end, Some(&key)) && !of_key.covers(&end, None));
        let mut within = Cursor::after(at(5));
        within.places[shard].within = Some((7, sequence(3)));
        assert!(Cursor::after(at(6)).covers(&within, None) && !Cursor::after(at(5)).covers(&within, None));
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
