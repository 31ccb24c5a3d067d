//! The contract of [`crate::ports::EventLog`].

use super::samples::{held_now, lane_of, logged, pack, rest_of, topic, topic_id};
use super::{Harness, run};
use crate::ports::{Expect, Message, Ports};
use std::time::Duration;

/// Runs all cases.
pub async fn run_all<H: Harness>(make: impl AsyncFn() -> H) {
    run!(make;
        appending_answers_a_position_for_each_message,
        the_newest_entries_come_first_and_by_topic,
        the_log_survives_a_crash,
        what_is_younger_than_the_retention_stays,
        what_is_past_the_retention_goes,
        what_a_backlog_refers_to_stays_readable,
    );
}

const DAY: Duration = Duration::from_secs(86_400);

async fn acknowledge(ports: &Ports, message: &Message) {
    assert_eq!(ports.queue.delete(std::slice::from_ref(&message.receipt)).await, [Ok(())]);
}

async fn publish(ports: &Ports, topic: &str, count: usize) -> Vec<Message> {
    let mut messages = Vec::new();
    for at in 0..count {
        let message = logged(ports, pack(topic, "k", &[&format!("{topic}-{at}")])).await;
        acknowledge(ports, &message).await;
        messages.push(message);
    }
    messages
}

async fn newest_ids(ports: &Ports, topic: &str) -> Vec<String> {
    let entries = ports.log.newest(&topic_id(topic), None, 100).await.unwrap();
    entries.iter().map(|(_, _, pack)| pack.events[0].id.clone()).collect()
}

async fn expire_all(ports: &Ports) -> u64 {
    let mut removed = 0;
    for _ in 0..1000 {
        match ports.log.expire(ports.clock.now()).await.unwrap() {
            0 => return removed,
            some => removed += some,
        }
    }
    panic!("expiry does not end");
}

async fn appending_answers_a_position_for_each_message<H: Harness>(harness: &H) {
    let ports = harness.ports();
    assert!(ports.log.append(&[]).await.unwrap().is_empty());
    let packs = ["a", "b", "c"].map(|key| pack("orders", key, &[key]));
    for answer in ports.queue.send(packs.to_vec()).await {
        answer.expect("accepted");
    }
    let mut messages = Vec::new();
    while messages.len() < 3 {
        messages.extend(ports.queue.receive(10).await.unwrap());
    }
    let first = ports.log.append(&messages).await.unwrap();
    assert_eq!(first.len(), 3);
    assert!(first[0] != first[1] && first[1] != first[2] && first[0] != first[2]);
    assert_eq!(ports.log.append(&messages).await.unwrap().len(), 3, "appending again is harmless");
    let mut ids = newest_ids(&ports, "orders").await;
    ids.sort();
    ids.dedup();
    assert_eq!(ids, ["a", "b", "c"]);
}

async fn the_newest_entries_come_first_and_by_topic<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let mut messages = Vec::new();
    for round in 0..5 {
        for topic in ["orders", "bills"] {
            let message = logged(&ports, pack(topic, "k", &[&format!("{topic}-{round}")])).await;
            acknowledge(&ports, &message).await;
            messages.push(message);
        }
        harness.advance(Duration::from_secs(1)).await;
    }
    assert_eq!(newest_ids(&ports, "orders").await, ["orders-4", "orders-3", "orders-2", "orders-1", "orders-0"]);
    let page = ports.log.newest(&topic_id("bills"), None, 2).await.unwrap();
    assert_eq!(page.len(), 2);
    let of_page: Vec<_> = page.iter().map(|(_, _, pack)| pack.events[0].id.as_str()).collect();
    assert_eq!(of_page, ["bills-4", "bills-3"]);
    assert!(page[0].0 > page[1].0, "positions rise");
    assert!(page[0].1 > page[1].1, "so do the sequences of one key");
    let same = messages.iter().find(|message| message.sequence == page[0].1).expect("it is one that was sent");
    assert_eq!((same.position, &same.pack), (Some(page[0].0), &page[0].2));
    let rest = ports.log.newest(&topic_id("bills"), Some(page[1].0), 100).await.unwrap();
    let of_rest: Vec<_> = rest.iter().map(|(_, _, pack)| pack.events[0].id.as_str()).collect();
    assert_eq!(of_rest, ["bills-2", "bills-1", "bills-0"]);
    assert!(ports.log.newest(&topic_id("nothing"), None, 10).await.unwrap().is_empty());
}

async fn the_log_survives_a_crash<H: Harness>(harness: &H) {
    publish(&harness.ports(), "orders", 3).await;
    harness.crash().await;
    let ports = harness.ports();
    assert_eq!(newest_ids(&ports, "orders").await, ["orders-2", "orders-1", "orders-0"]);
    logged(&ports, pack("orders", "k", &["later"])).await;
    assert_eq!(newest_ids(&ports, "orders").await, ["later", "orders-2", "orders-1", "orders-0"]);
}

async fn what_is_younger_than_the_retention_stays<H: Harness>(harness: &H) {
    let ports = harness.ports();
    ports.registry.put_topic(topic("orders"), Expect::Absent).await.unwrap();
    publish(&ports, "orders", 3).await;
    harness.advance(DAY * 7 - Duration::from_secs(60)).await;
    assert_eq!(expire_all(&ports).await, 0);
    assert_eq!(newest_ids(&ports, "orders").await.len(), 3);
}

async fn what_is_past_the_retention_goes<H: Harness>(harness: &H) {
    let ports = harness.ports();
    ports.registry.put_topic(topic("orders"), Expect::Absent).await.unwrap();
    publish(&ports, "orders", 3).await;
    let waiting = pack("orders", "other", &["waiting"]);
    ports.queue.send(vec![waiting]).await[0].clone().expect("accepted");
    harness.advance(DAY * 4).await;
    publish(&ports, "orders", 2).await;
    harness.advance(DAY * 4).await;
    // What is not acknowledged is still queued; an adapter whose log is not its queue does not have it yet.
    expire_all(&ports).await;
    let left = newest_ids(&ports, "orders").await;
    let logged: Vec<_> = left.iter().filter(|id| *id != "waiting").collect();
    assert_eq!(logged, ["orders-1", "orders-0"], "the younger two, whose ids are those of the first two");
    harness.crash().await;
    let ports = harness.ports();
    expire_all(&ports).await;
    harness.advance(Duration::from_secs(120)).await;
    let mut received = Vec::new();
    for _ in 0..20 {
        received.extend(ports.queue.receive(10).await.unwrap());
    }
    assert!(received.iter().any(|message| message.pack.events[0].id == "waiting"), "queued events never expire");
}

async fn what_a_backlog_refers_to_stays_readable<H: Harness>(harness: &H) {
    let ports = harness.ports();
    ports.registry.put_topic(topic("orders"), Expect::Absent).await.unwrap();
    let message = logged(&ports, pack("orders", "k", &["kept"])).await;
    let lane = lane_of("sub", &message.pack);
    ports.lanes.put_backlog(&lane.id, rest_of(&message, 0, 1)).await.unwrap();
    ports.lanes.switch(&held_now(&lane, ports.clock.now()), false).await.unwrap();
    acknowledge(&ports, &message).await;
    publish(&ports, "orders", 3).await;
    harness.advance(DAY * 400).await;
    publish(&ports, "orders", 1).await;
    expire_all(&ports).await;
    let read = ports.lanes.backlog(&lane.id, 10).await.unwrap();
    assert_eq!(*read.items[0].pack, *message.pack);
}
