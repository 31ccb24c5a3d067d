//! Payloads in the bucket: when they are stored again. What removes them are the bucket's lifecycle rules, whose clock no
//! test can move: here a mark on the object shows whether it is still the one that was stored first.

use crate::world::World;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use relay_core::conformance::Harness;
use relay_core::digest::{hexadecimal, sha256};
use relay_core::event::{Event, EventData, StoredData, StoredForm};
use relay_core::lane::table::Progress;
use relay_core::lane::{BacklogItem, LaneRef, PutId, rest_key};
use relay_core::names::{PartitionKey, SubscriptionId, TopicId, TopicName};
use relay_core::pack::{LaneKey, Pack};
use relay_core::ports::{DeadLetter, Expect, Message, Ports, Receipt};
use relay_core::replay_id::{LogPosition, LogShard};
use relay_core::retry::DeadLetterReason;
use relay_core::sequence::PackSequence;
use relay_core::topic::{Retention, Topic};
use std::sync::Arc;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

fn payload(bytes: &[u8], retention: Retention) -> StoredData {
    let hash = hexadecimal(&sha256([bytes]));
    StoredData { hash, bytes: bytes.len() as u64, form: StoredForm::Binary, retention: Some(retention) }
}

fn key_of(payload: &StoredData) -> String {
    format!("payloads/retention={}/{}", payload.retention.unwrap().word(), payload.hash)
}

fn pack(key: &str, payload: &StoredData, world: &World) -> Arc<Pack> {
    let event = Event {
        id: key.to_owned(),
        source: "/test".to_owned(),
        kind: "test".to_owned(),
        subject: None,
        time: None,
        content_type: None,
        data_schema: None,
        extensions: vec![],
        data: EventData::Stored(payload.clone()),
        made: false,
    };
    Arc::new(Pack {
        topic: TopicName::new("orders").unwrap(),
        topic_id: TopicId::new("top_orders").unwrap(),
        key: LaneKey::Ordered(PartitionKey::new(key).unwrap()),
        accepted_at: world.ports().clock.now(),
        events: vec![event],
    })
}

/// Stores a payload as it is stored, but for a mark.
async fn store_marked(world: &World, payload: &StoredData, bytes: &'static [u8]) {
    let put = world.clients.s3.put_object().bucket(&world.resources.bucket).key(key_of(payload));
    put.metadata("mark", "first").body(ByteStream::from_static(bytes)).send().await.unwrap();
}

async fn is_first(world: &World, payload: &StoredData) -> bool {
    let head = world.clients.s3.head_object().bucket(&world.resources.bucket).key(key_of(payload)).send().await;
    head.unwrap().metadata().is_some_and(|metadata| metadata.contains_key("mark"))
}

async fn renew(world: &World) -> u64 {
    let ports = world.ports();
    let mut count = 0;
    loop {
        match ports.payloads.expire(ports.clock.now()).await.unwrap() {
            0 => return count,
            some => count += some,
        }
    }
}

fn backlog_item(pack: &Arc<Pack>) -> (LaneRef, BacklogItem) {
    let lane = LaneRef::new(&SubscriptionId::new("sub").unwrap(), &pack.topic_id, &pack.topic, &pack.key);
    let item = BacklogItem {
        key: rest_key(PackSequence { era: 1, number: 2 }),
        pack: pack.clone(),
        position: LogPosition { at: pack.accepted_at, unique: 1 },
        next: 0,
        end: 1,
        put_id: PutId(7),
        revision: 1,
        attempts: 0,
        first_failed_at: None,
        due_at: None,
        replay: false,
    };
    (lane, item)
}

