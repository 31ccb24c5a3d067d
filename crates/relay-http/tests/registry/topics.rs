use crate::broker::{Broker, HOOK};
use serde_json::{Value, json};

#[tokio::test]
async fn a_topic_is_created_read_replaced_and_deleted() {
    let broker = Broker::new().await;
    let created = broker.put("/v1/topics/orders", json!({ "description": "what is sold", "retention": "30d" })).await;
    assert_eq!((created.status, created.header("location")), (201, "/v1/topics/orders"));
    assert!(created.text("id").starts_with("top_"));
    assert_eq!(created.body["createdAt"], "2026-11-18T11:06:40.000Z");
    let read = broker.get("/v1/topics/orders").await;
    assert_eq!((read.status, &read.body), (200, &created.body));
    assert_eq!(read.header("etag"), created.header("etag"));
    assert_eq!((&read.body["retention"], &read.body["maxEventBytes"]), (&json!("30d"), &json!(1_048_576)));

    let replaced = broker.put("/v1/topics/orders", json!({ "owner": "shop", "maxEventBytes": 100 })).await;
    assert_eq!(replaced.status, 200);
    assert_eq!(replaced.body["description"], Value::Null);
    assert_eq!(replaced.body["retention"], "7d");
    assert_eq!(replaced.body["id"], created.body["id"]);
    assert_ne!(replaced.header("etag"), created.header("etag"));

    assert_eq!(broker.delete("/v1/topics/orders").await.status, 204);
    assert_eq!(broker.get("/v1/topics/orders").await.problem(), (404, "topic-not-found"));
    assert_eq!(broker.delete("/v1/topics/orders").await.problem(), (404, "topic-not-found"));
}

#[tokio::test]
async fn an_empty_body_makes_a_topic_with_defaults_and_repeating_a_put_changes_nothing() {
    let broker = Broker::new().await;
    let created = broker.ask(crate::broker::ADMIN, "PUT", "/v1/topics/a", &[], axum::body::Body::empty()).await;
    assert_eq!(created.status, 201);
    let again = broker.put("/v1/topics/a", json!({})).await;
    assert_eq!((again.status, again.header("etag")), (200, created.header("etag")));
    let sent_back = broker.put("/v1/topics/a", created.body.clone()).await;
    assert_eq!((sent_back.status, &sent_back.body), (200, &created.body));
}

