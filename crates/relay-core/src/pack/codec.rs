//! The form in which packs are stored and queued: JSON text, tagged with a version, decoded for as long as any may
//! lie somewhere.
//!
//! ```json
//! {"v":1,"topic":"orders","topicId":"…","key":"customer-7","acceptedAt":1795000000123,"events":[
//!   {"id":"1","source":"/shop","type":"order.paid","datacontenttype":"application/json","data":{"total":5}}]}
//! ```
//!
//! A pack has `key` or `unordered`; an event has at most one of `data` (JSON, byte for byte), `text`, `binary`
//! (base64), `stored` (claim check), and `json64` or `text64` (base64) where the plain form would hold characters
//! that SQS refuses, or would grow several times by escapes.

use super::{LaneKey, Pack};
use crate::event::{AttributeValue, Event, EventData, StoredData, StoredForm};
use crate::json::read::{Cursor, JsonFault};
use crate::json::write;
use crate::limits::MAX_JSON_DEPTH;
use crate::names::{NameFault, PartitionKey, TopicId, TopicName};
use crate::time::Time;
use crate::topic::Retention;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

/// Version of the form that is written.
pub const VERSION: u64 = 1;

/// Why a stored pack cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecFault {
    /// It was written by a later version of the broker.
    #[error("the pack has format version {0}; this broker reads up to {VERSION}")]
    Version(u64),
    /// It is not UTF-8.
    #[error("the pack is not UTF-8")]
    Utf8,
    /// It is no JSON, or has another type somewhere.
    #[error(transparent)]
    Json(#[from] JsonFault),
    /// A name in it is none.
    #[error(transparent)]
    Name(#[from] NameFault),
    /// A member that no version knows, or one that is there twice.
    #[error("the pack has an unexpected member {0:?}")]
    Unexpected(String),
    /// A member that must be there is not, or has a value that it cannot have.
    #[error("the pack has no valid {0:?}")]
    Missing(&'static str),
}

/// Encodes a pack.
pub fn encode(pack: &Pack) -> Vec<u8> {
    let mut out = Vec::with_capacity(128 + pack.events.iter().map(size_hint).sum::<usize>());
    out.extend_from_slice(b"{\"v\":1");
    text_member(&mut out, "topic", pack.topic.as_str());
    text_member(&mut out, "topicId", pack.topic_id.as_str());
    match &pack.key {
        LaneKey::Ordered(key) => text_member(&mut out, "key", key.as_str()),
        LaneKey::Unordered(group) => number_member(&mut out, "unordered", u64::from(*group)),
    }
    number_member(&mut out, "acceptedAt", pack.accepted_at.0);
    name(&mut out, "events");
    for (index, event) in pack.events.iter().enumerate() {
        out.push(if index == 0 { b'[' } else { b',' });
        encode_event(&mut out, event);
    }
    out.extend_from_slice(if pack.events.is_empty() { b"[]}" } else { b"]}" });
    out
}

fn size_hint(event: &Event) -> usize {
    let texts = event.id.len() + event.source.len() + event.kind.len();
    let extensions: usize = event.extensions.iter().map(|(name, _)| name.len() + 64).sum();
    let data = match &event.data {
        EventData::None => 0,
        EventData::Stored(_) => 160,
        EventData::Json(bytes) => bytes.len(),
        EventData::Text(text) => text.len() + text.len() / 8,
        EventData::Binary(bytes) => bytes.len() / 3 * 4 + 4,
    };
    192 + texts + extensions + data
}

fn encode_event(out: &mut Vec<u8>, event: &Event) {
    out.extend_from_slice(b"{\"id\":");
    write::string(out, &event.id);
    text_member(out, "source", &event.source);
    text_member(out, "type", &event.kind);
    for (name, value) in [
        ("subject", &event.subject),
        ("time", &event.time),
        ("datacontenttype", &event.content_type),
        ("dataschema", &event.data_schema),
    ] {
        if let Some(value) = value {
            text_member(out, name, value);
        }
    }
    if event.made {
        out.extend_from_slice(b",\"made\":true");
    }
    encode_extensions(out, &event.extensions);
    encode_data(out, &event.data);
    out.push(b'}');
}

fn encode_extensions(out: &mut Vec<u8>, extensions: &[(String, AttributeValue)]) {
    if extensions.is_empty() {
        return;
    }
    name(out, "extensions");
    for (index, (name, value)) in extensions.iter().enumerate() {
        out.push(if index == 0 { b'{' } else { b',' });
        write::string(out, name);
        out.push(b':');
        value.write_json(out);
    }
    out.push(b'}');
}

fn encode_data(out: &mut Vec<u8>, data: &EventData) {
    match data {
        EventData::None => {}
        EventData::Json(bytes) if write::holds_noncharacter(bytes) => base64_member(out, "json64", bytes),
        EventData::Json(bytes) => {
            name(out, "data");
            out.extend_from_slice(bytes);
        }
        EventData::Text(text) if is_awkward(text) => base64_member(out, "text64", text.as_bytes()),
        EventData::Text(text) => text_member(out, "text", text),
        EventData::Binary(bytes) => base64_member(out, "binary", bytes),
        EventData::Stored(stored) => {
            name(out, "stored");
            out.extend_from_slice(b"{\"hash\":");
            write::string(out, &stored.hash);
            number_member(out, "bytes", stored.bytes);
            text_member(out, "form", stored.form.word());
            if let Some(retention) = stored.retention {
                text_member(out, "retention", retention.word());
            }
            out.push(b'}');
        }
    }
}

/// Six bytes for one: a text of control characters would outgrow the largest message.
fn is_awkward(text: &str) -> bool {
    let escaped = |byte: u8| byte < 0x20 && !matches!(byte, b'\n' | b'\r' | b'\t');
    text.bytes().any(escaped) || write::holds_noncharacter(text.as_bytes())
}

fn name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn text_member(out: &mut Vec<u8>, member: &str, value: &str) {
    name(out, member);
    write::string(out, value);
}

fn number_member(out: &mut Vec<u8>, member: &str, value: u64) {
    name(out, member);
    write::number(out, value);
}

fn base64_member(out: &mut Vec<u8>, member: &str, bytes: &[u8]) {
    name(out, member);
    write::base64(out, bytes);
}

/// Decodes a pack; JSON data is shared with `source`, not copied.
///
/// # Errors
/// A [`CodecFault`] for whatever this version did not write itself: nothing is ignored.
pub fn decode(source: &Bytes) -> Result<Pack, CodecFault> {
    let text = std::str::from_utf8(source).map_err(|_| CodecFault::Utf8)?;
    let mut cursor = Cursor::new(text);
    let mut first = true;
    cursor.open(b'{')?;
    if cursor.member(&mut first)?.as_deref() != Some("v") {
        return Err(CodecFault::Missing("v"));
    }
    match cursor.integer()? {
        VERSION => {}
        other => return Err(CodecFault::Version(other)),
    }
    let (mut topic, mut topic_id, mut key, mut accepted_at, mut events) = (None, None, None, None, None);
    while let Some(name) = cursor.member(&mut first)? {
        match &*name {
            "topic" => set(&mut topic, TopicName::new(cursor.string()?)?, &name)?,
            "topicId" => set(&mut topic_id, TopicId::new(cursor.string()?)?, &name)?,
            "key" => set(&mut key, LaneKey::Ordered(PartitionKey::new(cursor.string()?)?), &name)?,
            "unordered" => set(&mut key, LaneKey::Unordered(cursor.integer()?), &name)?,
            "acceptedAt" => set(&mut accepted_at, Time(cursor.integer()?), &name)?,
            "events" => set(&mut events, decode_events(&mut cursor, source)?, &name)?,
            _ => return Err(CodecFault::Unexpected(name.into_owned())),
        }
    }
    cursor.finish()?;
    Ok(Pack {
        topic: topic.ok_or(CodecFault::Missing("topic"))?,
        topic_id: topic_id.ok_or(CodecFault::Missing("topicId"))?,
        key: key.ok_or(CodecFault::Missing("key"))?,
        accepted_at: accepted_at.ok_or(CodecFault::Missing("acceptedAt"))?,
        events: events.filter(|events| !events.is_empty()).ok_or(CodecFault::Missing("events"))?,
    })
}

fn set<T>(slot: &mut Option<T>, value: T, name: &str) -> Result<(), CodecFault> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(CodecFault::Unexpected(name.to_owned())),
    }
}

