//! Reading frames of a segment.

use crate::index::{Frame, Index};
use bytes::Bytes;
use memchr::memmem;
use relay_core::log::line::{self, Line};
use relay_core::pack::{LaneKey, Pack};
use relay_core::ports::{LogEntry, PortError};
use std::sync::Arc;

/// A frame holds whole packs, each of 192 KiB with its attributes, escaped at worst.
const MAX_FRAME_BYTES: u64 = 256 * 1024 * 1024;

/// A frame's lines, and what faults in them are called.
struct Lines<'a> {
    name: &'a str,
    frame: &'a Frame,
    text: Bytes,
}

impl Lines<'_> {
    fn of<'a>(name: &'a str, frame: &'a Frame, bytes: &[u8]) -> Result<Lines<'a>, PortError> {
        let mut lines = Lines { name, frame, text: Bytes::new() };
        let size = frame.raw_bytes.min(MAX_FRAME_BYTES) as usize;
        let text = zstd::bulk::decompress(bytes, size).map_err(|error| lines.corrupt(&error))?;
        lines.text = Bytes::from(text);
        if lines.text.len() as u64 != frame.raw_bytes {
            return Err(lines.corrupt(&"it is shorter than it was"));
        }
        if lines.text.last().is_some_and(|last| *last != b'\n') {
            return Err(lines.corrupt(&"its last line has no end"));
        }
        Ok(lines)
    }

    fn corrupt(&self, what: &dyn std::fmt::Display) -> PortError {
        let (name, offset) = (self.name, self.frame.offset);
        PortError::Corrupt(format!("the segment {name} is damaged in the frame at byte {offset}: {what}"))
    }

    fn read(&self, line: &Bytes) -> Result<Line, PortError> {
        line::read(line).map_err(|fault| self.corrupt(&fault))
    }
}

/// The entries of a frame, given its bytes, or those of a key: then what is answered does not keep the frame in memory.
///
/// # Errors
/// `Corrupt`, naming the segment, if these are not the bytes that were written.
pub fn entries_of(
    name: &str,
    index: &Index,
    frame: &Frame,
    bytes: &[u8],
    only: Option<&LaneKey>,
) -> Result<Vec<LogEntry>, PortError> {
    let lines = Lines::of(name, frame, bytes)?;
    match only {
        Some(key) => of_key(&lines, index, key),
        None => all(&lines, index),
    }
}

fn all(lines: &Lines<'_>, index: &Index) -> Result<Vec<LogEntry>, PortError> {
    let (mut entries, mut start) = (Vec::new(), 0);
    for end in memchr::memchr_iter(b'\n', &lines.text) {
        let line = lines.read(&lines.text.slice(start..end))?;
        add(&mut entries, index, line).map_err(|what| lines.corrupt(&what))?;
        start = end + 1;
    }
    Ok(entries)
}

