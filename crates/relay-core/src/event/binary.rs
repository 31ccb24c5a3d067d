//! Reading the HTTP binding's binary mode
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md>): attributes as
//! `ce-*` headers, the payload as the body.

use super::draft::{Draft, Given};
use super::fault::{EventFault, FaultKind, Faults, ParseFault};
use super::media_type::MediaType;
use super::structured::text;
use super::{EventData, Incoming};
use crate::json::read::Cursor;
use crate::limits::MAX_JSON_DEPTH;
use bytes::Bytes;
use percent_encoding::percent_decode;
use std::borrow::Cow;

/// What the names of attributes' headers begin with.
pub const PREFIX: &str = "ce-";

/// Reads an event from a request's headers, names in lower case, and its body, which is shared, not copied.
///
/// # Errors
/// What is wrong with it.
pub fn event<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>, body: &Bytes) -> Result<Incoming, ParseFault> {
    let mut faults = Faults::default();
    let mut draft = Draft::new(None);
    for (header, value) in headers {
        let (name, value) = match header.strip_prefix(PREFIX) {
            // The binding gives this attribute another header; two that differ would be two answers to one question.
            Some("datacontenttype") => {
                faults.add(None, "datacontenttype", "the header is content-type");
                continue;
            }
            Some(name) => (name, decode(value)),
            None if header == "content-type" => ("datacontenttype", as_text(Cow::Borrowed(value))),
            None => continue,
        };
        match value {
            Some(value) => draft.take(Cow::Borrowed(name), Given::Text(value), &mut faults),
            None => faults.add(None, name, "the header is not UTF-8"),
        }
    }
    let data = payload(draft.media_type(), body, &mut faults);
    match draft.finish(data, body.len(), &mut faults) {
        Some(incoming) => faults.or(incoming),
        None => faults.or(()).and_then(|()| Err(ParseFault::whole("not an event", FaultKind::Event))),
    }
}

/// A header's value without quotes and percent-encoding. (Older senders quote; `%` that begins no escape is itself.)
fn decode(value: &[u8]) -> Option<Cow<'_, str>> {
    let unquoted = match value {
        [b'"', inner @ .., b'"'] => Cow::Owned(unescape(inner)),
        _ => Cow::Borrowed(value),
    };
    if !unquoted.contains(&b'%') {
        return as_text(unquoted);
    }
    match percent_decode(&unquoted).into() {
        Cow::Borrowed(_) => as_text(unquoted),
        Cow::Owned(decoded) => as_text(Cow::Owned(decoded)),
    }
}

fn unescape(quoted: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter();
    while let Some(byte) = bytes.next() {
        out.extend(if *byte == b'\\' { bytes.next() } else { Some(byte) });
    }
    out
}

fn as_text(bytes: Cow<'_, [u8]>) -> Option<Cow<'_, str>> {
    match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    }
}

/// JSON stays as it is, but must be JSON; text that is UTF-8 is text; the rest is bytes.
fn payload(media_type: Option<MediaType<'_>>, body: &Bytes, faults: &mut Faults) -> EventData {
    let Some(media_type) = media_type.filter(|_| !body.is_empty()) else {
        return if body.is_empty() { EventData::None } else { EventData::Binary(body.clone()) };
    };
    if media_type.is_json() {
        return json(body).unwrap_or_else(|fault| {
            if let ParseFault::Invalid(list) = fault {
                list.into_iter().for_each(|fault| faults.push(EventFault { pointer: "/data".to_owned(), ..fault }));
            }
            EventData::None
        });
    }
    match std::str::from_utf8(body) {
        Ok(text) if media_type.is_text() && media_type.is_utf8() => EventData::Text(text.to_owned()),
        _ => EventData::Binary(body.clone()),
    }
}

/// A body that is one JSON value: the value, without the white space around it.
pub(super) fn json(body: &Bytes) -> Result<EventData, ParseFault> {
    let mut cursor = Cursor::new(text(body)?);
    let read = cursor.raw(MAX_JSON_DEPTH).and_then(|raw| cursor.finish().map(|()| raw));
    match read {
        Ok(_) => Ok(EventData::Json(body.clone())),
        Err(fault) => Err(ParseFault::whole(fault.to_string(), FaultKind::from(&fault))),
    }
}

#[cfg(test)]
#[path = "binary_tests.rs"]
mod tests;
