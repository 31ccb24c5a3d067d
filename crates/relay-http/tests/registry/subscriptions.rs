use crate::broker::{ADMIN, Broker, HOOK, id_of};
use axum::body::Body;
use relay_core::subscription::Change;
use relay_http::Job;
use relay_sim::webhooks::Reaction;
use serde_json::{Value, json};

#[tokio::test]
async fn a_subscription_is_read_listed_changed_and_deleted() {
    let broker = Broker::with_orders().await;
    broker.put("/v1/topics/other", json!({})).await;
    let path = broker.subscribe(json!({ "endpoint": { "url": HOOK, "headers": { "a": "1", "b": "2" } } })).await;
    let other = broker.subscribe(json!({ "topic": "other" })).await;
    assert_eq!(broker.get("/v1/subscriptions").await.items().len(), 2);
    let listed = broker.get("/v1/subscriptions?topic=other").await;
    assert_eq!((listed.items().len(), &listed.items()[0]), (1, &broker.get(&other).await.body));
    assert_eq!(broker.get("/v1/subscriptions?topic=A").await.problem(), (400, "invalid-name"));
    let first = broker.get("/v1/subscriptions?limit=1").await;
    let next = format!("/v1/subscriptions?limit=1&cursor={}", first.text("nextCursor"));
    let second = broker.get(&next).await;
    assert_ne!(first.items()[0]["id"], second.items()[0]["id"]);
    assert_eq!(second.body["nextCursor"], Value::Null);

    let patch = json!({ "endpoint": { "timeoutMs": 2000, "headers": { "a": null, "c": "3" } }, "rateLimit": 7 });
    let patched = broker.patch(&path, patch).await;
    assert_eq!(patched.status, 200, "{}", patched.body);
    assert_eq!(patched.body["endpoint"]["headers"], json!({ "b": "2", "c": "3" }));
    assert_eq!((&patched.body["endpoint"]["timeoutMs"], &patched.body["rateLimit"]), (&json!(2000), &json!(7)));
    assert_eq!(patched.body["endpoint"]["url"], HOOK);
    assert_eq!(broker.patch(&path, json!({ "rateLimit": null, "retry": null })).await.body["rateLimit"], Value::Null);

    assert_eq!(broker.delete(&path).await.status, 204);
    assert_eq!(broker.jobs.0.lock().unwrap().as_slice(), [Job::Remove(id_of(&path))]);
    for answer in [broker.get(&path).await, broker.delete(&path).await, broker.patch(&path, json!({})).await] {
        assert_eq!(answer.problem(), (404, "subscription-not-found"));
    }
    assert_eq!(broker.get("/v1/subscriptions?topic=orders").await.items().len(), 0);
}

#[tokio::test]
async fn a_patch_cannot_move_a_subscription_or_set_what_the_broker_sets() {
    let broker = Broker::with_orders().await;
    let path = broker.subscribe(json!({})).await;
    for (patch, pointer) in [
        (json!({ "topic": "other" }), "/topic"),
        (json!({ "status": "paused" }), "/status"),
        (json!({ "secrets": [] }), "/secrets"),
        (json!({ "endpoint": { "url": null } }), "/endpoint/url"),
        (json!({ "endpoint": null }), "/endpoint"),
        (json!({ "startFrom": "latest" }), "/startFrom"),
    ] {
        let answer = broker.patch(&path, patch.clone()).await;
        assert_eq!((answer.problem(), answer.pointers()), ((400, "invalid-field"), vec![pointer]), "{patch}");
    }
    let unknown = broker.patch(&path, json!({ "endpoint": { "x": null } })).await;
    assert_eq!((unknown.problem(), unknown.pointers()), ((400, "unknown-field"), vec!["/endpoint/x"]));
    let whole = broker.get(&path).await;
    let same = broker.patch(&path, whole.body.clone()).await;
    assert_eq!((same.status, same.header("etag")), (200, whole.header("etag")));
}

#[tokio::test]
async fn updates_obey_if_match() {
    let broker = Broker::with_orders().await;
    let path = broker.subscribe(json!({})).await;
    let read = broker.get(&path).await;
    let condition = [("if-match", read.header("etag"))];
    assert_eq!(broker.say("PATCH", &path, &condition, json!({ "rateLimit": 1 })).await.status, 200);
    for method in ["PATCH", "DELETE"] {
        let lost = broker.say(method, &path, &condition, json!({})).await;
        assert_eq!(lost.problem(), (412, "precondition-failed"), "{method}");
    }
    let bad = broker.say("PATCH", &path, &[("if-match", "unquoted")], json!({})).await;
    assert_eq!(bad.problem(), (400, "invalid-header"));
}

