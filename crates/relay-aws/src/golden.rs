//! Every stored and queued form, as this version writes it, decoded from files that are kept for ever: what lies in
//! queue, table or bucket during an upgrade or a canary stays readable. A form that changes gets another file, and
//! keeps this one. `RELAY_GOLDEN=write cargo test` writes files that are missing.

use crate::table::Key;
use crate::table::attributes::{Row, binary, number, text};
use crate::{attempts, cursors, dead_letters, lanes, log, packs, queue, registry, wake_ups};
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use relay_core::event::{Event, EventData};
use relay_core::grants::{Action, ApiKey, Grant, TopicPattern};
use relay_core::lane::{
    BacklogItem, HoldReason, LaneItem, LaneRef, Lease, OwnerId, PutId, Resolution, ResolveAction, rest_key,
};
use relay_core::log::Committed;
use relay_core::names::{KeyId, PartitionKey, SubscriptionId, TopicId, TopicName};
use relay_core::pack::{LaneKey, Pack};
use relay_core::ports::{Attempt, AttemptOutcome, DeadLetter, IdempotentAnswer, WakeUp};
use relay_core::record;
use relay_core::replay_id::LogPosition;
use relay_core::retry::{DeadLetterReason, RetryPolicy};
use relay_core::sequence::PackSequence;
use relay_core::signing::Secret;
use relay_core::subscription::{Endpoint, Mode, Status, Subscription};
use relay_core::time::Time;
use relay_core::topic::Topic;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::sync::Arc;

const AT: Time = Time(1_795_000_000_000);

/// The file of a form; what is written now, if there is none and it is asked for.
fn kept(name: &str, now: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")).join(name);
    if !path.exists() && std::env::var("RELAY_GOLDEN").as_deref() == Ok("write") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, now()).unwrap();
    }
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn kept_text(name: &str, now: impl FnOnce() -> String) -> String {
    let bytes = kept(name, || (now() + "\n").into_bytes());
    String::from_utf8(bytes).unwrap().trim_end().to_owned()
}

/// A row from DynamoDB's own JSON.
fn kept_row(name: &str, now: impl FnOnce() -> Row) -> Row {
    let text = kept_text(name, || {
        let attribute = |value: &AttributeValue| match value {
            AttributeValue::S(text) => json!({ "S": text }),
            AttributeValue::N(number) => json!({ "N": number }),
            AttributeValue::B(bytes) => json!({ "B": STANDARD.encode(bytes) }),
            AttributeValue::Bool(flag) => json!({ "BOOL": flag }),
            other => panic!("no row has {other:?}"),
        };
        let row: Map<String, Value> = now().0.iter().map(|(name, value)| (name.clone(), attribute(value))).collect();
        serde_json::to_string_pretty(&row).unwrap()
    });
    let row: Map<String, Value> = serde_json::from_str(&text).unwrap();
    let attribute = |value: &Value| {
        let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
        match kind.as_str() {
            "S" => AttributeValue::S(value.as_str().unwrap().to_owned()),
            "N" => AttributeValue::N(value.as_str().unwrap().to_owned()),
            "B" => AttributeValue::B(Blob::new(STANDARD.decode(value.as_str().unwrap()).unwrap())),
            _ => AttributeValue::Bool(value.as_bool().unwrap()),
        }
    };
    Row(row.iter().map(|(name, value)| (name.clone(), attribute(value))).collect()).checked().unwrap()
}

fn same(read: impl std::fmt::Debug, meant: impl std::fmt::Debug) {
    assert_eq!(format!("{read:#?}"), format!("{meant:#?}"));
}

fn subscription_id() -> SubscriptionId {
    SubscriptionId::new("sub_1").unwrap()
}

fn pack() -> Pack {
    let event = |id: &str, data| Event {
        id: id.to_owned(),
        source: "/shop".to_owned(),
        kind: "order.paid".to_owned(),
        subject: Some("s".to_owned()),
        time: Some("2026-11-18T12:06:40Z".to_owned()),
        content_type: None,
        data_schema: None,
        extensions: vec![],
        data,
        made: false,
    };
    Pack {
        topic: TopicName::new("orders").unwrap(),
        topic_id: TopicId::new("top_1").unwrap(),
        key: LaneKey::Ordered(PartitionKey::new("customer-7").unwrap()),
        accepted_at: AT,
        events: vec![
            event("1", EventData::Json(bytes::Bytes::from_static(b"{\"total\": 5.0}"))),
            event("2", EventData::Binary(bytes::Bytes::from_static(&[0, 255]))),
        ],
    }
}

fn sequence() -> PackSequence {
    PackSequence { era: 1_790_000_000_000, number: 18_850_000_000_000_000_001 }
}

fn lane() -> LaneRef {
    let pack = pack();
    LaneRef::new(&subscription_id(), &pack.topic_id, &pack.topic, &pack.key)
}

