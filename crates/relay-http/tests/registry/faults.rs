//! Stores that fail, code that panics, and others that are faster.

use crate::broker::{Broker, HOOK};
use crate::meddler::Meddler;
use async_trait::async_trait;
use futures_util::FutureExt;
use relay_core::names::{SubscriptionId, TopicName};
use relay_core::pack::Pack;
use relay_core::ports::{
    Attempt, Attempts, AttemptsPage, EventQueue, Expect, Message, PortError, QueueLag, Receipt, Registry, Sent,
};
use relay_core::subscription::Subscription;
use relay_core::time::Time;
use relay_core::topic::Topic;
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Attempts that cannot be listed; without an error to give, listing panics.
#[derive(Default)]
struct Broken(Mutex<Option<PortError>>);

#[async_trait]
impl Attempts for Broken {
    async fn record(&self, _: Vec<Attempt>) -> Result<(), PortError> {
        Ok(())
    }

    async fn list(&self, _: &SubscriptionId, _: Option<&str>, _: usize) -> Result<AttemptsPage, PortError> {
        match self.0.lock().unwrap().take() {
            Some(error) => Err(error),
            None => panic!("the test asks for a panic"),
        }
    }

    async fn expire(&self, _: Time) -> Result<u64, PortError> {
        Ok(0)
    }
}

#[tokio::test]
async fn faults_of_stores_are_problems_that_tell_nothing_of_their_inside() {
    let broken = Arc::new(Broken::default());
    let attempts = broken.clone();
    let broker = Broker::over(move |ports| relay_core::ports::Ports { attempts, ..ports }).await;
    broker.put("/v1/topics/orders", json!({})).await;
    let path = format!("{}/attempts", broker.subscribe(json!({})).await);
    for (error, status, kind, waits) in [
        (PortError::Throttled, 429, "too-many-requests", "1"),
        (PortError::Unavailable("disk /dev/sda on fire".into()), 503, "unavailable", "1"),
        (PortError::Full, 503, "storage-full", "1"),
        (PortError::Conflict, 409, "conflict", "1"),
        (PortError::Corrupt("row 7 of /var/secret".into()), 500, "internal", ""),
        (PortError::NotFound, 500, "internal", ""),
    ] {
        *broken.0.lock().unwrap() = Some(error);
        let answer = broker.get(&path).await;
        assert_eq!((answer.problem(), answer.header("retry-after")), ((status, kind), waits));
        assert!(!answer.body.to_string().contains("/var") && !answer.body.to_string().contains("/dev"));
    }
}

#[tokio::test]
async fn a_panic_is_a_problem_and_the_broker_goes_on() {
    let broker =
        Broker::over(|ports| relay_core::ports::Ports { attempts: Arc::new(Broken::default()), ..ports }).await;
    broker.put("/v1/topics/orders", json!({})).await;
    let path = broker.subscribe(json!({})).await;
    let answer = broker.get(&format!("{path}/attempts")).await;
    assert_eq!(answer.problem(), (500, "internal"));
    assert!(!answer.header("x-request-id").is_empty() && !answer.body.to_string().contains("the test asks"));
    assert_eq!(broker.get(&path).await.status, 200);
}

/// A queue that cannot be asked.
struct Unreachable;

#[async_trait]
impl EventQueue for Unreachable {
    async fn send(&self, packs: Vec<Arc<Pack>>) -> Vec<Result<Sent, PortError>> {
        packs.iter().map(|_| Err(PortError::Full)).collect()
    }

    async fn receive(&self, _: usize) -> Result<Vec<Message>, PortError> {
        Ok(Vec::new())
    }

    async fn delete(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        receipts.iter().map(|_| Ok(())).collect()
    }

    async fn give_back(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        receipts.iter().map(|_| Ok(())).collect()
    }

    async fn lag(&self) -> Result<QueueLag, PortError> {
        Err(PortError::Unavailable("gone".into()))
    }
}

#[tokio::test]
async fn a_broker_whose_queue_is_gone_is_alive_but_not_ready() {
    let broker = Broker::over(|ports| relay_core::ports::Ports { queue: Arc::new(Unreachable), ..ports }).await;
    assert_eq!(broker.get("/healthz").await.status, 200);
    let ready = broker.get("/readyz").await;
    assert_eq!((ready.problem(), ready.text("detail")), ((503, "unavailable"), "not reachable: queue".to_owned()));
}