#[tokio::test]
async fn pausing_holds_events_and_resuming_delivers_them_in_order() {
    let broker = Broker::with_orders().await;
    let path = broker.subscribe(json!({})).await;
    let paused = broker.post(&format!("{path}/pause"), json!({})).await;
    assert_eq!((paused.status, &paused.body["status"]), (200, &json!("paused")));
    assert_eq!(broker.post(&format!("{path}/pause"), json!({})).await.status, 200);
    for id in ["1", "2", "3"] {
        broker.publish(id, Some("k")).await;
    }
    broker.work().await;
    assert_eq!(broker.delivered(), Vec::<String>::new());
    let resumed = broker.ask(ADMIN, "POST", &format!("{path}/resume"), &[], Body::empty()).await;
    assert_eq!((resumed.status, &resumed.body["status"]), (200, &json!("active")));
    assert_eq!(broker.jobs.0.lock().unwrap().as_slice(), [Job::Resume(id_of(&path))]);
    broker.work().await;
    assert_eq!(broker.delivered(), ["1", "2", "3"]);
    assert_eq!(broker.post(&format!("{path}/resume"), json!({})).await.status, 200);
    let field = broker.post(&format!("{path}/pause"), json!({ "until": "tomorrow" })).await;
    assert_eq!((field.problem(), field.pointers()), ((400, "unknown-field"), vec!["/until"]));
}

#[tokio::test]
async fn a_disabled_subscription_is_resumed_but_not_paused() {
    let broker = Broker::with_orders().await;
    let path = broker.subscribe(json!({})).await;
    broker.world.endpoints().set(HOOK, &[(1, Reaction::Status(410))]);
    broker.publish("1", Some("k")).await;
    broker.work().await;
    let disabled = broker.get(&path).await;
    assert_eq!((&disabled.body["status"], &disabled.body["statusReason"]), (&json!("disabled"), &json!("gone")));
    assert_eq!(broker.post(&format!("{path}/pause"), json!({})).await.problem(), (409, "wrong-status"));
    broker.world.endpoints().set(HOOK, &[(1, Reaction::Accept)]);
    let resumed = broker.post(&format!("{path}/resume"), json!({})).await;
    assert_eq!((&resumed.body["status"], &resumed.body["statusReason"]), (&json!("active"), &Value::Null));
    broker.work().await;
    assert_eq!(broker.delivered(), ["1"]);
}

#[tokio::test]
async fn a_test_sends_a_sample_event_and_reports_the_attempt() {
    let broker = Broker::with_orders().await;
    let path = broker.subscribe(json!({})).await;
    manage_pause(&broker, &path).await;
    let tested = broker.post(&format!("{path}/test"), json!({})).await;
    assert_eq!(tested.status, 200);
    let attempt = &tested.body["attempt"];
    assert_eq!(
        (&attempt["outcome"], &attempt["status"], &attempt["number"]),
        (&json!("delivered"), &json!(200), &json!(1))
    );
    assert_eq!(attempt["topic"], "orders");
    broker.world.endpoints().with_received(|received| {
        assert_eq!(received.len(), 1);
        assert!(received[0].header("webhook-signature").unwrap().starts_with("v1,"));
        assert_eq!(received[0].header("webhook-id"), attempt["eventId"].as_str());
        let event: Value = serde_json::from_slice(&received[0].request.body).unwrap();
        assert_eq!(event["type"], "relay.test");
    });
    broker.world.endpoints().set(HOOK, &[(1, Reaction::Status(500))]);
    let failed = broker.post(&format!("{path}/test"), json!({})).await;
    assert_eq!((failed.status, &failed.body["attempt"]["outcome"]), (200, &json!("failed")));
    broker.world.endpoints().set(HOOK, &[(1, Reaction::Refuse)]);
    let refused = broker.post(&format!("{path}/test"), json!({})).await;
    assert_eq!(
        (&refused.body["attempt"]["status"], &refused.body["attempt"]["error"]),
        (&Value::Null, &json!("connect"))
    );
}

async fn manage_pause(broker: &Broker, path: &str) {
    relay_core::manage::change_status(&broker.ports, &id_of(path), Change::Pause).await.unwrap();
}

