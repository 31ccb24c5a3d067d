use crate::broker::{Broker, HOOK, id_of};
use relay_sim::webhooks::Reaction;
use serde_json::{Value, json};

/// A broker whose webhook rejected these events, which became dead letters.
async fn with_dead_letters(events: &[(&str, Option<&str>)]) -> (Broker, String) {
    let broker = Broker::with_orders().await;
    let path = broker.subscribe(json!({ "retry": { "onRejected": "deadLetter" } })).await;
    broker.world.endpoints().set(HOOK, &[(1, Reaction::Status(422))]);
    for (id, key) in events {
        broker.publish(id, *key).await;
    }
    broker.work().await;
    assert_eq!(broker.world.dead_letters(&id_of(&path)), events.len());
    broker.world.endpoints().set(HOOK, &[(1, Reaction::Accept)]);
    (broker, path)
}

#[tokio::test]
async fn dead_letters_are_listed_with_their_events_and_deleted() {
    let (broker, path) = with_dead_letters(&[("1", Some("k")), ("2", None)]).await;
    let listed = broker.get(&format!("{path}/deadletters")).await;
    let keyed = listed.items().iter().find(|letter| letter["eventId"] == "1").unwrap();
    assert_eq!(
        (&keyed["topic"], &keyed["partitionKey"], &keyed["reason"]),
        (&json!("orders"), &json!("k"), &json!("rejected"))
    );
    assert_eq!((&keyed["attempts"], &keyed["lastStatus"], &keyed["lastError"]), (&json!(1), &json!(422), &Value::Null));
    assert_eq!(keyed["deadLetteredAt"], "2026-11-18T11:06:40.000Z");
    assert_eq!((&keyed["event"]["id"], &keyed["event"]["data"]), (&json!("1"), &json!({ "n": "1" })));
    assert_eq!(keyed["event"]["sequence"], keyed["sequence"]);
    let first = broker.get(&format!("{path}/deadletters?limit=1")).await;
    let next = format!("{path}/deadletters?limit=1&cursor={}", first.text("nextCursor"));
    assert_ne!(broker.get(&next).await.items()[0]["id"], first.items()[0]["id"]);

    let id = keyed["id"].as_str().unwrap();
    assert_eq!(broker.delete(&format!("{path}/deadletters/{id}")).await.status, 204);
    assert_eq!(broker.delete(&format!("{path}/deadletters/{id}")).await.problem(), (404, "dead-letter-not-found"));
    assert_eq!(broker.get(&format!("{path}/deadletters")).await.items().len(), 1);
}

#[tokio::test]
async fn a_redrive_delivers_all_in_order_and_before_what_waits() {
    let (broker, path) = with_dead_letters(&[("1", Some("k")), ("2", Some("k")), ("3", Some("l")), ("4", None)]).await;
    broker.post(&format!("{path}/pause"), json!({})).await;
    broker.publish("5", Some("k")).await;
    broker.work().await;
    let redriven = broker.post(&format!("{path}/deadletters/redrive"), json!({})).await;
    assert_eq!((redriven.status, redriven.body), (202, json!({ "redriven": 4 })));
    broker.work().await;
    assert_eq!(broker.delivered(), Vec::<String>::new());
    assert_eq!(broker.get(&format!("{path}/deadletters")).await.items().len(), 0);
    broker.post(&format!("{path}/resume"), json!({})).await;
    broker.work().await;
    let delivered = broker.delivered();
    let of_k: Vec<_> = delivered.iter().map(String::as_str).filter(|id| ["1", "2", "5"].contains(id)).collect();
    assert_eq!((of_k, delivered.len()), (vec!["1", "2", "5"], 5));
    assert_eq!(broker.get(&format!("{path}/lanes")).await.items().len(), 0);
    assert_eq!(broker.post(&format!("{path}/deadletters/redrive"), json!({})).await.body, json!({ "redriven": 0 }));
}

#[tokio::test]
async fn a_redrive_of_some_leaves_the_others() {
    let (broker, path) = with_dead_letters(&[("1", Some("k")), ("2", Some("k"))]).await;
    let listed = broker.get(&format!("{path}/deadletters")).await;
    let second = listed.items().iter().find(|letter| letter["eventId"] == "2").unwrap()["id"].clone();
    let redrive = format!("{path}/deadletters/redrive");
    let answer = broker.post(&redrive, json!({ "ids": [second, "unknown", second] })).await;
    assert_eq!((answer.status, answer.body), (202, json!({ "redriven": 1 })));
    broker.work().await;
    assert_eq!(broker.delivered(), ["2"]);
    assert_eq!(broker.get(&format!("{path}/deadletters")).await.items()[0]["eventId"], "1");
    for (document, pointer) in [(json!({ "ids": "all" }), "/ids"), (json!({ "ids": [1] }), "/ids/0")] {
        let bad = broker.post(&redrive, document).await;
        assert_eq!((bad.problem(), bad.pointers()), ((400, "invalid-field"), vec![pointer]));
    }
}

#[tokio::test]
async fn more_dead_letters_than_are_read_at_once_are_redriven() {
    let ids: Vec<String> = (0..450).map(|number| number.to_string()).collect();
    let events: Vec<(&str, Option<&str>)> = ids.iter().map(|id| (id.as_str(), Some("k"))).collect();
    let (broker, path) = with_dead_letters(&events).await;
    let answer = broker.post(&format!("{path}/deadletters/redrive"), json!({})).await;
    assert_eq!(answer.body, json!({ "redriven": 450 }));
    broker.work().await;
    assert_eq!(broker.delivered(), ids);
}
