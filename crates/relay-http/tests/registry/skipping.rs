//! Long pauses and outages: what is published meanwhile is skipped, and loaded when the subscription goes on.

use crate::broker::{Broker, HOOK, id_of};
use relay_core::sweep::Sweeper;
use relay_sim::webhooks::Reaction;
use serde_json::{Value, json};

impl Broker {
    async fn sweep(&self) {
        Sweeper::new(self.ports.clone()).run().await;
        self.work().await;
    }

    fn backlog(&self) -> usize {
        self.world.with_lanes(|lanes| lanes.backlogs().count())
    }
}

/// A broker with a subscription that is paused and has skipped the event `a` of key `k`.
async fn with_skipped() -> (Broker, String) {
    let broker = Broker::with_orders().await;
    let path = broker.subscribe(json!({})).await;
    broker.post(&format!("{path}/pause"), json!({})).await;
    broker.wait(200);
    broker.sweep().await;
    broker.publish("a", Some("k")).await;
    broker.work().await;
    broker.wait(100);
    assert_eq!(broker.backlog(), 0);
    (broker, path)
}

/// Begins a replay of what comes from now on, of all keys or one, and answers its path.
async fn replay_from_now(broker: &Broker, path: &str, key: Option<&str>) -> String {
    let from = json!({ "time": broker.ports.clock.now().to_string() });
    let mut order = json!({ "from": from });
    if let Some(key) = key {
        order["partitionKey"] = key.into();
    }
    let begun = broker.post(&format!("{path}/replays"), order).await;
    assert_eq!(begun.status, 202, "{}", begun.body);
    broker.work().await;
    format!("{path}/replays/{}", begun.text("id"))
}

#[tokio::test]
async fn a_long_pause_costs_no_write_and_ends_with_everything_in_order() {
    let broker = Broker::with_orders().await;
    let path = broker.subscribe(json!({})).await;
    broker.publish("a", Some("k")).await;
    broker.work().await;
    assert_eq!(broker.post(&format!("{path}/pause"), json!({})).await.status, 200);
    broker.publish("b", Some("k")).await;
    broker.work().await;
    assert_eq!(broker.backlog(), 1, "a short pause collects");
    broker.wait(200);
    broker.sweep().await;
    assert_eq!(broker.get(&path).await.text("status"), "paused");
    for number in 0..50 {
        broker.publish(&format!("c{number:02}"), Some("k")).await;
        broker.publish(&format!("d{number:02}"), None).await;
    }
    broker.work().await;
    assert_eq!((broker.backlog(), broker.delivered().len()), (1, 1), "a long one does not");
    let about = broker.get(&format!("{path}/events/c07")).await;
    assert_eq!(about.text("state"), "skipped", "{}", about.body);

    assert_eq!(broker.post(&format!("{path}/resume"), json!({})).await.text("status"), "catchingUp");
    broker.publish("e", Some("k")).await;
    broker.work().await;
    assert_eq!(broker.get(&path).await.text("status"), "active");
    broker.publish("f", Some("k")).await;
    broker.work().await;
    let of_k: Vec<_> = broker.delivered().into_iter().filter(|id| !id.starts_with('d')).collect();
    let first = ["a", "b"].into_iter().map(str::to_owned);
    let expected: Vec<_> = first.chain((0..50).map(|number| format!("c{number:02}"))).collect();
    assert_eq!(of_k[..52], expected);
    assert_eq!(of_k[52..], ["e", "f"]);
    assert_eq!(broker.delivered().len(), 104, "each of them once");
    let replays = broker
        .world
        .endpoints()
        .with_received(|received| received.iter().filter(|received| received.header("relay-replay").is_some()).count());
    assert_eq!(replays, 0, "it is no replay");
}

#[tokio::test]
async fn what_was_done_with_before_a_pause_does_not_come_when_it_ends() {
    let broker = Broker::with_orders().await;
    broker.publish("a", Some("k")).await;
    broker.work().await;
    let path = broker.subscribe(json!({})).await;
    broker.publish("b", Some("l")).await;
    // Dispatch is an hour behind with it, and the topic has no news.
    broker.wait(3_600);
    broker.post(&format!("{path}/pause"), json!({})).await;
    broker.wait(200);
    Sweeper::new(broker.ports.clone()).run().await;
    let in_flight = broker.ports.queue.receive(10).await.unwrap();
    assert_eq!(in_flight.len(), 1);
    broker.post(&format!("{path}/resume"), json!({})).await;
    broker.work().await;
    assert_eq!(broker.delivered(), ["b"], "the other is older than the subscription");
}

#[tokio::test]
async fn a_rewind_of_what_has_skipped_delivers_that_too() {
    let (broker, path) = with_skipped().await;
    broker.publish("b", Some("k")).await;
    broker.work().await;
    replay_from_now(&broker, &path, None).await;
    broker.post(&format!("{path}/resume"), json!({})).await;
    broker.work().await;
    broker.wait(30);
    broker.sweep().await;
    broker.work().await;
    assert_eq!(broker.delivered(), ["a", "b"], "what it has skipped is in no backlog: the replay reaches back to it");
}

