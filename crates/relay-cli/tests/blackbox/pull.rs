//! Reading a topic's log over HTTP.

use crate::broker::Site;
use crate::client::Client;
use crate::wait::{SOON, until};
use serde_json::{Value, json};
use std::collections::BTreeMap;

async fn pull(client: &Client, query: &str) -> Value {
    client.expect(200, "GET", &format!("/v1/topics/orders/events?{query}"), None).await
}

fn numbers(page: &Value) -> Vec<i64> {
    page["items"].as_array().unwrap().iter().map(|event| event["data"]["number"].as_i64().unwrap()).collect()
}

/// Pulls until the end, so many at a time.
async fn pull_all(client: &Client, first: &str, more: &str, limit: usize) -> (Vec<Value>, String) {
    let (mut events, mut after) = (Vec::new(), first.to_owned());
    for _ in 0..10_000 {
        let page = pull(client, &format!("after={after}&limit={limit}{more}")).await;
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= limit);
        page["nextCursor"].as_str().unwrap().clone_into(&mut after);
        if items.is_empty() {
            return (events, after);
        }
        events.extend(items.iter().cloned());
    }
    panic!("pulling does not end");
}

fn by_key(events: &[Value]) -> BTreeMap<String, Vec<i64>> {
    let mut keys: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for event in events {
        let key = event["partitionkey"].as_str().unwrap().to_owned();
        keys.entry(key).or_default().push(event["data"]["number"].as_i64().unwrap());
    }
    keys
}

#[tokio::test]
async fn all_that_was_accepted_is_read_in_the_order_of_its_keys_in_parts_of_any_size() {
    let site = Site::new();
    let broker = site.start();
    let client = broker.client();
    client.create_topic("orders").await;
    let mut published: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for number in 0..30 {
        let key = format!("k{}", number % 7);
        client.publish("orders", &key, json!({ "number": number })).await;
        published.entry(key).or_default().push(number);
    }
    // One pack of many events, which a part may end in the middle of.
    let batch: Vec<Value> = (100..117)
        .map(|number| {
            json!({ "specversion": "1.0", "id": format!("b{number}"), "source": "/shop", "type": "order", "partitionkey": "k3",
                    "data": { "number": number } })
        })
        .collect();
    let headers = [("content-type", "application/cloudevents-batch+json")];
    let body = json!(batch).to_string();
    assert_eq!(client.send("POST", "/v1/topics/orders/events", &headers, body.as_bytes()).await.status, 202);
    published.get_mut("k3").unwrap().extend(100..117);

    for limit in [1, 4, 1000] {
        let (events, end) = pull_all(&client, "earliest", "", limit).await;
        assert_eq!(by_key(&events), published, "with {limit} at a time");
        assert!(pull(&client, &format!("after={end}")).await["items"].as_array().unwrap().is_empty());
        let (of_key, _) = pull_all(&client, "earliest", "&partitionKey=k3", limit).await;
        assert_eq!(by_key(&of_key), BTreeMap::from([("k3".to_owned(), published["k3"].clone())]));
    }
    let (events, end) = pull_all(&client, "earliest", "", 100).await;
    let one = &events[5];
    let id = one["replayid"].as_str().unwrap();
    assert_eq!(client.expect(200, "GET", &format!("/v1/topics/orders/events/{id}"), None).await, *one);

    broker.stop().await;
    let broker = site.start();
    let client = broker.client();
    assert!(pull(&client, &format!("after={end}")).await["items"].as_array().unwrap().is_empty());
    client.publish("orders", "k9", json!({ "number": 200 })).await;
    assert_eq!(numbers(&pull(&client, &format!("after={end}")).await), [200], "a cursor outlives the process");
}

