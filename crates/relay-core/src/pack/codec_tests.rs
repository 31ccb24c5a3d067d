use super::*;
use crate::event::samples;
use proptest::prelude::*;

fn key() -> impl Strategy<Value = LaneKey> {
    prop_oneof![
        "\\PC{1,20}".prop_map(|text| LaneKey::Ordered(PartitionKey::new(text).unwrap())),
        (0u16..256).prop_map(LaneKey::Unordered),
    ]
}

prop_compose! {
    fn pack()(
        key in key(),
        accepted_at: u64,
        events in prop::collection::vec(samples::event(), 1..6),
    ) -> Pack {
        Pack {
            topic: TopicName::new("orders").unwrap(),
            topic_id: TopicId::new("top_1").unwrap(),
            key,
            accepted_at: Time(accepted_at),
            events,
        }
    }
}

proptest! {
    #[test]
    fn a_pack_is_decoded_as_it_was_encoded(pack in pack()) {
        let encoded = encode(&pack);
        prop_assert_eq!(decode(&Bytes::from(encoded)), Ok(pack));
    }

    #[test]
    fn an_encoded_pack_is_json_of_characters_that_sqs_takes(pack in pack()) {
        let text = String::from_utf8(encode(&pack)).unwrap();
        prop_assert!(serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok(), "{}", text);
        let refused = |c: char| matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{FFFE}' | '\u{FFFF}');
        prop_assert!(!text.contains(refused), "{}", text);
    }

    #[test]
    fn damaged_packs_are_faults_and_never_a_panic(pack in pack(), at: prop::sample::Index, byte: u8) {
        let mut encoded = encode(&pack);
        let at = at.index(encoded.len());
        encoded[at] = byte;
        let _ = decode(&Bytes::from(encoded.clone()));
        encoded.truncate(at);
        prop_assert!(decode(&Bytes::from(encoded)).is_err());
    }
}

fn fixed() -> Pack {
    let data = [
        EventData::Json(Bytes::from_static(b"{ \"total\": 1.50 }")),
        EventData::Text("line\n\"two\"".into()),
        EventData::Text("\u{1}".into()),
        EventData::Binary(Bytes::from_static(&[0, 255, 7])),
        EventData::Stored(StoredData {
            hash: "ab".repeat(32),
            bytes: 300_000,
            form: StoredForm::Json,
            retention: None,
        }),
        EventData::Json(Bytes::from_static("\"\u{FFFF}\"".as_bytes())),
        EventData::None,
    ];
    let mut pack = Pack {
        topic: TopicName::new("orders").unwrap(),
        topic_id: TopicId::new("top_1").unwrap(),
        key: LaneKey::Ordered(PartitionKey::new("customer \"7\"").unwrap()),
        accepted_at: Time(1_795_000_000_123),
        events: data.into_iter().map(|data| Event { data, ..samples::plain() }).collect(),
    };
    pack.events[0] = Event { data: pack.events[0].data.clone(), ..samples::full() };
    pack
}

const GOLDEN: &str = concat!(
    r#"{"v":1,"topic":"orders","topicId":"top_1","key":"customer \"7\"","acceptedAt":1795000000123,"events":["#,
    r#"{"id":"A-1","source":"/shop","type":"order.paid","subject":"order/1","time":"2026-11-18T11:06:40Z","#,
    r#""datacontenttype":"application/json","dataschema":"https://example.com/s","#,
    r#""extensions":{"traceparent":"00-x","retry":true,"weight":-5},"data":{ "total": 1.50 }},"#,
    r#"{"id":"1","source":"/topics/orders","type":"orders","made":true,"text":"line\n\"two\""},"#,
    r#"{"id":"1","source":"/topics/orders","type":"orders","made":true,"text64":"AQ=="},"#,
    r#"{"id":"1","source":"/topics/orders","type":"orders","made":true,"binary":"AP8H"},"#,
    r#"{"id":"1","source":"/topics/orders","type":"orders","made":true,"stored":{"#,
    r#""hash":"abababababababababababababababababababababababababababababababab","bytes":300000,"form":"json"}},"#,
    r#"{"id":"1","source":"/topics/orders","type":"orders","made":true,"json64":"Iu+/vyI="},"#,
    r#"{"id":"1","source":"/topics/orders","type":"orders","made":true}]}"#,
);

/// What brokers have stored must be readable for ever: never change this text, add a version.
#[test]
fn version_1_is_written_and_read_as_it_always_was() {
    assert_eq!(String::from_utf8(encode(&fixed())).unwrap(), GOLDEN);
    assert_eq!(decode(&Bytes::from_static(GOLDEN.as_bytes())), Ok(fixed()));
}

#[test]
fn json_data_is_shared_with_the_source() {
    let source = Bytes::from_static(GOLDEN.as_bytes());
    let pack = decode(&source).unwrap();
    let EventData::Json(data) = &pack.events[0].data else { panic!("not JSON") };
    assert!(source.as_ptr_range().contains(&data.as_ptr()));
}

#[test]
fn what_this_version_did_not_write_is_refused_by_name() {
    let fault = |from: &str, to: &str| {
        assert!(GOLDEN.contains(from), "{from}");
        decode(&Bytes::from(GOLDEN.replacen(from, to, 1))).unwrap_err()
    };
    assert_eq!(fault(r#""v":1"#, r#""v":2"#), CodecFault::Version(2));
    assert_eq!(fault(r#""v":1,"#, ""), CodecFault::Missing("v"));
    assert_eq!(fault(r#""topic":"orders","#, ""), CodecFault::Missing("topic"));
    assert_eq!(fault(r#""topic":"orders""#, r#""topic":"orders","x":1"#), CodecFault::Unexpected("x".into()));
    assert_eq!(fault(r#""made":true"#, r#""made":true,"more":1"#), CodecFault::Unexpected("more".into()));
    assert_eq!(fault(r#""made":true"#, r#""made":true,"data":1"#), CodecFault::Unexpected("text".into()));
    assert_eq!(
        fault(r#""key":"customer \"7\"""#, r#""key":"a","unordered":1"#),
        CodecFault::Unexpected("unordered".into())
    );
    assert_eq!(fault(r#""form":"json""#, r#""form":"xml""#), CodecFault::Missing("form"));
}
