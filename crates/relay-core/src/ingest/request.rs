//! Reading a publish request: its mode, its events, and what its headers say of all of them.

use super::{IngestFault, PublishRequest};
use crate::event::fault::ParseFault;
use crate::event::media_type::MediaType;
use crate::event::{AttributeValue, Incoming, binary, plain, structured};
use crate::limits::{MAX_ATTRIBUTE_BYTES, MAX_REQUEST_BYTES};
use crate::names::PartitionKey;
use crate::ports::Ids;
use crate::time::Time;
use crate::topic::Topic;

/// The form that a request's events have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Binary,
    Structured,
    Batch,
    Plain,
}

/// Reads and checks the events of a request as a whole: all of them are good, or none is.
pub(super) fn read(
    topic: &Topic,
    request: &PublishRequest<'_>,
    now: Time,
    ids: &dyn Ids,
) -> Result<Vec<Incoming>, IngestFault> {
    if request.body.len() > MAX_REQUEST_BYTES {
        return Err(IngestFault::RequestTooLarge);
    }
    let (form, content_type) = form(request)?;
    let key = partition_key(request)?;
    let idempotency_key = idempotency_key(request)?;
    if form != Form::Batch {
        check_size(topic, None, request.body.len())?;
    }
    let mut events = match form {
        Form::Binary => vec![binary::event(request.headers.iter().copied(), &request.body)?],
        Form::Structured => vec![structured::event(&request.body)?],
        Form::Batch => structured::batch(&request.body)?,
        Form::Plain => {
            let id = match idempotency_key {
                Some(given) => plain::repeatable_id(&topic.name, request.publisher, given, &request.body),
                None => ids.unique(),
            };
            vec![plain::event(&topic.name, id, now, content_type, &request.body)?]
        }
    };
    let attributes = attributes(request)?;
    for (index, incoming) in events.iter_mut().enumerate() {
        let index = (form == Form::Batch).then_some(index);
        check_size(topic, index, incoming.bytes)?;
        take_key(incoming, key.as_ref(), index)?;
        for (name, value) in &attributes {
            if incoming.event.extensions.iter().all(|(given, _)| given != name) {
                let value = AttributeValue::Text((*value).to_owned());
                incoming.event.extensions.push(((*name).to_owned(), value));
            }
        }
    }
    Ok(events)
}

fn check_size(topic: &Topic, index: Option<usize>, bytes: usize) -> Result<(), IngestFault> {
    let limit = topic.max_event_bytes;
    if bytes > usize::try_from(limit).unwrap_or(usize::MAX) {
        return Err(IngestFault::EventTooLarge { index, bytes, limit });
    }
    Ok(())
}

/// The event's own partition key and the request's must not contradict each other.
fn take_key(incoming: &mut Incoming, header: Option<&PartitionKey>, index: Option<usize>) -> Result<(), IngestFault> {
    let Some(header) = header else { return Ok(()) };
    match &incoming.partition_key {
        Some(own) if own != header => {
            Err(IngestFault::header(index, "partitionkey", "differs from the header partitionKey"))
        }
        Some(_) => Ok(()),
        None => {
            incoming.partition_key = Some(header.clone());
            Ok(())
        }
    }
}

/// A header's value; at most one header of the name may be there.
fn single<'a>(request: &PublishRequest<'a>, name: &str) -> Result<Option<&'a [u8]>, IngestFault> {
    let mut values = request.headers.iter().filter(|(header, _)| *header == name).map(|(_, value)| *value);
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(IngestFault::header(None, "", format!("the header {name} is given twice"))),
        (value, None) => Ok(value),
    }
}