#[tokio::test]
async fn both_secrets_sign_during_the_grace() {
    let broker = Broker::with_orders().await;
    let path = broker.subscribe(json!({})).await;
    let first = broker.get(&path).await.body["secrets"][0]["id"].clone();
    let rotate = format!("{path}/secrets/rotate");
    let rotated = broker.post(&rotate, json!({ "graceSeconds": 60 })).await;
    assert_eq!(rotated.status, 200);
    let secrets = rotated.body["secrets"].as_array().unwrap();
    assert!(secrets[0]["secret"].as_str().unwrap().starts_with("whsec_") && secrets[0].get("expiresAt").is_none());
    assert_eq!((&secrets[1]["id"], secrets[1].get("secret")), (&first, None));
    assert_eq!(secrets[1]["expiresAt"], "2026-11-18T11:07:40.000Z");
    let signatures = async |id: &str| {
        broker.publish(id, Some("k")).await;
        broker.work().await;
        broker
            .world
            .endpoints()
            .with_received(|received| received.last().unwrap().header("webhook-signature").unwrap().split(' ').count())
    };
    assert_eq!(signatures("1").await, 2);
    broker.wait(60);
    assert_eq!(signatures("2").await, 1);
    assert_eq!(broker.get(&path).await.body["secrets"].as_array().unwrap().len(), 1);

    let at_once = broker.post(&rotate, json!({ "graceSeconds": 0 })).await;
    assert_eq!(at_once.body["secrets"].as_array().unwrap().len(), 1);
    for bad in [json!({ "graceSeconds": -1 }), json!({ "graceSeconds": "1" }), json!({ "graceSeconds": 2_592_001 })] {
        let answer = broker.post(&rotate, bad).await;
        assert_eq!((answer.problem(), answer.pointers()), ((400, "invalid-field"), vec!["/graceSeconds"]));
    }
    let mut statuses = Vec::new();
    for _ in 0..9 {
        statuses.push(broker.post(&rotate, json!({})).await.status);
    }
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 409, 409]);
    assert_eq!(broker.post(&rotate, json!({})).await.problem(), (409, "too-many-secrets"));
}

#[tokio::test]
async fn attempts_are_listed_newest_first() {
    let broker = Broker::with_orders().await;
    let path = broker.subscribe(json!({ "retry": { "schedule": [1] } })).await;
    broker.world.endpoints().set(HOOK, &[(1, Reaction::Status(503))]);
    let sequence = broker.publish("1", Some("k")).await;
    broker.work().await;
    broker.wait(2);
    broker.world.endpoints().set(HOOK, &[(1, Reaction::Accept)]);
    broker.work().await;
    let attempts = broker.get(&format!("{path}/attempts")).await;
    let outcomes: Vec<_> = attempts.items().iter().map(|attempt| attempt["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["delivered", "failed"]);
    let failed = &attempts.items()[1];
    assert_eq!((&failed["eventId"], &failed["partitionKey"]), (&json!("1"), &json!("k")));
    assert_eq!((&failed["sequence"], &failed["number"], &failed["status"]), (&json!(sequence), &json!(1), &json!(503)));
    assert_eq!(
        (&failed["replay"], &failed["error"], &failed["topic"]),
        (&json!(false), &Value::Null, &json!("orders"))
    );
    assert!(failed["startedAt"].is_string() && failed["durationMs"].is_u64() && failed["response"].is_string());
    let first = broker.get(&format!("{path}/attempts?limit=1")).await;
    assert_eq!(first.items().len(), 1);
    let next = format!("{path}/attempts?limit=1&cursor={}", first.text("nextCursor"));
    assert_eq!(&broker.get(&next).await.items()[0], failed);
    assert_eq!(broker.get(&format!("{path}/attempts?cursor=eHl6")).await.problem(), (400, "invalid-query"));
}

#[tokio::test]
async fn the_broker_s_own_events_are_subscribed_to_like_any_other() {
    let broker = Broker::with_orders().await;
    let system =
        broker.subscribe(json!({ "topic": "relay.system", "endpoint": { "url": "https://ops.example/" } })).await;
    let path = broker.subscribe(json!({})).await;
    broker.world.endpoints().set(HOOK, &[(1, Reaction::Status(410))]);
    broker.publish("1", Some("k")).await;
    broker.work().await;
    let attempts = broker.get(&format!("{system}/attempts")).await;
    let keys: Vec<_> = attempts.items().iter().map(|attempt| &attempt["partitionKey"]).collect();
    assert_eq!(keys, [&json!(id_of(&path).as_str())]);
}