fn decode_events(cursor: &mut Cursor<'_>, source: &Bytes) -> Result<Vec<Event>, CodecFault> {
    let (mut events, mut first) = (Vec::new(), true);
    cursor.open(b'[')?;
    while cursor.element(&mut first)? {
        events.push(decode_event(cursor, source)?);
    }
    Ok(events)
}

fn decode_event(cursor: &mut Cursor<'_>, source: &Bytes) -> Result<Event, CodecFault> {
    let (mut id, mut origin, mut kind, mut subject, mut time) = (None, None, None, None, None);
    let (mut content_type, mut data_schema, mut made, mut extensions, mut data) = (None, None, None, None, None);
    let mut first = true;
    cursor.open(b'{')?;
    while let Some(name) = cursor.member(&mut first)? {
        match &*name {
            "id" => set(&mut id, cursor.string()?.into_owned(), &name)?,
            "source" => set(&mut origin, cursor.string()?.into_owned(), &name)?,
            "type" => set(&mut kind, cursor.string()?.into_owned(), &name)?,
            "subject" => set(&mut subject, cursor.string()?.into_owned(), &name)?,
            "time" => set(&mut time, cursor.string()?.into_owned(), &name)?,
            "datacontenttype" => set(&mut content_type, cursor.string()?.into_owned(), &name)?,
            "dataschema" => set(&mut data_schema, cursor.string()?.into_owned(), &name)?,
            "made" => set(&mut made, cursor.boolean()?, &name)?,
            "extensions" => set(&mut extensions, decode_extensions(cursor)?, &name)?,
            _ => set(&mut data, decode_data(cursor, &name, source)?, &name)?,
        }
    }
    Ok(Event {
        id: id.ok_or(CodecFault::Missing("id"))?,
        source: origin.ok_or(CodecFault::Missing("source"))?,
        kind: kind.ok_or(CodecFault::Missing("type"))?,
        subject,
        time,
        content_type,
        data_schema,
        extensions: extensions.unwrap_or_default(),
        data: data.unwrap_or(EventData::None),
        made: made.unwrap_or(false),
    })
}