/// Lines of other keys are not looked into.
fn of_key(lines: &Lines<'_>, index: &Index, key: &LaneKey) -> Result<Vec<LogEntry>, PortError> {
    let mark = line::mark_of(key);
    let mark = memmem::Finder::new(&mark);
    let (mut entries, mut rest) = (Vec::new(), &lines.text[..]);
    while let Some(found) = mark.find(rest) {
        let begin = memchr::memrchr(b'\n', &rest[..found]).map_or(0, |end| end + 1);
        let end = memchr::memchr(b'\n', &rest[found..]).map_or(rest.len(), |length| found + length);
        let line = lines.read(&Bytes::copy_from_slice(&rest[begin..end]))?;
        // Data of another key may hold what looks like the mark.
        if line.key == *key {
            add(&mut entries, index, line).map_err(|what| lines.corrupt(&what))?;
        }
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    Ok(entries)
}

/// Adds a line to the entries: the first one of an entry begins it.
fn add(entries: &mut Vec<LogEntry>, index: &Index, line: Line) -> Result<(), &'static str> {
    match entries.last_mut() {
        Some(entry) if entry.position == line.position => {
            let pack = Arc::make_mut(&mut entry.pack);
            if usize::from(line.sequence.index) != pack.events.len() || line.sequence.pack != entry.sequence {
                return Err("an event of a pack is missing");
            }
            pack.events.push(line.event);
        }
        last => {
            if last.is_some_and(|last| last.position > line.position) || line.sequence.index != 0 {
                return Err("its lines are not in order");
            }
            let pack = Pack {
                topic: index.topic.clone(),
                topic_id: index.topic_id.clone(),
                key: line.key,
                accepted_at: line.accepted_at,
                events: vec![line.event],
            };
            entries.push(LogEntry { position: line.position, sequence: line.sequence.pack, pack: Arc::new(pack) });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Builder, Built, index_of};
    use relay_core::event::{Event, EventData};
    use relay_core::names::{PartitionKey, TopicId, TopicName};
    use relay_core::pack::LaneKey;
    use relay_core::replay_id::{LogPosition, LogShard};
    use relay_core::sequence::PackSequence;
    use relay_core::time::Time;

    fn entry(number: u64, events: usize, bytes: usize) -> LogEntry {
        let event = |index: usize| Event {
            id: format!("{number}-{index}"),
            source: "/shop".into(),
            kind: "order".into(),
            subject: None,
            time: None,
            content_type: Some("application/json".into()),
            data_schema: None,
            extensions: vec![],
            data: EventData::Json(Bytes::from(format!("{{\"n\":{number},\"text\":\"{}\"}}", "x".repeat(bytes)))),
            made: false,
        };
        let pack = Pack {
            topic: TopicName::new("orders").unwrap(),
            topic_id: TopicId::new("top_1").unwrap(),
            key: LaneKey::Ordered(PartitionKey::new(format!("k{}", number % 5)).unwrap()),
            accepted_at: Time(1_795_000_000_000 + number),
            events: (0..events).map(event).collect(),
        };
        let position = LogPosition { at: Time(1_795_000_000_000 + number / 3), unique: number };
        LogEntry { position, sequence: PackSequence { era: 1, number: u128::from(number) }, pack: Arc::new(pack) }
    }

    fn built(entries: &[LogEntry]) -> Built {
        let (topic, id) = (TopicName::new("orders").unwrap(), TopicId::new("top_1").unwrap());
        let mut builder = Builder::new(topic, id, LogShard::ALL[1]).unwrap();
        entries.iter().for_each(|entry| builder.push(entry).unwrap());
        builder.finish().unwrap()
    }

    fn frame_bytes<'a>(built: &'a Built, frame: &Frame) -> &'a [u8] {
        &built.bytes[frame.offset as usize..(frame.offset + frame.bytes) as usize]
    }

    /// What lies after a position, or what a key has there; and from how many frames.
    fn read(built: &Built, position: LogPosition, only: Option<&LaneKey>) -> (Vec<LogEntry>, usize) {
        let frames: Vec<_> = built.index.after(position, only).collect();
        let read = |frame: &&Frame| entries_of("s", &built.index, frame, frame_bytes(built, frame), only).unwrap();
        let entries = frames.iter().flat_map(read).filter(|entry| entry.position > position).collect();
        (entries, frames.len())
    }

    #[test]
    fn what_was_put_in_comes_out_from_any_position_on() {
        let entries: Vec<_> = (0..300).map(|number| entry(number, 1 + (number % 7) as usize, 500)).collect();
        let built = built(&entries);
        assert!(built.index.frames.len() > 3);
        assert_eq!(built.index.events, entries.iter().map(|entry| entry.pack.events.len() as u64).sum::<u64>());
        assert_eq!(read(&built, LogPosition::default(), None).0, entries);
        for from in [0, 1, 57, 150, 298, 299] {
            assert_eq!(read(&built, entries[from].position, None).0, entries[from + 1..]);
        }
    }

    fn key(text: &str) -> LaneKey {
        LaneKey::Ordered(PartitionKey::new(text).unwrap())
    }

    #[test]
    fn of_a_key_every_entry_is_found_and_frames_without_it_are_left_out() {
        let mut entries: Vec<_> = (0..600).map(|number| entry(number, 1 + (number % 3) as usize, 700)).collect();
        // Few keys are everywhere, this one is in two places; and others' data holds what looks like it.
        for at in [150, 450] {
            Arc::make_mut(&mut entries[at].pack).key = key("rare \"1\"");
        }
        for at in [10, 151, 320] {
            let pack = Arc::make_mut(&mut entries[at].pack);
            pack.events[0].data = EventData::Json(Bytes::from_static(b"{\"partitionkey\":\"rare \\\"1\\\"\"}"));
            let text = "\"partitionkey\":\"rare \\\"1\\\"\"".to_owned();
            pack.events.push(Event { data: EventData::Text(text), ..pack.events[0].clone() });
        }
        let built = built(&entries);
        assert!(built.index.frames.len() > 6);
        for from in [None, Some(149), Some(150), Some(449), Some(599)] {
            let after = from.map_or(LogPosition::default(), |from: usize| entries[from].position);
            for name in ["rare \"1\"", "k0", "k4", "nobody"] {
                let expected: Vec<_> = entries
                    .iter()
                    .filter(|entry| entry.position > after && entry.pack.key == key(name))
                    .cloned()
                    .collect();
                let (found, frames) = read(&built, after, Some(&key(name)));
                assert!(found == expected, "{name} after {after:?}");
                assert!(name.starts_with('k') || frames <= 2, "{frames} frames for {name}");
            }
        }
    }

    #[test]
    fn an_index_that_does_not_know_the_keys_hides_nothing() {
        let entries: Vec<_> = (0..300).map(|number| entry(number, 1, 900)).collect();
        let built = built(&entries);
        let mut text: serde_json::Value = serde_json::from_str(&built.index.encode().unwrap()).unwrap();
        let all = read(&built, LogPosition::default(), Some(&key("k3")));
        assert_eq!(all.0.len(), 60);
        let frames = built.index.frames.len();
        for known in [0, 1, frames - 1] {
            let keys = text["keys"].as_array_mut().unwrap();
            keys.truncate(known);
            keys.iter_mut().for_each(|keys| *keys = "".into());
            let index = Index::decode(text.to_string().as_bytes()).unwrap();
            assert_eq!(index.after(LogPosition::default(), Some(&key("k3"))).count(), frames - known);
            text["keys"] = serde_json::to_value(vec![""; frames]).unwrap();
        }
        text.as_object_mut().unwrap().remove("keys");
        let index = Index::decode(text.to_string().as_bytes()).unwrap();
        assert_eq!(read(&Built { index, ..built }, LogPosition::default(), Some(&key("k3"))), (all.0, frames));
    }

    #[test]
    fn a_segment_of_very_many_keys_has_an_index_all_the_same() {
        let entries = (0..200_000).map(|number| {
            let mut entry = entry(number, 1, 1);
            Arc::make_mut(&mut entry.pack).key = key(&format!("key-{number}"));
            entry
        });
        let built = built(&entries.collect::<Vec<_>>());
        let (found, frames) = read(&built, LogPosition::default(), Some(&key("key-150000")));
        assert_eq!(found.len(), 1);
        assert!(frames < built.index.frames.len() / 2);
    }

    #[test]
    fn the_same_entries_make_the_same_bytes() {
        let entries: Vec<_> = (0..50).map(|number| entry(number, 2, 100)).collect();
        assert_eq!(built(&entries).bytes, built(&entries).bytes);
    }

    #[test]
    fn a_decompressor_that_knows_nothing_of_us_sees_the_lines_alone() {
        let entries: Vec<_> = (0..40).map(|number| entry(number, 3, 2_000)).collect();
        let built = built(&entries);
        let text = zstd::stream::decode_all(&built.bytes[..]).unwrap();
        assert_eq!(text.len() as u64, built.index.raw_bytes);
        let lines: Vec<_> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        assert_eq!(lines.len() as u64, built.index.events);
        let value: serde_json::Value = serde_json::from_slice(lines[4]).unwrap();
        assert_eq!(value["id"], "1-1");
    }

    #[test]
    fn the_index_is_read_from_the_end_alone() {
        let entries: Vec<_> = (0..40).map(|number| entry(number, 3, 2_000)).collect();
        let built = built(&entries);
        let tail = &built.bytes[built.bytes.len() - 2_000..];
        assert_eq!(index_of(tail).unwrap(), built.index);
        assert_eq!(index_of(&built.bytes).unwrap(), built.index);
        for cut in [1, 8, 12, 100] {
            assert!(matches!(index_of(&built.bytes[..built.bytes.len() - cut]), Err(PortError::Corrupt(_))));
        }
    }

    #[test]
    fn damage_names_the_segment_and_leaves_other_frames_readable() {
        let entries: Vec<_> = (0..300).map(|number| entry(number, 1, 900)).collect();
        let built = built(&entries);
        let (first, second) = (built.index.frames[0], built.index.frames[1]);
        let mut damaged = frame_bytes(&built, &first).to_vec();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0xff;
        for bytes in [&damaged[..], &damaged[..middle], &[]] {
            let error = entries_of("events/a.jsonl.zst", &built.index, &first, bytes, None).unwrap_err();
            assert!(error.to_string().contains("events/a.jsonl.zst"), "{error}");
        }
        assert!(!entries_of("s", &built.index, &second, frame_bytes(&built, &second), None).unwrap().is_empty());
    }
}
