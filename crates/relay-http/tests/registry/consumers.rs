//! Pull subscriptions.

use crate::broker::{Answer, Broker, HOOK, id_of};
use axum::body::Body;
use http::Request;
use relay_core::ports::Ports;
use serde_json::{Value, json};
use std::time::Duration;

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

impl Broker {
    /// The path of a new pull subscription to `orders`, with these fields in addition.
    async fn consume(&self, fields: Value) -> String {
        let mut document = json!({ "endpoint": { "mode": "pull" } });
        document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.subscribe(document).await
    }

    /// The ids of the events that a pull answers, and its cursor.
    async fn pulled(&self, path: &str, query: &str) -> (Vec<Value>, String) {
        let answer = self.get(&format!("{path}/pull{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        (answer.items().iter().map(|event| event["id"].clone()).collect(), answer.text("cursor"))
    }

    async fn commit(&self, path: &str, cursor: &str) -> Answer {
        self.post(&format!("{path}/commit"), json!({ "cursor": cursor })).await
    }

    /// Publishes an event, and lets it settle.
    async fn accept(&self, id: &str) {
        self.publish(id, Some("k")).await;
        self.work().await;
        self.wait(1);
    }
}

#[tokio::test]
async fn what_is_not_committed_is_pulled_again_and_what_is_committed_is_not() {
    let broker = Broker::with_orders().await;
    broker.accept("before").await;
    let path = broker.consume(json!({})).await;
    for id in ["1", "2", "3"] {
        broker.accept(id).await;
    }
    let (first, cursor) = broker.pulled(&path, "?limit=2").await;
    assert_eq!(first, ["1", "2"]);
    assert_eq!(broker.pulled(&path, "?limit=2").await.0, ["1", "2"], "nothing is committed");
    let answer = broker.commit(&path, &cursor).await;
    assert_eq!((answer.status, answer.text("cursor")), (200, cursor.clone()));
    let (rest, end) = broker.pulled(&path, "").await;
    assert_eq!(rest, ["3"]);
    assert_eq!(broker.commit(&path, &end).await.status, 200);
    assert_eq!(broker.commit(&path, &end).await.status, 200, "a commit may be repeated");
    assert_eq!(broker.commit(&path, &cursor).await.problem(), (409, "stale-cursor"));
    assert_eq!(broker.pulled(&path, "?wait=0").await.0, [""; 0]);
    broker.accept("4").await;
    assert_eq!(broker.pulled(&path, "").await.0, ["4"]);
}

#[tokio::test]
async fn a_pull_subscription_is_shown_without_what_only_webhooks_have() {
    let broker = Broker::with_orders().await;
    let created = broker.post("/v1/subscriptions", json!({ "topic": "orders", "endpoint": { "mode": "pull" } })).await;
    assert_eq!((created.status, &created.body["endpoint"]), (201, &json!({ "mode": "pull" })));
    for absent in ["secrets", "retry", "rateLimit"] {
        assert_eq!(created.body.get(absent), None, "{absent}");
    }
    let path = format!("/v1/subscriptions/{}", created.text("id"));
    let read = broker.get(&path).await;
    assert_eq!((read.status, &read.body), (200, &created.body));
    assert_eq!(broker.get("/v1/subscriptions").await.items(), std::slice::from_ref(&read.body));
    assert_eq!(broker.patch(&path, read.body).await.status, 200, "it may be sent back as it was read");
}

#[tokio::test]
async fn fields_that_mean_nothing_for_it_are_refused_and_so_is_a_change_of_its_kind() {
    let broker = Broker::with_orders().await;
    for (fields, pointers) in [
        (json!({ "endpoint": { "mode": "pull", "url": HOOK } }), vec!["/endpoint/url"]),
        (
            json!({ "endpoint": { "mode": "pull", "headers": {}, "timeoutMs": 1000, "maxBatch": 2 } }),
            vec!["/endpoint/headers", "/endpoint/maxBatch", "/endpoint/timeoutMs"],
        ),
        (json!({ "retry": {}, "rateLimit": 5 }), vec!["/rateLimit", "/retry"]),
        (json!({ "startFrom": "first" }), vec!["/startFrom"]),
    ] {
        let mut document = json!({ "topic": "orders", "endpoint": { "mode": "pull" } });
        document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let refused = broker.post("/v1/subscriptions", document).await;
        assert_eq!((refused.problem(), refused.pointers()), ((400, "invalid-field"), pointers), "{fields}");
    }
    let (pulled, webhook) = (broker.consume(json!({})).await, broker.subscribe(json!({})).await);
    for (path, endpoint) in [(&webhook, json!({ "mode": "pull" })), (&pulled, json!({ "mode": "batch", "url": HOOK }))]
    {
        let before = broker.get(path).await.body;
        let refused = broker.patch(path, json!({ "endpoint": endpoint })).await;
        assert_eq!((refused.problem(), refused.pointers()), ((400, "invalid-field"), vec!["/endpoint/mode"]));
        assert_eq!(broker.get(path).await.body, before);
    }
    for (path, method, action) in [
        (&webhook, "GET", "pull"),
        (&webhook, "POST", "commit"),
        (&pulled, "POST", "test"),
        (&pulled, "POST", "secrets/rotate"),
    ] {
        let document = if action == "commit" { json!({ "cursor": "latest" }) } else { json!({}) };
        let body = if method == "GET" { Body::empty() } else { Body::from(document.to_string()) };
        let headers = [("content-type", "application/json")];
        let refused = broker.ask(crate::broker::ADMIN, method, &format!("{path}/{action}"), &headers, body).await;
        assert_eq!(refused.problem(), (409, "wrong-mode"), "{action}");
    }
    assert_eq!(broker.post(&format!("{pulled}/deadletters/redrive"), json!({})).await.body["redriven"], 0);
}

#[tokio::test]
async fn it_begins_where_it_is_told_to() {
    let broker = Broker::with_orders().await;
    broker.accept("1").await;
    let time = broker.ports.clock.now().to_string();
    broker.accept("2").await;
    let first = broker.get("/v1/topics/orders/events?limit=1").await.items()[0]["replayid"].clone();
    for (start, expected) in [
        (json!("latest"), vec!["3"]),
        (json!("earliest"), vec!["1", "2", "3"]),
        (json!({ "replayId": first }), vec!["2", "3"]),
        (json!({ "time": time }), vec!["2", "3"]),
    ] {
        let path = broker.consume(json!({ "startFrom": start })).await;
        if expected == ["3"] {
            broker.accept("3").await;
        }
        assert_eq!(broker.pulled(&path, "").await.0, expected, "{start}");
    }
    let before = broker.get("/v1/subscriptions").await.items().len();
    broker.wait(8 * DAY);
    let start = json!({ "topic": "orders", "endpoint": { "mode": "pull" }, "startFrom": { "replayId": first } });
    assert_eq!(broker.post("/v1/subscriptions", start).await.problem(), (410, "expired"));
    assert_eq!(broker.get("/v1/subscriptions").await.items().len(), before);
}

#[tokio::test]
async fn dispatch_passes_it_over_and_a_commit_changes_nothing_that_dispatch_reads() {
    let broker = Broker::with_orders().await;
    let path = broker.consume(json!({})).await;
    let topic = broker.ports.registry.subscription(&id_of(&path)).await.unwrap().unwrap().topic_id.clone();
    let version = async || broker.ports.registry.topic_subscriptions(&topic).await.unwrap().unwrap().version;
    let (before, tag) = (version().await, broker.get(&path).await.header("etag").to_owned());
    broker.accept("1").await;
    broker.post(&format!("{path}/pause"), json!({})).await;
    broker.accept("2").await;
    broker.publish("without a key", None).await;
    broker.work().await;
    assert_eq!(broker.get(&format!("{path}/lanes")).await.items().len(), 0, "not even while it is paused");
    assert_eq!(broker.delivered(), [""; 0]);
    broker.post(&format!("{path}/resume"), json!({})).await;
    broker.work().await;
    let settled = (version().await, broker.get(&path).await.header("etag").to_owned());
    assert_ne!((before, tag), settled, "a change of status is one");
    let (pulled, cursor) = broker.pulled(&path, "").await;
    assert_eq!(pulled.len(), 3);
    assert_eq!(broker.commit(&path, &cursor).await.status, 200);
    assert_eq!((version().await, broker.get(&path).await.header("etag").to_owned()), settled);
}

#[tokio::test]
async fn nothing_is_pulled_while_it_is_paused_but_what_was_pulled_is_committed() {
    let broker = Broker::with_orders().await;
    let path = broker.consume(json!({})).await;
    broker.accept("1").await;
    let (_, cursor) = broker.pulled(&path, "").await;
    assert_eq!(broker.post(&format!("{path}/pause"), json!({})).await.body["status"], "paused");
    assert_eq!(broker.get(&format!("{path}/pull")).await.problem(), (409, "wrong-status"));
    assert_eq!(broker.commit(&path, &cursor).await.status, 200);
    broker.accept("2").await;
    assert_eq!(broker.post(&format!("{path}/resume"), json!({})).await.body["status"], "active");
    assert_eq!(broker.pulled(&path, "").await.0, ["2"]);
}

#[tokio::test]
async fn a_pull_that_was_waiting_when_it_was_paused_answers_nothing() {
    let broker = Broker::with_orders().await;
    let path = broker.consume(json!({})).await;
    let request = Request::get(format!("{path}/pull?wait=20"));
    let request = request.header("authorization", format!("Bearer {}", crate::broker::ADMIN)).body(Body::empty());
    let mut waiting = Box::pin(broker.send(request.unwrap()));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    assert_eq!(broker.post(&format!("{path}/pause"), json!({})).await.status, 200);
    broker.wait(5);
    broker.accept("1").await;
    assert_eq!(waiting.await.problem(), (409, "wrong-status"));
}

#[tokio::test]
async fn a_consumer_is_moved_back_and_ahead_and_no_cursor_from_before_undoes_that() {
    let broker = Broker::with_orders().await;
    broker.accept("1").await;
    let time = broker.ports.clock.now().to_string();
    broker.accept("2").await;
    let path = broker.consume(json!({ "startFrom": "earliest" })).await;
    let (_, cursor) = broker.pulled(&path, "").await;
    assert_eq!(broker.commit(&path, &cursor).await.status, 200);
    for (place, expected) in [("earliest", vec!["1", "2"]), (&time, vec!["2"]), ("latest", vec![])] {
        let moved = broker.commit(&path, place).await;
        assert_eq!(moved.status, 200, "{}", moved.body);
        assert_eq!(broker.commit(&path, &cursor).await.problem(), (409, "stale-cursor"), "{place}");
        assert_eq!(broker.pulled(&path, "").await.0, expected, "{place}");
        assert_eq!(broker.commit(&path, &moved.text("cursor")).await.status, 200, "what it answered is a cursor");
    }
    let first = broker.get("/v1/topics/orders/events?limit=1").await.items()[0]["replayid"].clone();
    assert_eq!(broker.commit(&path, first.as_str().unwrap()).await.status, 200);
    assert_eq!(broker.pulled(&path, "").await.0, ["2"]);
    for bad in ["", "nothing", "0.AAAA", &"x".repeat(600)] {
        let refused = broker.commit(&path, bad).await;
        assert_eq!((refused.problem(), refused.pointers()), ((400, "invalid-field"), vec!["/cursor"]), "{bad}");
    }
    let unknown = broker.post(&format!("{path}/commit"), json!({ "cursor": "latest", "force": true })).await;
    assert_eq!(unknown.problem(), (400, "unknown-field"));
}

#[tokio::test]
async fn a_consumer_that_the_retention_has_passed_is_told_and_can_be_moved() {
    let broker = Broker::with_orders().await;
    let path = broker.consume(json!({})).await;
    broker.accept("1").await;
    broker.wait(8 * DAY);
    broker.accept("2").await;
    let gone = broker.get(&format!("{path}/pull")).await;
    assert_eq!(gone.problem(), (410, "expired"));
    let oldest = broker.get("/v1/topics/orders/events").await.items()[0]["replayid"].clone();
    assert_eq!(gone.body["earliestReplayId"], oldest);
    assert_eq!(broker.commit(&path, "2026-01-01T00:00:00Z").await.problem(), (410, "expired"));
    assert_eq!(broker.commit(&path, "earliest").await.status, 200);
    assert_eq!(broker.pulled(&path, "").await.0, ["2"]);
}

#[tokio::test]
async fn a_consumer_that_asks_is_not_passed_by_the_retention_for_want_of_events() {
    let broker = Broker::with_orders().await;
    let (path, idle) = (broker.consume(json!({})).await, broker.consume(json!({})).await);
    for _ in 0..10 * 4 {
        broker.wait(DAY / 4);
        let (none, cursor) = broker.pulled(&path, "").await;
        assert_eq!(none, [""; 0]);
        assert_eq!(broker.commit(&path, &cursor).await.status, 200, "there is no need to, but one may");
        assert_eq!(broker.pulled(&path, "").await.0, [""; 0]);
    }
    broker.accept("1").await;
    assert_eq!(broker.pulled(&path, "").await.0, ["1"]);
    assert_eq!(broker.get(&format!("{idle}/pull")).await.problem(), (410, "expired"), "who did not ask cannot know");
}

#[tokio::test]
async fn an_event_is_before_or_behind_what_is_committed() {
    let broker = Broker::with_orders().await;
    let path = broker.consume(json!({})).await;
    for id in ["1", "2"] {
        broker.accept(id).await;
    }
    let states = async || {
        let mut states = Vec::new();
        for id in ["1", "2"] {
            let found = broker.get(&format!("{path}/events/{id}")).await;
            assert_eq!((found.status, &found.body["lane"]), (200, &Value::Null), "{}", found.body);
            states.push(found.text("state"));
        }
        states
    };
    assert_eq!(states().await, ["uncommitted", "uncommitted"]);
    let (_, cursor) = broker.pulled(&path, "?limit=1").await;
    broker.commit(&path, &cursor).await;
    assert_eq!(states().await, ["committed", "uncommitted"]);
    let (_, cursor) = broker.pulled(&path, "").await;
    broker.commit(&path, &cursor).await;
    assert_eq!(states().await, ["committed", "committed"]);
    assert_eq!(broker.get(&format!("{path}/events/3")).await.problem(), (404, "event-not-found"));
}

#[tokio::test]
async fn a_topic_s_figures_tell_how_far_consumers_are_behind() {
    let broker = Broker::with_orders().await;
    let path = broker.consume(json!({})).await;
    let age = async || broker.get("/v1/topics/orders/stats").await.body["oldestUncommittedAgeSeconds"].clone();
    assert_eq!(age().await, 0.0);
    broker.accept("1").await;
    broker.wait(59);
    broker.accept("2").await;
    assert_eq!(age().await, 61.0);
    let (_, cursor) = broker.pulled(&path, "?limit=1").await;
    broker.commit(&path, &cursor).await;
    assert_eq!(age().await, 1.0);
    broker.wait(8 * DAY);
    assert_eq!(age().await, 0.0, "what is no longer kept is not waited for");
}

#[tokio::test]
async fn a_deleted_subscription_is_pulled_no_more_and_its_cursor_goes_with_it() {
    let broker = Broker::with_orders().await;
    let path = broker.consume(json!({})).await;
    let committed = async |ports: &Ports| ports.cursors.committed(&id_of(&path)).await.unwrap();
    assert!(committed(&broker.ports).await.is_some());
    assert_eq!(broker.delete(&path).await.status, 204);
    broker.work().await;
    assert_eq!(broker.get(&format!("{path}/pull")).await.problem(), (404, "subscription-not-found"));
    assert_eq!(broker.commit(&path, "latest").await.problem(), (404, "subscription-not-found"));
    broker.clock.advance(Duration::from_secs(31 * DAY));
    relay_core::sweep::Sweeper::new(broker.ports.clone()).run().await;
    assert_eq!(committed(&broker.ports).await, None);
}

#[tokio::test]
async fn pulling_and_committing_need_the_grant_to_subscribe() {
    let broker = Broker::with_orders().await;
    let path = broker.consume(json!({})).await;
    let publisher = broker.key(&[("publish", "orders")]).await;
    let subscriber = broker.key(&[("subscribe", "orders")]).await;
    let stranger = broker.key(&[("subscribe", "bills")]).await;
    for (key, expected) in [(publisher, 403), (subscriber, 200), (stranger, 404)] {
        let pulled = broker.ask(&key, "GET", &format!("{path}/pull"), &[], Body::empty()).await;
        let headers = [("content-type", "application/json")];
        let body = Body::from(json!({ "cursor": "latest" }).to_string());
        let committed = broker.ask(&key, "POST", &format!("{path}/commit"), &headers, body).await;
        assert_eq!((pulled.status, committed.status), (expected, expected));
    }
    for bad in ["?limit=0", "?wait=21", "?cursor=AAAA", "?after=latest"] {
        assert_eq!(broker.get(&format!("{path}/pull{bad}")).await.problem(), (400, "invalid-query"), "{bad}");
    }
}
