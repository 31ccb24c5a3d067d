//! Replays, and subscriptions that start from what is in the log.

use crate::broker::Broker;
use relay_core::sweep::Sweeper;
use serde_json::json;

impl Broker {
    /// Lets the wait before a load pass, and everything after it happen.
    async fn rewind(&self) {
        self.work().await;
        self.wait(30);
        Sweeper::new(self.ports.clone()).run().await;
        self.work().await;
    }

    async fn with_three_delivered() -> (Broker, String) {
        let broker = Broker::with_orders().await;
        let path = broker.subscribe(json!({})).await;
        for (id, key) in [("a", "k"), ("b", "k"), ("c", "j")] {
            broker.publish(id, Some(key)).await;
        }
        broker.work().await;
        assert_eq!(broker.delivered().len(), 3);
        (broker, path)
    }

    fn replayed(&self) -> Vec<String> {
        self.world.endpoints().with_received(|received| {
            let replays = received.iter().filter(|received| received.header("relay-replay") == Some("true"));
            replays.map(|received| received.header("webhook-id").unwrap()[..1].to_owned()).collect()
        })
    }
}

#[tokio::test]
async fn a_replay_delivers_again_what_is_in_the_log_and_then_goes_on() {
    let (broker, path) = Broker::with_three_delivered().await;
    let begun = broker.post(&format!("{path}/replays"), json!({ "from": "earliest" })).await;
    assert_eq!((begun.status, begun.text("state").as_str()), (202, "running"), "{}", begun.body);
    let job = begun.header("location").to_owned();
    assert_eq!(job, format!("{path}/replays/{}", begun.text("id")));
    assert_eq!(broker.get(&path).await.text("status"), "rewinding");
    broker.publish("d", Some("k")).await;
    broker.work().await;
    assert_eq!(broker.delivered().len(), 3, "nothing is delivered until the log is loaded");
    assert_eq!(broker.get(&job).await.text("state"), "running");

    broker.rewind().await;
    let done = broker.get(&job).await;
    assert_eq!(done.text("state"), "done", "{}", done.body);
    // What was published meanwhile is in the log and in the backlog: it is loaded, too, and delivered once.
    for figure in ["scanned", "matched", "enqueued", "delivered"] {
        assert_eq!(done.body[figure], 4, "{figure} in {}", done.body);
    }
    assert!(done.body["finishedAt"].is_string());
    assert_eq!(broker.get(&path).await.text("status"), "active");
    let of_k = broker.delivered()[3..].iter().filter(|id| *id != "c").cloned().collect::<Vec<_>>();
    assert_eq!(of_k, ["a", "b", "d"]);
    assert_eq!(broker.replayed().len(), 4);
    broker.publish("e", Some("k")).await;
    broker.work().await;
    assert_eq!((broker.delivered().len(), broker.replayed().len()), (8, 4), "what follows is live again");
}

#[tokio::test]
async fn a_replay_can_be_of_one_key_up_to_a_time_or_after_an_event() {
    let (broker, path) = Broker::with_three_delivered().await;
    let replay_id = broker.world.endpoints().with_received(|received| {
        let first = received.iter().find(|received| received.header("webhook-id").unwrap().starts_with('a'));
        first.unwrap().header("relay-replay-id").unwrap().to_owned()
    });
    let replays = format!("{path}/replays");
    let order = json!({ "from": { "replayId": replay_id }, "partitionKey": "k", "rateLimit": 50 });
    assert_eq!(broker.post(&replays, order).await.status, 202);
    assert_eq!(broker.get(&path).await.text("status"), "active", "the other keys go on");
    broker.publish("d", Some("j")).await;
    broker.publish("e", Some("k")).await;
    broker.work().await;
    assert_eq!(broker.delivered()[3..], ["d"], "and this one waits");
    broker.rewind().await;
    assert_eq!(broker.delivered()[4..], ["b", "e"]);

    broker.wait(100);
    let now = broker.ports.clock.now().to_string();
    broker.publish("f", Some("j")).await;
    broker.work().await;
    let order = json!({ "from": { "time": now }, "to": { "time": "2999-01-01T00:00:00Z" } });
    assert_eq!(broker.post(&replays, order).await.status, 202);
    broker.rewind().await;
    assert_eq!(broker.replayed().last().map(String::as_str), Some("f"));
    assert_eq!(broker.delivered()[6..], ["f", "f"]);
    let backwards = json!({ "from": { "time": now }, "to": { "time": "2001-01-01T00:00:00Z" } });
    let refused = broker.post(&replays, backwards).await;
    assert_eq!(refused.problem(), (400, "invalid-field"), "{}", refused.body);
    let order = json!({ "from": "earliest", "to": { "time": "2001-01-01T00:00:00Z" } });
    let none = broker.post(&replays, order).await;
    broker.rewind().await;
    let none = broker.get(none.header("location")).await;
    assert_eq!((none.text("state").as_str(), &none.body["matched"]), ("done", &json!(0)));
}