fn backlog_item() -> BacklogItem {
    BacklogItem {
        key: rest_key(sequence()),
        pack: Arc::new(pack()),
        position: LogPosition { at: AT, unique: 513 },
        next: 1,
        end: 2,
        put_id: PutId(99),
        revision: 4,
        attempts: 3,
        first_failed_at: Some(AT),
        due_at: Some(Time(AT.0 + 1)),
        replay: true,
    }
}

#[test]
fn the_message_of_a_pack_is_read() {
    let body = kept_text("message.json", || queue::message::body_of(&pack()).unwrap());
    let raw = queue::message::RawMessage {
        body: &body,
        sequence_number: "18850000000000000001",
        receive_count: "2",
        receipt: "handle",
    };
    let message = queue::message::decode(1_790_000_000_000, &raw).unwrap();
    assert_eq!((&*message.pack, message.sequence, message.receives), (&pack(), sequence(), 2));
}

#[test]
fn wake_ups_are_read() {
    let (of_lane, probe) = (WakeUp::Lane(lane()), WakeUp::Probe(subscription_id()));
    for (name, wake_up) in [("wake-up-lane.json", of_lane), ("wake-up-probe.json", probe)] {
        let body = kept_text(name, || record::encode(&wake_up).unwrap());
        assert_eq!(wake_ups::decode(&body), Ok(wake_up));
    }
}

#[test]
fn a_lane_item_is_read() {
    let item = LaneItem {
        lane: lane(),
        version: 7,
        lease: Some(Lease { owner: OwnerId(5), until: AT }),
        reason: HoldReason::Failing,
        since: AT,
        next_attempt_at: Some(AT),
        attempts: 3,
        last_status: Some(503),
        last_error: Some("timeout".to_owned()),
        resolution: Some(Resolution { action: ResolveAction::Skip, sequence: rest_key(sequence()), at: AT }),
    };
    let row = kept_row("lane.json", || lanes::item::row_of(&item, 1).unwrap());
    assert_eq!(lanes::item::item_of(&row), Ok(item));
}

#[test]
fn a_backlog_item_is_read_with_its_pack_inside_or_beside() {
    let row = kept_row("backlog.json", || {
        let inside = packs::compress(&relay_core::pack::codec::encode(&pack())).unwrap();
        let key = Key::new("BACKLOG#x", rest_key(sequence()).to_string());
        lanes::stored::item_row(&key, &backlog_item()).with("packBytes", number(1)).with("pack", binary(inside))
    });
    let read = packs::decode(row.find_binary("pack").unwrap()).unwrap();
    same(lanes::stored::Stored::of(&row).unwrap().with_pack(read).unwrap(), backlog_item());
    let object = kept("held.zst", || packs::compress(&relay_core::pack::codec::encode(&pack())).unwrap());
    assert_eq!(*packs::decode(&object).unwrap(), pack());
}

#[test]
fn an_item_of_the_log_is_read() {
    let bytes = kept("log.zst", || log::item::encode(&[(sequence(), &pack())]).unwrap());
    assert_eq!(log::item::decode(&bytes), Ok(vec![(sequence(), Arc::new(pack()))]));
}

#[test]
fn a_shard_of_the_log_is_read_with_and_without_a_claim() {
    let position = |unique| LogPosition { at: AT, unique };
    let path = "events/retention=7d/topic=orders/topicid=top_1/date=2026-11-18/hour=11/a-b-2.jsonl.zst".to_owned();
    let span = log::shard::Span { first: position(7), through: position(255), path: path.clone() };
    let claimed = log::shard::Shard { compacted: position(5), pending: Some(span), bytes_per_second: 9 };
    let row = kept_row("log-shard.json", || {
        Row::of(&Key::new("LOG#top_1#2", "SHARD"))
            .with("compactedThrough", text("1795000000000-00000000000000000005"))
            .with("pendingFirst", text("1795000000000-00000000000000000007"))
            .with("pendingThrough", text("1795000000000-00000000000000000255"))
            .with("pendingPath", text(&path))
            .with("bytesPerSecond", number(9))
    });
    assert_eq!(log::shard::shard_of(&row), Ok(claimed.clone()));
    let mut free = row;
    for name in ["pendingFirst", "pendingThrough", "pendingPath"] {
        free.0.remove(name);
    }
    assert_eq!(log::shard::shard_of(&free), Ok(log::shard::Shard { pending: None, ..claimed }));

    let segment = log::shard::Segment {
        path,
        first: position(7),
        last: position(130),
        events: 12,
        bytes: 3_456,
        index_at: 3_000,
        checksum: "ab".repeat(32),
    };
    let (topic, shard) = (pack().topic_id, relay_core::replay_id::LogShard::ALL[2]);
    let row = kept_row("log-segment.json", || log::shard::segment_row(&topic, shard, &segment));
    let week = std::time::Duration::from_secs(7 * 86_400);
    assert_eq!(log::shard::segment_of(&row, AT), Ok(Some(segment)));
    assert_eq!(log::shard::segment_of(&row, AT + week), Ok(None), "its class has passed");
}

