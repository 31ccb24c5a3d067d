use crate::broker::{Broker, HOOK};
use relay_sim::webhooks::Reaction;
use serde_json::{Value, json};

/// A broker whose webhook refuses events, and the path of the subscription: two events of key `k` are held.
async fn held() -> (Broker, String, [String; 2]) {
    let broker = Broker::with_orders().await;
    let path = broker.subscribe(json!({ "retry": { "schedule": [3600] } })).await;
    broker.world.endpoints().set(HOOK, &[(1, Reaction::Status(503))]);
    let sequences = [broker.publish("1", Some("k")).await, broker.publish("2", Some("k")).await];
    broker.work().await;
    (broker, path, sequences)
}

#[tokio::test]
async fn held_lanes_are_listed_with_cause_age_and_depth() {
    let (broker, path, sequences) = held().await;
    let listed = broker.get(&format!("{path}/lanes?state=held")).await;
    assert_eq!(listed.items().len(), 1);
    let lane = &listed.items()[0];
    assert_eq!(
        (&lane["topic"], &lane["partitionKey"], &lane["reason"]),
        (&json!("orders"), &json!("k"), &json!("failing"))
    );
    assert_eq!((&lane["depth"], &lane["attempts"]), (&json!(2), &json!(1)));
    assert_eq!(lane["head"], json!({ "eventId": "1", "sequence": sequences[0] }));
    assert_eq!((&lane["lastStatus"], &lane["lastError"]), (&json!(503), &Value::Null));
    assert_eq!(lane["since"], "2026-11-18T11:06:40.000Z");
    assert!(lane["nextAttemptAt"].as_str().unwrap() > "2026-11-18T11:50");
    assert_eq!(lane["lane"].as_str().unwrap().len(), 32);
    assert_eq!(broker.get(&format!("{path}/lanes")).await.body, listed.body);
    assert_eq!(broker.get(&format!("{path}/lanes?state=live")).await.problem(), (400, "invalid-query"));
    assert_eq!(broker.get(&format!("{path}/lanes?cursor=b3JkZXJz")).await.problem(), (400, "invalid-query"));
}

#[tokio::test]
async fn lists_of_lanes_go_on_where_they_ended() {
    let (broker, path, _) = held().await;
    broker.publish("3", Some("l")).await;
    broker.publish("4", Some("m")).await;
    broker.work().await;
    let first = broker.get(&format!("{path}/lanes?limit=2")).await;
    let second = broker.get(&format!("{path}/lanes?limit=2&cursor={}", first.text("nextCursor"))).await;
    assert_eq!((first.items().len(), second.items().len(), &second.body["nextCursor"]), (2, 1, &Value::Null));
}

#[tokio::test]
async fn a_head_is_retried_skipped_or_dead_lettered_by_hand() {
    let (broker, path, sequences) = held().await;
    let lane = broker.get(&format!("{path}/lanes")).await.items()[0]["lane"].as_str().unwrap().to_owned();
    let dead = broker.post(&format!("{path}/lanes/{lane}/deadletter"), json!({ "sequence": sequences[0] })).await;
    assert_eq!((dead.status, &dead.body["sequence"]), (202, &json!(sequences[0])));
    broker.work().await;
    let letters = broker.get(&format!("{path}/deadletters")).await;
    assert_eq!((&letters.items()[0]["eventId"], &letters.items()[0]["reason"]), (&json!("1"), &json!("resolved")));

    broker.world.endpoints().set(HOOK, &[(1, Reaction::Accept)]);
    let moved = broker.post(&format!("{path}/lanes/k/skip"), json!({ "sequence": sequences[0] })).await;
    assert_eq!(moved.problem(), (409, "head-moved"));
    let retried = broker.post(&format!("{path}/lanes/k/retry"), json!({})).await;
    assert_eq!((retried.status, &retried.body["sequence"]), (202, &json!(sequences[1])));
    broker.work().await;
    assert_eq!(broker.delivered(), ["2"]);
    let gone = broker.post(&format!("{path}/lanes/k/skip"), json!({})).await;
    assert_eq!(gone.problem(), (404, "lane-not-found"));
    let gone = broker.post(&format!("{path}/lanes/k/skip"), json!({ "sequence": sequences[1] })).await;
    assert_eq!(gone.problem(), (409, "head-moved"));
}

