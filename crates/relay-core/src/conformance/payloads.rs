//! The contract of [`crate::ports::Payloads`].

use super::samples::{dead_letter, event, lane_of, logged, pack, rest_of, subscription_id, topic};
use super::{Harness, run};
use crate::digest::{hexadecimal, sha256};
use crate::event::{Event, EventData, StoredData, StoredForm};
use crate::lane::table::Progress;
use crate::limits::PAYLOADS_OUTLIVE;
use crate::pack::Pack;
use crate::ports::{Expect, Message, PortError, Ports};
use crate::replay_id::{LogPosition, LogShard};
use crate::topic::{Retention, Topic};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// Runs all cases.
pub async fn run_all<H: Harness>(make: impl AsyncFn() -> H) {
    run!(make;
        a_payload_is_read_as_it_was_stored_and_survives_a_crash,
        payloads_of_other_retentions_are_others,
        an_unknown_payload_is_not_found,
        a_payload_that_is_not_what_its_name_says_is_not_served,
        a_payload_outlives_its_retention_and_goes,
        a_payload_that_is_stored_again_is_kept_as_long_again,
        what_is_queued_held_or_given_up_keeps_its_payloads,
        what_nothing_names_any_more_goes,
        payloads_are_kept_as_long_as_the_log,
    );
}

const DAY: Duration = Duration::from_secs(86_400);

fn payload(bytes: &[u8], retention: Option<Retention>) -> StoredData {
    let hash = hexadecimal(&sha256([bytes]));
    StoredData { hash, bytes: bytes.len() as u64, form: StoredForm::Binary, retention }
}

fn short(bytes: &[u8]) -> StoredData {
    payload(bytes, Some(Retention::Days1))
}

async fn store(ports: &Ports, payload: &StoredData, bytes: &'static [u8]) {
    ports.payloads.put(payload, Bytes::from_static(bytes)).await.unwrap();
}

/// Days pass, and of each of them a sweep.
async fn pass<H: Harness>(harness: &H, span: Duration) {
    for _ in 0..span.as_secs().div_ceil(DAY.as_secs()) {
        harness.advance(DAY.min(span)).await;
        let ports = harness.ports();
        while ports.log.expire(ports.clock.now()).await.unwrap() > 0 {}
        while ports.payloads.expire(ports.clock.now()).await.unwrap() > 0 {}
    }
}

async fn a_payload_is_read_as_it_was_stored_and_survives_a_crash<H: Harness>(harness: &H) {
    let big: Vec<u8> = (0..300_000u32).map(|at| (at % 251) as u8).collect();
    for bytes in [Bytes::new(), Bytes::from_static(b"\0\xff"), Bytes::from(big)] {
        for name in [payload(&bytes, None), payload(&bytes, Some(Retention::Days365))] {
            let payloads = harness.ports().payloads;
            payloads.put(&name, bytes.clone()).await.unwrap();
            payloads.put(&name, bytes.clone()).await.unwrap();
            assert_eq!(payloads.get(&name).await.unwrap(), bytes);
            harness.crash().await;
            assert_eq!(harness.ports().payloads.get(&name).await.unwrap(), bytes);
        }
    }
}

async fn payloads_of_other_retentions_are_others<H: Harness>(harness: &H) {
    let ports = harness.ports();
    store(&ports, &short(b"a"), b"a").await;
    for other in [None, Some(Retention::Days3)] {
        assert_eq!(ports.payloads.get(&payload(b"a", other)).await, Err(PortError::NotFound));
    }
}

async fn an_unknown_payload_is_not_found<H: Harness>(harness: &H) {
    let payloads = harness.ports().payloads;
    assert_eq!(payloads.get(&short(b"never stored")).await, Err(PortError::NotFound));
}

async fn a_payload_that_is_not_what_its_name_says_is_not_served<H: Harness>(harness: &H) {
    let payloads = harness.ports().payloads;
    if payloads.put(&short(b"this"), Bytes::from_static(b"that")).await.is_ok() {
        let read = payloads.get(&short(b"this")).await;
        assert!(matches!(read, Err(PortError::Corrupt(_))), "{read:?}");
    }
    let hostile = payloads.get(&StoredData { hash: "../../etc/passwd".to_owned(), ..short(b"") }).await;
    assert!(matches!(hostile, Err(PortError::NotFound | PortError::Invalid(_))), "{hostile:?}");
}

async fn a_payload_outlives_its_retention_and_goes<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let longer = payload(b"a", Some(Retention::Days30));
    let unknown = payload(b"a", None);
    for name in [&short(b"a"), &longer, &unknown] {
        store(&ports, name, b"a").await;
    }
    pass(harness, PAYLOADS_OUTLIVE).await;
    assert!(harness.ports().payloads.get(&short(b"a")).await.is_ok());
    pass(harness, 2 * DAY).await;
    assert_eq!(harness.ports().payloads.get(&short(b"a")).await, Err(PortError::NotFound));
    assert!(harness.ports().payloads.get(&longer).await.is_ok());
    pass(harness, 40 * DAY).await;
    assert_eq!(harness.ports().payloads.get(&longer).await, Err(PortError::NotFound));
    assert!(harness.ports().payloads.get(&unknown).await.is_ok(), "an earlier broker stored it for whatever retention");
}

