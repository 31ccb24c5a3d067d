use super::*;
use crate::event::{StoredData, samples};
use crate::pack::LaneKey;
use crate::sequence::PackSequence;
use crate::time::Time;
use proptest::prelude::*;

fn key() -> PartitionKey {
    PartitionKey::new("Kunde 7 \"ü\"").unwrap()
}

fn stamp(key: &PartitionKey) -> Stamp<'_> {
    let sequence = PackSequence { era: 1_795_000_000_000, number: 42 }.event(3);
    let replay_id = ReplayId::accepted(&LaneKey::Ordered(key.clone()), Time(1_795_000_000_123), sequence);
    Stamp { sequence, key: Some(key), replay_id }
}

fn written(event: &Event, loaded: Option<&Bytes>) -> String {
    let mut out = Vec::new();
    structured(&mut out, event, &stamp(&key()), &event.data.payload(loaded).unwrap());
    String::from_utf8(out).unwrap()
}

fn headers(event: &Event) -> Vec<(HeaderName, HeaderText)> {
    let mut out = Vec::new();
    binary_headers(&mut out, event, &stamp(&key()), &event.data.payload(None).unwrap());
    out
}

#[test]
fn a_delivered_event_has_the_publisher_s_attributes_then_the_broker_s_then_the_data_as_sent() {
    let replay_id = stamp(&key()).replay_id;
    let expected = concat!(
        r#"{"specversion":"1.0","id":"A-1","source":"/shop","type":"order.paid","subject":"order/1","#,
        r#""time":"2026-11-18T11:06:40Z","dataschema":"https://example.com/s","datacontenttype":"application/json","#,
        r#""traceparent":"00-x","retry":true,"weight":-5,"partitionkey":"Kunde 7 \"ü\"","#,
        r#""sequence":"179500000000000000000000000000000042003","replayid":"REPLAY","data":{ "total": 1.50 }}"#,
    );
    let sequence = stamp(&key()).sequence.to_string();
    let expected = expected
        .replace("REPLAY", &replay_id.to_string())
        .replace("179500000000000000000000000000000042003", &sequence);
    assert_eq!(written(&samples::full(), None), expected);
    assert_eq!(sequence, "179500000000000000000000000000042003");
}

#[test]
fn in_binary_mode_attributes_are_headers_percent_encoded_by_the_binding() {
    let event = Event { subject: Some("50 % of \"é\" /ok".into()), ..samples::full() };
    let headers = headers(&event);
    let value = |name: &str| headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_ref());
    assert_eq!(value("content-type"), Some("application/json"));
    assert_eq!(value("ce-specversion"), Some("1.0"));
    assert_eq!(value("ce-subject"), Some("50%20%25%20of%20%22%C3%A9%22%20/ok"));
    assert_eq!(value("ce-partitionkey"), Some("Kunde%207%20%22%C3%BC%22"));
    assert_eq!(value("ce-retry"), Some("true"));
    assert_eq!(value("ce-weight"), Some("-5"));
    assert_eq!(value("ce-sequence"), Some("179500000000000000000000000000042003"));
    assert_eq!(value("ce-replayid"), Some(stamp(&key()).replay_id.to_string().as_str()));
    assert_eq!(headers.len(), 14);
}

#[test]
fn data_of_every_form_has_its_place() {
    let event = |data| Event { data, ..samples::plain() };
    assert!(written(&event(EventData::Text("a\"b".into())), None).ends_with(r#","data":"a\"b"}"#));
    assert!(
        written(&event(EventData::Binary(Bytes::from_static(&[255]))), None).ends_with(r#","data_base64":"/w=="}"#)
    );
    assert!(!written(&event(EventData::None), None).contains("data"));
    let stored = |form, bytes| event(EventData::Stored(StoredData { hash: "aa".into(), bytes, form, retention: None }));
    let loaded = Bytes::from_static(b"{}");
    assert!(written(&stored(StoredForm::Json, 2), Some(&loaded)).ends_with(r#","data":{}}"#));
    assert!(written(&stored(StoredForm::Text, 2), Some(&loaded)).ends_with(r#","data":"{}"}"#));
    assert_eq!(stored(StoredForm::Json, 2).data.payload(None).unwrap_err(), NotLoaded);
    assert_eq!(stored(StoredForm::Json, 3).data.payload(Some(&loaded)).unwrap_err(), NotLoaded);
}

#[test]
fn json_data_without_a_type_is_called_json_where_that_must_be_said() {
    let event = Event { data: EventData::Json(Bytes::from_static(b"1")), ..samples::plain() };
    assert!(headers(&event).contains(&(Cow::Borrowed("content-type"), Cow::Borrowed("application/json"))));
    assert!(!written(&event, None).contains("datacontenttype"));
}

#[test]
fn webhook_ids_tell_sources_apart_unless_the_broker_made_the_event() {
    let event = |id: &str, source: &str, made| {
        webhook_id(&Event { id: id.into(), source: source.into(), made, ..samples::plain() })
    };
    assert_eq!(event("1", "/a", true), "1");
    // The first bytes of `printf /a | sha256sum`.
    assert_eq!(event("1", "/a", false), "1-6a50dc85");
    assert_ne!(event("1", "/a", false), event("1", "/b", false));
    assert_eq!(event("a b%ü", "/a", true), "a%20b%%C3%BC");
}

proptest! {
    #[test]
    fn whatever_the_event_the_object_is_json_and_the_headers_are_visible_ascii(event in samples::event()) {
        prop_assume!(!matches!(event.data, EventData::Stored(_)));
        let text = written(&event, None);
        prop_assert!(serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok(), "{}", text);
        for (name, value) in headers(&event) {
            prop_assert!(value.bytes().all(|byte| byte.is_ascii_graphic()), "{}: {}", name, value);
        }
        prop_assert!(webhook_id(&event).bytes().all(|byte| byte.is_ascii_graphic()));
    }
}
