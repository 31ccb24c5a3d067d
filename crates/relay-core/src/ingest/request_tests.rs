use super::*;
use crate::event::EventData;
use crate::event::fault::{EventFault, FaultKind};
use crate::limits::MAX_EVENTS_PER_REQUEST;
use crate::names::{TopicId, TopicName};
use bytes::Bytes;
use proptest::prelude::*;

struct FixedIds;

impl Ids for FixedIds {
    fn random(&self) -> u64 {
        4
    }
    fn secret_bytes(&self, bytes: &mut [u8]) {
        bytes.fill(4);
    }
    fn unique(&self) -> String {
        "fresh".to_owned()
    }
}

type Headers<'a> = &'a [(&'a str, &'a [u8])];

const PLAIN: (&str, &[u8]) = ("content-type", b"application/json");
const STRUCTURED: (&str, &[u8]) = ("content-type", b"application/cloudevents+json; charset=UTF-8");
const BATCH: (&str, &[u8]) = ("content-type", b"application/cloudevents-batch+json");
const BINARY: [(&str, &[u8]); 4] =
    [("ce-specversion", b"1.0"), ("ce-id", b"1"), ("ce-source", b"/s"), ("ce-type", b"t")];
const EVENT: &str = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#;

fn topic(max_event_bytes: u32) -> Topic {
    let topic = Topic::new(TopicId::new("top_1").unwrap(), TopicName::new("orders").unwrap(), Time(1));
    Topic { max_event_bytes, ..topic }
}

fn read_for(topic: &Topic, headers: Headers<'_>, body: &str) -> Result<Vec<Incoming>, IngestFault> {
    let request = PublishRequest { headers, body: Bytes::copy_from_slice(body.as_bytes()), publisher: "somebody" };
    read(topic, &request, Time(1_795_000_000_123), &FixedIds)
}

fn read_all(headers: Headers<'_>, body: &str) -> Result<Vec<Incoming>, IngestFault> {
    read_for(&topic(1_000), headers, body)
}

fn extension<'a>(incoming: &'a Incoming, name: &str) -> Option<&'a AttributeValue> {
    incoming.event.extensions.iter().find(|(given, _)| given == name).map(|(_, value)| value)
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::Text(text.to_owned())
}

