use crate::broker::{Broker, HOOK};
use serde_json::{Value, json};

#[tokio::test]
async fn a_subscription_has_the_defaults_of_the_contract() {
    let broker = Broker::with_orders().await;
    let created = broker.post("/v1/subscriptions", json!({ "topic": "orders", "endpoint": { "url": HOOK } })).await;
    assert_eq!(created.status, 201);
    assert_eq!(
        created.body["endpoint"],
        json!({ "url": HOOK, "headers": {}, "timeoutMs": 10_000, "mode": "structured", "maxBatch": 1 })
    );
    assert_eq!(
        created.body["retry"],
        json!({
            "schedule": [5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800],
            "maxAge": "72h", "onExhausted": "deadLetter", "onRejected": "retry",
        })
    );
    assert_eq!((&created.body["rateLimit"], &created.body["status"]), (&Value::Null, &json!("active")));
    assert_eq!(created.body["statusReason"], Value::Null);
    assert_eq!(created.header("location"), format!("/v1/subscriptions/{}", created.text("id")));
    assert_eq!(created.header("cache-control"), "no-store");
    let secrets = created.body["secrets"].as_array().unwrap();
    assert_eq!(secrets.len(), 1);
    assert!(secrets[0]["secret"].as_str().unwrap().starts_with("whsec_"));
    assert!(secrets[0]["id"].as_str().unwrap().starts_with("sec_") && secrets[0]["createdAt"].is_string());
    let read = broker.get(created.header("location")).await;
    assert!(read.body["secrets"][0].get("secret").is_none());
    assert_eq!(read.body["secrets"][0]["id"], secrets[0]["id"]);
    assert_eq!(read.header("etag"), created.header("etag"));
}

#[tokio::test]
async fn what_is_written_is_what_is_read() {
    let broker = Broker::with_orders().await;
    let endpoint = json!({
        "url": HOOK, "headers": { "authorization": "Bearer abc", "x-tenant": "7" },
        "timeoutMs": 1000, "mode": "batch", "maxBatch": 100,
    });
    let retry =
        json!({ "schedule": [0, 0.5, 86_400], "maxAge": "7d", "onExhausted": "block", "onRejected": "deadLetter" });
    let fields = json!({ "endpoint": endpoint, "retry": retry, "rateLimit": 5, "startFrom": "latest", "filter": null });
    let path = broker.subscribe(fields).await;
    let read = broker.get(&path).await;
    assert_eq!((&read.body["endpoint"], &read.body["retry"]), (&endpoint, &retry));
    assert_eq!(read.body["rateLimit"], 5);
    for mode in ["structured", "binary", "batch", "raw"] {
        let path = broker.subscribe(json!({ "endpoint": { "url": HOOK, "mode": mode } })).await;
        assert_eq!(broker.get(&path).await.body["endpoint"]["mode"], mode);
    }
}

#[tokio::test]
async fn wrong_values_are_named_by_their_pointers() {
    let broker = Broker::with_orders().await;
    let endpoint = |fields: Value| {
        let mut endpoint = json!({ "url": HOOK });
        endpoint.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({ "endpoint": endpoint })
    };
    let retry = |fields: Value| json!({ "retry": fields });
    let schedule = |entries: usize| retry(json!({ "schedule": vec![1; entries] }));
    for (fields, pointer) in [
        (json!({ "topic": 1 }), "/topic"),
        (json!({ "topic": "NO" }), "/topic"),
        (json!({ "topic": null }), "/topic"),
        (json!({ "endpoint": null }), "/endpoint"),
        (json!({ "endpoint": "https://x" }), "/endpoint"),
        (json!({ "endpoint": {} }), "/endpoint/url"),
        (json!({ "endpoint": { "url": "http://10.0.0.1/" } }), "/endpoint/url"),
        (json!({ "endpoint": { "url": "" } }), "/endpoint/url"),
        (endpoint(json!({ "timeoutMs": 999 })), "/endpoint/timeoutMs"),
        (endpoint(json!({ "timeoutMs": 30_001 })), "/endpoint/timeoutMs"),
        (endpoint(json!({ "timeoutMs": "10000" })), "/endpoint/timeoutMs"),
        (endpoint(json!({ "mode": "push" })), "/endpoint/mode"),
        (endpoint(json!({ "maxBatch": 2 })), "/endpoint/maxBatch"),
        (endpoint(json!({ "maxBatch": 101, "mode": "batch" })), "/endpoint/maxBatch"),
        (endpoint(json!({ "maxBatch": 0, "mode": "batch" })), "/endpoint/maxBatch"),
        (endpoint(json!({ "headers": [] })), "/endpoint/headers"),
        (endpoint(json!({ "headers": { "a b": "x" } })), "/endpoint/headers/a b"),
        (endpoint(json!({ "headers": { "": "x" } })), "/endpoint/headers/"),
        (endpoint(json!({ "headers": { "x": 1 } })), "/endpoint/headers/x"),
        (endpoint(json!({ "headers": { "x": "a\r\nb: c" } })), "/endpoint/headers/x"),
        (endpoint(json!({ "headers": { "x": "ü" } })), "/endpoint/headers/x"),
        (endpoint(json!({ "headers": { "Webhook-Id": "x" } })), "/endpoint/headers/Webhook-Id"),
        (endpoint(json!({ "headers": { "relay-topic": "x" } })), "/endpoint/headers/relay-topic"),
        (endpoint(json!({ "headers": { "ce-id": "x" } })), "/endpoint/headers/ce-id"),
        (endpoint(json!({ "headers": { "HOST": "x" } })), "/endpoint/headers/HOST"),
        (endpoint(json!({ "headers": { "content-length": "0" } })), "/endpoint/headers/content-length"),
        (endpoint(json!({ "headers": { "Connection": "close" } })), "/endpoint/headers/Connection"),
        (retry(json!("never")), "/retry"),
        (schedule(0), "/retry/schedule"),
        (schedule(51), "/retry/schedule"),
        (retry(json!({ "schedule": [1, -1] })), "/retry/schedule/1"),
        (retry(json!({ "schedule": [86_401] })), "/retry/schedule/0"),
        (retry(json!({ "schedule": ["5"] })), "/retry/schedule/0"),
        (retry(json!({ "maxAge": "72" })), "/retry/maxAge"),
        (retry(json!({ "maxAge": 72 })), "/retry/maxAge"),
        (retry(json!({ "maxAge": "8d" })), "/retry/maxAge"),
        (retry(json!({ "onExhausted": "retry" })), "/retry/onExhausted"),
        (retry(json!({ "onRejected": "skip" })), "/retry/onRejected"),
        (json!({ "rateLimit": 0 }), "/rateLimit"),
        (json!({ "rateLimit": 1.5 }), "/rateLimit"),
        (json!({ "startFrom": "first" }), "/startFrom"),
        (json!({ "startFrom": { "replayId": "x" } }), "/startFrom/replayId"),
        (json!({ "status": "paused" }), "/status"),
        (json!({ "id": "sub_1" }), "/id"),
    ] {
        let mut document = json!({ "topic": "orders", "endpoint": { "url": HOOK } });
        document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let answer = broker.post("/v1/subscriptions", document).await;
        assert_eq!((answer.problem(), answer.pointers()), ((400, "invalid-field"), vec![pointer]), "{fields}");
    }
    assert_eq!(broker.get("/v1/subscriptions").await.items().len(), 0);
}