#[tokio::test]
async fn a_time_that_is_still_to_come_is_now() {
    let (broker, path) = Broker::with_three_delivered().await;
    broker.wait(30);
    let soon = json!({ "time": "2999-01-01T00:00:00Z" });
    let endpoint = json!({ "url": "https://late.example/" });
    broker.subscribe(json!({ "startFrom": soon, "endpoint": endpoint })).await;
    let replay = broker.post(&format!("{path}/replays"), json!({ "from": soon })).await;
    assert_eq!(replay.status, 202, "{}", replay.body);
    let pulled = broker.subscribe(json!({ "endpoint": { "mode": "pull" } })).await;
    let committed = broker.post(&format!("{pulled}/commit"), json!({ "cursor": soon["time"] })).await;
    assert_eq!(committed.status, 200, "{}", committed.body);
    let page = broker.get("/v1/topics/orders/events?after=2999-01-01T00:00:00Z").await;
    broker.rewind().await;
    broker.publish("d", Some("k")).await;
    broker.work().await;
    assert_eq!(broker.delivered()[3..], ["d", "d"], "to both webhooks, and nothing older");
    let rest = broker.get(&format!("/v1/topics/orders/events?after={}", page.text("nextCursor"))).await;
    for read in [rest, broker.get(&format!("{pulled}/pull")).await] {
        let ids: Vec<_> = read.body["items"].as_array().unwrap().iter().map(|event| event["id"].clone()).collect();
        assert_eq!(ids, ["d"]);
    }
}

#[tokio::test]
async fn a_subscription_can_start_from_what_is_in_the_log() {
    let (broker, _) = Broker::with_three_delivered().await;
    let path =
        broker.subscribe(json!({ "startFrom": "earliest", "endpoint": { "url": "https://late.example/" } })).await;
    assert_eq!(broker.get(&path).await.text("status"), "rewinding");
    broker.work().await;
    assert_eq!(broker.get(&path).await.text("status"), "active", "nobody has to be waited for");
    let mut replayed = broker.replayed();
    replayed.sort_unstable();
    assert_eq!(replayed, ["a", "b", "c"]);
    let from = json!({ "topic": "orders", "endpoint": { "url": "https://x.example/" }, "startFrom": { "time": "2001-01-01T00:00:00Z" } });
    assert_eq!(broker.post("/v1/subscriptions", from).await.status, 201, "there was nothing before the topic");
}

#[tokio::test]
async fn one_replay_at_a_time_that_can_be_cancelled() {
    let (broker, path) = Broker::with_three_delivered().await;
    let replays = format!("{path}/replays");
    let job = broker.post(&replays, json!({ "from": "earliest" })).await.header("location").to_owned();
    let second = broker.post(&replays, json!({ "from": "earliest" })).await;
    assert_eq!(second.problem(), (409, "replay-under-way"));
    let id = broker.get(&job).await.text("id");
    assert!(second.text("detail").contains(&id), "it says which: {}", second.body);
    assert_eq!(broker.get(&path).await.text("replay"), id);
    assert_eq!(broker.delete(&job).await.status, 204);
    assert_eq!(broker.delete(&job).await.status, 204, "cancelling it again changes nothing");
    broker.rewind().await;
    assert_eq!(broker.get(&job).await.text("state"), "cancelled");
    assert_eq!(broker.get(&path).await.text("status"), "active");
    assert_eq!(broker.delete(&job).await.problem(), (409, "replay-over"));
    assert_eq!(broker.get(&path).await.text("replay"), id, "the last one");
    assert_eq!(broker.replayed(), [""; 0]);
    let none = format!("{replays}/rpl_none");
    assert_eq!(broker.get(&none).await.problem(), (404, "replay-not-found"));
    assert_eq!(broker.delete(&none).await.problem(), (404, "replay-not-found"));
}

#[tokio::test]
async fn a_pause_during_a_replay_takes_effect_when_it_is_loaded() {
    let (broker, path) = Broker::with_three_delivered().await;
    assert_eq!(broker.post(&format!("{path}/replays"), json!({ "from": "earliest" })).await.status, 202);
    for _ in 0..2 {
        let paused = broker.post(&format!("{path}/pause"), json!({})).await;
        assert_eq!((paused.status, paused.text("status").as_str()), (200, "rewinding"), "{}", paused.body);
    }
    broker.rewind().await;
    assert_eq!(broker.get(&path).await.text("status"), "paused");
    assert_eq!(broker.replayed(), [""; 0]);
    assert_eq!(broker.post(&format!("{path}/resume"), json!({})).await.status, 200);
    broker.work().await;
    assert_eq!(broker.replayed().len(), 3);
}

#[tokio::test]
async fn what_cannot_be_replayed_is_said() {
    let (broker, path) = Broker::with_three_delivered().await;
    let replays = format!("{path}/replays");
    for (order, pointer) in [
        (json!({}), "/from"),
        (json!({ "from": "then" }), "/from"),
        (json!({ "from": "earliest", "to": "earliest" }), "/to"),
        (json!({ "from": "earliest", "partitionKey": "" }), "/partitionKey"),
        (json!({ "from": "earliest", "rateLimit": 0 }), "/rateLimit"),
        (json!({ "from": "earliest", "what": 1 }), "/what"),
        (json!({ "from": "earliest", "filter": "true" }), "/filter"),
    ] {
        let refused = broker.post(&replays, order).await;
        assert_eq!((refused.status, refused.pointers()), (400, vec![pointer]), "{}", refused.body);
    }
    broker.wait(8 * 86_400);
    let order = json!({ "from": { "time": "2026-11-18T00:00:00Z" } });
    let old = broker.post(&replays, order).await;
    assert_eq!(old.problem(), (410, "expired"));
}
