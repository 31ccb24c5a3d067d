//! The main flows, each run once warm, and what it used.

use super::meter::Usage;
use crate::broker::{Broker, Draft, Process, configuration};
use crate::wire::Call;
use relay_core::digest::hexadecimal;
use relay_core::grants::{Action, ApiKey, Grant, TopicPattern};
use relay_core::limits::MAX_WAKE_UP_DELAY;
use relay_core::manage::{Selection, ensure_system_topic, redrive};
use relay_core::names::{KeyId, SubscriptionId};
use relay_core::ports::WakeUp;
use relay_core::retry::{OnRejected, RetryPolicy};
use std::time::Duration;

/// A warm broker.
pub struct Stage {
    pub broker: Broker,
    pub process: Process,
    pub subscriptions: Vec<SubscriptionId>,
    /// Bytes of each event's payload, which cannot be compressed.
    pub bytes: usize,
    next: usize,
}

/// Digest of the publisher's key.
const HASH: &str = "5b";

impl Stage {
    /// A broker with so many subscriptions, in which one event has been published and delivered.
    pub async fn new(subscriptions: usize) -> Stage {
        Stage::with(subscriptions, &RetryPolicy::default()).await
    }

    pub async fn with(subscriptions: usize, retry: &RetryPolicy) -> Stage {
        let (config, http) = configuration().await;
        let broker = Broker::new(&config, &http).await;
        let process = broker.process();
        ensure_system_topic(&process.ports).await.unwrap();
        let hash = hexadecimal(HASH.repeat(16).as_bytes());
        let grant = Grant { action: Action::Publish, topics: TopicPattern::new(">").unwrap() };
        let key = ApiKey {
            id: KeyId::new("key_1").unwrap(),
            name: "publisher".to_owned(),
            hash,
            grants: vec![grant],
            expires_at: None,
            created_at: relay_core::ports::Clock::now(&*broker.clock),
        };
        process.ports.registry.put_key(key).await.unwrap();
        // As the function that takes events does.
        let process = Process::over(process.wire, relay_aws::remembering(process.ports));
        let ids = broker.subscribe(&process.ports, subscriptions, retry).await;
        let mut stage = Stage { broker, process, subscriptions: ids, bytes: 1000, next: 0 };
        stage.publish(1, 1).await;
        stage.drain_queue().await;
        stage
    }

    /// Publishes events on keys in turn, with one request, as the HTTP API does.
    pub async fn publish(&mut self, events: usize, keys: usize) -> Vec<String> {
        let drafts: Vec<Draft> = (0..events)
            .map(|at| Draft {
                bytes: self.bytes,
                ..Draft::new(format!("event-{:06}", self.next + at), &format!("key-{}", at % keys))
            })
            .collect();
        self.next += events;
        self.publish_all(&drafts).await
    }

    pub async fn publish_all(&self, drafts: &[Draft]) -> Vec<String> {
        let registry = &self.process.ports.registry;
        let key = registry.key_by_hash(&hexadecimal(HASH.repeat(16).as_bytes())).await.unwrap();
        assert!(key.is_some(), "the publisher is known");
        let topic = registry.topic(&self.broker.topic.name).await.unwrap().expect("the topic is there");
        let accepted = self.process.publish(&topic, drafts).await;
        assert_eq!(accepted.len(), drafts.len(), "all are accepted");
        accepted
    }

    /// Dispatches until nothing is left in the queue.
    pub async fn drain_queue(&self) {
        while self.process.dispatch_once().await > 0 {}
    }

    /// Publishes one event a request, and dispatches all with one batch. Each on a key of its own.
    pub async fn dispatch_singles(&mut self, messages: usize) -> Vec<Call> {
        for at in 0..messages {
            let draft =
                Draft { bytes: self.bytes, ..Draft::new(format!("event-{:06}", self.next), &format!("key-{at}")) };
            self.next += 1;
            self.publish_all(&[draft]).await;
        }
        self.process.wire.begin(None);
        assert_eq!(self.process.dispatch_once().await, messages, "one full batch");
        self.process.wire.calls()
    }

    /// Publishes a batch of a hundred events on ten keys, and dispatches its ten packs.
    pub async fn dispatch_hundred(&mut self) -> Vec<Call> {
        self.publish(100, 10).await;
        self.process.wire.begin(None);
        assert_eq!(self.process.dispatch_once().await, 10);
        self.process.wire.calls()
    }

    fn fail(&self, status: Option<u16>) {
        for subscription in &self.subscriptions {
            self.broker.webhooks.answer(subscription, status);
        }
    }

