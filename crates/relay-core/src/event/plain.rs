//! Plain events: a JSON body and nothing else. The broker makes the attributes.

use super::fault::{FaultKind, ParseFault};
use super::{Event, Incoming, binary};
use crate::digest::{hexadecimal, sha256_of_list};
use crate::names::TopicName;
use crate::time::Time;
use bytes::Bytes;

/// Makes an event of a JSON body, which is shared, not copied: `source` and `type` are made of the topic's name.
///
/// # Errors
/// What is wrong with the body.
pub fn event(
    topic: &TopicName,
    id: String,
    now: Time,
    content_type: &str,
    body: &Bytes,
) -> Result<Incoming, ParseFault> {
    if body.is_empty() {
        return Err(ParseFault::whole("the body is empty: a plain event is its data", FaultKind::Event));
    }
    let event = Event {
        id,
        source: format!("/topics/{topic}"),
        kind: topic.as_str().to_owned(),
        subject: None,
        time: Some(now.to_string()),
        content_type: Some(content_type.to_owned()),
        data_schema: None,
        extensions: Vec::new(),
        data: binary::json(body)?,
        made: true,
    };
    Ok(Incoming { event, partition_key: None, bytes: body.len() })
}

/// The `id` of the plain event of a request that carries an `Idempotency-Key`: the same for the same request of the
/// same publisher, so that a repeat within five minutes is recognised. The body takes part: a key used again for
/// another event by mistake must not make that event vanish.
pub fn repeatable_id(topic: &TopicName, publisher: &str, idempotency_key: &[u8], body: &[u8]) -> String {
    let parts = [topic.as_str().as_bytes(), publisher.as_bytes(), idempotency_key, body];
    hexadecimal(&sha256_of_list(parts)[..16])
}

#[cfg(test)]
mod tests {
    use super::super::EventData;
    use super::super::fault::EventFault;
    use super::*;

    fn topic() -> TopicName {
        TopicName::new("orders").unwrap()
    }

    fn read(body: &'static [u8]) -> Result<Incoming, ParseFault> {
        event(&topic(), "x".into(), Time(1_795_000_000_123), "application/json", &Bytes::from_static(body))
    }

    #[test]
    fn the_body_is_the_data_and_the_broker_fills_in_the_rest() {
        let incoming = read(b" {\"a\": 1} ").unwrap();
        assert_eq!(incoming.event.data, EventData::Json(Bytes::from_static(b" {\"a\": 1} ")));
        assert_eq!((incoming.event.source.as_str(), incoming.event.kind.as_str()), ("/topics/orders", "orders"));
        assert_eq!(incoming.event.time.as_deref(), Some("2026-11-18T11:06:40.123Z"));
        assert!(incoming.event.made);
        assert_eq!((incoming.bytes, incoming.partition_key), (10, None));
    }

    #[test]
    fn a_body_that_is_no_json_is_refused() {
        let details = |body| match read(body) {
            Err(ParseFault::Invalid(faults)) => faults,
            other => panic!("{other:?}"),
        };
        let fault =
            |detail: &'static str, kind| vec![EventFault { pointer: String::new(), detail: detail.into(), kind }];
        assert_eq!(details(b""), fault("the body is empty: a plain event is its data", FaultKind::Event));
        assert_eq!(details(b"{\"a\":"), fault("the JSON text ends too early", FaultKind::Grammar));
        assert_eq!(details(b"1 2"), fault("not the JSON that was expected, at byte 2", FaultKind::Grammar));
        assert_eq!(details(b"\"\xff\""), fault("not UTF-8 after byte 1", FaultKind::Grammar));
    }

    #[test]
    fn an_idempotency_key_makes_the_same_id_for_the_same_request_only() {
        let id = |publisher, key: &[u8], body: &[u8]| repeatable_id(&topic(), publisher, key, body);
        let first = id("a", b"k", b"1");
        assert_eq!((first.len(), &first), (32, &id("a", b"k", b"1")));
        for other in [id("b", b"k", b"1"), id("a", b"l", b"1"), id("a", b"k", b"2"), id("ak", b"", b"1")] {
            assert_ne!(first, other);
        }
    }
}
