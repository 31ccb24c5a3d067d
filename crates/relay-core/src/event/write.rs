//! Events as they leave the broker: CloudEvents JSON objects, and `ce-*` headers
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md>).
//!
//! Data goes out byte for byte as it came in; the broker's own attributes come after the publisher's.

use super::{AttributeValue, Event, EventData, StoredForm};
use crate::digest::{hexadecimal, sha256};
use crate::json::write;
use crate::names::PartitionKey;
use crate::ports::webhook::{HeaderName, HeaderText};
use crate::replay_id::ReplayId;
use crate::sequence::Sequence;
use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::borrow::Cow;

/// Media type of one event in the JSON format.
pub const EVENT_TYPE: &str = "application/cloudevents+json";
/// Media type of an array of events in the JSON format.
pub const BATCH_TYPE: &str = "application/cloudevents-batch+json";

/// What the broker adds to an event that it delivers.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    /// Its position within its key.
    pub sequence: Sequence,
    /// Its partition key, if it has one.
    pub key: Option<&'a PartitionKey>,
    /// Names it in its topic.
    pub replay_id: ReplayId,
}

/// An event's payload, at hand.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    /// There is none.
    None,
    /// JSON text.
    Json(&'a Bytes),
    /// Other text.
    Text(&'a str),
    /// Other bytes.
    Binary(&'a Bytes),
}

/// The payload is in the payload store and was not loaded, or what was loaded is not what was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event's payload is not at hand")]
pub struct NotLoaded;

impl EventData {
    /// The payload, given what was read from the payload store if it is [`EventData::Stored`].
    ///
    /// # Errors
    /// [`NotLoaded`] if it is stored and `loaded` is not it.
    pub fn payload<'a>(&'a self, loaded: Option<&'a Bytes>) -> Result<Payload<'a>, NotLoaded> {
        Ok(match self {
            EventData::None => Payload::None,
            EventData::Json(bytes) => Payload::Json(bytes),
            EventData::Text(text) => Payload::Text(text),
            EventData::Binary(bytes) => Payload::Binary(bytes),
            EventData::Stored(stored) => {
                let bytes = loaded.filter(|bytes| bytes.len() as u64 == stored.bytes).ok_or(NotLoaded)?;
                match stored.form {
                    StoredForm::Json => Payload::Json(bytes),
                    StoredForm::Text => Payload::Text(std::str::from_utf8(bytes).map_err(|_| NotLoaded)?),
                    StoredForm::Binary => Payload::Binary(bytes),
                }
            }
        })
    }
}

impl Payload<'_> {
    /// The payload as a request's body: modes `binary` and `raw`.
    pub fn body(&self) -> Bytes {
        match self {
            Payload::None => Bytes::new(),
            Payload::Json(bytes) | Payload::Binary(bytes) => Bytes::clone(bytes),
            Payload::Text(text) => Bytes::copy_from_slice(text.as_bytes()),
        }
    }

    /// The media type that goes with [`Payload::body`].
    pub fn content_type(&self, event: &Event) -> Option<HeaderText> {
        match (&event.content_type, self) {
            (Some(given), _) => Some(Cow::Owned(given.clone())),
            // In the JSON format data is JSON unless it says otherwise; in the other forms that must be said.
            (None, Payload::Json(_)) => Some(Cow::Borrowed("application/json")),
            (None, _) => None,
        }
    }

    fn len(&self) -> usize {
        match self {
            Payload::None => 0,
            Payload::Json(bytes) => bytes.len(),
            Payload::Text(text) => text.len() + text.len() / 8,
            Payload::Binary(bytes) => bytes.len() / 3 * 4 + 4,
        }
    }
}

/// The names and values of an event's text attributes but `specversion` and `datacontenttype`.
fn attributes(event: &Event) -> impl Iterator<Item = (&'static str, &'static str, &str)> {
    [
        ("id", "ce-id", Some(&event.id)),
        ("source", "ce-source", Some(&event.source)),
        ("type", "ce-type", Some(&event.kind)),
        ("subject", "ce-subject", event.subject.as_ref()),
        ("time", "ce-time", event.time.as_ref()),
        ("dataschema", "ce-dataschema", event.data_schema.as_ref()),
    ]
    .into_iter()
    .filter_map(|(name, header, value)| value.map(|value| (name, header, value.as_str())))
}

/// Appends the event as a JSON object: mode `structured`, and the elements of mode `batch`.
pub fn structured(out: &mut Vec<u8>, event: &Event, stamp: &Stamp<'_>, payload: &Payload<'_>) {
    let texts: usize = attributes(event).map(|(name, _, value)| name.len() + value.len() + 8).sum();
    out.reserve(texts + event.extensions.len() * 80 + payload.len() + 320);
    out.extend_from_slice(br#"{"specversion":"1.0""#);
    for (name, _, value) in attributes(event) {
        text(out, name, value);
    }
    if let Some(content_type) = &event.content_type {
        text(out, "datacontenttype", content_type);
    }
    for (name, value) in &event.extensions {
        member(out, name);
        value.write_json(out);
    }
    if let Some(key) = stamp.key {
        text(out, "partitionkey", key.as_str());
    }
    member(out, "sequence");
    write::plain(out, stamp.sequence);
    member(out, "replayid");
    write::plain(out, stamp.replay_id);
    match payload {
        Payload::None => {}
        Payload::Json(bytes) => {
            member(out, "data");
            out.extend_from_slice(bytes);
        }
        Payload::Text(data) => text(out, "data", data),
        Payload::Binary(bytes) => {
            member(out, "data_base64");
            write::base64(out, bytes);
        }
    }
    out.push(b'}');
}

/// Names of members are checked when they enter: they need no escapes.
fn member(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn text(out: &mut Vec<u8>, name: &str, value: &str) {
    member(out, name);
    write::string(out, value);
}

/// Appends the event's attributes as headers: mode `binary`. The body is [`Payload::body`].
pub fn binary_headers(
    out: &mut Vec<(HeaderName, HeaderText)>,
    event: &Event,
    stamp: &Stamp<'_>,
    payload: &Payload<'_>,
) {
    if let Some(content_type) = payload.content_type(event) {
        out.push((Cow::Borrowed("content-type"), content_type));
    }
    out.push((Cow::Borrowed("ce-specversion"), Cow::Borrowed("1.0")));
    for (_, header, value) in attributes(event) {
        out.push((Cow::Borrowed(header), Cow::Owned(header_value(value).into_owned())));
    }
    for (name, value) in &event.extensions {
        let text = match value {
            AttributeValue::Boolean(truth) => truth.to_string(),
            AttributeValue::Integer(number) => number.to_string(),
            AttributeValue::Text(text) => header_value(text).into_owned(),
        };
        out.push((Cow::Owned(format!("ce-{name}")), Cow::Owned(text)));
    }
    if let Some(key) = stamp.key {
        out.push((Cow::Borrowed("ce-partitionkey"), Cow::Owned(header_value(key.as_str()).into_owned())));
    }
    out.push((Cow::Borrowed("ce-sequence"), Cow::Owned(stamp.sequence.to_string())));
    out.push((Cow::Borrowed("ce-replayid"), Cow::Owned(stamp.replay_id.to_string())));
}

/// A text as the HTTP binding writes it in a header: percent-encoded are the space, `"`, `%` and all that is not
/// visible ASCII.
pub fn header_value(text: &str) -> Cow<'_, str> {
    const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');
    utf8_percent_encode(text, ENCODED).into()
}

/// What `webhook-id` says of an event, the same on every attempt, replay and repeat: its `id` where the broker made
/// `id` or `source`; else also the source takes part, since publishers' ids are unique per source only.
pub fn webhook_id(event: &Event) -> String {
    const ENCODED: &AsciiSet = &CONTROLS.add(b' ');
    let mut id: String = utf8_percent_encode(&event.id, ENCODED).collect();
    if !event.made {
        id.push('-');
        id.push_str(&hexadecimal(&sha256([event.source.as_bytes()])[..4]));
    }
    id
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