#[tokio::test]
async fn a_merge_patch_changes_what_it_names_and_null_restores_a_default() {
    let broker = Broker::new().await;
    broker.put("/v1/topics/a", json!({ "description": "d", "owner": "o", "retention": "90d" })).await;
    let patched = broker.patch("/v1/topics/a", json!({ "owner": "p", "retention": null })).await;
    assert_eq!(patched.status, 200);
    assert_eq!(patched.body["description"], "d");
    assert_eq!((&patched.body["owner"], &patched.body["retention"]), (&json!("p"), &json!("7d")));
    let merge = [("content-type", "application/merge-patch+json")];
    let body = axum::body::Body::from(r#"{"description":null}"#);
    let patched = broker.ask(crate::broker::ADMIN, "PATCH", "/v1/topics/a", &merge, body).await;
    assert_eq!((patched.status, &patched.body["description"]), (200, &Value::Null));
    assert_eq!(broker.patch("/v1/topics/none", json!({})).await.problem(), (404, "topic-not-found"));
}

#[tokio::test]
async fn a_lost_update_is_refused() {
    let broker = Broker::with_orders().await;
    let first = broker.get("/v1/topics/orders").await;
    let condition = [("if-match", first.header("etag"))];
    let changed = broker.say("PATCH", "/v1/topics/orders", &condition, json!({ "owner": "a" })).await;
    assert_eq!(changed.status, 200);
    for method in ["PATCH", "PUT", "DELETE"] {
        let body = if method == "DELETE" { json!({}) } else { json!({ "owner": "b" }) };
        let lost = broker.say(method, "/v1/topics/orders", &condition, body).await;
        assert_eq!(lost.problem(), (412, "precondition-failed"), "{method}");
    }
    assert_eq!(broker.get("/v1/topics/orders").await.body["owner"], "a");
    let only_new = [("if-none-match", "*")];
    let exists = broker.say("PUT", "/v1/topics/orders", &only_new, json!({})).await;
    assert_eq!(exists.problem(), (412, "precondition-failed"));
    assert_eq!(broker.say("PUT", "/v1/topics/fresh", &only_new, json!({})).await.status, 201);
    let absent = broker.say("PUT", "/v1/topics/none", &[("if-match", "*")], json!({})).await;
    assert_eq!(absent.problem(), (412, "precondition-failed"));
}

#[tokio::test]
async fn fields_that_are_wrong_unknown_or_of_later_work_are_named() {
    let broker = Broker::new().await;
    let put = async |document: Value| broker.put("/v1/topics/a", document).await;
    let wrong = put(json!({ "retention": "8d", "maxEventBytes": 0, "owner": 1, "description": ["x"] })).await;
    assert_eq!(wrong.problem(), (400, "invalid-field"));
    assert_eq!(wrong.pointers(), ["/description", "/maxEventBytes", "/owner", "/retention"]);
    let unknown = put(json!({ "retension": "7d" })).await;
    assert_eq!((unknown.problem(), unknown.pointers()), ((400, "unknown-field"), vec!["/retension"]));
    for (document, pointer) in [
        (json!({ "schema": {} }), "/schema"),
        (json!({ "validation": "warn" }), "/validation"),
        (json!({ "kind": "command" }), "/kind"),
        (json!({ "access": "approval" }), "/access"),
        (json!({ "access": "private" }), "/access"),
    ] {
        let later = put(document).await;
        assert_eq!((later.problem(), later.pointers()), ((400, "not-supported"), vec![pointer]));
    }
    for document in [json!({ "name": "b" }), json!({ "id": "top_x" }), json!({ "createdAt": "2020-01-01T00:00:00Z" })] {
        assert_eq!(put(document).await.problem(), (400, "invalid-field"));
    }
    assert_eq!(put(json!([])).await.problem(), (400, "invalid-field"));
    assert_eq!(put(json!({ "maxEventBytes": 4_194_305 })).await.problem(), (400, "invalid-field"));
    assert_eq!(broker.get("/v1/topics/a").await.problem(), (404, "topic-not-found"));
    assert_eq!(put(json!({ "name": "a", "access": "open", "schema": null, "kind": null })).await.status, 201);
    let unknown = broker.patch("/v1/topics/a", json!({ "x/y": null })).await;
    assert_eq!((unknown.problem(), unknown.pointers()), ((400, "unknown-field"), vec!["/x~1y"]));
    assert_eq!(broker.patch("/v1/topics/a", json!("x")).await.problem(), (400, "invalid-field"));
}

#[tokio::test]
async fn names_are_checked_and_the_broker_s_own_are_kept() {
    let broker = Broker::new().await;
    for bad in ["Orders", "-a", "a%20b", "a%2Fb", "%C3%A4", &"a".repeat(129)] {
        assert_eq!(broker.put(&format!("/v1/topics/{bad}"), json!({})).await.problem(), (400, "invalid-name"), "{bad}");
    }
    assert_eq!(broker.put("/v1/topics/%FF", json!({})).await.problem(), (400, "bad-request"));
    for path in ["/v1/topics/relay.mine", "/v1/topics/relay.system"] {
        assert_eq!(broker.put(path, json!({})).await.problem(), (403, "reserved-name"));
        assert_eq!(broker.patch(path, json!({})).await.problem(), (403, "reserved-name"));
        assert_eq!(broker.delete(path).await.problem(), (403, "reserved-name"));
    }
    assert_eq!(broker.get("/v1/topics/relay.system").await.status, 200);
}

#[tokio::test]
async fn a_topic_with_subscriptions_is_deleted_by_force_only_and_its_name_stays_reserved() {
    let broker = Broker::with_orders().await;
    let first = broker.get("/v1/topics/orders").await.text("id");
    let subscription = broker.subscribe(json!({})).await;
    let refused = broker.delete("/v1/topics/orders").await;
    assert_eq!(refused.problem(), (409, "topic-has-subscriptions"));
    assert!(refused.body["detail"].as_str().unwrap().contains("?force=true"), "{}", refused.body);
    assert_eq!(broker.delete("/v1/topics/orders?force=perhaps").await.problem(), (400, "invalid-query"));
    assert_eq!(broker.delete("/v1/topics/orders?force=true").await.status, 204);
    assert_eq!(broker.jobs.0.lock().unwrap().len(), 1);
    assert_eq!(broker.get(&subscription).await.problem(), (404, "subscription-not-found"));
    assert_eq!(broker.get("/v1/subscriptions").await.items().len(), 0);

    assert_eq!(broker.put("/v1/topics/orders", json!({})).await.problem(), (409, "topic-name-in-use"));
    let subscribed = json!({ "topic": "orders", "endpoint": { "url": HOOK } });
    assert_eq!(broker.post("/v1/subscriptions", subscribed).await.problem(), (404, "topic-not-found"));
    broker.wait(15 * 60 - 1);
    assert_eq!(broker.put("/v1/topics/orders", json!({})).await.problem(), (409, "topic-name-in-use"));
    broker.wait(1);
    let second = broker.put("/v1/topics/orders", json!({})).await;
    assert_eq!(second.status, 201);
    assert_ne!(second.text("id"), first);
}

#[tokio::test]
async fn lists_are_given_in_parts_and_show_only_what_may_be_managed() {
    let broker = Broker::new().await;
    for name in ["a.1", "a.2", "a.3", "b.1", "b.2"] {
        broker.put(&format!("/v1/topics/{name}"), json!({})).await;
    }
    let names = async |key: &str, limit: usize| {
        let (mut names, mut path) = (Vec::new(), format!("/v1/topics?limit={limit}"));
        loop {
            let page = broker.ask(key, "GET", &path, &[], axum::body::Body::empty()).await;
            assert_eq!(page.status, 200, "{}", page.body);
            assert!(page.items().len() <= limit);
            names.extend(page.items().iter().map(|topic| topic["name"].as_str().unwrap().to_owned()));
            match page.body["nextCursor"].as_str() {
                Some(cursor) => path = format!("/v1/topics?limit={limit}&cursor={cursor}"),
                None => return names,
            }
        }
    };
    for limit in [1, 2, 3, 6, 1000] {
        let all = names(crate::broker::ADMIN, limit).await;
        assert_eq!(all, ["a.1", "a.2", "a.3", "b.1", "b.2", "relay.system"], "{limit}");
    }
    let b_only = broker.key(&[("manage", "b.*"), ("subscribe", "a.*")]).await;
    for limit in [1, 2, 50] {
        assert_eq!(names(&b_only, limit).await, ["b.1", "b.2"]);
    }
    for bad in ["limit=0", "limit=1001", "limit=x", "cursor=!", "cursor=QUI", "limit=1&limit=1", "color=red"] {
        assert_eq!(broker.get(&format!("/v1/topics?{bad}")).await.problem(), (400, "invalid-query"), "{bad}");
    }
}

#[tokio::test]
async fn stats_tell_rates_held_lanes_and_the_oldest_undelivered() {
    let broker = Broker::with_orders().await;
    let subscription = broker.subscribe(json!({})).await;
    for id in ["1", "2", "3"] {
        broker.publish(id, Some("k")).await;
    }
    broker.work().await;
    let stats = broker.get("/v1/topics/orders/stats").await;
    assert_eq!(stats.status, 200);
    assert_eq!(
        stats.body["rates"],
        json!({ "acceptedPerSecond": 0.05, "deliveredPerSecond": 0.05, "failedPerSecond": 0.0 })
    );
    assert_eq!((&stats.body["heldLanes"], &stats.body["subscriptions"]), (&json!(0), &json!(1)));

    broker.post(&format!("{subscription}/pause"), json!({})).await;
    broker.publish("4", Some("k")).await;
    broker.publish("5", Some("l")).await;
    broker.work().await;
    broker.wait(90);
    let stats = broker.get("/v1/topics/orders/stats").await;
    assert_eq!((&stats.body["heldLanes"], &stats.body["heldEvents"]), (&json!(2), &json!(2)));
    assert_eq!(stats.body["oldestUndeliveredAgeSeconds"], 90.0);
    assert_eq!(stats.body["rates"]["acceptedPerSecond"], 0.0);
    assert_eq!(broker.get("/v1/topics/none/stats").await.problem(), (404, "topic-not-found"));
}
