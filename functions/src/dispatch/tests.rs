use super::*;
use relay_core::manage::ensure_system_topic;
use relay_core::names::{TopicId, TopicName};
use relay_core::ports::webhook::{WebhookClient, WebhookError, WebhookRequest, WebhookResponse};
use relay_core::ports::{EventLog, EventQueue, LogEntry, LogPage};
use relay_core::replay_id::{LogPosition, LogShard};
use relay_core::time::Time;
use relay_http::{AppState, Options};
use relay_sim::webhooks::Reaction;
use relay_sim::{ManualClock, Simulated};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Mutex;
use tower::ServiceExt;

const NOW: Time = Time(1_795_000_000_000);
const HOOK: &str = "https://hooks.example/orders";

/// A broker whose queue is handed over as Lambda does it.
struct Stage {
    clock: Arc<ManualClock>,
    world: Simulated,
    inbox: Arc<Handed>,
    key: String,
}

/// Messages by the body under which they were handed over.
#[derive(Default)]
struct Handed(Mutex<HashMap<String, Option<Message>>>);

#[async_trait]
impl Inbox for Handed {
    async fn decode(&self, raw: Raw<'_>) -> Result<Option<Message>, PortError> {
        match self.0.lock().unwrap().get(raw.body) {
            Some(message) => Ok(message.clone()),
            None => Err(PortError::Unavailable("no quarantine".to_owned())),
        }
    }
}

impl Stage {
    async fn new() -> Stage {
        let clock = Arc::new(ManualClock::new(NOW));
        let world = Simulated::calm(clock.clone());
        let ports = world.ports();
        ensure_system_topic(&ports).await.unwrap();
        let key = relay_core::manage::ensure_admin_key(&ports).await.unwrap().unwrap();
        let stage = Stage { clock, world, inbox: Arc::default(), key };
        assert_eq!(stage.ask("PUT", "/v1/topics/orders", &[], json!({})).await, 201);
        let wanted = json!({ "topic": "orders", "endpoint": { "url": HOOK } });
        assert_eq!(stage.ask("POST", "/v1/subscriptions", &[], wanted).await, 201);
        stage
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Value) -> u16 {
        let options = Options::new(Arc::new(|_: &str| Ok(())), Arc::new(crate::jobs::Jobs::default()));
        let router = relay_http::router(AppState::new(self.world.ports(), options));
        let mut request = http::Request::builder().method(method).uri(path).header("content-type", "application/json");
        request = request.header("authorization", format!("Bearer {}", self.key));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(axum::body::Body::from(body.to_string())).unwrap();
        router.oneshot(request).await.unwrap().status().as_u16()
    }

    async fn publish(&self, key: &str, body: Value) {
        let status = self.ask("POST", "/v1/topics/orders/events", &[("partitionkey", key)], body).await;
        assert_eq!(status, 202);
    }

    /// What Lambda hands over of the queue: ids `0`, `1`, … in the order of the batch.
    async fn event(&self) -> SqsEvent {
        let messages = EventQueue::receive(&self.world, 10).await.unwrap();
        let records = messages.into_iter().enumerate().map(|(at, message)| {
            let body = format!("body {at}");
            let group = message.pack.group().to_string();
            self.inbox.0.lock().unwrap().insert(body.clone(), Some(message));
            record(&at.to_string(), &body, &group)
        });
        event(records.collect())
    }

    fn function(&self, change: impl FnOnce(Ports) -> Ports) -> DispatchFunction {
        DispatchFunction::new(change(self.world.ports()), self.inbox.clone())
    }

    fn deadline(&self, seconds: u64) -> Deadline {
        Deadline::of_invocation(NOW.0 + seconds * 1000)
    }

    fn delivered(&self) -> Vec<String> {
        let body = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap()["data"]["n"].to_string();
        self.world.endpoints().with_received(|received| {
            received.iter().filter(|received| received.accepted).map(|received| body(&received.request.body)).collect()
        })
    }