#[tokio::test]
async fn a_skipped_head_is_not_delivered_and_what_follows_is() {
    let (broker, path, sequences) = held().await;
    let later = broker.post(&format!("{path}/lanes/k/skip"), json!({ "sequence": sequences[1] })).await;
    assert_eq!(later.problem(), (409, "head-moved"));
    broker.world.endpoints().set(HOOK, &[(1, Reaction::Accept)]);
    let skipped = broker.post(&format!("{path}/lanes/k/skip"), json!({ "sequence": sequences[0] })).await;
    assert_eq!((skipped.status, skipped.body), (202, json!({ "action": "skip", "sequence": sequences[0] })));
    broker.work().await;
    assert_eq!(broker.delivered(), ["2"]);
}

#[tokio::test]
async fn a_head_is_resolved_while_the_subscription_is_paused() {
    let (broker, path, sequences) = held().await;
    broker.post(&format!("{path}/pause"), json!({})).await;
    broker.work().await;
    assert_eq!(broker.post(&format!("{path}/lanes/k/skip"), json!({})).await.status, 202);
    broker.work().await;
    let lane = broker.get(&format!("{path}/lanes")).await;
    assert_eq!((&lane.items()[0]["head"]["sequence"], &lane.items()[0]["depth"]), (&json!(sequences[1]), &json!(1)));
    assert_eq!(broker.delivered(), Vec::<String>::new());
}

#[tokio::test]
async fn a_lane_is_named_by_any_partition_key_percent_encoded() {
    let broker = Broker::with_orders().await;
    let path = broker.subscribe(json!({ "retry": { "schedule": [3600] } })).await;
    broker.world.endpoints().set(HOOK, &[(1, Reaction::Status(500))]);
    let hexadecimal = "0123456789abcdef0123456789abcdef";
    for (id, key) in [("1", "a/b ü"), ("2", hexadecimal)] {
        broker.publish(id, Some(key)).await;
    }
    broker.work().await;
    for encoded in ["a%2Fb%20%C3%BC", hexadecimal] {
        let answer = broker.post(&format!("{path}/lanes/{encoded}/skip"), json!({})).await;
        assert_eq!(answer.status, 202, "{encoded} {}", answer.body);
    }
    broker.work().await;
    assert_eq!(broker.get(&format!("{path}/lanes")).await.items().len(), 0);
}

#[tokio::test]
async fn an_event_without_a_partition_key_is_resolved_by_its_sequence() {
    let broker = Broker::with_orders().await;
    let path = broker.subscribe(json!({ "retry": { "schedule": [3600] } })).await;
    broker.world.endpoints().set(HOOK, &[(1, Reaction::Status(500))]);
    let sequence = broker.publish("1", None).await;
    broker.work().await;
    let listed = broker.get(&format!("{path}/lanes")).await;
    let lane = &listed.items()[0];
    assert_eq!(
        (&lane["partitionKey"], &lane["head"]["sequence"], &lane["attempts"]),
        (&Value::Null, &json!(sequence), &json!(1))
    );
    let action = format!("{path}/lanes/{}/skip", lane["lane"].as_str().unwrap());
    let other = "0".repeat(36);
    assert_eq!(broker.post(&action, json!({ "sequence": other })).await.problem(), (409, "head-moved"));
    assert_eq!(broker.post(&action, json!({})).await.body["sequence"], json!(sequence));
    broker.work().await;
    assert_eq!(broker.get(&format!("{path}/lanes")).await.items().len(), 0);
}

#[tokio::test]
async fn faulty_resolutions_are_refused() {
    let (broker, path, _) = held().await;
    assert_eq!(broker.post(&format!("{path}/lanes/k/explode"), json!({})).await.problem(), (404, "not-found"));
    assert_eq!(broker.post(&format!("{path}/lanes/other/skip"), json!({})).await.problem(), (404, "lane-not-found"));
    let bad = broker.post(&format!("{path}/lanes/k/skip"), json!({ "sequence": 7 })).await;
    assert_eq!((bad.problem(), bad.pointers()), ((400, "invalid-field"), vec!["/sequence"]));
    let other = broker.subscribe(json!({})).await;
    let lane = broker.get(&format!("{path}/lanes")).await.items()[0]["lane"].as_str().unwrap().to_owned();
    let foreign = broker.post(&format!("{other}/lanes/{lane}/skip"), json!({})).await;
    assert_eq!(foreign.problem(), (404, "lane-not-found"));
}
