//! Reading the JSON event format and the JSON batch format
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>).

use super::draft::{Draft, Given};
use super::fault::{FaultKind, Faults, ParseFault};
use super::{EventData, Incoming};
use crate::json::read::{Cursor, JsonFault, Kind};
use crate::limits::{MAX_EVENTS_PER_REQUEST, MAX_JSON_DEPTH};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

/// Where in an event its JSON is broken: the member's name, empty for the event itself.
struct Broken {
    member: String,
    fault: JsonFault,
}

impl From<JsonFault> for Broken {
    fn from(fault: JsonFault) -> Self {
        Broken { member: String::new(), fault }
    }
}

/// Reads one event; JSON data is shared with `body`, not copied.
///
/// # Errors
/// What is wrong with it.
pub fn event(body: &Bytes) -> Result<Incoming, ParseFault> {
    let mut faults = Faults::default();
    let mut cursor = Cursor::new(text(body)?);
    let read = object(&mut cursor, body, None, &mut faults);
    match read.and_then(|event| cursor.finish().map(|()| event).map_err(Broken::from)) {
        Ok(Some(incoming)) => faults.or(Incoming { bytes: body.len(), ..incoming }),
        // Something is missing, and noted.
        Ok(None) => faults.or(()).and_then(|()| Err(ParseFault::whole("not an event", FaultKind::Event))),
        Err(broken) => Err(faults.and(None, &broken.member, broken.fault)),
    }
}

/// Reads a batch; JSON data is shared with `body`, not copied.
///
/// # Errors
/// What is wrong with any of its events, or with the batch.
pub fn batch(body: &Bytes) -> Result<Vec<Incoming>, ParseFault> {
    let mut faults = Faults::default();
    let mut cursor = Cursor::new(text(body)?);
    if cursor.kind().is_ok_and(|kind| kind != Kind::Array) {
        return Err(ParseFault::whole("a batch is a JSON array of events", FaultKind::Event));
    }
    if let Err(fault) = cursor.open(b'[') {
        return Err(faults.and(None, "", fault));
    }
    let (mut events, mut first) = (Vec::new(), true);
    for index in 0.. {
        match cursor.element(&mut first) {
            Ok(true) if index == MAX_EVENTS_PER_REQUEST => return Err(ParseFault::TooManyEvents),
            Ok(true) => {}
            Ok(false) if index == 0 => {
                return Err(ParseFault::whole("a batch holds at least one event", FaultKind::Event));
            }
            Ok(false) => break,
            Err(fault) => return Err(faults.and(None, "", fault)),
        }
        match object(&mut cursor, body, Some(index), &mut faults) {
            Ok(event) => events.extend(event),
            Err(broken) => return Err(faults.and(Some(index), &broken.member, broken.fault)),
        }
        if faults.is_full() {
            return faults.or(events);
        }
    }
    match cursor.finish() {
        Ok(()) => faults.or(events),
        Err(fault) => Err(faults.and(None, "", fault)),
    }
}

/// A body as text.
pub(super) fn text(body: &Bytes) -> Result<&str, ParseFault> {
    std::str::from_utf8(body)
        .map_err(|fault| ParseFault::whole(format!("not UTF-8 after byte {}", fault.valid_up_to()), FaultKind::Grammar))
}

/// Reads the event that comes next; absent if it is none, which is noted.
fn object(
    cursor: &mut Cursor<'_>,
    body: &Bytes,
    index: Option<usize>,
    faults: &mut Faults,
) -> Result<Option<Incoming>, Broken> {
    // Levels that the members' values may have within the batch and the event.
    let depth = MAX_JSON_DEPTH - 1 - usize::from(index.is_some());
    if cursor.kind()? != Kind::Object {
        cursor.raw(depth)?;
        faults.add(index, "", "an event is a JSON object");
        return Ok(None);
    }
    let start = cursor.offset();
    let mut draft = Draft::new(index);
    let (mut data, mut base64, mut first) = (None, None, true);
    cursor.open(b'{')?;
    while let Some(name) = cursor.member(&mut first)? {
        let read = match &*name {
            "data" => cursor.raw(depth).map(|raw| twice(data.replace(raw), index, &name, faults)),
            "data_base64" => given(cursor, depth).map(|value| twice(base64.replace(value), index, &name, faults)),
            _ => match given(cursor, depth) {
                Ok(value) => {
                    draft.take(name, value, faults);
                    continue;
                }
                Err(fault) => Err(fault),
            },
        };
        read.map_err(|fault| Broken { member: name.into_owned(), fault })?;
    }
    let data = payload(&draft, data, base64, body, index, faults);
    Ok(draft.finish(data, cursor.since(start).len(), faults))
}

fn twice<T>(earlier: Option<T>, index: Option<usize>, name: &str, faults: &mut Faults) {
    if earlier.is_some() {
        faults.add(index, name, "given twice");
    }
}

/// Reads the value of an attribute.
fn given<'a>(cursor: &mut Cursor<'a>, depth: usize) -> Result<Given<'a>, JsonFault> {
    Ok(match cursor.kind()? {
        Kind::Text => Given::Text(cursor.string()?),
        Kind::Boolean => Given::Boolean(cursor.boolean()?),
        Kind::Null => {
            cursor.null()?;
            Given::Null
        }
        Kind::Number => cursor.raw(depth)?.parse().map_or(Given::Other, Given::Integer),
        Kind::Object | Kind::Array => {
            cursor.raw(depth)?;
            Given::Other
        }
    })
}

/// Tells what the data is: that depends on its media type, which may come after it.
fn payload(
    draft: &Draft<'_>,
    data: Option<&str>,
    base64: Option<Given<'_>>,
    body: &Bytes,
    index: Option<usize>,
    faults: &mut Faults,
) -> EventData {
    match (data, base64) {
        (None, None | Some(Given::Null)) => EventData::None,
        (Some(_), Some(Given::Text(_))) => {
            faults.add(index, "data_base64", "an event has either data or data_base64");
            EventData::None
        }
        (None, Some(Given::Text(text))) => match STANDARD.decode(&*text) {
            Ok(bytes) => EventData::Binary(Bytes::from(bytes)),
            Err(_) => {
                faults.add(index, "data_base64", "must be base64");
                EventData::None
            }
        },
        (_, Some(Given::Boolean(_) | Given::Integer(_) | Given::Other)) => {
            faults.add(index, "data_base64", "must be a string");
            EventData::None
        }
        (Some(raw), None | Some(Given::Null)) => {
            let json = draft.media_type().is_none_or(|media_type| media_type.is_json());
            if json || !raw.starts_with('"') {
                return EventData::Json(body.slice_ref(raw.as_bytes()));
            }
            match Cursor::new(raw).string() {
                Ok(text) => EventData::Text(text.into_owned()),
                Err(fault) => {
                    faults.add_json(index, "data", fault);
                    EventData::None
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "structured_tests.rs"]
mod tests;
