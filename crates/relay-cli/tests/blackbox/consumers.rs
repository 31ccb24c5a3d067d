//! Consumers of pull subscriptions: they and the broker are killed between pull and commit.

use crate::broker::{Broker, Site};
use crate::client::{Client, id};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const KEYS: i64 = 5;

async fn consume(client: &Client, more: Value) -> String {
    let mut wanted = json!({ "topic": "orders", "endpoint": { "mode": "pull" } });
    wanted.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    id(&client.expect(201, "POST", "/v1/subscriptions", Some(wanted)).await)
}

async fn pull(client: &Client, subscription: &str, query: &str) -> (Vec<i64>, String) {
    let page = client.expect(200, "GET", &format!("/v1/subscriptions/{subscription}/pull{query}"), None).await;
    let number = |event: &Value| event["data"]["number"].as_i64().unwrap();
    (page["items"].as_array().unwrap().iter().map(number).collect(), page["cursor"].as_str().unwrap().to_owned())
}

async fn commit(client: &Client, subscription: &str, cursor: &str) {
    let path = format!("/v1/subscriptions/{subscription}/commit");
    client.expect(200, "POST", &path, Some(json!({ "cursor": cursor }))).await;
}

async fn publish(client: &Client, numbers: std::ops::Range<i64>) {
    for number in numbers {
        client.publish("orders", &format!("k{}", number % KEYS), json!({ "number": number })).await;
    }
}

/// What a consumer has done with, which outlives it.
#[derive(Default)]
struct Ledger(BTreeMap<i64, Vec<i64>>);

impl Ledger {
    fn note(&mut self, numbers: &[i64]) {
        for number in numbers {
            self.0.entry(number % KEYS).or_default().push(*number);
        }
    }

    /// Each key's events without repeats, which are there in order.
    fn seen(&self) -> Vec<i64> {
        let mut all = Vec::new();
        for of_key in self.0.values() {
            let mut first = of_key.clone();
            let mut known = std::collections::HashSet::new();
            first.retain(|number| known.insert(*number));
            assert!(first.is_sorted(), "{of_key:?}");
            all.extend(first);
        }
        all.sort_unstable();
        all
    }
}

/// A moment at which consumer or broker may die.
#[derive(Clone, Copy)]
enum Death {
    /// The consumer, before its commit.
    Consumer,
    /// The broker, between pull and commit.
    BrokerBeforeCommit,
    /// The broker, right after it has answered a commit.
    BrokerAfterCommit,
}

#[tokio::test]
async fn a_consumer_misses_nothing_though_it_and_the_broker_are_killed() {
    use Death::{BrokerAfterCommit, BrokerBeforeCommit, Consumer};
    let site = Site::new();
    let mut broker: Broker = site.start();
    let mut client = broker.client();
    client.create_topic("orders").await;
    let subscription = consume(&client, json!({})).await;
    let (mut ledger, mut published) = (Ledger::default(), 0);
    for (death, limit) in
        [Consumer, BrokerBeforeCommit, BrokerAfterCommit].into_iter().cycle().zip([3, 1, 4, 2, 50, 5, 1, 3, 2])
    {
        publish(&client, published..published + 7).await;
        published += 7;
        let (numbers, cursor) = pull(&client, &subscription, &format!("?limit={limit}")).await;
        assert!(!numbers.is_empty() && numbers.len() <= limit);
        ledger.note(&numbers);
        if matches!(death, Consumer) {
            assert_eq!(pull(&client, &subscription, &format!("?limit={limit}")).await.0, numbers, "its successor's");
        }
        if matches!(death, BrokerBeforeCommit) {
            broker.kill();
            broker = site.start();
            client = broker.client();
        }
        commit(&client, &subscription, &cursor).await;
        if matches!(death, BrokerAfterCommit) {
            broker.kill();
            broker = site.start();
            client = broker.client();
            let (next, _) = pull(&client, &subscription, "").await;
            assert!(next.iter().all(|number| !numbers.contains(number)), "{next:?} after {numbers:?} were committed");
        }
    }
    loop {
        let (numbers, cursor) = pull(&client, &subscription, "?limit=9").await;
        commit(&client, &subscription, &cursor).await;
        if numbers.is_empty() {
            break;
        }
        ledger.note(&numbers);
    }
    assert_eq!(ledger.seen(), (0..published).collect::<Vec<_>>());
    assert!(broker.stop().await.success());
}

#[tokio::test]
async fn a_consumer_that_waits_is_told_of_what_comes_and_starts_where_it_was_told_to() {
    let site = Site::new();
    let broker = site.start();
    let client = broker.client();
    client.create_topic("orders").await;
    publish(&client, 0..4).await;
    let (all, later) = (consume(&client, json!({ "startFrom": "earliest" })).await, consume(&client, json!({})).await);
    let (mut numbers, cursor) = pull(&client, &all, "").await;
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2, 3]);
    commit(&client, &all, &cursor).await;
    let waiting = tokio::spawn({
        let (client, all) = (client.clone(), all.clone());
        async move { pull(&client, &all, "?wait=20").await.0 }
    });
    publish(&client, 4..5).await;
    assert_eq!(waiting.await.unwrap(), [4]);
    assert_eq!(pull(&client, &later, "?wait=20").await.0.last(), Some(&4));
    let path = format!("/v1/subscriptions/{all}/commit");
    let moved = client.expect(200, "POST", &path, Some(json!({ "cursor": "earliest" }))).await;
    assert_ne!(moved["cursor"], cursor);
    assert_eq!(pull(&client, &all, "").await.0.len(), 5);
    client.expect(409, "POST", &path, Some(json!({ "cursor": cursor }))).await;
    assert!(broker.stop().await.success());
}
