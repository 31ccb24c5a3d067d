use crate::broker::{Broker, HOOK};
use relay_sim::webhooks::Reaction;
use serde_json::{Value, json};

#[tokio::test]
async fn an_event_is_followed_from_the_queue_to_its_end() {
    let broker = Broker::with_orders().await;
    broker.publish("early", Some("k")).await;
    broker.wait(1);
    let path = broker.subscribe(json!({ "retry": { "schedule": [3600], "onRejected": "deadLetter" } })).await;
    let state = async |id: &str| {
        let answer = broker.get(&format!("{path}/events/{id}")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    };
    assert_eq!(broker.get(&format!("{path}/events/none")).await.problem(), (404, "event-not-found"));
    let early = state("early").await;
    assert_eq!((&early["state"], &early["matched"]), (&json!("notMatched"), &json!(false)));

    broker.wait(1);
    let sequence = broker.publish("1", Some("k")).await;
    let queued = state("1").await;
    assert_eq!(
        (&queued["state"], &queued["matched"], &queued["attempts"]),
        (&json!("queued"), &json!(true), &json!(0))
    );
    assert_eq!((&queued["sequence"], &queued["partitionKey"]), (&json!(sequence), &json!("k")));
    assert_eq!(queued["lane"]["state"], "live");
    broker.work().await;
    let delivered = state("1").await;
    assert_eq!((&delivered["state"], &delivered["attempts"]), (&json!("delivered"), &json!(1)));
    assert_eq!(delivered["lastAttempt"]["outcome"], "delivered");
    assert!(delivered["replayId"].is_string() && delivered["acceptedAt"].is_string());

    broker.world.endpoints().set(HOOK, &[(1, Reaction::Status(503))]);
    let head = broker.publish("2", Some("k")).await;
    broker.publish("3", Some("k")).await;
    broker.publish("u", None).await;
    broker.work().await;
    let held = state("2").await;
    assert_eq!((&held["state"], &held["attempts"]), (&json!("held"), &json!(1)));
    assert_eq!((&held["lane"]["state"], &held["lane"]["reason"]), (&json!("held"), &json!("failing")));
    assert!(held["nextAttemptAt"].is_string());
    let behind = state("3").await;
    assert_eq!((&behind["state"], &behind["lane"]["head"]), (&json!("held"), &json!(head)));
    assert_eq!((&behind["nextAttemptAt"], &behind["attempts"]), (&Value::Null, &json!(0)));
    let unordered = state("u").await;
    assert_eq!((&unordered["state"], &unordered["attempts"]), (&json!("held"), &json!(1)));
    assert!(unordered["nextAttemptAt"].is_string());

    broker.world.endpoints().set(HOOK, &[(1, Reaction::Status(400))]);
    broker.post(&format!("{path}/lanes/k/retry"), json!({})).await;
    broker.work().await;
    let dead = state("2").await;
    assert_eq!((&dead["state"], &dead["lastAttempt"]["outcome"]), (&json!("deadLettered"), &json!("rejected")));
}

#[tokio::test]
async fn a_skipped_event_is_settled() {
    let broker = Broker::with_orders().await;
    let path = broker.subscribe(json!({})).await;
    broker.post(&format!("{path}/pause"), json!({})).await;
    broker.publish("a/b", Some("k")).await;
    broker.work().await;
    broker.post(&format!("{path}/lanes/k/skip"), json!({})).await;
    broker.work().await;
    broker.wait(5);
    let answer = broker.get(&format!("{path}/events/a%2Fb")).await;
    assert_eq!((&answer.body["state"], &answer.body["eventId"]), (&json!("settled"), &json!("a/b")));
    assert_eq!(answer.body["subscriptionStatus"], "paused");
}