#[tokio::test]
async fn a_replay_that_is_cancelled_leaves_what_was_skipped_to_be_caught_up_with() {
    for is_resumed_first in [false, true] {
        let (broker, path) = with_skipped().await;
        let replay = replay_from_now(&broker, &path, None).await;
        if is_resumed_first {
            broker.post(&format!("{path}/resume"), json!({})).await;
        }
        assert_eq!(broker.delete(&replay).await.status, 204);
        broker.wait(30);
        broker.sweep().await;
        assert_eq!(broker.get(&replay).await.text("state"), "cancelled");
        if !is_resumed_first {
            assert_eq!(broker.get(&path).await.text("status"), "paused");
            assert_eq!(broker.post(&format!("{path}/resume"), json!({})).await.text("status"), "catchingUp");
            broker.work().await;
        }
        assert_eq!(broker.get(&path).await.text("status"), "active");
        assert_eq!(broker.delivered(), ["a"]);
    }
}

#[tokio::test]
async fn catching_up_cannot_be_cancelled() {
    let (broker, path) = with_skipped().await;
    broker.post(&format!("{path}/resume"), json!({})).await;
    let id = broker.get(&path).await.text("replay");
    assert_eq!(broker.delete(&format!("{path}/replays/{id}")).await.problem(), (409, "wrong-status"));
    broker.work().await;
    assert_eq!(broker.delivered(), ["a"]);
}

#[tokio::test]
async fn catching_up_waits_for_a_replay_of_one_key() {
    let (broker, path) = with_skipped().await;
    let replay = replay_from_now(&broker, &path, Some("l")).await;
    assert_eq!(broker.post(&format!("{path}/resume"), json!({})).await.problem(), (409, "replay-under-way"));
    broker.wait(30);
    broker.sweep().await;
    assert_eq!(broker.get(&replay).await.text("state"), "done");
    assert_eq!(broker.post(&format!("{path}/resume"), json!({})).await.text("status"), "catchingUp");
    broker.work().await;
    assert_eq!(broker.delivered(), ["a"]);
}

#[tokio::test]
async fn a_pause_while_it_catches_up_takes_effect_when_it_has() {
    let (broker, path) = with_skipped().await;
    assert_eq!(broker.post(&format!("{path}/resume"), json!({})).await.text("status"), "catchingUp");
    assert_eq!(broker.post(&format!("{path}/pause"), json!({})).await.text("status"), "catchingUp");
    broker.work().await;
    assert_eq!((broker.get(&path).await.text("status").as_str(), broker.delivered().len()), ("paused", 0));
    broker.post(&format!("{path}/resume"), json!({})).await;
    broker.work().await;
    assert_eq!(broker.delivered(), ["a"]);
}

#[tokio::test]
async fn an_outage_that_a_probe_ends_is_caught_up_with_at_once() {
    let broker = Broker::with_orders().await;
    let path = broker.subscribe(json!({})).await;
    broker.world.endpoints().set(HOOK, &[(1, Reaction::Status(503))]);
    for key in 0..20 {
        broker.publish(&format!("a{key:02}"), Some(&format!("k{key:02}"))).await;
    }
    broker.work().await;
    assert_eq!(broker.get(&path).await.text("status"), "suspended");
    broker.wait(200);
    broker.sweep().await;
    for key in 0..25 {
        broker.publish(&format!("b{key:02}"), Some(&format!("k{key:02}"))).await;
    }
    broker.work().await;
    assert_eq!(broker.get(&format!("{path}/events/b07")).await.text("state"), "skipped");
    assert_eq!(broker.delivered(), [""; 0]);

    broker.world.endpoints().set(HOOK, &[(1, Reaction::Accept)]);
    broker.wait(60);
    broker.work().await;
    assert_eq!(broker.get(&path).await.text("status"), "active", "no sweep was needed");
    let delivered = broker.delivered();
    let place = |id: String| delivered.iter().position(|delivered| *delivered == id).unwrap();
    assert!((0..20).all(|key| place(format!("a{key:02}")) < place(format!("b{key:02}"))), "{delivered:?}");
    assert_eq!(delivered.len(), 45, "each of them once");
}

#[tokio::test]
async fn its_owner_is_told_once_before_what_it_has_skipped_expires() {
    let broker = Broker::with_orders().await;
    broker.put("/v1/topics/orders", json!({ "retention": "1d" })).await;
    let system = json!({ "topic": "relay.system", "endpoint": { "url": "https://ops.example/" } });
    assert_eq!(broker.post("/v1/subscriptions", system).await.status, 201);
    let path = broker.subscribe(json!({})).await;
    broker.post(&format!("{path}/pause"), json!({})).await;
    broker.wait(200);
    broker.sweep().await;
    let told = || {
        broker.world.endpoints().with_received(|received| {
            let of_system = received.iter().filter(|received| &*received.request.url == "https://ops.example/");
            let events = of_system.map(|received| serde_json::from_slice::<Value>(&received.request.body).unwrap());
            events.filter(|event| event["type"] == "relay.subscription.expiring").collect::<Vec<_>>()
        })
    };
    broker.wait(3_600);
    broker.sweep().await;
    assert_eq!(told(), [Value::Null; 0]);
    broker.wait(18 * 3_600);
    for _ in 0..3 {
        broker.sweep().await;
    }
    let told = told();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["subject"], id_of(&path).as_str());
}
