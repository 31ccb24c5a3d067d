//! The form in which the log keeps an event for long: one line of JSON, a CloudEvent as it is delivered, so that any
//! tool reads it, and with it what is needed to deliver it again exactly.
//!
//! ```json
//! {"specversion":"1.0","id":"1","source":"/shop","type":"order.paid","datacontenttype":"application/json",
//!  "partitionkey":"customer-7","sequence":"…","replayid":"…","relayposition":"1795000000123-00000000000000000042",
//!  "relayaccepted":"2026-11-20T21:22:23.456Z","data":{"total":5}}
//! ```
//!
//! | extension | meaning |
//! | --- | --- |
//! | `relayposition` | position in the log: Unix milliseconds, and what tells entries of one millisecond apart |
//! | `relayaccepted` | when the broker accepted the event |
//! | `relaygroup` | of an event without a partition key: its group |
//! | `relaymade` | `true` if the broker made the event's id or source |
//! | `relayform` | `text` if `data` is text of another media type than JSON |
//! | `relaybreaks` | where line breaks of `data` were, which are blanks here: bytes since the one before; `r` marks a carriage return |
//! | `relaypayload` | `data` is not here but in `payloads/`: hash of its bytes, form, number of bytes, retention |
//!
//! A line of a later version may have members that this one does not know; it takes those for extensions of the
//! publisher, and nothing is lost.

use crate::event::write::{Payload, Stamp, structured};
use crate::event::{AttributeValue, Event, EventData, StoredData, StoredForm};
use crate::json::read::{Cursor, JsonFault};
use crate::json::write::{number, string};
use crate::limits::MAX_JSON_DEPTH;
use crate::names::{NameFault, PartitionKey};
use crate::pack::LaneKey;
use crate::ports::LogEntry;
use crate::replay_id::{LogPosition, ReplayId};
use crate::sequence::Sequence;
use crate::time::Time;
use crate::topic::Retention;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use std::fmt::Write;

/// Extensions that only lines have. A publisher's own of these names are dropped.
pub(crate) const EXTENSIONS: [&str; 7] =
    ["relayposition", "relayaccepted", "relaygroup", "relaymade", "relayform", "relaybreaks", "relaypayload"];

/// An event as a line has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The event.
    pub event: Event,
    /// What orders it.
    pub key: LaneKey,
    /// Its place within its key.
    pub sequence: Sequence,
    /// Where its entry lies in the log.
    pub position: LogPosition,
    /// When it was accepted.
    pub accepted_at: Time,
}