fn dead_letter(pack: &Arc<Pack>) -> DeadLetter {
    let (lane, item) = backlog_item(pack);
    DeadLetter {
        id: DeadLetter::id_of(&lane.id, item.head()),
        subscription: lane.subscription,
        topic_id: pack.topic_id.clone(),
        pack: pack.clone(),
        sequence: item.head(),
        position: item.position,
        reason: DeadLetterReason::Exhausted,
        at: pack.accepted_at,
        attempts: 3,
        last_status: None,
        last_error: None,
        put_id: PutId(8),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payloads_of_what_is_put_away_are_stored_again_in_time_and_no_longer_than_that() {
    let world = World::new().await;
    let names = [b"a", b"b", b"c"].map(|bytes| payload(bytes, Retention::Days1));
    let [held, dead, neither] = &names;
    let (held_pack, dead_pack) = (pack("held", held, &world), pack("dead", dead, &world));
    let (lane, item) = backlog_item(&held_pack);
    world.ports().lanes.put_backlog(&lane.id, item.clone()).await.unwrap();
    world.ports().dead_letters.put(dead_letter(&dead_pack)).await.unwrap();
    let mark = async || {
        for (name, bytes) in names.iter().zip([b"a", b"b", b"c"]) {
            store_marked(&world, name, bytes).await;
        }
    };
    let marked = async || [is_first(&world, held).await, is_first(&world, dead).await, is_first(&world, neither).await];
    mark().await;
    world.advance(15 * DAY).await;
    assert_eq!((renew(&world).await, marked().await), (0, [true, true, true]), "there is time yet");
    world.advance(2 * DAY).await;
    assert_eq!((renew(&world).await, marked().await), (2, [false, false, true]), "half of the time has passed");
    assert_eq!(world.ports().payloads.get(held).await.unwrap(), Bytes::from_static(b"a"));
    assert_eq!(renew(&world).await, 0, "once");

    mark().await;
    let progress = Progress { key: item.key, put_id: item.put_id, next: None };
    world.ports().lanes.progress(&lane.id, progress).await.unwrap();
    world.advance(17 * DAY).await;
    assert_eq!((renew(&world).await, marked().await), (1, [true, false, true]), "what was delivered is not held");
    let dead_letter = dead_letter(&dead_pack);
    assert!(world.ports().dead_letters.delete(&dead_letter.subscription, &dead_letter.id).await.unwrap());
    world.advance(17 * DAY).await;
    assert_eq!(renew(&world).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payload_that_is_gone_holds_up_no_other() {
    let world = World::new().await;
    let [gone, there] = [b"a", b"b"].map(|bytes| payload(bytes, Retention::Days1));
    for (key, name) in [("k1", &gone), ("k2", &there)] {
        let (lane, item) = backlog_item(&pack(key, name, &world));
        world.ports().lanes.put_backlog(&lane.id, item).await.unwrap();
    }
    store_marked(&world, &there, b"b").await;
    world.advance(17 * DAY).await;
    assert_eq!(renew(&world).await, 2, "and it is not tried again every minute");
    assert!(!is_first(&world, &there).await);
}

async fn make_topic(ports: &Ports, retention: Retention) {
    let topic = Topic::new(TopicId::new("top_orders").unwrap(), TopicName::new("orders").unwrap(), ports.clock.now());
    ports.registry.put_topic(Topic { retention, ..topic }, Expect::Absent).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_names_payloads_that_are_kept_as_long_as_it() {
    let world = World::new().await;
    let ports = world.ports();
    // Accepted while the topic had another retention.
    let name = payload(b"a", Retention::Days1);
    store_marked(&world, &name, b"a").await;
    make_topic(&ports, Retention::Days90).await;
    let pack = pack("k", &name, &world);
    let shard = LogShard::of(&pack.key);
    let receipt = Receipt::Text(String::new());
    let sequence = PackSequence { era: 1, number: 2 };
    let message = Message { pack: pack.clone(), sequence, receives: 1, receipt, position: None };
    ports.log.append(&[message]).await.unwrap();
    world.advance(16 * Duration::from_secs(60)).await;
    assert_eq!(ports.log.compact(ports.clock.now()).await.unwrap(), 1);
    world.advance(8 * DAY).await;
    let ports = world.ports();
    let entries = ports.log.read(&pack.topic_id, shard, LogPosition::default(), 10).await.unwrap().entries;
    let longer = payload(b"a", Retention::Days90);
    assert_eq!(entries.iter().flat_map(|entry| entry.pack.stored()).collect::<Vec<_>>(), [&longer]);
    assert_eq!(ports.payloads.get(&longer).await.unwrap(), Bytes::from_static(b"a"));
}