#[tokio::test]
async fn all_faults_are_told_at_once() {
    let broker = Broker::with_orders().await;
    let document = json!({ "topic": "orders", "endpoint": { "timeoutMs": 1, "mode": "x" }, "retry": { "maxAge": "" } });
    let answer = broker.post("/v1/subscriptions", document).await;
    assert_eq!(answer.pointers(), ["/endpoint/mode", "/endpoint/timeoutMs", "/endpoint/url", "/retry/maxAge"]);
    assert_eq!(broker.post("/v1/subscriptions", json!({})).await.pointers(), ["/endpoint", "/topic"]);
}

#[tokio::test]
async fn fields_of_later_work_are_refused_by_name_and_unknown_ones_too() {
    let broker = Broker::with_orders().await;
    for (fields, pointer) in [
        (json!({ "filter": "event.type == \"x\"" }), "/filter"),
        (json!({ "topic": null, "channel": "all" }), "/channel"),
        (json!({ "topic": null, "pattern": "orders.>" }), "/pattern"),
        (json!({ "channel": "all" }), "/channel"),
        (json!({ "endpoint": { "url": HOOK, "profile": "fortellis" } }), "/endpoint/profile"),
        (json!({ "kind": "command" }), "/kind"),
        (json!({ "verification": "challenge" }), "/verification"),
        (json!({ "approval": true }), "/approval"),
    ] {
        let mut document = json!({ "topic": "orders", "endpoint": { "url": HOOK } });
        document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let answer = broker.post("/v1/subscriptions", document).await;
        assert_eq!((answer.problem(), answer.pointers()), ((400, "not-supported"), vec![pointer]), "{fields}");
    }
    let unknown = json!({
        "topic": "orders", "endpoint": { "url": HOOK, "timeout": 5 }, "retry": { "schedule": [1], "jitter": 1 }, "x": {},
    });
    let answer = broker.post("/v1/subscriptions", unknown).await;
    assert_eq!(answer.problem(), (400, "unknown-field"));
    assert_eq!(answer.pointers(), ["/endpoint/timeout", "/retry/jitter", "/x"]);
}

#[tokio::test]
async fn retries_never_outlast_the_topic_s_retention() {
    let broker = Broker::with_orders().await;
    broker.put("/v1/topics/orders", json!({ "retention": "1d" })).await;
    let path = broker.subscribe(json!({})).await;
    assert_eq!(broker.get(&path).await.body["retry"]["maxAge"], "24h");
    let longer = broker.patch(&path, json!({ "retry": { "maxAge": "25h" } })).await;
    assert_eq!((longer.problem(), longer.pointers()), ((400, "invalid-field"), vec!["/retry/maxAge"]));
    broker.put("/v1/topics/orders", json!({ "retention": "30d" })).await;
    assert_eq!(broker.patch(&path, json!({ "retry": { "maxAge": "30d" } })).await.status, 200);
    broker.put("/v1/topics/orders", json!({ "retention": "1d" })).await;
    let other = broker.patch(&path, json!({ "rateLimit": 9 })).await;
    assert_eq!((other.status, &other.body["retry"]["maxAge"]), (200, &json!("30d")));
}