async fn with_meddler() -> (Broker, Arc<Meddler>) {
    let mut meddler = None;
    let broker = Broker::over(|ports| {
        let registry = Meddler::new(ports.registry.clone());
        meddler = Some(registry.clone());
        relay_core::ports::Ports { registry, ..ports }
    })
    .await;
    assert_eq!(broker.put("/v1/topics/orders", json!({})).await.status, 201);
    (broker, meddler.unwrap())
}

fn orders() -> TopicName {
    TopicName::new("orders").unwrap()
}

async fn change_topic(registry: &dyn Registry, change: impl FnOnce(Topic) -> Topic) {
    let topic = registry.topic(&orders()).await.unwrap().unwrap();
    let changed = change(Topic { version: topic.version + 1, ..(*topic).clone() });
    registry.put_topic(changed, Expect::Version(topic.version)).await.unwrap();
}

#[tokio::test]
async fn a_patch_that_others_overtake_is_made_on_what_they_left_unless_it_has_a_condition() {
    let (broker, meddler) = with_meddler().await;
    let meddle = || {
        meddler.before_the_next_write(Box::new(|registry| {
            async move { change_topic(&*registry, |topic| Topic { owner: Some("other".into()), ..topic }).await }
                .boxed()
        }));
    };
    meddle();
    let patched = broker.patch("/v1/topics/orders", json!({ "description": "mine" })).await;
    assert_eq!((&patched.body["description"], &patched.body["owner"]), (&json!("mine"), &json!("other")));
    meddle();
    let condition = [("if-match", patched.header("etag"))];
    let lost = broker.say("PATCH", "/v1/topics/orders", &condition, json!({ "description": "again" })).await;
    assert_eq!(lost.problem(), (412, "precondition-failed"));
    assert_eq!(broker.get("/v1/topics/orders").await.body["description"], "mine");
}

#[tokio::test]
async fn pausing_holds_against_a_change_of_the_record_at_the_same_moment() {
    let (broker, meddler) = with_meddler().await;
    let path = broker.subscribe(json!({})).await;
    let id = crate::broker::id_of(&path);
    meddler.before_the_next_write(Box::new(move |registry| {
        async move {
            let stored = registry.subscription(&id).await.unwrap().unwrap();
            let changed = Subscription { rate_limit: Some(3), version: stored.version + 1, ..(*stored).clone() };
            registry.put_subscription(changed, Expect::Version(stored.version)).await.unwrap();
        }
        .boxed()
    }));
    let paused = broker.post(&format!("{path}/pause"), json!({})).await;
    assert_eq!((&paused.body["status"], &paused.body["rateLimit"]), (&json!("paused"), &json!(3)));
}

#[tokio::test]
async fn a_subscription_to_a_topic_that_is_deleted_meanwhile_is_not_left_behind() {
    let (broker, meddler) = with_meddler().await;
    meddler.before_the_next_write(Box::new(|registry| {
        async move { change_topic(&*registry, |topic| Topic { deleted_at: Some(topic.created_at), ..topic }).await }
            .boxed()
    }));
    let document = json!({ "topic": "orders", "endpoint": { "url": HOOK } });
    let created = broker.post("/v1/subscriptions", document).await;
    assert_eq!(created.problem(), (404, "topic-not-found"));
    assert_eq!(broker.get("/v1/subscriptions").await.items().len(), 0);
}

#[tokio::test]
async fn two_requests_with_one_idempotency_key_create_one_thing() {
    let (broker, meddler) = with_meddler().await;
    let (at_write, reached) = tokio::sync::oneshot::channel();
    let (go_on, gate) = tokio::sync::oneshot::channel();
    meddler.before_the_next_write(Box::new(|_| {
        async move {
            at_write.send(()).unwrap();
            gate.await.unwrap();
        }
        .boxed()
    }));
    let key = [("idempotency-key", "k")];
    let create =
        || broker.say("POST", "/v1/subscriptions", &key, json!({ "topic": "orders", "endpoint": { "url": HOOK } }));
    let second = async {
        reached.await.unwrap();
        let second = create().await;
        go_on.send(()).unwrap();
        second
    };
    let both = async { tokio::join!(create(), second) };
    let (first, second) = tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
    assert_eq!(first.status, 201);
    assert_eq!((second.problem(), second.header("retry-after")), ((409, "idempotency-key-in-use"), "1"));
    let third = create().await;
    assert_eq!((third.header("idempotency-replayed"), &third.body), ("true", &first.body));
    assert_eq!(broker.get("/v1/subscriptions").await.items().len(), 1);
}
