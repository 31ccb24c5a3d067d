use crate::broker::{ADMIN, Broker, HOOK};
use axum::body::Body;
use relay_core::digest::{hexadecimal, sha256_of_list};
use relay_core::ports::Registry;
use serde_json::json;

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer_again() {
    let broker = Broker::with_orders().await;
    let document = json!({ "topic": "orders", "endpoint": { "url": HOOK } });
    let key = [("idempotency-key", "create-1")];
    let first = broker.say("POST", "/v1/subscriptions", &key, document.clone()).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, ""));
    let again = broker.say("POST", "/v1/subscriptions", &key, document.clone()).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, "true"));
    assert_eq!(again.body, first.body);
    assert!(again.body["secrets"][0]["secret"].is_string());
    assert_eq!(broker.get("/v1/subscriptions").await.items().len(), 1);

    let other = json!({ "topic": "orders", "endpoint": { "url": "https://other.example/" } });
    let reused = broker.say("POST", "/v1/subscriptions", &key, other.clone()).await;
    assert_eq!(reused.problem(), (422, "idempotency-key-reused"));
    let reused = broker.say("POST", "/v1/keys", &key, document.clone()).await;
    assert_eq!(reused.problem(), (422, "idempotency-key-reused"));
    broker.wait(24 * 3600);
    assert_eq!(broker.say("POST", "/v1/subscriptions", &key, other).await.status, 201);
}

#[tokio::test]
async fn a_failed_request_is_not_remembered() {
    let broker = Broker::new().await;
    let document = json!({ "topic": "orders", "endpoint": { "url": HOOK } });
    let key = [("idempotency-key", "k")];
    let failed = broker.say("POST", "/v1/subscriptions", &key, document.clone()).await;
    assert_eq!(failed.problem(), (404, "topic-not-found"));
    broker.put("/v1/topics/orders", json!({})).await;
    assert_eq!(broker.say("POST", "/v1/subscriptions", &key, document).await.status, 201);
}

#[tokio::test]
async fn keys_of_different_callers_have_nothing_to_do_with_each_other() {
    let broker = Broker::with_orders().await;
    let (a, b) = (broker.key(&[("subscribe", ">")]).await, broker.key(&[("subscribe", ">")]).await);
    let headers = [("content-type", "application/json"), ("idempotency-key", "same")];
    let body = || Body::from(json!({ "topic": "orders", "endpoint": { "url": HOOK } }).to_string());
    let mut ids = Vec::new();
    for key in [a.as_str(), b.as_str(), ADMIN] {
        let answer = broker.ask(key, "POST", "/v1/subscriptions", &headers, body()).await;
        assert_eq!((answer.status, answer.header("idempotency-replayed")), (201, ""));
        ids.push(answer.text("id"));
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

#[tokio::test]
async fn a_rotation_is_repeatable_and_a_new_key_s_text_is_not_in_the_store() {
    let broker = Broker::with_orders().await;
    let path = broker.subscribe(json!({})).await;
    let rotate = format!("{path}/secrets/rotate");
    let key = [("idempotency-key", "r")];
    let first = broker.say("POST", &rotate, &key, json!({})).await;
    assert_eq!(broker.say("POST", &rotate, &key, json!({})).await.body, first.body);
    assert_eq!(broker.get(&path).await.body["secrets"].as_array().unwrap().len(), 2);

    let document = json!({ "name": "n", "grants": [{ "action": "publish", "topics": ">" }] });
    let created = broker.say("POST", "/v1/keys", &key, document.clone()).await;
    assert_eq!(created.problem(), (422, "idempotency-key-reused"));
    let other = [("idempotency-key", "s")];
    let created = broker.say("POST", "/v1/keys", &other, document.clone()).await;
    assert_eq!(broker.say("POST", "/v1/keys", &other, document).await.text("key"), created.text("key"));
    let record = record_name("s");
    let stored = broker.world.idempotent_answer(&record).await.unwrap().unwrap();
    assert!(!stored.body.contains(&created.text("key")) && !stored.body.contains("rk_"));
}

/// As the broker names it: by the caller's credentials and the key.
fn record_name(key: &str) -> String {
    hexadecimal(&sha256_of_list([b"record", ADMIN.as_bytes(), key.as_bytes()]))
}

#[tokio::test]
async fn faulty_idempotency_keys_are_refused() {
    let broker = Broker::with_orders().await;
    let long = "k".repeat(256);
    for bad in ["", &long] {
        let headers = [("idempotency-key", bad)];
        let answer = broker.say("POST", "/v1/subscriptions", &headers, json!({})).await;
        assert_eq!(answer.problem(), (400, "invalid-header"));
    }
    let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
    assert_eq!(broker.say("POST", "/v1/keys", &twice, json!({})).await.problem(), (400, "invalid-header"));
}
