//! The contract of [`crate::ports::EventLog`].

use super::samples::{held_now, lane_of, logged, ordered, pack, rest_of, topic, topic_id};
use super::{Harness, run};
use crate::ports::{Expect, Message, Ports};
use crate::replay_id::{LogPosition, LogShard};
use std::collections::HashMap;
use std::time::Duration;

/// Runs all cases.
pub async fn run_all<H: Harness>(make: impl AsyncFn() -> H) {
    run!(make;
        appending_answers_a_position_for_each_message,
        the_newest_entries_come_first_and_by_topic,
        the_log_survives_a_crash,
        a_shard_is_read_forward_in_parts,
        what_was_appended_together_is_read_apart,
        reading_starts_at_a_time,
        of_a_key_that_is_asked_for_nothing_is_left_out,
        where_reading_ended_it_goes_on,
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
    entries.iter().map(|entry| entry.pack.events[0].id.clone()).collect()
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
    let of_page: Vec<_> = page.iter().map(|entry| entry.pack.events[0].id.as_str()).collect();
    assert_eq!(of_page, ["bills-4", "bills-3"]);
    assert!(page[0].position > page[1].position, "positions rise");
    assert!(page[0].sequence > page[1].sequence, "so do the sequences of one key");
    let same = messages.iter().find(|message| message.sequence == page[0].sequence).expect("it is one that was sent");
    assert_eq!((same.position, &same.pack), (Some(page[0].position), &page[0].pack));
    let rest = ports.log.newest(&topic_id("bills"), Some(page[1].position), 100).await.unwrap();
    let of_rest: Vec<_> = rest.iter().map(|entry| entry.pack.events[0].id.as_str()).collect();
    assert_eq!(of_rest, ["bills-2", "bills-1", "bills-0"]);
    assert!(ports.log.newest(&topic_id("nothing"), None, 10).await.unwrap().is_empty());
}

/// Lets what was appended settle.
async fn settle<H: Harness>(harness: &H) {
    harness.advance(harness.ports().log.settle() * 5).await;
}

/// Reads a shard to its end, so many entries at a time: the first events' ids, and where it ended.
async fn read_all(ports: &Ports, shard: LogShard, mut after: LogPosition, limit: usize) -> (Vec<String>, LogPosition) {
    let mut ids = Vec::new();
    for _ in 0..1000 {
        let page = ports.log.read(&topic_id("orders"), shard, after, limit).await.unwrap();
        for entry in &page.entries {
            assert!(after < entry.position && entry.position <= page.through, "in order, each once");
            assert_eq!(LogShard::of(&entry.pack.key), shard);
            assert_eq!(entry.pack.topic_id, topic_id("orders"));
            after = entry.position;
            ids.push(entry.pack.events[0].id.clone());
        }
        assert!(page.through >= after && (!page.is_more || !page.entries.is_empty()));
        after = page.through;
        if !page.is_more {
            return (ids, after);
        }
    }
    panic!("reading does not end");
}

async fn a_shard_is_read_forward_in_parts<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let mut sent: HashMap<LogShard, Vec<String>> = HashMap::new();
    for at in 0..12 {
        let key = format!("k{}", at % 5);
        let message = logged(&ports, pack("orders", &key, &[&format!("e{at:02}")])).await;
        sent.entry(LogShard::of(&message.pack.key)).or_default().push(message.pack.events[0].id.clone());
        acknowledge(&ports, &message).await;
        acknowledge(&ports, &logged(&ports, pack("bills", &key, &[&format!("other{at}")])).await).await;
    }
    settle(harness).await;
    harness.crash().await;
    let ports = harness.ports();
    assert!(sent.len() > 1, "keys are in several shards");
    for limit in [1, 3, 100] {
        for shard in LogShard::ALL {
            let (ids, _) = read_all(&ports, shard, LogPosition::default(), limit).await;
            assert_eq!(&ids, sent.entry(shard).or_default());
        }
    }
    let nothing = ports.log.read(&topic_id("nothing"), LogShard::ALL[0], LogPosition::default(), 10).await.unwrap();
    assert!(nothing.entries.is_empty() && !nothing.is_more);
}