#[test]
fn an_item_of_attempts_is_read() {
    let attempt = Attempt {
        subscription: subscription_id(),
        event_id: "1".to_owned(),
        topic: pack().topic,
        key: pack().key,
        sequence: sequence().event(1),
        number: 2,
        started_at: AT,
        duration_ms: 12,
        outcome: AttemptOutcome::Rejected,
        status: Some(422),
        error: None,
        response: "no".to_owned(),
        replay: true,
    };
    let bytes = kept("attempts.zst", || attempts::encode(std::slice::from_ref(&attempt)).unwrap());
    assert_eq!(attempts::decode(&bytes), Ok(vec![attempt]));
}

#[test]
fn a_dead_letter_is_read() {
    let dead_letter = DeadLetter {
        id: DeadLetter::id_of(&lane().id, sequence().event(1)),
        subscription: subscription_id(),
        topic_id: pack().topic_id,
        pack: Arc::new(pack()),
        sequence: sequence().event(1),
        position: LogPosition { at: AT, unique: 513 },
        reason: DeadLetterReason::Exhausted,
        at: AT,
        attempts: 9,
        last_status: None,
        last_error: Some("reset".to_owned()),
        put_id: PutId(8),
    };
    let row = kept_row("dead-letter.json", || dead_letters::row_of(&dead_letter).unwrap());
    same(dead_letters::dead_letter_of(&row, Arc::new(pack())).unwrap(), dead_letter);
}

#[test]
fn a_topic_is_read() {
    let topic = Topic { owner: Some("team".to_owned()), ..Topic::new(pack().topic_id, pack().topic, AT) };
    let row = kept_row("topic.json", || registry::topics::row_of(&topic).unwrap());
    assert_eq!(registry::topics::topic_of(&row), Ok(topic));
    let head = kept_row("topic-list.json", || {
        let head = Row::of(&registry::lists::key_of(&pack().topic_id)).with("topicName", text("orders"));
        head.with("isGone", AttributeValue::Bool(false)).with("listVersion", number(6))
    });
    assert_eq!(registry::lists::version_of(&head), Some(6));
}

#[test]
fn a_subscription_is_read() {
    let subscription = Subscription {
        id: subscription_id(),
        topic_id: pack().topic_id,
        topic: pack().topic,
        endpoint: Endpoint {
            url: "https://example.com/hook".to_owned(),
            headers: vec![("x-a".to_owned(), "b".to_owned())],
            timeout_ms: 10_000,
            mode: Mode::Batch,
            max_batch: 7,
        },
        retry: RetryPolicy::default(),
        rate_limit: Some(5),
        secrets: vec![Secret::new("sec_1".to_owned(), [7; Secret::KEY_BYTES], AT)],
        status: Status::Paused,
        status_reason: Some("asked".to_owned()),
        revision: 2,
        resuming: false,
        resuming_key: None,
        rewind: None,
        skipped_from: None,
        told_of_expiry: false,
        status_at: Time::default(),
        last_replay: None,
        failing_since: Some(AT),
        probes: 1,
        version: 3,
        created_at: AT,
        updated_at: AT,
        deleted_at: None,
    };
    let key = Key::new("SUB#sub_1", "SUB");
    let row = kept_row("subscription.json", || registry::subscriptions::row_at(&key, &subscription).unwrap());
    assert_eq!(registry::subscriptions::subscription_of(&row), Ok(subscription));
}

#[test]
fn what_a_consumer_has_committed_is_read() {
    let mut every_part: Vec<u8> = (1..=239).collect();
    // An event of a key is named within each shard.
    (0..4).for_each(|shard| every_part[17 + 51 * shard] = 1);
    let cursor = URL_SAFE_NO_PAD.encode(every_part).parse().unwrap();
    let committed = Committed { moves: 2, cursor };
    let row = kept_row("cursor.json", || cursors::row_of(&subscription_id(), &committed).unwrap());
    assert_eq!(cursors::committed_of(&row), Ok(committed));
}

#[test]
fn a_key_is_read() {
    let key = ApiKey {
        id: KeyId::new("key_1").unwrap(),
        name: "shop".to_owned(),
        hash: "ab".repeat(32),
        grants: vec![Grant { action: Action::Publish, topics: TopicPattern::new("orders.*").unwrap() }],
        expires_at: Some(AT),
        created_at: AT,
    };
    let place = Key::new("KEYS", "key_1");
    let row = kept_row("key.json", || registry::keys::row_at(&place, &key).unwrap());
    assert_eq!(registry::keys::api_key_of(&row), Ok(key));
}

#[test]
fn an_idempotent_answer_is_read() {
    let answer = IdempotentAnswer { request_hash: "cd".repeat(32), status: 201, body: "{}".to_owned(), at: AT };
    let row = kept_row("answer.json", || registry::answer_row("key", &answer).unwrap());
    assert_eq!(registry::answer_of(&row), Ok(answer));
}