    /// What an action uses, for so many events.
    async fn measure(&self, events: u64, action: impl AsyncFnOnce()) -> Usage {
        self.process.wire.begin(None);
        action().await;
        Usage::of(&self.process.wire.calls(), events)
    }

    /// The wake-up of the one held lane, whose time has come.
    async fn due(&self) -> WakeUp {
        self.broker.clock.advance(MAX_WAKE_UP_DELAY * 64);
        let held = self.process.ports.lanes.held_items(&self.subscriptions[0], None, 10).await.unwrap();
        assert_eq!(held.len(), 1, "one lane is held");
        WakeUp::Lane(held[0].lane.clone())
    }
}

/// A policy by which nothing is given up.
fn patient() -> RetryPolicy {
    RetryPolicy { max_age_ms: 1000 * 86_400_000, ..RetryPolicy::default() }
}

/// All flows by name.
pub async fn all() -> Vec<(String, Usage)> {
    let mut flows = Vec::new();
    let mut stage = Stage::new(1).await;
    for (name, events, keys) in [
        ("publish: 1 event a request", 1, 1),
        ("publish: 10 events on 10 keys a request", 10, 10),
        ("publish: 100 events on 10 keys a request", 100, 10),
    ] {
        stage.process.wire.begin(None);
        stage.publish(events, keys).await;
        flows.push((name.to_owned(), Usage::of(&stage.process.wire.calls(), events as u64)));
        stage.drain_queue().await;
    }
    for subscribers in [1, 3, 100] {
        let mut stage = Stage::new(subscribers).await;
        let what = if subscribers == 1 { "1 subscriber".to_owned() } else { format!("{subscribers} subscribers") };
        let quiet = stage.dispatch_singles(1).await;
        flows.push((format!("dispatch: 1 message of 1 event, {what}"), Usage::of(&quiet, 1)));
        let busy = stage.dispatch_singles(10).await;
        flows.push((format!("dispatch: 10 messages of 1 event, {what}"), Usage::of(&busy, 10)));
        let packed = stage.dispatch_hundred().await;
        flows.push((format!("dispatch: 10 messages of 10 events, {what}"), Usage::of(&packed, 100)));
        assert_eq!(stage.broker.webhooks.taken().len(), subscribers * 112, "all was delivered");
    }
    flows.extend(large().await);
    flows.extend(failing().await);
    flows.extend(given_up().await);
    flows.extend(compacted().await);
    flows.extend(idle().await);
    flows
}

/// An event of 300 KiB: a claim check.
async fn large() -> Vec<(String, Usage)> {
    let stage = Stage::new(1).await;
    let draft = Draft { bytes: 300 * 1024, ..Draft::new("large", "key") };
    stage.process.wire.begin(None);
    stage.publish_all(&[draft]).await;
    let publish = Usage::of(&stage.process.wire.calls(), 1);
    let dispatch = stage.measure(1, async || assert_eq!(stage.process.dispatch_once().await, 1)).await;
    vec![
        ("publish: 1 event of 300 KiB".to_owned(), publish),
        ("dispatch: 1 event of 300 KiB, 1 subscriber".to_owned(), dispatch),
    ]
}

/// A subscriber that fails for a while.
async fn failing() -> Vec<(String, Usage)> {
    let mut stage = Stage::with(1, &patient()).await;
    let mut flows = Vec::new();
    stage.fail(Some(503));
    let hold = Usage::of(&stage.dispatch_singles(1).await, 1);
    flows.push(("failing: the first event of a lane is held".to_owned(), hold));
    let append = Usage::of(&stage.dispatch_singles(1).await, 1);
    flows.push(("failing: an event joins its held lane".to_owned(), append));
    let retry = {
        let wake_up = stage.due().await;
        stage.measure(1, async || stage.process.drainer.handle(wake_up).await.unwrap()).await
    };
    flows.push(("failing: a retry fails".to_owned(), with_wake_up(retry)));
    for _ in 0..8 {
        stage.dispatch_singles(1).await;
    }
    stage.fail(None);
    let wake_up = stage.due().await;
    let drain = stage.measure(10, async || stage.process.drainer.handle(wake_up).await.unwrap()).await;
    flows.push(("failing: a lane of 10 events is drained and released".to_owned(), with_wake_up(drain)));
    assert_eq!(stage.broker.webhooks.taken().len(), 11, "all was delivered");
    flows
}