async fn what_was_appended_together_is_read_apart<H: Harness>(harness: &H) {
    let ports = harness.ports();
    for at in 0..5 {
        ports.queue.send(vec![pack("orders", "k", &[&format!("e{at}")])]).await[0].clone().expect("accepted");
    }
    let mut messages = Vec::new();
    while messages.len() < 5 {
        let some = ports.queue.receive(10).await.unwrap();
        // A group gives more only when what it gave is done.
        for answer in ports.queue.delete(&some.iter().map(|message| message.receipt.clone()).collect::<Vec<_>>()).await
        {
            assert_eq!(answer, Ok(()));
        }
        messages.extend(some);
    }
    ports.log.append(&messages).await.unwrap();
    settle(harness).await;
    for limit in [1, 2, 5] {
        let (ids, _) = read_all(&ports, LogShard::of(&ordered("k")), LogPosition::default(), limit).await;
        assert_eq!(ids, ["e0", "e1", "e2", "e3", "e4"], "{limit} at a time");
        let first =
            ports.log.read(&topic_id("orders"), LogShard::of(&ordered("k")), LogPosition::default(), limit).await;
        assert_eq!(first.unwrap().entries.len(), limit);
    }
}

async fn reading_starts_at_a_time<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let mut messages = Vec::new();
    for at in 0..6 {
        messages.push(logged(&ports, pack("orders", "k", &[&format!("e{at}")])).await);
        acknowledge(&ports, &messages[at]).await;
        harness.advance(Duration::from_secs(60)).await;
    }
    settle(harness).await;
    let shard = LogShard::of(&messages[0].pack.key);
    let since = async |position| read_all(&ports, shard, position, 10).await.0;
    let third = messages[2].position.expect("it is logged");
    assert_eq!(since(LogPosition::before(third.at)).await, ["e2", "e3", "e4", "e5"]);
    assert_eq!(since(LogPosition::before(third.at + Duration::from_millis(1))).await, ["e3", "e4", "e5"]);
    assert_eq!(since(third).await, ["e3", "e4", "e5"]);
    assert_eq!(since(third.previous()).await, ["e2", "e3", "e4", "e5"]);
    assert_eq!(since(LogPosition::before(ports.clock.now() + DAY)).await, [""; 0]);
}

async fn of_a_key_that_is_asked_for_nothing_is_left_out<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let mut sent: HashMap<String, Vec<String>> = HashMap::new();
    for at in 0..24 {
        let key = format!("k{}", at % 8);
        let message = logged(&ports, pack("orders", &key, &[&format!("e{at:02}"), &format!("e{at:02}-2")])).await;
        sent.entry(key).or_default().push(message.pack.events[0].id.clone());
        acknowledge(&ports, &message).await;
    }
    settle(harness).await;
    for limit in [1, 2, 100] {
        for (key, expected) in &sent {
            let (key, mut after, mut ids) = (ordered(key), LogPosition::default(), Vec::new());
            for round in 0.. {
                assert!(round < 1000, "reading does not end");
                let page = ports.log.read_key(&topic_id("orders"), &key, after, limit).await.unwrap();
                assert!(page.entries.len() <= limit);
                assert!(page.entries.iter().all(|entry| after < entry.position && entry.position <= page.through));
                assert!(!page.is_more || page.through > after, "it gets on");
                // Others may be there, of the same shard.
                assert!(page.entries.iter().all(|entry| LogShard::of(&entry.pack.key) == LogShard::of(&key)));
                let of_key = page.entries.iter().filter(|entry| entry.pack.key == key);
                ids.extend(of_key.map(|entry| {
                    assert_eq!(entry.pack.events.len(), 2, "entries are whole");
                    entry.pack.events[0].id.clone()
                }));
                after = page.through;
                if !page.is_more {
                    break;
                }
            }
            assert_eq!(&ids, expected, "{limit} at a time");
        }
    }
}

async fn where_reading_ended_it_goes_on<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let shard = LogShard::of(&ordered("k"));
    let (ids, start) = read_all(&ports, shard, LogPosition::default(), 10).await;
    assert!(ids.is_empty());
    let mut end = start;
    for at in 0..4 {
        for (key, id) in [("k", format!("e{at}")), ("in another shard", format!("o{at}"))] {
            acknowledge(&ports, &logged(&ports, pack("orders", key, &[&id])).await).await;
        }
        settle(harness).await;
        let (ids, reached) = read_all(&ports, shard, end, 10).await;
        assert_eq!(ids, [format!("e{at}")]);
        assert!(reached > end);
        end = reached;
    }
    let (ids, _) = read_all(&ports, shard, start, 10).await;
    assert_eq!(ids, ["e0", "e1", "e2", "e3"]);
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
