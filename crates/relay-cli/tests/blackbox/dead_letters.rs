//! Events that are given up, and brought back; heads that are resolved by hand.

use crate::broker::Site;
use crate::client::{Client, id};
use crate::hook::{Hook, Reply};
use crate::wait::{SOON, until};
use serde_json::{Value, json};

async fn dead_letters(client: &Client, subscription: &str, count: usize) -> Vec<Value> {
    until(&format!("{count} dead letters"), SOON, async || {
        Some(client.list(subscription, "deadletters").await).filter(|found| found.len() == count)
    })
    .await
}

#[tokio::test]
async fn an_exhausted_event_is_a_dead_letter_its_lane_goes_on_and_redrive_brings_it_back() {
    let site = Site::new();
    let broker = site.start();
    let (client, hook) = (broker.client(), Hook::start().await);
    client.create_topic("orders").await;
    let retry = json!({ "retry": { "schedule": [0.1], "maxAge": "1s" } });
    let subscription = id(&client.subscribe("orders", hook.url(), retry).await);
    hook.answer(|delivery| Reply::Status(if delivery.data()["number"] == 1 { 500 } else { 200 }));
    for number in 0..3 {
        client.publish("orders", "k", json!({ "number": number })).await;
    }

    let letters = dead_letters(&client, &subscription, 1).await;
    assert_eq!(letters[0]["partitionKey"], "k");
    assert_eq!(letters[0]["reason"], "exhausted");
    assert_eq!(letters[0]["lastStatus"], 500);
    assert_eq!(letters[0]["event"]["data"]["number"], 1);
    let deliveries = hook.wait_accepted(2).await;
    assert_eq!(deliveries[1].data()["number"], 2, "the lane went on");

    hook.answer_all(200);
    let path = format!("/v1/subscriptions/{subscription}/deadletters/redrive");
    let answer = client.expect(202, "POST", &path, Some(json!({}))).await;
    assert_eq!(answer["redriven"], 1);
    let deliveries = hook.wait_accepted(3).await;
    assert_eq!(deliveries[2].data()["number"], 1);
    dead_letters(&client, &subscription, 0).await;
}

#[tokio::test]
async fn a_rejected_event_may_be_a_dead_letter_at_once() {
    let site = Site::new();
    let broker = site.start();
    let (client, hook) = (broker.client(), Hook::start().await);
    client.create_topic("orders").await;
    let retry = json!({ "retry": { "onRejected": "deadLetter" } });
    let subscription = id(&client.subscribe("orders", hook.url(), retry).await);
    hook.answer(|delivery| Reply::Status(if delivery.data()["number"] == 0 { 422 } else { 200 }));
    client.publish("orders", "k", json!({ "number": 0 })).await;
    client.publish("orders", "k", json!({ "number": 1 })).await;
    assert_eq!(hook.wait_accepted(1).await[0].data()["number"], 1);
    let letters = dead_letters(&client, &subscription, 1).await;
    assert_eq!((&letters[0]["reason"], &letters[0]["attempts"]), (&json!("rejected"), &json!(1)));
}

#[tokio::test]
async fn a_blocked_head_is_skipped_by_hand_and_what_follows_is_delivered() {
    let site = Site::new();
    let broker = site.start();
    let (client, hook) = (broker.client(), Hook::start().await);
    client.create_topic("orders").await;
    let retry = json!({ "retry": { "schedule": [3600], "maxAge": "1s", "onExhausted": "block" } });
    let subscription = id(&client.subscribe("orders", hook.url(), retry).await);
    hook.answer(|delivery| Reply::Status(if delivery.data()["number"] == 0 { 500 } else { 200 }));
    client.publish("orders", "k", json!({ "number": 0 })).await;
    client.publish("orders", "k", json!({ "number": 1 })).await;
    let lane = until("the held lane with both events", SOON, async || {
        client.list(&subscription, "lanes?state=held").await.into_iter().find(|lane| lane["depth"] == 2)
    })
    .await;
    let path = format!("/v1/subscriptions/{subscription}/lanes/{}/skip", lane["lane"].as_str().unwrap());

    let stale = client.call("POST", &path, Some(json!({ "sequence": "0" }))).await;
    assert!((400..500).contains(&stale.status), "a head that it is not: {}", stale.body);
    let head = json!({ "sequence": lane["head"]["sequence"] });
    client.expect(202, "POST", &path, Some(head)).await;
    assert_eq!(hook.wait_accepted(1).await[0].data()["number"], 1);
    assert!(client.list(&subscription, "deadletters").await.is_empty());
}
