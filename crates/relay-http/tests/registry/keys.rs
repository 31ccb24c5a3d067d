use crate::broker::{ADMIN, Broker, HOOK};
use axum::body::Body;
use serde_json::{Value, json};

#[tokio::test]
async fn a_key_is_shown_once_works_until_it_expires_and_is_deleted() {
    let broker = Broker::with_orders().await;
    let grants = json!([{ "action": "manage", "topics": "orders" }]);
    let document = json!({ "name": "ci", "grants": grants, "expiresAt": "2026-11-18T12:06:40Z" });
    let created = broker.post("/v1/keys", document).await;
    assert_eq!(created.status, 201);
    let (id, key) = (created.text("id"), created.text("key"));
    assert!(id.starts_with("key_") && key.starts_with("rk_") && key.len() >= 46);
    assert_eq!((&created.body["grants"], &created.body["name"]), (&grants, &json!("ci")));
    assert_eq!(created.body["expiresAt"], "2026-11-18T12:06:40.000Z");
    assert_eq!((created.body["lastUsedAt"].clone(), created.header("cache-control")), (Value::Null, "no-store"));

    let as_key = async || broker.ask(&key, "GET", "/v1/topics/orders", &[], Body::empty()).await;
    broker.wait(10);
    assert_eq!(as_key().await.status, 200);
    let read = broker.get(&format!("/v1/keys/{id}")).await;
    assert!(read.body.get("key").is_none());
    assert_eq!(read.body["lastUsedAt"], "2026-11-18T11:06:50.000Z");
    let listed = broker.get("/v1/keys").await;
    assert_eq!(listed.items(), &[read.body]);
    broker.wait(3590);
    assert_eq!(as_key().await.problem(), (401, "unauthorized"));
    assert_eq!(broker.delete(&format!("/v1/keys/{id}")).await.status, 204);
    for answer in [broker.get(&format!("/v1/keys/{id}")).await, broker.delete(&format!("/v1/keys/{id}")).await] {
        assert_eq!(answer.problem(), (404, "key-not-found"));
    }
}

#[tokio::test]
async fn a_deleted_key_is_refused_at_once() {
    let broker = Broker::with_orders().await;
    let key = broker.key(&[("manage", ">")]).await;
    assert_eq!(broker.ask(&key, "GET", "/v1/topics", &[], Body::empty()).await.status, 200);
    let id = broker.get("/v1/keys").await.items()[0]["id"].as_str().unwrap().to_owned();
    broker.delete(&format!("/v1/keys/{id}")).await;
    assert_eq!(broker.ask(&key, "GET", "/v1/topics", &[], Body::empty()).await.problem(), (401, "unauthorized"));
}

#[tokio::test]
async fn faulty_keys_are_refused_by_pointer() {
    let broker = Broker::new().await;
    let grant = json!([{ "action": "publish", "topics": ">" }]);
    for (document, pointers) in [
        (json!({}), vec!["/grants", "/name"]),
        (json!({ "name": "", "grants": [] }), vec!["/grants", "/name"]),
        (json!({ "name": "a", "grants": [1, {}] }), vec!["/grants/0", "/grants/1/action", "/grants/1/topics"]),
        (json!({ "name": "a", "grants": [{ "action": "read", "topics": "a" }] }), vec!["/grants/0/action"]),
        (json!({ "name": "a", "grants": [{ "action": "publish", "topics": "a.>.b" }] }), vec!["/grants/0/topics"]),
        (json!({ "name": "a", "grants": grant, "expiresAt": "2026-11-18T11:06:40Z" }), vec!["/expiresAt"]),
        (json!({ "name": "a", "grants": grant, "expiresAt": "soon" }), vec!["/expiresAt"]),
        (json!({ "name": "a", "grants": grant, "key": "rk_mine" }), vec!["/key"]),
    ] {
        let answer = broker.post("/v1/keys", document.clone()).await;
        assert_eq!((answer.problem(), answer.pointers()), ((400, "invalid-field"), pointers), "{document}");
    }
    let unknown = json!({ "name": "a", "grants": [{ "action": "publish", "topics": "a", "deny": true }] });
    let answer = broker.post("/v1/keys", unknown).await;
    assert_eq!((answer.problem(), answer.pointers()), ((400, "unknown-field"), vec!["/grants/0/deny"]));
}

