//! Pause and resume.

use crate::broker::Site;
use crate::client::id;
use crate::hook::Hook;
use crate::wait::{SOON, until};
use serde_json::json;

#[tokio::test]
async fn what_comes_during_a_pause_is_held_and_delivered_in_order_after_it() {
    let site = Site::new();
    let broker = site.start();
    let (client, hook) = (broker.client(), Hook::start().await);
    client.create_topic("orders").await;
    let subscription = id(&client.subscribe("orders", hook.url(), json!({})).await);
    client.publish("orders", "k", json!({ "number": 0 })).await;
    hook.wait_accepted(1).await;

    assert_eq!(client.act(&subscription, "pause").await["status"], "paused");
    for number in 1..6 {
        client.publish("orders", "k", json!({ "number": number })).await;
    }
    until("the paused events in a backlog", SOON, async || {
        let lanes = client.list(&subscription, "lanes?state=held").await;
        let depth: u64 = lanes.iter().filter_map(|lane| lane["depth"].as_u64()).sum();
        // What was published within 2 s of the pause may still have been delivered.
        (depth + hook.accepted().len() as u64 == 6).then_some(())
    })
    .await;

    assert_eq!(client.act(&subscription, "resume").await["status"], "active");
    let deliveries = hook.wait_accepted(6).await;
    let numbers: Vec<_> = deliveries.iter().map(|delivery| delivery.data()["number"].clone()).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
    client.publish("orders", "k", json!({ "number": 6 })).await;
    assert_eq!(hook.wait_accepted(7).await[6].data()["number"], 6);
    assert!(broker.stop().await.success());
}

#[tokio::test]
async fn an_endpoint_that_is_gone_disables_its_subscription_and_loses_nothing() {
    let site = Site::new();
    let broker = site.start();
    let (client, hook) = (broker.client(), Hook::start().await);
    client.create_topic("orders").await;
    let subscription = id(&client.subscribe("orders", hook.url(), json!({})).await);
    hook.answer_all(410);
    client.publish("orders", "k", json!({ "number": 0 })).await;
    until("the subscription to be disabled", SOON, async || {
        (client.subscription(&subscription).await["status"] == "disabled").then_some(())
    })
    .await;
    client.publish("orders", "k", json!({ "number": 1 })).await;

    hook.answer_all(200);
    client.act(&subscription, "resume").await;
    let deliveries = hook.wait_accepted(2).await;
    let numbers: Vec<_> = deliveries.iter().map(|delivery| delivery.data()["number"].clone()).collect();
    assert_eq!(numbers, [0, 1]);
}
