//! What the broker asks of AWS, counted on the wire: the bounds that it promises, and the figures of `docs/cost.md`.
//!
//! `RELAY_COST_UPDATE=1` writes `expected.json` and the page anew.

mod flows;
mod meter;
mod page;

use crate::broker::Draft;
use flows::Stage;
use meter::Usage;
use page::Flows;
use relay_aws::REMEMBERED_FOR;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const EXPECTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/emulator/cost/expected.json");
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cost.md");
const ANEW: &str = "if that is meant, run it with RELAY_COST_UPDATE=1, and look at what changes in docs/cost.md";

fn exactly(usage: &Usage, calls: &[(&str, usize)]) {
    let wanted: BTreeMap<String, u64> =
        calls.iter().filter(|(_, count)| *count > 0).map(|(name, count)| ((*name).to_owned(), *count as u64)).collect();
    assert_eq!(usage.calls, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_is_one_request_of_aws_and_a_batch_of_a_hundred_events_on_ten_keys_too() {
    let mut stage = Stage::new(1).await;
    for (events, keys) in [(1, 1), (10, 10), (100, 10)] {
        stage.process.wire.begin(None);
        stage.publish(events, keys).await;
        let usage = Usage::of(&stage.process.wire.calls(), events as u64);
        exactly(&usage, &[("SQS.SendMessageBatch", 1)]);
        assert!(usage.fifo_requests <= (events as u64 * 1300).div_ceil(64 * 1024), "{usage:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_publisher_needs_is_read_once_in_ten_seconds() {
    let mut stage = Stage::new(1).await;
    stage.broker.clock.advance(REMEMBERED_FOR);
    stage.process.wire.begin(None);
    stage.publish(1, 1).await;
    stage.publish(1, 1).await;
    exactly(&Usage::of(&stage.process.wire.calls(), 2), &[("DynamoDB.GetItem", 2), ("SQS.SendMessageBatch", 2)]);
    // What was not there is known as soon as it is.
    let registry = &stage.process.ports.registry;
    let name = relay_core::names::TopicName::new("later").unwrap();
    assert!(registry.topic(&name).await.unwrap().is_none());
    let other = stage.broker.process().ports.registry;
    let id = relay_core::names::TopicId::new("top_later").unwrap();
    let topic = relay_core::topic::Topic::new(id, name.clone(), relay_core::time::Time(5));
    other.put_topic(topic, relay_core::ports::Expect::Absent).await.unwrap();
    assert!(registry.topic(&name).await.unwrap().is_some());
}

/// Log items that are put, by shard.
fn shards(calls: &[crate::wire::Call]) -> Vec<String> {
    let puts = calls.iter().filter(|call| call.operation == "DynamoDB.PutItem");
    let keys = puts.filter_map(|call| call.request["Item"]["pk"]["S"].as_str());
    keys.filter(|pk| pk.starts_with("LOG#")).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_batch_of_a_topic_takes_one_write_a_log_shard_one_read_a_hundred_keys_and_one_delete() {
    for subscribers in [1, 3, 100] {
        let mut stage = Stage::new(subscribers).await;
        // Small events: of large ones the log's items lie in the bucket, at a PUT for each.
        stage.bytes = 100;
        for calls in [stage.dispatch_singles(10).await, stage.dispatch_hundred().await] {
            let shards = shards(&calls);
            let distinct: BTreeSet<_> = shards.iter().collect();
            assert_eq!(shards.len(), distinct.len(), "one write for each shard");
            // Ten lanes for each subscriber, and the topic's list.
            let reads = (10 * subscribers + 1).div_ceil(100);
            exactly(
                &Usage::of(&calls, 10),
                &[
                    ("SQS.ReceiveMessage", 1),
                    // The log, and a packed record of attempts for each subscription.
                    ("DynamoDB.PutItem", shards.len() + subscribers),
                    ("DynamoDB.BatchGetItem", reads),
                    ("SQS.DeleteMessageBatch", 1),
                ],
            );
            let mut consistent = calls.iter().filter(|call| call.operation == "DynamoDB.BatchGetItem");
            let table = &stage.broker.resources.table;
            assert!(consistent.all(|call| call.request["RequestItems"][table]["ConsistentRead"] == Value::Bool(true)));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_are_done_within_a_moment_of_each_other_are_deleted_by_one_call() {
    let mut stage = Stage::new(0).await;
    stage.publish(3, 3).await;
    let queue = &stage.process.ports.queue;
    let receipts: Vec<_> = queue.receive(10).await.unwrap().into_iter().map(|message| message.receipt).collect();
    assert_eq!(receipts.len(), 3);
    stage.process.wire.begin(None);
    let (one, two) = futures_util::future::join(queue.delete(&receipts[..1]), queue.delete(&receipts[1..2])).await;
    assert_eq!((one, two), (vec![Ok(())], vec![Ok(())]));
    exactly(&Usage::of(&stage.process.wire.calls(), 2), &[("SQS.DeleteMessageBatch", 1)]);
    assert_eq!(queue.delete(&receipts[2..]).await, [Ok(())]);
    exactly(&Usage::of(&stage.process.wire.calls(), 3), &[("SQS.DeleteMessageBatch", 2)]);
    stage.drain_queue().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_queue_is_asked_with_the_longest_wait() {
    let stage = Stage::new(1).await;
    assert_eq!(flows::waits(&stage).await, [20]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_flow_costs_more_than_the_page_says() {
    let counted: Flows = flows::all().await.into_iter().collect();
    if std::env::var_os("RELAY_COST_UPDATE").is_some() {
        std::fs::write(EXPECTED, serde_json::to_string_pretty(&counted).unwrap() + "\n").unwrap();
        let page = std::fs::read_to_string(PAGE).unwrap();
        std::fs::write(PAGE, page::with_tables(&page, &counted)).unwrap();
        return;
    }
    let expected: Flows = serde_json::from_str(&std::fs::read_to_string(EXPECTED).unwrap()).unwrap();
    let names = |flows: &Flows| flows.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&counted), names(&expected), "{ANEW}");
    for (name, now) in &counted {
        let then = &expected[name];
        for (operation, count) in &now.calls {
            assert!(
                *count <= then.count(operation),
                "{name}: {count} {operation}, not {}; {ANEW}",
                then.count(operation)
            );
        }
        let units = |usage: &Usage| {
            let Usage { fifo_requests, standard_requests, write_units, puts, gets, .. } = *usage;
            [
                fifo_requests as f64,
                standard_requests as f64,
                write_units as f64,
                usage.read_units,
                puts as f64,
                gets as f64,
            ]
        };
        for (unit, (now, then)) in units(now).into_iter().zip(units(then)).enumerate() {
            assert!(
                now <= then,
                "{name}: unit {unit} (FIFO, standard, write, read, PUT, GET): {now}, not {then}; {ANEW}"
            );
        }
    }
}

/// Needs no emulator, but stands here with what it is about.
#[test]
fn the_page_says_what_was_counted() {
    if std::env::var_os("RELAY_COST_UPDATE").is_some() {
        return; // it is being written
    }
    let expected: Flows = serde_json::from_str(&std::fs::read_to_string(EXPECTED).unwrap()).unwrap();
    let page = std::fs::read_to_string(PAGE).unwrap();
    assert_eq!(page, page::with_tables(&page, &expected), "{ANEW}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_that_asks_for_more_is_noticed() {
    let mut stage = Stage::new(1).await;
    stage.process.wire.begin(None);
    stage.publish(1, 1).await;
    let once = Usage::of(&stage.process.wire.calls(), 1);
    stage.publish_all(&[Draft::new("twice", "key")]).await;
    let twice = Usage::of(&stage.process.wire.calls(), 1);
    assert_eq!((once.requests(), twice.requests()), (1, 2));
    assert!(twice.sent > once.sent);
}