async fn a_payload_that_is_stored_again_is_kept_as_long_again<H: Harness>(harness: &H) {
    store(&harness.ports(), &short(b"a"), b"a").await;
    pass(harness, 20 * DAY).await;
    store(&harness.ports(), &short(b"a"), b"a").await;
    pass(harness, 20 * DAY).await;
    assert!(harness.ports().payloads.get(&short(b"a")).await.is_ok());
}

fn pack_of(key: &str, payload: &StoredData) -> Arc<Pack> {
    let event = Event { data: EventData::Stored(payload.clone()), ..event(key) };
    Arc::new(Pack { events: vec![event], ..Pack::clone(&pack("orders", key, &[])) })
}

/// A lane's backlog has one event, and another one is given up.
async fn put_away(ports: &Ports, held: &StoredData, dead: &StoredData) -> (Message, Message) {
    let held = logged(ports, pack_of("held", held)).await;
    let dead = logged(ports, pack_of("dead", dead)).await;
    ports.lanes.put_backlog(&lane_of("sub", &held.pack).id, rest_of(&held, 0, 1)).await.unwrap();
    ports.dead_letters.put(dead_letter(&dead, "sub", 0)).await.unwrap();
    for message in [&held, &dead] {
        ports.queue.delete(std::slice::from_ref(&message.receipt)).await.remove(0).unwrap();
    }
    (held, dead)
}

async fn what_is_queued_held_or_given_up_keeps_its_payloads<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let names = [short(b"a"), short(b"b"), short(b"c")];
    for (name, bytes) in names.iter().zip([b"a", b"b", b"c"]) {
        store(&ports, name, bytes).await;
    }
    put_away(&ports, &names[0], &names[1]).await;
    assert!(ports.queue.send(vec![pack_of("queued", &names[2])]).await.remove(0).is_ok());
    pass(harness, 100 * DAY).await;
    harness.crash().await;
    for name in &names {
        assert!(harness.ports().payloads.get(name).await.is_ok(), "{name:?}");
    }
}

async fn what_nothing_names_any_more_goes<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let (a, b) = (short(b"a"), short(b"b"));
    store(&ports, &a, b"a").await;
    store(&ports, &b, b"b").await;
    let (held, dead) = put_away(&ports, &a, &b).await;
    // A log's last entry may stay for good.
    logged(&ports, pack("orders", "k", &["last"])).await;
    pass(harness, 40 * DAY).await;
    let lane = lane_of("sub", &held.pack).id;
    let item = ports.lanes.backlog_item(&lane, rest_of(&held, 0, 1).key).await.unwrap().unwrap();
    ports.lanes.progress(&lane, Progress { key: item.key, put_id: item.put_id, next: None }).await.unwrap();
    pass(harness, 40 * DAY).await;
    assert_eq!(harness.ports().payloads.get(&a).await, Err(PortError::NotFound));
    assert!(harness.ports().payloads.get(&b).await.is_ok());
    let dead = dead_letter(&dead, "sub", 0);
    assert!(harness.ports().dead_letters.delete(&subscription_id("sub"), &dead.id).await.unwrap());
    pass(harness, 40 * DAY).await;
    assert_eq!(harness.ports().payloads.get(&b).await, Err(PortError::NotFound));
}

async fn payloads_are_kept_as_long_as_the_log<H: Harness>(harness: &H) {
    let ports = harness.ports();
    // Accepted right before the topic's retention was made longer.
    store(&ports, &short(b"a"), b"a").await;
    let longer = Topic { retention: Retention::Days90, ..topic("orders") };
    ports.registry.put_topic(longer, Expect::Absent).await.unwrap();
    let message = logged(&ports, pack_of("k", &short(b"a"))).await;
    ports.queue.delete(std::slice::from_ref(&message.receipt)).await.remove(0).unwrap();
    harness.advance(Duration::from_secs(16 * 60)).await;
    let ports = harness.ports();
    while ports.log.compact(ports.clock.now()).await.unwrap() > 0 {}
    pass(harness, 40 * DAY).await;
    let ports = harness.ports();
    let shard = LogShard::of(&message.pack.key);
    let page = ports.log.read(&message.pack.topic_id, shard, LogPosition::default(), 10).await.unwrap();
    let payloads: Vec<&StoredData> = page.entries.iter().flat_map(|entry| entry.pack.stored()).collect();
    assert_eq!(payloads.len(), 1);
    assert_eq!(ports.payloads.get(payloads[0]).await, Ok(Bytes::from_static(b"a")));
}