#[tokio::test]
async fn reading_begins_where_it_is_told_to() {
    let site = Site::new();
    let broker = site.start();
    let client = broker.client();
    client.create_topic("orders").await;
    let mut ids = Vec::new();
    for number in 0..6 {
        let key = if number % 2 == 0 { "even" } else { "odd" };
        let accepted = client.publish("orders", key, json!({ "number": number })).await;
        ids.push(accepted["replayId"].as_str().unwrap().to_owned());
    }
    let latest = pull(&client, "after=latest").await;
    // What was accepted in the same millisecond is there, too.
    assert!(numbers(&latest).iter().all(|number| *number >= 4), "{latest}");
    // Of its own key exactly what follows it; of other keys also what came within the minute before it.
    let after = pull(&client, &format!("after={}&partitionKey=even", ids[2])).await;
    assert_eq!(numbers(&after), [4]);
    let (events, _) = pull_all(&client, &ids[2], "", 2).await;
    assert_eq!(by_key(&events), BTreeMap::from([("even".into(), vec![4]), ("odd".into(), vec![1, 3, 5])]));
    for (id, number) in ids.iter().zip(0..) {
        let event = client.expect(200, "GET", &format!("/v1/topics/orders/events/{id}"), None).await;
        assert_eq!(event["data"]["number"], number, "by the replay id of the publish answer");
    }
    assert_eq!(numbers(&pull(&client, "after=2999-01-01T00:00:00Z").await), [0; 0]);
    let topic = client.expect(200, "GET", "/v1/topics/orders", None).await;
    let since = format!("after={}", topic["createdAt"].as_str().unwrap());
    assert_eq!(numbers(&pull(&client, &since).await).len(), 6);
    client.publish("orders", "even", json!({ "number": 6 })).await;
    let cursor = latest["nextCursor"].as_str().unwrap();
    assert_eq!(numbers(&pull(&client, &format!("after={cursor}")).await), [6]);
}

#[tokio::test]
async fn a_reader_at_the_end_is_told_of_the_next_event_when_it_comes() {
    let site = Site::new();
    let broker = site.start();
    let client = broker.client();
    client.create_topic("orders").await;
    let cursor = pull(&client, "after=latest").await["nextCursor"].as_str().unwrap().to_owned();
    let (reader, waiting) = (client.clone(), format!("after={cursor}&wait=20"));
    let told = tokio::spawn(async move { pull(&reader, &waiting).await });
    // What is published under another topic ends no wait with an answer.
    client.create_topic("bills").await;
    client.publish("bills", "k", json!({ "number": 1 })).await;
    client.publish("orders", "k", json!({ "number": 2 })).await;
    assert_eq!(numbers(&told.await.unwrap()), [2]);
    assert_eq!(numbers(&pull(&client, &format!("after={cursor}&wait=0")).await), [2], "a cursor may be used again");
}

#[tokio::test]
async fn what_cannot_be_read_is_said() {
    let site = Site::new();
    let broker = site.start();
    let client = broker.client();
    client.create_topic("orders").await;
    let kept = client.publish("orders", "k", json!({ "number": 1 })).await;
    for (query, kind) in [
        ("after=nothing", "invalid-query"),
        ("after=", "invalid-query"),
        ("limit=0", "invalid-query"),
        ("wait=21", "invalid-query"),
        ("partitionKey=", "invalid-query"),
        ("what=1", "invalid-query"),
        ("filter=true", "not-supported"),
    ] {
        let refused = client.call("GET", &format!("/v1/topics/orders/events?{query}"), None).await;
        assert_eq!((refused.status, &refused.body["type"]), (400, &json!(format!("/problems/{kind}"))), "{query}");
    }
    let unknown = client.call("GET", "/v1/topics/unknown/events", None).await;
    assert_eq!((unknown.status, &unknown.body["type"]), (404, &json!("/problems/topic-not-found")));
    let no_event = client.call("GET", "/v1/topics/orders/events/AAAA", None).await;
    assert_eq!((no_event.status, &no_event.body["type"]), (404, &json!("/problems/event-not-found")));

    // A topic that is made again under the same name is another one.
    let id = kept["replayId"].as_str().unwrap();
    let cursor = pull(&client, "after=earliest").await["nextCursor"].as_str().unwrap().to_owned();
    let before = client.call("GET", "/v1/topics/orders/events?after=2001-01-01T00:00:00Z", None).await;
    assert_eq!(before.status, 200, "nothing was missed before the topic was made");
    client.expect(204, "DELETE", "/v1/topics/orders", None).await;
    for path in [format!("events/{id}"), format!("events?after={cursor}")] {
        assert_eq!(client.call("GET", &format!("/v1/topics/orders/{path}"), None).await.status, 404);
    }
    let grants = json!({ "name": "shop", "grants": [{ "action": "publish", "topics": "orders" }] });
    let key = client.expect(201, "POST", "/v1/keys", Some(grants)).await;
    let publisher = Client::new(broker.url(), key["key"].as_str().unwrap());
    until("the key to be refused", SOON, async || {
        (publisher.call("GET", "/v1/topics/orders/events", None).await.status == 403).then_some(())
    })
    .await;
}
