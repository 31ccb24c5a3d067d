//! What the cases put into their worlds.

use crate::event::{AttributeValue, Event, EventData, StoredData, StoredForm};
use crate::grants::{Action, ApiKey, Grant, TopicPattern};
use crate::lane::{BacklogItem, HoldReason, rest_key};
use crate::lane::{LaneRef, Lease, OwnerId, PutId, table::NewLane};
use crate::names::{KeyId, PartitionKey, SubscriptionId, TopicId, TopicName};
use crate::pack::{LaneKey, Pack};
use crate::ports::{DeadLetter, Message, Ports};
use crate::retry::{DeadLetterReason, RetryPolicy};
use crate::signing::Secret;
use crate::subscription::{Endpoint, Mode, Status, Subscription};
use crate::time::Time;
use crate::topic::Topic;
use bytes::Bytes;
use std::sync::Arc;

pub(super) fn topic_id(text: &str) -> TopicId {
    TopicId::new(format!("top_{text}")).unwrap()
}

pub(super) fn topic_name(text: &str) -> TopicName {
    TopicName::new(text).unwrap()
}

pub(super) fn subscription_id(text: &str) -> SubscriptionId {
    SubscriptionId::new(text).unwrap()
}

pub(super) fn ordered(text: &str) -> LaneKey {
    LaneKey::Ordered(PartitionKey::new(text).unwrap())
}

pub(super) fn event(id: &str) -> Event {
    Event {
        id: id.to_owned(),
        source: "/conformance".to_owned(),
        kind: "com.example.tested".to_owned(),
        subject: None,
        time: None,
        content_type: Some("application/json".to_owned()),
        data_schema: None,
        extensions: vec![],
        data: EventData::Json(Bytes::from(format!("{{\"id\":\"{id}\"}}"))),
        made: false,
    }
}

/// One event of each kind of data, with every attribute set in one of them.
pub(super) fn events_of_every_kind() -> Vec<Event> {
    let extensions = vec![
        ("truth".to_owned(), AttributeValue::Boolean(true)),
        ("number".to_owned(), AttributeValue::Integer(i32::MIN)),
        ("text".to_owned(), AttributeValue::Text("\u{0}\u{1F600} \"quoted\"".to_owned())),
    ];
    let full = Event {
        subject: Some("s".to_owned()),
        time: Some("2026-11-18T12:06:40.123+01:00".to_owned()),
        data_schema: Some("https://example.com/schema".to_owned()),
        extensions,
        made: true,
        ..event("full")
    };
    let stored = StoredData { hash: "ab".repeat(32), bytes: 1 << 40, form: StoredForm::Text, retention: None };
    let data = [
        EventData::None,
        EventData::Json(Bytes::from_static(b"[1, 2.50]")),
        EventData::Text("ä\u{0}".to_owned()),
        EventData::Binary(Bytes::from_static(&[0, 255, 254, 10])),
        EventData::Binary(Bytes::new()),
        EventData::Stored(stored),
    ];
    let kinds = data.into_iter().enumerate().map(|(at, data)| Event { data, ..event(&format!("kind-{at}")) });
    std::iter::once(full).chain(kinds).collect()
}

/// A pack of the topic with this name (its id is [`topic_id`] of it), with the ids of its events.
pub(super) fn pack(topic: &str, key: &str, ids: &[&str]) -> Arc<Pack> {
    Arc::new(Pack {
        topic: topic_name(topic),
        topic_id: topic_id(topic),
        key: ordered(key),
        accepted_at: Time(1_700_000_000_000),
        events: ids.iter().map(|id| event(id)).collect(),
    })
}