/// The `content-type` decides; without one of CloudEvents', `ce-*` headers make it binary mode.
fn form<'a>(request: &PublishRequest<'a>) -> Result<(Form, &'a str), IngestFault> {
    let given = single(request, "content-type")?.map(|value| std::str::from_utf8(value).unwrap_or("\u{FFFD}"));
    let media_type = given.and_then(MediaType::parse);
    let unsupported = || IngestFault::UnsupportedMediaType(given.map(str::to_owned));
    let json_form = |form| match media_type {
        Some(media_type) if media_type.is_utf8() => Ok((form, given.unwrap_or_default())),
        _ => Err(unsupported()),
    };
    match media_type {
        Some(media_type) if media_type.is("application", "cloudevents+json") => json_form(Form::Structured),
        Some(media_type) if media_type.is("application", "cloudevents-batch+json") => json_form(Form::Batch),
        Some(media_type) if media_type.is_cloud_events() => Err(unsupported()),
        _ if request.headers.iter().any(|(name, _)| name.starts_with(binary::PREFIX)) => {
            Ok((Form::Binary, given.unwrap_or_default()))
        }
        Some(media_type) if media_type.is("application", "json") => json_form(Form::Plain),
        _ => Err(unsupported()),
    }
}

/// The header `partitionKey`: UTF-8, and taken literally.
fn partition_key(request: &PublishRequest<'_>) -> Result<Option<PartitionKey>, IngestFault> {
    let Some(value) = single(request, "partitionkey")? else { return Ok(None) };
    let fault = |detail: String| IngestFault::header(None, "partitionkey", format!("header partitionKey: {detail}"));
    let text = std::str::from_utf8(value).map_err(|_| fault("not UTF-8".to_owned()))?;
    PartitionKey::new(text).map(Some).map_err(|error| fault(error.to_string()))
}

/// The header `Idempotency-Key`. Where the publisher makes the ids it changes nothing.
fn idempotency_key<'a>(request: &PublishRequest<'a>) -> Result<Option<&'a [u8]>, IngestFault> {
    let Some(value) = single(request, "idempotency-key")? else { return Ok(None) };
    let visible = value.iter().all(u8::is_ascii_graphic);
    if visible && (1..=255).contains(&value.len()) {
        return Ok(Some(value));
    }
    Err(IngestFault::header(None, "", "the header Idempotency-Key is 1 to 255 visible ASCII characters"))
}

/// Headers that become attributes of every event that has none of that name.
fn attributes<'a>(request: &PublishRequest<'a>) -> Result<Vec<(&'static str, &'a str)>, IngestFault> {
    let mut attributes = Vec::new();
    if let Some(value) = single(request, "data-owner-id")?.filter(|value| !value.is_empty()) {
        let text = std::str::from_utf8(value).ok();
        let text = text.filter(|text| text.len() <= MAX_ATTRIBUTE_BYTES && !text.chars().any(char::is_control));
        let detail = "header Data-Owner-Id: UTF-8 without control characters, at most 8 KiB";
        attributes.push(("dataownerid", text.ok_or_else(|| IngestFault::header(None, "dataownerid", detail))?));
    }
    if let Some(text) = single(request, "x-request-id")?.and_then(request_id) {
        attributes.push(("requestid", text));
    }
    // Not `single`: what breaks the rules of Trace Context is to be ignored, not refused.
    let mut traces = request.headers.iter().filter(|(name, _)| *name == "traceparent");
    if let (Some((_, value)), None) = (traces.next(), traces.next())
        && let Some(text) = traceparent(value)
    {
        attributes.push(("traceparent", text));
    }
    Ok(attributes)
}

/// A request id that can be echoed: 1 to 200 visible ASCII characters. Another is not the client's to insist on.
fn request_id(value: &[u8]) -> Option<&str> {
    let visible = value.iter().all(u8::is_ascii_graphic);
    if visible && (1..=200).contains(&value.len()) { std::str::from_utf8(value).ok() } else { None }
}

/// A `traceparent` of W3C Trace Context: version, trace id, parent id, flags.
fn traceparent(value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(value).ok()?;
    let mut parts = text.split('-');
    let mut part = |length: usize| {
        let hex = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
        parts.next().filter(|part| part.len() == length && part.bytes().all(hex))
    };
    let (version, trace, parent) = (part(2)?, part(32)?, part(16)?);
    part(2)?;
    let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    let known = version != "ff" && (version != "00" || text.len() == 55) && text.len() <= 128;
    (known && !zero(trace) && !zero(parent) && text.is_ascii()).then_some(text)
}

impl From<ParseFault> for IngestFault {
    fn from(fault: ParseFault) -> Self {
        match fault {
            ParseFault::Invalid(faults) => IngestFault::Invalid(faults),
            ParseFault::TooManyEvents => IngestFault::TooManyEvents,
        }
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