#[tokio::test]
async fn without_credentials_nothing_but_health_and_problems_is_told() {
    let broker = Broker::with_orders().await;
    let path = broker.subscribe(json!({})).await;
    for (method, path) in [
        ("GET", "/v1/topics"),
        ("PUT", "/v1/topics/x"),
        ("POST", "/v1/topics/orders/events"),
        ("GET", "/v1/keys"),
        ("GET", "/v1/subscriptions"),
        ("GET", &path),
        ("POST", &format!("{path}/replays")),
    ] {
        for key in ["", "wrong-key-that-nobody-made"] {
            let answer = broker.ask(key, method, path, &[], Body::empty()).await;
            assert_eq!(answer.problem(), (401, "unauthorized"), "{method} {path}");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
    for path in ["/healthz", "/readyz", "/problems", "/problems/topic-not-found"] {
        assert_eq!(broker.ask("", "GET", path, &[], Body::empty()).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn each_grant_opens_what_it_is_for_and_nothing_else() {
    let broker = Broker::with_orders().await;
    broker.put("/v1/topics/secret", json!({})).await;
    let own = broker.subscribe(json!({})).await;
    let hidden = broker.subscribe(json!({ "topic": "secret" })).await;
    let subscribe = |topic: &str| json!({ "topic": topic, "endpoint": { "url": HOOK } });
    let all = broker.key(&[("manage", ">")]).await;
    let publisher = broker.key(&[("publish", "orders")]).await;
    let subscriber = broker.key(&[("subscribe", "orders")]).await;
    let manager = broker.key(&[("manage", "orders")]).await;
    let key = json!({ "name": "k", "grants": [{ "action": "publish", "topics": "orders" }] });
    let event = json!({ "n": 1 });
    let none = Value::Null;
    // The statuses for: publisher, subscriber, manager, and a manager of everything.
    let table: Vec<(&str, String, &Value, [u16; 4])> = vec![
        ("POST", "/v1/topics/orders/events".into(), &event, [202, 403, 403, 403]),
        ("POST", "/v1/topics/secret/events".into(), &event, [403, 403, 403, 403]),
        ("POST", "/v1/topics/missing/events".into(), &event, [403, 403, 403, 403]),
        ("GET", "/v1/topics/orders".into(), &none, [403, 403, 200, 200]),
        ("GET", "/v1/topics/orders/stats".into(), &none, [403, 403, 200, 200]),
        ("GET", "/v1/topics/secret".into(), &none, [403, 403, 403, 200]),
        ("GET", "/v1/topics/missing".into(), &none, [403, 403, 403, 404]),
        ("PUT", "/v1/topics/orders".into(), &none, [403, 403, 200, 200]),
        ("PATCH", "/v1/topics/orders".into(), &none, [403, 403, 200, 200]),
        ("DELETE", "/v1/topics/secret".into(), &none, [403, 403, 403, 409]),
        ("GET", "/v1/subscriptions?topic=orders".into(), &none, [403, 200, 403, 403]),
        ("GET", own.clone(), &none, [403, 200, 403, 403]),
        ("PATCH", own.clone(), &none, [403, 200, 403, 403]),
        ("POST", format!("{own}/pause"), &none, [403, 200, 403, 403]),
        ("POST", format!("{own}/resume"), &none, [403, 200, 403, 403]),
        ("POST", format!("{own}/test"), &none, [403, 200, 403, 403]),
        ("POST", format!("{own}/secrets/rotate"), &none, [403, 200, 403, 403]),
        ("GET", format!("{own}/attempts"), &none, [403, 200, 403, 403]),
        ("GET", format!("{own}/lanes?state=held"), &none, [403, 200, 403, 403]),
        ("POST", format!("{own}/lanes/k/retry"), &none, [403, 404, 403, 403]),
        ("GET", format!("{own}/deadletters"), &none, [403, 200, 403, 403]),
        ("POST", format!("{own}/deadletters/redrive"), &none, [403, 202, 403, 403]),
        ("DELETE", format!("{own}/deadletters/x"), &none, [403, 404, 403, 403]),
        ("GET", format!("{own}/events/x"), &none, [403, 404, 403, 403]),
        // Whoever holds no grant on a subscription's topic is not told that there is one.
        ("GET", hidden.clone(), &none, [404, 404, 404, 403]),
        ("DELETE", hidden.clone(), &none, [404, 404, 404, 403]),
        ("POST", format!("{hidden}/pause"), &none, [404, 404, 404, 403]),
        ("POST", "/v1/keys".into(), &key, [403, 403, 403, 201]),
        ("GET", "/v1/keys".into(), &none, [403, 403, 403, 200]),
        ("DELETE", "/v1/keys/x".into(), &none, [403, 403, 403, 404]),
    ];
    for (method, path, document, expected) in &table {
        for (who, status) in [&publisher, &subscriber, &manager, &all].into_iter().zip(expected) {
            let (headers, body) = if document.is_null() {
                (vec![], Body::empty())
            } else {
                (vec![("content-type", "application/json")], Body::from(document.to_string()))
            };
            let answer = broker.ask(who, method, path, &headers, body).await;
            assert_eq!(answer.status, *status, "{method} {path} {}", answer.body);
        }
    }
    for (who, topic, status) in
        [(&publisher, "orders", 403), (&subscriber, "orders", 201), (&subscriber, "secret", 403), (&all, "orders", 403)]
    {
        let json = [("content-type", "application/json")];
        let body = Body::from(subscribe(topic).to_string());
        assert_eq!(broker.ask(who, "POST", "/v1/subscriptions", &json, body).await.status, status, "{topic}");
    }
    let visible = broker.ask(&subscriber, "GET", "/v1/subscriptions", &[], Body::empty()).await;
    assert!(visible.items().iter().all(|subscription| subscription["topic"] == "orders"));
    assert_eq!(broker.get("/v1/subscriptions").await.items().len(), visible.items().len() + 1);
    assert_eq!(broker.ask(ADMIN, "GET", &hidden, &[], Body::empty()).await.status, 200);
}