/// Sends one pack, which has to succeed, and receives it again: a message that lies in the log.
pub(super) async fn logged(ports: &Ports, pack: Arc<Pack>) -> Message {
    let group = pack.group();
    let sent = ports.queue.send(vec![pack]).await;
    assert_eq!(sent.len(), 1, "one answer for each pack");
    let sequence = sent[0].clone().expect("the pack is accepted").sequence;
    for _ in 0..100 {
        for mut message in ports.queue.receive(10).await.unwrap() {
            if (message.pack.group(), message.sequence) == (group, sequence) {
                message.position = ports.log.append(std::slice::from_ref(&message)).await.unwrap().first().copied();
                assert!(message.position.is_some(), "an appended message has a position");
                return message;
            }
        }
    }
    panic!("a message that was sent is not received");
}

/// What is left of a logged pack from an index on.
pub(super) fn rest_of(message: &Message, next: u16, put_id: u64) -> BacklogItem {
    BacklogItem {
        key: rest_key(message.sequence),
        pack: message.pack.clone(),
        position: message.position.unwrap(),
        next,
        end: u16::try_from(message.pack.events.len()).unwrap(),
        put_id: PutId(put_id),
        revision: 1,
        attempts: 0,
        first_failed_at: None,
        due_at: None,
        replay: false,
    }
}

/// One event of a logged pack, given up.
pub(super) fn dead_letter(message: &Message, subscription: &str, index: u16) -> DeadLetter {
    let sequence = message.sequence.event(index);
    DeadLetter {
        id: DeadLetter::id_of(&lane_of(subscription, &message.pack).id, sequence),
        subscription: subscription_id(subscription),
        topic_id: message.pack.topic_id.clone(),
        pack: message.pack.clone(),
        sequence,
        position: message.position.unwrap(),
        reason: DeadLetterReason::Rejected,
        at: Time(1_700_000_000_456),
        attempts: 3,
        last_status: Some(400),
        last_error: None,
        put_id: PutId(7),
    }
}

pub(super) fn lane_of(subscription: &str, pack: &Pack) -> LaneRef {
    LaneRef::new(&subscription_id(subscription), &pack.topic_id, &pack.topic, &pack.key)
}

pub(super) fn held_now(lane: &LaneRef, now: Time) -> NewLane {
    NewLane {
        lane: lane.clone(),
        reason: HoldReason::Failing,
        since: now,
        next_attempt_at: Some(now),
        lease: None,
        attempts: 1,
        last_status: Some(503),
        last_error: None,
    }
}

pub(super) fn lease(owner: u64, until: Time) -> Lease {
    Lease { owner: OwnerId(owner), until }
}

pub(super) fn topic(name: &str) -> Topic {
    Topic::new(topic_id(name), topic_name(name), Time(1_700_000_000_000))
}

pub(super) fn subscription(id: &str, topic: &str) -> Subscription {
    Subscription {
        id: subscription_id(id),
        topic_id: topic_id(topic),
        topic: topic_name(topic),
        endpoint: Endpoint {
            url: "https://example.com/hook".to_owned(),
            headers: vec![("authorization".to_owned(), "Bearer \"x\"".to_owned())],
            timeout_ms: 10_000,
            mode: Mode::Batch,
            max_batch: 7,
        },
        retry: RetryPolicy::default(),
        rate_limit: Some(5),
        secrets: vec![Secret::new("sec_1".to_owned(), [7; Secret::KEY_BYTES], Time(1_700_000_000_000))],
        status: Status::Active,
        status_reason: None,
        revision: 1,
        resuming: false,
        resuming_key: None,
        rewind: None,
        skipped_from: None,
        told_of_expiry: false,
        status_at: Time(1),
        last_replay: None,
        failing_since: None,
        probes: 0,
        version: 1,
        created_at: Time(1_700_000_000_000),
        updated_at: Time(1_700_000_000_000),
        deleted_at: None,
    }
}

pub(super) fn api_key(id: &str) -> ApiKey {
    ApiKey {
        id: KeyId::new(id).unwrap(),
        name: "Ünï \"name\"".to_owned(),
        hash: format!("{id:0>64}"),
        grants: vec![Grant { action: Action::Publish, topics: TopicPattern::new("orders.*").unwrap() }],
        expires_at: Some(Time(9_000_000_000_000)),
        created_at: Time(1_700_000_000_000),
    }
}