fn decode_extensions(cursor: &mut Cursor<'_>) -> Result<Vec<(String, AttributeValue)>, CodecFault> {
    let (mut extensions, mut first) = (Vec::new(), true);
    cursor.open(b'{')?;
    while let Some(name) = cursor.member(&mut first)? {
        extensions.push((name.into_owned(), AttributeValue::read_json(cursor)?));
    }
    Ok(extensions)
}

fn decode_data(cursor: &mut Cursor<'_>, name: &str, source: &Bytes) -> Result<EventData, CodecFault> {
    Ok(match name {
        "data" => EventData::Json(source.slice_ref(cursor.raw(MAX_JSON_DEPTH)?.as_bytes())),
        "text" => EventData::Text(cursor.string()?.into_owned()),
        "binary" => EventData::Binary(decode_base64(cursor, "binary")?),
        "json64" => EventData::Json(decode_base64(cursor, "json64")?),
        "text64" => {
            let bytes = Vec::from(decode_base64(cursor, "text64")?);
            EventData::Text(String::from_utf8(bytes).map_err(|_| CodecFault::Missing("text64"))?)
        }
        "stored" => EventData::Stored(decode_stored(cursor)?),
        other => return Err(CodecFault::Unexpected(other.to_owned())),
    })
}

fn decode_base64(cursor: &mut Cursor<'_>, member: &'static str) -> Result<Bytes, CodecFault> {
    let text = cursor.string()?;
    STANDARD.decode(&*text).map(Bytes::from).map_err(|_| CodecFault::Missing(member))
}

fn decode_stored(cursor: &mut Cursor<'_>) -> Result<StoredData, CodecFault> {
    let (mut hash, mut bytes, mut form, mut retention) = (None, None, None, None);
    let mut first = true;
    cursor.open(b'{')?;
    while let Some(name) = cursor.member(&mut first)? {
        match &*name {
            "hash" => set(&mut hash, cursor.string()?.into_owned(), &name)?,
            "bytes" => set(&mut bytes, cursor.integer()?, &name)?,
            "form" => {
                let value = StoredForm::of_word(&cursor.string()?).ok_or(CodecFault::Missing("form"))?;
                set(&mut form, value, &name)?;
            }
            "retention" => {
                let value = Retention::of_word(&cursor.string()?).ok_or(CodecFault::Missing("retention"))?;
                set(&mut retention, value, &name)?;
            }
            _ => return Err(CodecFault::Unexpected(name.into_owned())),
        }
    }
    Ok(StoredData {
        hash: hash.ok_or(CodecFault::Missing("hash"))?,
        bytes: bytes.ok_or(CodecFault::Missing("bytes"))?,
        form: form.ok_or(CodecFault::Missing("form"))?,
        retention,
    })
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