/// An event that the endpoint rejects, by a policy that gives it up at once; and its redrive.
async fn given_up() -> Vec<(String, Usage)> {
    let policy = RetryPolicy { on_rejected: OnRejected::DeadLetter, ..RetryPolicy::default() };
    let mut stage = Stage::with(1, &policy).await;
    stage.fail(Some(400));
    let given_up = Usage::of(&stage.dispatch_singles(1).await, 1);
    stage.fail(None);
    let subscription = stage.process.ports.registry.subscription(&stage.subscriptions[0]).await.unwrap().unwrap();
    let redriven = stage
        .measure(1, async || {
            let redriven = redrive(&stage.process.ports, &subscription, Selection::All).await.unwrap();
            assert_eq!(redriven, 1);
        })
        .await;
    vec![
        ("dead letter: an event is rejected and given up".to_owned(), given_up),
        ("dead letter: it is redriven, without its drain".to_owned(), redriven),
    ]
}

/// Longer than an entry waits to be compacted.
const QUARTER: Duration = Duration::from_secs(16 * 60);

impl Stage {
    /// Compacts what is due, which takes so many events.
    async fn compact(&self, events: u64) {
        let (log, clock) = (&self.process.ports.log, &self.process.ports.clock);
        let mut compacted = 0;
        loop {
            match log.compact(clock.now()).await.unwrap() {
                0 => break,
                some => compacted += some,
            }
        }
        assert_eq!(compacted, events);
    }
}

/// The log of a quarter of an hour, written into the bucket.
async fn compacted() -> Vec<(String, Usage)> {
    let mut stage = Stage::new(1).await;
    stage.broker.clock.advance(QUARTER);
    let one = stage.measure(1, async || stage.compact(1).await).await;
    for _ in 0..10 {
        stage.publish(100, 10).await;
        stage.drain_queue().await;
    }
    stage.broker.clock.advance(QUARTER);
    let many = stage.measure(1000, async || stage.compact(1000).await).await;
    vec![
        ("compaction: a quarter of an hour with 1 event".to_owned(), one),
        ("compaction: a quarter of an hour with 1000 events".to_owned(), many),
    ]
}

/// What runs though nothing happens.
async fn idle() -> Vec<(String, Usage)> {
    let stage = Stage::new(1).await;
    stage.broker.clock.advance(QUARTER);
    stage.compact(1).await;
    // What it learns of the log serves a process for a quarter of an hour.
    stage.broker.clock.advance(QUARTER);
    let look = stage.measure(1, async || stage.compact(0).await).await;
    let receive = stage.measure(1, async || assert_eq!(stage.process.dispatch_once().await, 0)).await;
    let wake_ups = stage.measure(1, async || assert_eq!(stage.process.drain_once().await, 0)).await;
    let ports = &stage.process.ports;
    let renewal = async || assert_eq!(ports.payloads.expire(ports.clock.now()).await, Ok(0));
    let payloads = stage.measure(1, renewal).await;
    let sweep = async || {
        stage.process.sweeper.run().await;
        stage.process.sweeper.compact(Duration::from_secs(20)).await;
    };
    let sweep = stage.measure(1, sweep).await;
    vec![
        ("idle: a receive of the event queue".to_owned(), receive),
        ("idle: a receive of the wake-ups' queue".to_owned(), wake_ups),
        ("idle: a sweep".to_owned(), sweep),
        ("idle: a look at the logs of 2 topics".to_owned(), look),
        ("idle: a look for large payloads".to_owned(), payloads),
    ]
}

/// Adds the receive and the delete of the wake-up: the test hands it over by itself, as its delay goes by SQS's clock.
fn with_wake_up(mut usage: Usage) -> Usage {
    for operation in ["SQS.ReceiveMessage", "SQS.DeleteMessageBatch"] {
        *usage.calls.entry(operation.to_owned()).or_default() += 1;
    }
    usage.standard_requests += 2;
    usage
}

/// Whether a queue is asked with SQS's longest wait, as the page assumes.
pub async fn waits(stage: &Stage) -> Vec<i64> {
    use relay_aws::{Options, open};
    use std::sync::Arc;
    let wire = crate::wire::Wire::default();
    let clients = stage.broker.clients_over(&wire, aws_config::retry::RetryConfig::disabled());
    let options = Options::new(stage.broker.resources.clone());
    assert_eq!(options.receive_wait, Duration::from_secs(20));
    let ports = open(
        &clients,
        &options,
        stage.broker.clock.clone(),
        Arc::new(relay_system::SystemIds),
        stage.broker.webhooks.clone(),
    );
    stage.publish_all(&[Draft::new("waited", "key")]).await;
    assert_eq!(ports.queue.receive(10).await.unwrap().len(), 1);
    let calls = wire.calls();
    calls.iter().filter_map(|call| call.request["WaitTimeSeconds"].as_i64()).collect()
}
