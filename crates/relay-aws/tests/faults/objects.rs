//! Faults of S3.

use crate::stub::{Answer, Stub};
use bytes::Bytes;
use relay_core::event::{Event, EventData, StoredData, StoredForm};
use relay_core::lane::{BacklogItem, PutId, lane_id, rest_key};
use relay_core::names::{PartitionKey, SubscriptionId, TopicId, TopicName};
use relay_core::pack::{LaneKey, Pack};
use relay_core::ports::PortError;
use relay_core::replay_id::LogPosition;
use relay_core::sequence::PackSequence;
use relay_core::time::Time;
use serde_json::json;
use std::sync::Arc;

#[tokio::test]
async fn only_what_s3_says_is_not_there_is_not_found() {
    let payload = StoredData { hash: "ab".repeat(32), bytes: 1, form: StoredForm::Json, retention: None };
    let get = async |answer: fn() -> Answer| {
        let stub = Stub::new(move |_, _| answer());
        stub.ports(1).payloads.get(&payload).await
    };
    assert_eq!(get(|| Answer::Fault(404, "NoSuchKey", "no such key")).await, Err(PortError::NotFound));
    assert_eq!(get(|| Answer::Fault(503, "SlowDown", "slow down")).await, Err(PortError::Throttled));
    for other in [
        get(|| Answer::Fault(404, "NoSuchBucket", "no such bucket")).await,
        get(|| Answer::Fault(403, "AccessDenied", "no right to list, so it may be there or not")).await,
        get(|| Answer::Fault(500, "InternalError", "oh")).await,
        get(|| Answer::TimedOut).await,
    ] {
        assert!(matches!(other, Err(PortError::Unavailable(_))), "{other:?}");
    }
}

/// A pack that is too large for a row.
fn large() -> BacklogItem {
    let mut state = 1u64;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    let event = Event {
        id: "1".to_owned(),
        source: "/test".to_owned(),
        kind: "test".to_owned(),
        subject: None,
        time: None,
        content_type: None,
        data_schema: None,
        extensions: vec![],
        data: EventData::Binary(Bytes::from_iter((0..20_000).map(|_| byte()))),
        made: false,
    };
    BacklogItem {
        key: rest_key(PackSequence { era: 1, number: 2 }),
        pack: Arc::new(Pack {
            topic: TopicName::new("orders").unwrap(),
            topic_id: TopicId::new("top").unwrap(),
            key: LaneKey::Ordered(PartitionKey::new("k").unwrap()),
            accepted_at: Time(5),
            events: vec![event],
        }),
        position: LogPosition::default(),
        next: 0,
        end: 1,
        put_id: PutId(7),
        revision: 1,
        attempts: 0,
        first_failed_at: None,
        due_at: None,
        replay: false,
    }
}

#[tokio::test]
async fn a_row_is_not_written_where_the_object_that_it_refers_to_was_not() {
    let stub = Stub::new(|name, _| match name {
        "Call" => Answer::Fault(503, "SlowDown", "slow down"),
        _ => Answer::Ok(json!({})),
    });
    let item = large();
    let lane = lane_id(&SubscriptionId::new("sub").unwrap(), &item.pack.topic_id, &item.pack.key);
    assert_eq!(stub.ports(1).lanes.put_backlog(&lane, item).await, Err(PortError::Throttled));
    assert_eq!(stub.names(), ["Call"]);
}

#[tokio::test]
async fn a_message_that_can_neither_be_read_nor_put_aside_stays_in_the_queue() {
    let stub = Stub::new(|name, _| match name {
        "GetItem" => Answer::Ok(json!({ "Item": {
            "pk": {"S": "q"}, "sk": {"S": "ERA"}, "v": {"N": "1"}, "era": {"N": "1790000000000"} }})),
        "ReceiveMessage" => Answer::Ok(json!({ "Messages": [{
            "MessageId": "m", "ReceiptHandle": "r", "Body": "{\"w\":1}",
            "Attributes": { "SequenceNumber": "1", "ApproximateReceiveCount": "1" } }] })),
        _ => Answer::Fault(500, "InternalError", "oh"),
    });
    assert!(matches!(stub.ports(1).queue.receive(10).await, Err(PortError::Unavailable(_))));
    assert!(!stub.names().iter().any(|name| name.starts_with("DeleteMessage")), "{:?}", stub.names());
}