/// Why a line cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// It is no JSON, or has another type somewhere.
    #[error(transparent)]
    Json(#[from] JsonFault),
    /// Its partition key is none.
    #[error(transparent)]
    Key(#[from] NameFault),
    /// It is not UTF-8.
    #[error("the line is not UTF-8")]
    Utf8,
    /// A member that must be there is not, or has a value that it cannot have.
    #[error("the line has no valid {0:?}")]
    Member(&'static str),
}

/// Appends the event at an index of an entry, and a line break.
pub fn write(out: &mut Vec<u8>, entry: &LogEntry, index: u16) {
    let Some(event) = entry.pack.events.get(usize::from(index)) else { return };
    let (key, sequence) = (&entry.pack.key, entry.sequence.event(index));
    let mut kept = Event { data: EventData::None, ..event.clone() };
    kept.extensions.retain(|(name, _)| !EXTENSIONS.contains(&name.as_str()));
    let mut add = |name: &str, value| kept.extensions.push((name.to_owned(), value));
    let text = AttributeValue::Text;
    add("relayposition", text(position_text(entry.position)));
    add("relayaccepted", text(entry.pack.accepted_at.to_string()));
    if let LaneKey::Unordered(group) = key {
        add("relaygroup", AttributeValue::Integer(i32::from(*group)));
    }
    if event.made {
        add("relaymade", AttributeValue::Boolean(true));
    }
    let flat;
    let payload = match &event.data {
        EventData::None => Payload::None,
        EventData::Json(bytes) => match flatten(bytes) {
            Some((without, breaks)) => {
                flat = without;
                add("relaybreaks", text(breaks));
                Payload::Json(&flat)
            }
            None => Payload::Json(bytes),
        },
        EventData::Text(data) => {
            add("relayform", text("text".to_owned()));
            Payload::Text(data)
        }
        EventData::Binary(bytes) => Payload::Binary(bytes),
        EventData::Stored(stored) => {
            let retention = stored.retention.map(|retention| format!(":{}", retention.word())).unwrap_or_default();
            add("relaypayload", text(format!("{}:{}:{}{retention}", stored.hash, stored.form.word(), stored.bytes)));
            Payload::None
        }
    };
    let replay_id = ReplayId::logged(key, entry.position, sequence);
    structured(out, &kept, &Stamp { sequence, key: key.partition_key(), replay_id }, &payload);
    out.push(b'\n');
}

/// Bytes that every line of a key has, and few others: whoever looks for its lines reads those alone.
pub fn mark_of(key: &LaneKey) -> Vec<u8> {
    let mut mark = Vec::new();
    match key {
        LaneKey::Ordered(key) => {
            mark.extend_from_slice(b"\"partitionkey\":");
            string(&mut mark, key.as_str());
        }
        LaneKey::Unordered(group) => {
            mark.extend_from_slice(b"\"relaygroup\":");
            number(&mut mark, group);
        }
    }
    mark
}

/// A position's text, which sorts as it does.
pub fn position_text(position: LogPosition) -> String {
    format!("{:013}-{:020}", position.at.0, position.unique)
}

/// Reads a position's text.
pub fn parse_position(text: &str) -> Option<LogPosition> {
    let (at, unique) = text.split_once('-')?;
    let digits = |text: &str, width| text.len() == width && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(at, 13) && digits(unique, 20))
        .then(|| Some(LogPosition { at: Time(at.parse().ok()?), unique: unique.parse().ok()? }))?
}

/// JSON with blanks for line breaks, and where those were. They only ever stand between tokens: within strings JSON has
/// them escaped.
fn flatten(json: &Bytes) -> Option<(Bytes, String)> {
    let is_break = |byte: &u8| matches!(byte, b'\n' | b'\r');
    if !json.iter().any(is_break) {
        return None;
    }
    let (mut flat, mut breaks, mut last) = (json.to_vec(), String::new(), 0);
    for (at, byte) in flat.iter_mut().enumerate().filter(|(_, byte)| is_break(byte)) {
        let separator = if breaks.is_empty() { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = write!(breaks, "{separator}{}{}", at - last, if *byte == b'\r' { "r" } else { "" });
        (*byte, last) = (b' ', at);
    }
    Some((Bytes::from(flat), breaks))
}

/// Puts line breaks back.
fn unflatten(flat: &[u8], breaks: &str) -> Option<Bytes> {
    let (mut json, mut at) = (flat.to_vec(), 0);
    for one in breaks.split(',') {
        let (delta, byte) = one.strip_suffix('r').map_or((one, b'\n'), |delta| (delta, b'\r'));
        at += delta.parse::<usize>().ok()?;
        let blank = json.get_mut(at).filter(|blank| **blank == b' ')?;
        *blank = byte;
    }
    Some(Bytes::from(json))
}

/// What a line says beside its event.
#[derive(Default)]
struct Beside {
    key: Option<LaneKey>,
    sequence: Option<Sequence>,
    position: Option<LogPosition>,
    accepted_at: Option<Time>,
    is_text: bool,
    breaks: Option<String>,
}

/// Reads a line, with or without its line break. Data is shared with the line, not copied.
///
/// # Errors
/// A [`LineFault`] for whatever no broker wrote.
pub fn read(line: &Bytes) -> Result<Line, LineFault> {
    let text = std::str::from_utf8(line).map_err(|_| LineFault::Utf8)?;
    let (mut cursor, mut first) = (Cursor::new(text), true);
    let (mut beside, mut id, mut source, mut kind) = (Beside::default(), None, None, None);
    let mut event = Event {
        id: String::new(),
        source: String::new(),
        kind: String::new(),
        subject: None,
        time: None,
        content_type: None,
        data_schema: None,
        extensions: Vec::new(),
        data: EventData::None,
        made: false,
    };
    cursor.open(b'{')?;
    while let Some(name) = cursor.member(&mut first)? {
        match &*name {
            "specversion" | "replayid" => drop(cursor.string()?),
            "id" => id = Some(cursor.string()?.into_owned()),
            "source" => source = Some(cursor.string()?.into_owned()),
            "type" => kind = Some(cursor.string()?.into_owned()),
            "subject" => event.subject = Some(cursor.string()?.into_owned()),
            "time" => event.time = Some(cursor.string()?.into_owned()),
            "datacontenttype" => event.content_type = Some(cursor.string()?.into_owned()),
            "dataschema" => event.data_schema = Some(cursor.string()?.into_owned()),
            "data" => {
                let raw = cursor.raw(MAX_JSON_DEPTH)?;
                event.data = EventData::Json(line.slice_ref(raw.as_bytes()));
            }
            "data_base64" => {
                let bytes = STANDARD.decode(&*cursor.string()?).map_err(|_| LineFault::Member("data_base64"))?;
                event.data = EventData::Binary(Bytes::from(bytes));
            }
            "relaymade" => event.made = cursor.boolean()?,
            "relaypayload" => event.data = EventData::Stored(stored(&cursor.string()?)?),
            name => {
                if !beside.take(name, &mut cursor)? {
                    event.extensions.push((name.to_owned(), AttributeValue::read_json(&mut cursor)?));
                }
            }
        }
    }
    cursor.finish()?;
    event.id = id.ok_or(LineFault::Member("id"))?;
    event.source = source.ok_or(LineFault::Member("source"))?;
    event.kind = kind.ok_or(LineFault::Member("type"))?;
    event.data = beside.restore(event.data)?;
    Ok(Line {
        event,
        key: beside.key.ok_or(LineFault::Member("partitionkey"))?,
        sequence: beside.sequence.ok_or(LineFault::Member("sequence"))?,
        position: beside.position.ok_or(LineFault::Member("relayposition"))?,
        accepted_at: beside.accepted_at.ok_or(LineFault::Member("relayaccepted"))?,
    })
}

impl Beside {
    /// Reads a member if it is one of these.
    fn take(&mut self, name: &str, cursor: &mut Cursor<'_>) -> Result<bool, LineFault> {
        match name {
            "partitionkey" => self.key = Some(LaneKey::Ordered(PartitionKey::new(cursor.string()?)?)),
            "relaygroup" => self.key = Some(LaneKey::Unordered(cursor.integer()?)),
            "sequence" => {
                self.sequence = Some(cursor.string()?.parse().map_err(|_| LineFault::Member("sequence"))?);
            }
            "relayposition" => {
                let position = parse_position(&cursor.string()?);
                self.position = Some(position.ok_or(LineFault::Member("relayposition"))?);
            }
            "relayaccepted" => {
                self.accepted_at = Some(Time::parse(&cursor.string()?).ok_or(LineFault::Member("relayaccepted"))?);
            }
            "relayform" => self.is_text = cursor.string()? == "text",
            "relaybreaks" => self.breaks = Some(cursor.string()?.into_owned()),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The data as it was accepted.
    fn restore(&self, data: EventData) -> Result<EventData, LineFault> {
        Ok(match (data, &self.breaks) {
            (EventData::Json(json), _) if self.is_text => {
                let text = std::str::from_utf8(&json).map_err(|_| LineFault::Utf8)?;
                EventData::Text(Cursor::new(text).string()?.into_owned())
            }
            (EventData::Json(json), Some(breaks)) => {
                EventData::Json(unflatten(&json, breaks).ok_or(LineFault::Member("relaybreaks"))?)
            }
            (data, _) => data,
        })
    }
}

fn stored(text: &str) -> Result<StoredData, LineFault> {
    let mut parts = text.split(':');
    let mut stored = || {
        let (hash, form, bytes) = (parts.next()?.to_owned(), StoredForm::of_word(parts.next()?)?, parts.next()?);
        let retention = parts.next().map(|word| Retention::of_word(word).ok_or(()));
        Some(StoredData { hash, form, bytes: bytes.parse().ok()?, retention: retention.transpose().ok()? })
    };
    stored().ok_or(LineFault::Member("relaypayload"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::samples::{event, full, plain};
    use crate::names::{TopicId, TopicName};
    use crate::pack::Pack;
    use crate::sequence::PackSequence;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn entry(key: LaneKey, events: Vec<Event>) -> LogEntry {
        let pack = Pack {
            topic: TopicName::new("orders").unwrap(),
            topic_id: TopicId::new("top_orders").unwrap(),
            key,
            accepted_at: Time(1_795_000_000_456),
            events,
        };
        let position = LogPosition { at: Time(1_795_000_000_123), unique: 42 };
        LogEntry { position, sequence: PackSequence { era: 1_790_000_000_000, number: 7 }, pack: Arc::new(pack) }
    }

    fn line_of(entry: &LogEntry, index: u16) -> Bytes {
        let mut out = Vec::new();
        write(&mut out, entry, index);
        Bytes::from(out)
    }

    proptest! {
        #[test]
        fn an_event_comes_back_as_it_was_from_one_line_of_json(event in event(), text in "\\PC{1,40}", ordered: bool) {
            let key = match ordered {
                true => LaneKey::Ordered(PartitionKey::new(format!("k\u{1F511} \"\\/\t{text}")).unwrap()),
                false => LaneKey::Unordered(255),
            };
            let entry = entry(key.clone(), vec![plain(), event.clone()]);
            let line = line_of(&entry, 1);
            prop_assert_eq!(line.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count(), 1);
            let mark = mark_of(&key);
            prop_assert!(line.windows(mark.len()).any(|window| window == &mark[..]));
            let expected = Line {
                event,
                key,
                sequence: entry.sequence.event(1),
                position: entry.position,
                accepted_at: entry.pack.accepted_at,
            };
            prop_assert_eq!(read(&line), Ok(expected));
        }

        #[test]
        fn a_damaged_line_is_refused_or_another_line(at in 0usize..500, byte: u8) {
            let mut line = line_of(&entry(LaneKey::Unordered(3), vec![full()]), 0).to_vec();
            let at = at % line.len();
            line[at] = byte;
            // Whatever it is taken for, nothing panics.
            let _ = read(&Bytes::from(line));
        }
    }

    #[test]
    fn a_line_is_an_event_that_any_tool_reads() {
        let line = line_of(&entry(LaneKey::Ordered(PartitionKey::new("k").unwrap()), vec![full()]), 0);
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(value["data"]["total"], 1.5);
        assert_eq!(value["relayposition"], "1795000000123-00000000000000000042");
        assert_eq!(value["relayaccepted"], "2026-11-18T11:06:40.456Z");
        assert_eq!((&value["partitionkey"], &value["type"]), (&"k".into(), &"order.paid".into()));
    }

    #[test]
    fn line_breaks_of_data_are_put_back_where_they_were() {
        let json = Bytes::from_static(b"{\n  \"a\": 1,\r\n\n  \"b\": \"\\n\"\n}");
        let (flat, breaks) = flatten(&json).unwrap();
        assert_eq!(&flat[..], b"{   \"a\": 1,     \"b\": \"\\n\" }");
        assert_eq!(unflatten(&flat, &breaks), Some(json));
        assert_eq!(unflatten(b"{}", "1"), None);
        assert_eq!(unflatten(b"{}", "9"), None);
    }

    #[test]
    fn what_no_broker_wrote_is_refused() {
        let good = line_of(&entry(LaneKey::Unordered(3), vec![plain()]), 0);
        let good = std::str::from_utf8(&good).unwrap();
        assert!(read(&Bytes::from(good.to_owned())).is_ok());
        for (from, to) in
            [("\"id\":", "\"di\":"), ("relayposition", "relayposit"), ("1795000000123-", "179500000012x-")]
        {
            assert!(read(&Bytes::from(good.replace(from, to))).is_err(), "{to}");
        }
        for bad in ["", "{}", "[]", "null", "{\"id\":1}"] {
            assert!(read(&Bytes::from(bad)).is_err(), "{bad}");
        }
    }
}
