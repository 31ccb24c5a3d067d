use super::*;
use crate::event::samples;
use crate::event::write::{Stamp, binary_headers};
use crate::event::{AttributeValue, Event};
use crate::names::PartitionKey;
use crate::pack::LaneKey;
use crate::replay_id::ReplayId;
use crate::sequence::PackSequence;
use crate::time::Time;
use proptest::prelude::*;

const REQUIRED: [(&str, &str); 4] =
    [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "order.paid")];

fn read(more: &[(&str, &[u8])], body: &'static [u8]) -> Result<Incoming, ParseFault> {
    let required = REQUIRED.iter().map(|(name, value)| (*name, value.as_bytes()));
    event(required.chain(more.iter().copied()), &Bytes::from_static(body))
}

fn pointers(read: Result<Incoming, ParseFault>) -> Vec<String> {
    match read {
        Err(ParseFault::Invalid(list)) => list.into_iter().map(|fault| fault.pointer).collect(),
        other => panic!("{other:?}"),
    }
}

fn subject(value: &[u8]) -> Option<String> {
    read(&[("ce-subject", value)], b"").unwrap().event.subject
}

#[test]
fn headers_are_attributes_and_the_body_is_the_data() {
    let headers: [(&str, &[u8]); 5] = [
        ("content-type", b"application/json; charset=utf-8"),
        ("ce-time", b"2026-11-18T11:06:40Z"),
        ("ce-partitionkey", b"customer%207"),
        ("ce-anything", b"5"),
        ("x-other", b"ignored: not the event's"),
    ];
    let incoming = read(&headers, b" {\"a\":1}").unwrap();
    assert_eq!(incoming.event.id, "1");
    assert_eq!(incoming.event.content_type.as_deref(), Some("application/json; charset=utf-8"));
    assert_eq!(incoming.event.extensions, [("anything".to_owned(), AttributeValue::Text("5".into()))]);
    assert_eq!(incoming.event.data, EventData::Json(Bytes::from_static(b" {\"a\":1}")));
    assert_eq!(incoming.partition_key, Some(PartitionKey::new("customer 7").unwrap()));
    assert_eq!((incoming.bytes, incoming.event.made), (8, false));
}

#[test]
fn values_are_unquoted_and_percent_decoded_once() {
    assert_eq!(subject(b"a%20b%25%C3%A9").as_deref(), Some("a b%é"));
    assert_eq!(subject(b"%2525").as_deref(), Some("%25"));
    assert_eq!(subject(b"\"a \\\"b\\\" %20\"").as_deref(), Some("a \"b\"  "));
    assert_eq!(subject(b"100%").as_deref(), Some("100%"));
    assert_eq!(subject("é".as_bytes()).as_deref(), Some("é"));
    assert_eq!(subject(b"\"").as_deref(), Some("\""));
}

#[test]
fn the_media_type_decides_how_the_body_is_kept() {
    let data = |content_type: &'static [u8], body| read(&[("content-type", content_type)], body).unwrap().event.data;
    let binary = |body: &'static [u8]| EventData::Binary(Bytes::from_static(body));
    assert_eq!(data(b"application/cloud+json", b"1"), EventData::Json(Bytes::from_static(b"1")));
    assert_eq!(data(b"text/plain", "é".as_bytes()), EventData::Text("é".into()));
    assert_eq!(data(b"text/plain", b"\xff"), binary(b"\xff"));
    assert_eq!(data(b"text/plain; charset=iso-8859-1", "é".as_bytes()), binary("é".as_bytes()));
    assert_eq!(data(b"application/octet-stream", b"abc"), binary(b"abc"));
    assert_eq!(data(b"application/json", b""), EventData::None);
    assert_eq!(read(&[], b"abc").unwrap().event.data, binary(b"abc"));
}

#[test]
fn each_fault_names_its_attribute() {
    assert_eq!(pointers(event([("ce-id", b"1".as_slice())], &Bytes::new())), ["/specversion", "/source", "/type"]);
    let cases: [(&str, &[u8], &str); 9] = [
        ("ce-id", b"2", "/id"),
        ("ce-subject", b"", "/subject"),
        ("ce-subject", b"%FF", "/subject"),
        ("ce-subject", b"\xff", "/subject"),
        ("ce-subject", b"%00", "/subject"),
        ("ce-time", b"now", "/time"),
        ("ce-data", b"x", "/data"),
        ("ce-datacontenttype", b"text/plain", "/datacontenttype"),
        ("ce-a_b", b"x", "/a_b"),
    ];
    for (name, value, pointer) in cases {
        assert_eq!(pointers(read(&[(name, value)], b"")), [pointer], "{name}");
    }
    assert_eq!(pointers(read(&[("ce-partitionkey", b"")], b"")), ["/partitionkey"]);
    assert_eq!(pointers(read(&[("content-type", b"json")], b"{}")), ["/datacontenttype"]);
    let json: (&str, &[u8]) = ("content-type", b"application/json");
    assert_eq!(pointers(read(&[json], b"{\"a\":")), ["/data"]);
    assert_eq!(pointers(read(&[json], b"\xff")), ["/data"]);
}

#[test]
fn nesting_of_the_body_is_bounded() {
    let nested = |levels: usize| Bytes::from("[".repeat(levels) + &"]".repeat(levels));
    assert!(json(&nested(128)).is_ok());
    assert!(json(&nested(129)).is_err());
}

fn delivered(event: &Event) -> Vec<(String, String)> {
    let key = PartitionKey::new("k").unwrap();
    let sequence = PackSequence { era: 1, number: 2 }.event(3);
    let replay_id = ReplayId::accepted(&LaneKey::Ordered(key.clone()), Time(4), sequence);
    let mut out = Vec::new();
    let stamp = Stamp { sequence, key: Some(&key), replay_id };
    binary_headers(&mut out, event, &stamp, &event.data.payload(None).unwrap());
    out.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

proptest! {
    #[test]
    fn attributes_delivered_as_headers_are_read_as_the_same(
        id in "[ -~é😀]{1,20}", subject in "[ -~é😀]{1,20}", extension in "[ -~é😀]{0,20}",
    ) {
        let sent = Event {
            id,
            subject: Some(subject),
            extensions: vec![("x".into(), AttributeValue::Text(extension))],
            data: EventData::None,
            ..samples::full()
        };
        let headers = delivered(&sent);
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        prop_assert_eq!(event(headers, &Bytes::new()).unwrap().event, sent);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn mutations_of_valid_requests_are_events_or_faults(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..6),
        body in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut headers: Vec<(String, Vec<u8>)> =
            delivered(&samples::full()).into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
        for (header, at, byte) in changes {
            let header = header.index(headers.len());
            let value = &mut headers[header].1;
            if value.is_empty() {
                value.push(byte);
            }
            let at = at.index(value.len());
            if byte % 2 == 0 { value[at] = byte } else { value.insert(at, byte) }
        }
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        if let Err(ParseFault::Invalid(list)) = event(headers, &Bytes::from(body)) {
            prop_assert!(!list.is_empty());
        }
    }
}
