use crate::broker::Broker;
use serde_json::{Value, json};
use std::time::Duration;

const DAY: u64 = 86_400;

impl Broker {
    async fn numbers(&self, query: &str) -> (Vec<Value>, String) {
        let page = self.get(&format!("/v1/topics/orders/events?{query}")).await;
        assert_eq!(page.status, 200, "{}", page.body);
        (page.items().iter().map(|event| event["id"].clone()).collect(), page.text("nextCursor"))
    }

    async fn logged(&self, id: &str) {
        self.publish(id, Some("k")).await;
        self.work().await;
        self.clock.advance(Duration::from_secs(1));
    }
}

#[tokio::test]
async fn a_place_that_the_retention_has_passed_is_gone_and_the_oldest_event_is_named() {
    let broker = Broker::new().await;
    assert_eq!(broker.put("/v1/topics/orders", json!({ "retention": "3d" })).await.status, 201);
    broker.logged("1").await;
    let (first, cursor) = broker.numbers("after=earliest").await;
    assert_eq!(first, ["1"]);
    let replay_id = broker.get("/v1/topics/orders/events?after=earliest").await.items()[0]["replayid"].clone();
    broker.clock.advance(Duration::from_secs(2 * DAY));
    broker.logged("2").await;
    broker.clock.advance(Duration::from_secs(2 * DAY));

    let (kept, latest) = broker.numbers("after=earliest").await;
    assert_eq!(kept, ["2"]);
    let oldest = broker.get("/v1/topics/orders/events?after=earliest").await.items()[0]["replayid"].clone();
    let replay_id = replay_id.as_str().unwrap();
    let time = "2026-11-18T00:00:00Z";
    for path in [
        format!("events?after={cursor}"),
        format!("events?after={replay_id}"),
        format!("events?after={time}"),
        format!("events/{replay_id}"),
    ] {
        let gone = broker.get(&format!("/v1/topics/orders/{path}")).await;
        assert_eq!(gone.problem(), (410, "expired"), "{path}");
        assert_eq!(gone.body["earliestReplayId"], oldest, "{path}");
    }
    assert_eq!(broker.numbers(&format!("after={}", oldest.as_str().unwrap())).await.0, [""; 0]);

    // A shorter retention clips at once, and a longer one again shows what is still kept.
    broker.patch("/v1/topics/orders", json!({ "retention": "1d" })).await;
    assert_eq!(broker.numbers("after=earliest").await.0, [""; 0]);
    let nothing = broker.get(&format!("/v1/topics/orders/events/{}", oldest.as_str().unwrap())).await;
    assert_eq!((nothing.problem(), &nothing.body["earliestReplayId"]), ((410, "expired"), &Value::Null));
    broker.patch("/v1/topics/orders", json!({ "retention": "3d" })).await;
    assert_eq!(broker.numbers("after=earliest").await.0, ["2"]);
    broker.logged("3").await;
    assert_eq!(broker.numbers(&format!("after={latest}")).await.0, ["3"]);
}

#[tokio::test]
async fn a_reader_that_asks_is_not_late_however_long_nothing_comes() {
    let (quiet, busy) = (Broker::with_orders().await, Broker::with_orders().await);
    for (broker, key) in [(&quiet, ""), (&quiet, "&partitionKey=k"), (&busy, "&partitionKey=k")] {
        let (_, mut cursor) = broker.numbers("after=latest").await;
        for _ in 0..9 * 4 {
            broker.clock.advance(Duration::from_secs(DAY / 4));
            busy.publish("other", Some("another key")).await;
            busy.work().await;
            let (none, next) = broker.numbers(&format!("after={cursor}{key}")).await;
            assert_eq!(none, [""; 0]);
            cursor = next;
        }
        broker.logged("1").await;
        assert_eq!(broker.numbers(&format!("after={cursor}{key}")).await.0, ["1"], "{key}");
    }
}

#[tokio::test]
async fn a_topic_made_again_shows_nothing_of_the_one_before() {
    let broker = Broker::with_orders().await;
    broker.logged("1").await;
    let (_, cursor) = broker.numbers("after=earliest").await;
    let replay_id = broker.get("/v1/topics/orders/events").await.items()[0]["replayid"].clone();
    assert_eq!(broker.delete("/v1/topics/orders").await.status, 204);
    broker.clock.advance(Duration::from_secs(16 * 60));
    assert_eq!(broker.put("/v1/topics/orders", json!({})).await.status, 201);
    broker.clock.advance(Duration::from_secs(120));
    assert_eq!(broker.numbers("after=earliest").await.0, [""; 0]);
    for path in [format!("events?after={cursor}"), format!("events/{}", replay_id.as_str().unwrap())] {
        assert_eq!(broker.get(&format!("/v1/topics/orders/{path}")).await.problem(), (410, "expired"), "{path}");
    }
}

#[tokio::test]
async fn reading_needs_the_grant_to_subscribe() {
    let broker = Broker::with_orders().await;
    let publisher = broker.key(&[("publish", "orders")]).await;
    let subscriber = broker.key(&[("subscribe", "orders")]).await;
    for (key, expected) in [(publisher, 403), (subscriber, 200)] {
        let answer = broker.ask(&key, "GET", "/v1/topics/orders/events", &[], axum::body::Body::empty()).await;
        assert_eq!(answer.status, expected);
    }
}