    /// Messages that are still in the queue, by partition key.
    fn waiting(&self) -> Vec<String> {
        let queued = self.world.queued();
        let waiting = queued.iter().filter(|queued| self.world.is_queued(queued.sequence));
        waiting.map(|queued| queued.pack.key.partition_key().unwrap().as_str().to_owned()).collect()
    }
}

fn record(id: &str, body: &str, group: &str) -> Value {
    json!({ "messageId": id, "receiptHandle": format!("receipt {id}"), "body": body,
            "attributes": { "MessageGroupId": group } })
}

fn event(records: Vec<Value>) -> SqsEvent {
    serde_json::from_value(json!({ "Records": records })).unwrap()
}

fn failed(response: &SqsBatchResponse) -> Vec<&str> {
    response.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect()
}

#[test]
fn a_recorded_message_is_read_as_it_is() {
    let event: SqsEvent = serde_json::from_str(include_str!("../../fixtures/sqs-fifo.json")).unwrap();
    let expected = Raw {
        id: "11d6ee51-4cc7-4302-9e22-7cd8afdaadf5",
        body: "{\"v\":1}",
        receipt: "AQEBBX8nesZEXmkhsmZeyIE8iQAMig7qw1",
        group: "2d1c0b1a000000000000000000000001",
        sequence_number: "18849496460467696128",
        receive_count: "2",
    };
    assert_eq!(Raw::from(&event.records[0]), expected);
}

#[test]
fn the_answer_has_the_form_that_lambda_reads() {
    let answer = serde_json::to_value(report(["a", "b"].into_iter())).unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [{ "itemIdentifier": "a" }, { "itemIdentifier": "b" }] }));
}

#[tokio::test]
async fn a_batch_that_is_delivered_is_left_to_lambda_to_delete() {
    let stage = Stage::new().await;
    for n in 0..3 {
        stage.publish("k", json!({ "n": n })).await;
    }
    let response = stage.function(|ports| ports).handle(stage.event().await, stage.deadline(60)).await;
    assert_eq!(failed(&response), [""; 0]);
    assert_eq!(stage.delivered(), ["0", "1", "2"]);
    assert_eq!(stage.waiting(), ["k"; 3], "no call of ours deletes them");
}

#[tokio::test]
async fn a_failing_webhook_is_no_failure_of_the_batch() {
    let stage = Stage::new().await;
    stage.world.endpoints().set(HOOK, &[(1, Reaction::Status(500))]);
    stage.publish("k", json!({ "n": 1 })).await;
    let response = stage.function(|ports| ports).handle(stage.event().await, stage.deadline(60)).await;
    assert_eq!(failed(&response), [""; 0]);
    assert_eq!(stage.world.with_lanes(|lanes| lanes.lanes().count()), 1, "the lane is held");
}

#[tokio::test]
async fn what_can_neither_be_read_nor_put_aside_comes_again_with_all_behind_it_in_its_group() {
    let stage = Stage::new().await;
    stage.publish("k", json!({ "n": 1 })).await;
    let mut batch = stage.event().await;
    let ours = Raw::from(&batch.records[0]).group.to_owned();
    let others = [record("x", "unknown", "other"), record("y", "body 0", "other"), record("z", "unknown", &ours)];
    batch.records.extend(event(others.into()).records);
    let response = stage.function(|ports| ports).handle(batch, stage.deadline(60)).await;
    assert_eq!(failed(&response), ["x", "y", "z"]);
    assert_eq!(stage.delivered(), ["1"]);
}

#[tokio::test]
async fn what_lies_in_quarantine_is_done() {
    let stage = Stage::new().await;
    stage.inbox.0.lock().unwrap().insert("garbage".to_owned(), None);
    let batch = event(vec![record("x", "garbage", "g")]);
    let response = stage.function(|ports| ports).handle(batch, stage.deadline(60)).await;
    assert_eq!(failed(&response), [""; 0]);
}

/// A log that fails, or never answers.
struct Broken {
    hangs: bool,
}