fn pointer(read: Result<Vec<Incoming>, IngestFault>) -> String {
    match read {
        Err(IngestFault::Invalid(faults)) => faults[0].pointer.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_content_type_and_the_headers_tell_the_mode() {
    let plain = read_all(&[PLAIN], "{}").unwrap();
    assert_eq!((plain[0].event.id.as_str(), plain[0].event.made), ("fresh", true));
    assert_eq!(read_all(&[STRUCTURED], EVENT).unwrap()[0].event.source, "/s");
    assert_eq!(read_all(&[BATCH], &format!("[{EVENT}]")).unwrap().len(), 1);
    let binary = read_all(&[&BINARY[..], &[PLAIN]].concat(), "{}").unwrap();
    assert_eq!((binary[0].event.id.as_str(), binary[0].event.made), ("1", false));
    assert_eq!(read_all(&BINARY, "").unwrap()[0].event.data, EventData::None);
    // The structured form's headers may repeat its attributes, which count.
    let both = read_all(&[&[STRUCTURED], &BINARY[..]].concat(), EVENT).unwrap();
    assert_eq!(both[0].event.data, EventData::None);
}

#[test]
fn other_media_types_are_refused() {
    let refused: [&[u8]; 7] = [
        b"text/plain",
        b"application/xml",
        b"json",
        b"application/json; charset=utf-16",
        b"application/cloudevents+xml",
        b"application/cloudevents+json; charset=latin1",
        b"\xff",
    ];
    for given in refused {
        let read = read_all(&[("content-type", given)], EVENT);
        assert!(matches!(read, Err(IngestFault::UnsupportedMediaType(Some(_)))), "{read:?}");
    }
    assert_eq!(read_all(&[], "{}"), Err(IngestFault::UnsupportedMediaType(None)));
    let avro: (&str, &[u8]) = ("content-type", b"application/cloudevents+avro");
    assert!(matches!(read_all(&[&BINARY[..], &[avro]].concat(), "x"), Err(IngestFault::UnsupportedMediaType(_))));
}

#[test]
fn an_idempotency_key_makes_the_id_of_a_plain_event() {
    let id = |key: &[u8], body: &str| read_all(&[PLAIN, ("idempotency-key", key)], body).unwrap()[0].event.id.clone();
    assert_eq!(id(b"k", "1"), id(b"k", "1"));
    assert_ne!(id(b"k", "1"), id(b"l", "1"));
    assert_ne!(id(b"k", "1"), id(b"k", "2"));
    for bad in [b"".as_slice(), b"a b", b"\xff", "k".repeat(256).as_bytes()] {
        assert_eq!(pointer(read_all(&[PLAIN, ("idempotency-key", bad)], "1")), "");
        assert_eq!(pointer(read_all(&[STRUCTURED, ("idempotency-key", bad)], EVENT)), "");
    }
}

#[test]
fn the_partition_key_s_header_is_taken_literally_and_must_agree_with_the_attribute() {
    let key = |headers: Headers<'_>, body: &str| {
        let events = read_all(headers, body).unwrap();
        events.into_iter().map(|incoming| incoming.partition_key.map(String::from)).collect::<Vec<_>>()
    };
    let header = ("partitionkey", "a%20ü b".as_bytes());
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(key(&[PLAIN, header], "{}"), [some("a%20ü b")]);
    let with_key = EVENT.replace('}', r#","partitionkey":"a%20ü b"}"#);
    assert_eq!(key(&[BATCH, header], &format!("[{EVENT},{with_key}]")), [some("a%20ü b"), some("a%20ü b")]);
    assert_eq!(key(&[STRUCTURED], &with_key), [some("a%20ü b")]);
    let other: (&str, &[u8]) = ("partitionkey", b"b");
    assert_eq!(pointer(read_all(&[BATCH, other], &format!("[{EVENT},{with_key}]"))), "/1/partitionkey");
    assert_eq!(pointer(read_all(&[STRUCTURED, other], &with_key)), "/partitionkey");
    for bad in [b"".as_slice(), b"\xff", "x".repeat(257).as_bytes()] {
        assert_eq!(pointer(read_all(&[PLAIN, ("partitionkey", bad)], "{}")), "/partitionkey");
    }
    assert_eq!(pointer(read_all(&[PLAIN, other, other], "{}")), "");
}

#[test]
fn the_request_s_headers_become_attributes_of_events_that_have_none() {
    let trace: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers: [(&str, &[u8]); 4] =
        [BATCH, ("data-owner-id", "Müller".as_bytes()), ("x-request-id", b"r-1"), ("traceparent", trace)];
    let own = EVENT.replace('}', r#","requestid":"own"}"#).replace(r#""id":"1""#, r#""id":"2""#);
    let events = read_all(&headers, &format!("[{EVENT},{own}]")).unwrap();
    assert_eq!(extension(&events[0], "dataownerid"), Some(&text("Müller")));
    assert_eq!(extension(&events[0], "requestid"), Some(&text("r-1")));
    assert_eq!(extension(&events[0], "traceparent"), Some(&text(std::str::from_utf8(trace).unwrap())));
    assert_eq!(extension(&events[1], "requestid"), Some(&text("own")));
    assert_eq!(events[1].event.extensions.len(), 3);
    assert_eq!(pointer(read_all(&[PLAIN, ("data-owner-id", b"\xff")], "{}")), "/dataownerid");
}

#[test]
fn a_traceparent_that_breaks_the_rules_is_ignored() {
    let kept = |value: &[u8]| {
        extension(&read_all(&[PLAIN, ("traceparent", value)], "{}").unwrap()[0], "traceparent").is_some()
    };
    let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    assert!(kept(format!("00-{trace}-{parent}-01").as_bytes()));
    assert!(kept(format!("01-{trace}-{parent}-01-more").as_bytes()));
    let zeros = "0".repeat(32);
    for bad in [
        format!("00-{trace}-{parent}-01-more"),
        format!("ff-{trace}-{parent}-01"),
        format!("00-{zeros}-{parent}-01"),
        format!("00-{trace}-0000000000000000-01"),
        format!("00-{}-{parent}-01", trace.to_uppercase()),
        format!("00-{trace}-{parent}"),
        "\u{e9}".to_owned(),
        String::new(),
    ] {
        assert!(!kept(bad.as_bytes()), "{bad}");
    }
}

#[test]
fn sizes_are_bounded_as_sent() {
    let size = EVENT.len() as u32;
    assert!(read_for(&topic(size), &[STRUCTURED], EVENT).is_ok());
    let too_large = |index| Err(IngestFault::EventTooLarge { index, bytes: EVENT.len(), limit: size - 1 });
    assert_eq!(read_for(&topic(size - 1), &[STRUCTURED], EVENT), too_large(None));
    // White space between events belongs to none of them.
    let spread = format!("[ {EVENT} , {} ]", EVENT.replace("\"1\"", "\"2\""));
    assert!(read_for(&topic(size), &[BATCH], &spread).is_ok());
    assert_eq!(read_for(&topic(size - 1), &[BATCH], &spread), too_large(Some(0)));
    let many = format!("[{}{EVENT}]", format!("{EVENT},").repeat(MAX_EVENTS_PER_REQUEST));
    assert_eq!(read_all(&[BATCH], &many), Err(IngestFault::TooManyEvents));
    let huge = " ".repeat(MAX_REQUEST_BYTES + 1);
    assert_eq!(read_for(&topic(u32::MAX), &[PLAIN], &huge), Err(IngestFault::RequestTooLarge));
}

#[test]
fn a_fault_anywhere_in_a_batch_refuses_all_of_it_and_names_the_place() {
    let bad = EVENT.replace("\"/s\"", "\"\"");
    match read_all(&[BATCH], &format!("[{EVENT},{bad}]")) {
        Err(IngestFault::Invalid(faults)) => {
            assert_eq!(
                faults,
                [EventFault {
                    pointer: "/1/source".to_owned(),
                    detail: "must not be empty".into(),
                    kind: FaultKind::Event
                }],
            )
        }
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn mutated_requests_are_read_or_refused(
        base in 0usize..4,
        drop in prop::option::of(any::<prop::sample::Index>()),
        header in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte: u8,
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let batch = format!("[{EVENT},{}]", EVENT.replace("\"1\"", "\"2\""));
        let (first, body): (Vec<(&str, &[u8])>, &str) = match base {
            0 => (vec![PLAIN], "{\"a\":[1,2,{\"b\":null}]}"),
            1 => (vec![STRUCTURED], EVENT),
            2 => (vec![BATCH], &batch),
            _ => ([&BINARY[..], &[PLAIN]].concat(), "{\"a\":1}"),
        };
        let common: [(&str, &[u8]); 4] = [
            ("partitionkey", b"k"),
            ("idempotency-key", b"i"),
            ("data-owner-id", b"d"),
            ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ];
        let mut headers: Vec<(&str, Vec<u8>)> =
            first.iter().chain(&common).map(|(name, value)| (*name, value.to_vec())).collect();
        if let Some(index) = drop {
            let index = index.index(headers.len());
            headers.remove(index);
        }
        let header = header.index(headers.len());
        let value = &mut headers[header].1;
        let place = at.index(value.len());
        value[place] = byte;
        let mut body = body.as_bytes().to_vec();
        if let Some(cut) = cut {
            let cut = cut.index(body.len());
            body[cut] = byte;
        }
        let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (*name, value.as_slice())).collect();
        let request = PublishRequest { headers: &headers, body: Bytes::from(body), publisher: "p" };
        match read(&topic(1_000), &request, Time(1), &FixedIds) {
            Ok(events) => prop_assert!(!events.is_empty()),
            Err(IngestFault::Invalid(faults)) => prop_assert!(!faults.is_empty()),
            Err(IngestFault::UnsupportedMediaType(_)) => {}
            Err(other) => prop_assert!(false, "{:?}", other),
        }
    }
}
