//! Replays over HTTP, while events are published, and while brokers are killed.

use crate::broker::Site;
use crate::client::Client;
use crate::hook::{Delivery, Hook, Reply};
use crate::numbers::{all_by_key, by_key, count, first_of_each, publish};
use crate::wait::{SOON, until};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::time::Duration;

async fn subscribe(client: &Client, hook: &Hook, more: Value) -> Value {
    let mut document = json!({ "topic": "orders", "endpoint": { "url": hook.url(), "timeoutMs": 1000 } });
    document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.expect(201, "POST", "/v1/subscriptions", Some(document)).await
}

async fn settled(client: &Client, job: &str) -> Value {
    until("the replay to be done and delivered", SOON * 3, async || {
        let replay = client.expect(200, "GET", job, None).await;
        (replay["state"] == "done" && replay["delivered"] == replay["enqueued"]).then_some(replay)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_joins_live_delivery_without_a_gap() {
    let (site, hook) = (Site::new(), Hook::start().await);
    let broker = site.start();
    let client = broker.client();
    client.create_topic("orders").await;
    let subscription = subscribe(&client, &hook, json!({})).await;
    publish(&client, 0..100).await;
    hook.wait_accepted(100).await;
    let path = format!("/v1/subscriptions/{}", subscription["id"].as_str().unwrap());

    let begun = client.expect(202, "POST", &format!("{path}/replays"), Some(json!({ "from": "earliest" }))).await;
    let job = format!("{path}/replays/{}", begun["id"].as_str().unwrap());
    assert_eq!(client.expect(200, "GET", &path, None).await["status"], "rewinding");
    publish(&client, 100..200).await;
    let replay = settled(&client, &job).await;
    publish(&client, 200..250).await;
    let total = 100 + 250;
    let deliveries = hook.wait_accepted(total).await;
    assert_eq!(by_key(&deliveries[100..]), all_by_key(250), "old ones, then live ones, each key in order");
    let replayed = deliveries[100..].iter().filter(|delivery| delivery.header("relay-replay") == "true").count();
    assert!(replayed >= 100 && replay["enqueued"] == replayed, "{replayed} were marked, {replay}");
    assert_eq!(client.expect(200, "GET", &path, None).await["status"], "active");

    // A late subscriber gets the same from the log.
    let late = Hook::start().await;
    subscribe(&client, &late, json!({ "startFrom": "earliest" })).await;
    assert_eq!(by_key(&late.wait_accepted(250).await), all_by_key(250));
    assert!(broker.stop().await.success());
}

/// Each broker lives for a moment. Its compaction is due all the while, and so is a replay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_during_replays_lose_nothing_and_keep_every_key_in_order() {
    let (site, hook) = (Site::new(), Hook::start().await);
    let broker = site.start();
    let client = broker.client();
    client.create_topic("orders").await;
    let subscription = subscribe(&client, &hook, json!({})).await;
    publish(&client, 0..300).await;
    hook.wait_accepted(300).await;
    let path = format!("/v1/subscriptions/{}", subscription["id"].as_str().unwrap());
    broker.stop().await;

    let seed = rand::rng().random();
    eprintln!("seed {seed}");
    let mut moments = StdRng::seed_from_u64(seed);
    let (mut published, mut replays, mut since, mut job) = (300, 0, 0, String::new());
    for kill in 0..50 {
        let broker = site.start();
        let client = broker.client();
        let status = client.expect(200, "GET", &path, None).await["status"].as_str().unwrap().to_owned();
        if kill % 10 == 0 && status == "active" {
            // Everything that was delivered before this is to be delivered once more.
            since = hook.all().len();
            let begun =
                client.expect(202, "POST", &format!("{path}/replays"), Some(json!({ "from": "earliest" }))).await;
            job = format!("{path}/replays/{}", begun["id"].as_str().unwrap());
            replays += 1;
        }
        publish(&client, published..published + 5).await;
        published += 5;
        // Some die while they wait, some while they load, some while they deliver.
        tokio::time::sleep(Duration::from_millis(moments.random_range(10..900))).await;
        broker.kill();
        if kill % 7 == 0 {
            hook.answer(move |delivery| {
                Reply::Status(if delivery.data()["number"].as_u64().unwrap() % 11 == 3 { 500 } else { 200 })
            });
        } else {
            hook.answer_all(200);
        }
    }
    hook.answer_all(200);
    let broker = site.start();
    let client = broker.client();
    let wanted = all_by_key(published);
    until("everything to be delivered", SOON * 9, async || {
        let accepted: Vec<Delivery> = hook.all()[since..].iter().filter(|one| one.was_accepted()).cloned().collect();
        (count(&first_of_each(&accepted)) == count(&wanted)).then_some(())
    })
    .await;
    assert!(replays > 0);
    assert_eq!(client.expect(200, "GET", &job, None).await["state"], "done");
    let replayed = |one: &&Delivery| one.was_accepted() && one.header("relay-replay") == "true";
    let last: Vec<Delivery> = hook.all()[since..].iter().filter(replayed).cloned().collect();
    for (key, numbers) in first_of_each(&last) {
        assert!(numbers.is_sorted(), "seed {seed}: {key} was replayed as {numbers:?}");
    }
    assert!(broker.stop().await.success());
}
