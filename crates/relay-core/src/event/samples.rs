//! Events for tests.

use super::{AttributeValue, Event, EventData, StoredData, StoredForm};
use crate::topic::Retention;
use bytes::Bytes;
use proptest::prelude::*;

/// An event that the broker made out of plain data, without data.
pub(crate) fn plain() -> Event {
    Event {
        id: "1".into(),
        source: "/topics/orders".into(),
        kind: "orders".into(),
        subject: None,
        time: None,
        content_type: None,
        data_schema: None,
        extensions: vec![],
        data: EventData::None,
        made: true,
    }
}

/// An event with every attribute, and extensions of every type.
pub(crate) fn full() -> Event {
    Event {
        id: "A-1".into(),
        source: "/shop".into(),
        kind: "order.paid".into(),
        subject: Some("order/1".into()),
        time: Some("2026-11-18T11:06:40Z".into()),
        content_type: Some("application/json".into()),
        data_schema: Some("https://example.com/s".into()),
        extensions: vec![
            ("traceparent".into(), AttributeValue::Text("00-x".into())),
            ("retry".into(), AttributeValue::Boolean(true)),
            ("weight".into(), AttributeValue::Integer(-5)),
        ],
        data: EventData::Json(Bytes::from_static(b"{ \"total\": 1.50 }")),
        made: false,
    }
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("1.50".to_owned()),
        Just("-0".to_owned()),
        Just("1e400".to_owned()),
        "[a-zé\u{FFFE}\u{FFFF}]{0,6}".prop_map(|text| format!("\"{text}\"")),
        Just("\"\\ud800\\u0000\"".to_owned()),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(" , "))),
            prop::collection::vec(inner, 0..4).prop_map(|items| {
                let members: Vec<_> = items.iter().map(|item| format!("\"m\" :\n{item}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

fn stored() -> impl Strategy<Value = StoredData> {
    let forms = prop::sample::select(vec![StoredForm::Json, StoredForm::Text, StoredForm::Binary]);
    let retentions = prop::option::of(prop::sample::select(Retention::ALL.to_vec()));
    (any::<u64>(), forms, retentions).prop_map(|(bytes, form, retention)| StoredData {
        hash: "0f".repeat(32),
        bytes,
        form,
        retention,
    })
}

/// Any payload that an event may have.
pub(crate) fn data() -> impl Strategy<Value = EventData> {
    prop_oneof![
        Just(EventData::None),
        json().prop_map(|text| EventData::Json(Bytes::from(text))),
        "[\u{0}-\u{7f}é\u{FFFE}😀]{0,30}".prop_map(EventData::Text),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| EventData::Binary(Bytes::from(bytes))),
        stored().prop_map(EventData::Stored),
    ]
}

fn attribute() -> impl Strategy<Value = AttributeValue> {
    prop_oneof![
        any::<bool>().prop_map(AttributeValue::Boolean),
        any::<i32>().prop_map(AttributeValue::Integer),
        "\\PC{0,20}".prop_map(AttributeValue::Text),
    ]
}

prop_compose! {
    /// Any event that the broker may hold.
    pub(crate) fn event()(
        id in "\\PC{1,20}",
        source in "[a-z/:%0-9é]{1,20}",
        kind in "\\PC{1,20}",
        subject in prop::option::of("\\PC{1,20}"),
        content_type in prop::option::of("[a-z]{1,8}/[a-z+]{1,8}"),
        extensions in prop::collection::btree_map("x[a-z0-9]{0,10}", attribute(), 0..4),
        data in data(),
        made: bool,
    ) -> Event {
        Event {
            id,
            source,
            kind,
            subject,
            time: None,
            content_type,
            data_schema: None,
            extensions: extensions.into_iter().collect(),
            data,
            made,
        }
    }
}
