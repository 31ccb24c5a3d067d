//! What operators are told of endpoints that fail.

use crate::broker::{Broker, Site};
use crate::client::id;
use crate::hook::Hook;
use crate::wait::{SOON, until};
use serde_json::json;

/// Waits for lines that name a subscription and say this, and answers them.
async fn lines(broker: &Broker, subscription: &str, said: &str) -> Vec<String> {
    until(said, SOON, async || {
        let log = broker.log();
        let told = |line: &&str| line.contains(subscription) && line.contains(said);
        let found: Vec<_> = log.lines().filter(told).map(str::to_owned).collect();
        (!found.is_empty()).then_some(found)
    })
    .await
}

#[tokio::test]
async fn an_endpoint_that_fails_is_told_once_and_so_is_each_turn_of_its_circuit() {
    let site = Site::new();
    let broker = site.start();
    let (client, hook) = (broker.client(), Hook::start().await);
    client.create_topic("orders").await;
    let made = client.subscribe("orders", hook.url(), json!({ "retry": { "schedule": [0.05] } })).await;
    hook.answer_all(503);
    for key in ["a", "b", "c", "d"] {
        client.publish("orders", key, json!({})).await;
    }
    let opened = lines(&broker, &id(&made), "circuit opened").await;
    assert!(opened.len() == 1 && opened[0].contains("WARN"), "{opened:?}");
    let failed = lines(&broker, &id(&made), "an attempt failed").await;
    assert!(failed.len() == 1 && failed[0].contains("WARN") && failed[0].contains("503"), "{failed:?}");
    hook.answer_all(200);
    let closed = lines(&broker, &id(&made), "circuit closed").await;
    assert!(closed.len() == 1 && closed[0].contains("INFO"), "{closed:?}");
    assert!(broker.stop().await.success());
}

#[tokio::test]
async fn a_subscription_that_its_endpoint_ends_is_told() {
    let site = Site::new();
    let broker = site.start();
    let (client, hook) = (broker.client(), Hook::start().await);
    client.create_topic("orders").await;
    let made = client.subscribe("orders", hook.url(), json!({})).await;
    hook.answer_all(410);
    client.publish("orders", "k", json!({})).await;
    let disabled = lines(&broker, &id(&made), "subscription disabled").await;
    assert!(disabled.len() == 1 && disabled[0].contains("WARN"), "{disabled:?}");
    assert!(broker.stop().await.success());
}