#[async_trait]
impl EventLog for Broken {
    async fn append(&self, _: &[Message]) -> Result<Vec<LogPosition>, PortError> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        Err(PortError::Unavailable("the table is away".to_owned()))
    }
    async fn newest(&self, _: &TopicId, _: Option<LogPosition>, _: usize) -> Result<Vec<LogEntry>, PortError> {
        Ok(Vec::new())
    }
    async fn read(&self, _: &TopicId, _: LogShard, _: LogPosition, _: usize) -> Result<LogPage, PortError> {
        Ok(LogPage::default())
    }
    fn news(&self) -> futures_util::future::BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
    fn settle(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }
    async fn compact(&self, _: Time) -> Result<u64, PortError> {
        Ok(0)
    }
    async fn compaction_lag(&self, _: Time) -> Result<Option<std::time::Duration>, PortError> {
        Ok(None)
    }

    async fn expire(&self, _: Time) -> Result<u64, PortError> {
        Ok(0)
    }
}

#[tokio::test]
async fn a_failing_table_fails_the_batch_in_order_and_gives_it_back() {
    let stage = Stage::new().await;
    for n in 0..3 {
        stage.publish("k", json!({ "n": n })).await;
    }
    let function = stage.function(|ports| Ports { log: Arc::new(Broken { hangs: false }), ..ports });
    let response = function.handle(stage.event().await, stage.deadline(60)).await;
    assert_eq!(failed(&response), ["0", "1", "2"]);
    assert_eq!(EventQueue::receive(&stage.world, 10).await.unwrap().len(), 3, "they are visible at once");
}

#[tokio::test]
async fn what_is_not_done_when_time_is_up_is_given_back_and_not_cut_off() {
    let stage = Stage::new().await;
    stage.publish("a", json!({ "n": 1 })).await;
    stage.publish("b", json!({ "n": 2 })).await;
    let function = stage.function(|ports| Ports { log: Arc::new(Broken { hangs: true }), ..ports });
    let batch = stage.event().await;
    let work = function.handle(batch, stage.deadline(60));
    let (response, ()) = tokio::join!(work, async {
        tokio::task::yield_now().await;
        stage.clock.advance(Duration::from_secs(56));
    });
    assert_eq!(failed(&response), ["0", "1"]);
    assert_eq!(EventQueue::receive(&stage.world, 10).await.unwrap().len(), 2, "they are visible at once");
}

/// Never answers requests whose body says so.
struct HangsOn(&'static str, Arc<dyn WebhookClient>);

#[async_trait]
impl WebhookClient for HangsOn {
    async fn post(&self, request: WebhookRequest) -> Result<WebhookResponse, WebhookError> {
        if request.body.windows(self.0.len()).any(|part| part == self.0.as_bytes()) {
            std::future::pending::<()>().await;
        }
        self.1.post(request).await
    }
}

#[tokio::test]
async fn a_group_that_is_done_does_not_wait_for_another() {
    let stage = Stage::new().await;
    stage.publish("quick", json!({ "n": 1 })).await;
    stage.publish("quick", json!({ "n": 2 })).await;
    stage.publish("slow", json!({ "n": 3, "never": "answered" })).await;
    let function =
        stage.function(|ports| Ports { webhooks: Arc::new(HangsOn("answered", ports.webhooks.clone())), ..ports });
    let batch = stage.event().await;
    let (response, ()) = tokio::join!(function.handle(batch, stage.deadline(60)), async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(stage.waiting(), ["slow"], "the quick group's are deleted while the slow one's is under way");
        // Patience, and then the wait for the detached request.
        for _ in 0..8 {
            stage.clock.advance(Duration::from_millis(500));
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        }
    });
    assert_eq!(failed(&response), [""; 0]);
    assert_eq!(stage.delivered(), ["1", "2"]);
    assert_eq!(stage.world.with_lanes(|lanes| lanes.lanes().count()), 1, "the slow lane is held");
    let topic = TopicName::new("orders").unwrap();
    assert!(stage.world.ports().registry.topic(&topic).await.unwrap().is_some());
}
