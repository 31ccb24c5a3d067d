//! What is published arrives: signed, in order, through failures, and without others noticing.

use crate::broker::Site;
use crate::client::id;
use crate::hook::{Delivery, Hook, Reply};
use crate::wait::{SOON, until};
use relay_cli::load::signature::Verifier;
use serde_json::json;
use std::time::{Duration, Instant};

fn numbers_of(deliveries: &[Delivery], key: &str) -> Vec<u64> {
    let of_key = deliveries.iter().filter(|delivery| delivery.key() == key);
    of_key.map(|delivery| delivery.data()["number"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn events_arrive_signed_and_in_order_per_key() {
    let site = Site::new();
    let broker = site.start();
    let (client, hook) = (broker.client(), Hook::start().await);
    client.create_topic("orders").await;
    let made = client.subscribe("orders", hook.url(), json!({})).await;
    assert_eq!(made["status"], "active");
    let verifier = Verifier::new(made["secrets"][0]["secret"].as_str().unwrap()).unwrap();

    let mut sequences = Vec::new();
    for number in 0..20 {
        for key in ["a", "b"] {
            let event = client.publish("orders", key, json!({ "number": number })).await;
            if key == "a" {
                sequences.push(event["sequence"].as_str().unwrap().to_owned());
            }
        }
    }
    assert!(sequences.is_sorted(), "sequences rise: {sequences:?}");

    let deliveries = hook.wait_accepted(40).await;
    assert_eq!(deliveries.len(), 40, "each once");
    for key in ["a", "b"] {
        assert_eq!(numbers_of(&deliveries, key), (0..20).collect::<Vec<_>>());
    }
    for delivery in &deliveries {
        let [id, timestamp, signature] =
            ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| delivery.header(name));
        assert!(verifier.verifies(id, timestamp, &delivery.body, signature));
        assert_eq!(delivery.header("relay-topic"), "orders");
        assert_eq!(delivery.header("relay-attempt"), "1");
        assert!(!delivery.header("relay-replay-id").is_empty());
    }
    assert!(broker.stop().await.success());
}

#[tokio::test]
async fn a_failing_event_holds_back_its_key_and_nothing_else_until_it_is_accepted() {
    let site = Site::new();
    let broker = site.start();
    let (client, hook) = (broker.client(), Hook::start().await);
    client.create_topic("orders").await;
    let made = client.subscribe("orders", hook.url(), json!({ "retry": { "schedule": [0.2] } })).await;
    hook.answer(|delivery| Reply::Status(if delivery.key() == "bad" { 500 } else { 200 }));

    for number in 0..5 {
        client.publish("orders", "bad", json!({ "number": number })).await;
        client.publish("orders", "good", json!({ "number": number })).await;
    }
    until("the other key's events", SOON, async || (numbers_of(&hook.accepted(), "good").len() == 5).then_some(()))
        .await;
    let lanes = until("all events of the failing key in its backlog", SOON, async || {
        let lanes = client.list(&id(&made), "lanes?state=held").await;
        (lanes.len() == 1 && lanes[0]["depth"] == 5).then_some(lanes)
    })
    .await;
    assert_eq!(lanes[0]["partitionKey"], "bad");
    assert_eq!(lanes[0]["reason"], "failing");
    assert_eq!(lanes[0]["lastStatus"], 500);
    until("several attempts of the same head", SOON, async || {
        (numbers_of(&hook.all(), "bad").len() >= 3).then_some(())
    })
    .await;
    assert!(numbers_of(&hook.all(), "bad").iter().all(|number| *number == 0), "nothing overtakes the head");

    hook.answer_all(200);
    until("the held events", SOON, async || (numbers_of(&hook.accepted(), "bad").len() >= 5).then_some(())).await;
    assert_eq!(numbers_of(&hook.accepted(), "bad"), [0, 1, 2, 3, 4]);
    until("the lane to be live again", SOON, async || {
        client.list(&id(&made), "lanes?state=held").await.is_empty().then_some(())
    })
    .await;
    assert!(broker.stop().await.success());
}

#[tokio::test]
async fn every_attempt_of_an_event_has_the_same_webhook_id_and_its_number() {
    let site = Site::new();
    let broker = site.start();
    let (client, hook) = (broker.client(), Hook::start().await);
    client.create_topic("orders").await;
    let made = client.subscribe("orders", hook.url(), json!({ "retry": { "schedule": [0.05] } })).await;
    let mut count = 0;
    hook.answer(move |_| {
        count += 1;
        Reply::Status(if count < 3 { 503 } else { 200 })
    });
    client.publish("orders", "k", json!({ "number": 0 })).await;
    hook.wait_accepted(1).await;
    let all = hook.all();
    assert_eq!(all.iter().map(|delivery| delivery.header("relay-attempt")).collect::<Vec<_>>(), ["1", "2", "3"]);
    assert!(all.iter().all(|delivery| delivery.header("webhook-id") == all[0].header("webhook-id")));

    let attempts = until("three attempts on record", SOON, async || {
        Some(client.list(&id(&made), "attempts").await).filter(|attempts| attempts.len() == 3)
    })
    .await;
    let outcomes: Vec<_> = attempts.iter().map(|attempt| (&attempt["outcome"], &attempt["number"])).collect();
    assert_eq!(
        outcomes,
        [(&json!("delivered"), &json!(3)), (&json!("failed"), &json!(2)), (&json!("failed"), &json!(1))]
    );
}

#[tokio::test]
async fn a_subscriber_that_never_answers_delays_another_by_no_more_than_patience_once() {
    let site = Site::new();
    let broker = site.start();
    let client = broker.client();
    let (steady, hanging) = (Hook::start().await, Hook::start().await);
    hanging.answer(|_| Reply::Never);
    client.create_topic("orders").await;
    client.subscribe("orders", steady.url(), json!({})).await;
    client.subscribe("orders", hanging.url(), json!({ "endpoint": { "timeoutMs": 10_000 } })).await;

    // Patience is one second, and the event behind the first one waits for it: once. The deadline leaves a busy machine
    // some more.
    let mut slowest_later = Duration::ZERO;
    for number in 0..20 {
        let published = Instant::now();
        client.publish("orders", "k", json!({ "number": number })).await;
        until("the steady subscriber's delivery", Duration::from_secs(5), async || {
            (steady.accepted().len() > number).then_some(())
        })
        .await;
        if number > 1 {
            slowest_later = slowest_later.max(published.elapsed());
        }
    }
    assert!(slowest_later < Duration::from_secs(1), "after patience was over, {slowest_later:?}");
    assert!(!hanging.all().is_empty(), "the other one was asked meanwhile");
    assert_eq!(numbers_of(&steady.accepted(), "k"), (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_an_endpoint_asks_for_by_retry_after_is_never_undercut() {
    let site = Site::new();
    let broker = site.start();
    let (client, hook) = (broker.client(), Hook::start().await);
    client.create_topic("orders").await;
    client.subscribe("orders", hook.url(), json!({ "retry": { "schedule": [0.01] } })).await;
    let mut asked = None;
    hook.answer(move |_| match asked {
        None => {
            asked = Some(Instant::now());
            Reply::RetryAfter("2".into())
        }
        Some(at) if at.elapsed() < Duration::from_millis(1950) => Reply::Status(500),
        Some(_) => Reply::Status(200),
    });
    client.publish("orders", "k", json!({ "number": 0 })).await;
    hook.wait_accepted(1).await;
    assert_eq!(hook.all().len(), 2, "one attempt before, one after");
}
