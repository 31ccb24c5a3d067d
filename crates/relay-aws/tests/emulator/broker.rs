//! A whole broker over an emulator: relay-core's use-cases over this crate's ports, webhooks in memory.

use crate::wire::Wire;
use async_trait::async_trait;
use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use relay_aws::{Clients, ENDPOINT_VARIABLE, Options, Resources, http_client, open, provision};
use relay_core::attempt::Attempter;
use relay_core::dispatch::Dispatcher;
use relay_core::drain::Drainer;
use relay_core::ingest::{self, PublishRequest};
use relay_core::names::{SubscriptionId, TopicId, TopicName};
use relay_core::ports::webhook::{WebhookClient, WebhookError, WebhookRequest, WebhookResponse};
use relay_core::ports::{Clock, Expect, Ids, Ports, WakeUp};
use relay_core::retry::RetryPolicy;
use relay_core::subscription::{Endpoint, Mode, Status, Subscription};
use relay_core::sweep::Sweeper;
use relay_core::time::Time;
use relay_core::topic::Topic;
use relay_system::SystemIds;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A clock that the test moves, and that stands still besides or goes with the wall clock; its sleepers really wait.
pub struct HandClock {
    began: Option<u64>,
    added: AtomicU64,
}

#[allow(clippy::disallowed_methods, reason = "the emulator goes by the wall clock")]
fn wall_clock() -> u64 {
    let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(real.as_millis()).unwrap()
}

impl HandClock {
    pub fn still() -> HandClock {
        HandClock { began: Some(wall_clock()), added: AtomicU64::new(0) }
    }

    pub fn going() -> HandClock {
        HandClock { began: None, added: AtomicU64::new(0) }
    }

    pub fn advance(&self, span: Duration) {
        self.added.fetch_add(u64::try_from(span.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for HandClock {
    fn now(&self) -> Time {
        Time(self.began.unwrap_or_else(wall_clock) + self.added.load(Ordering::SeqCst))
    }

    async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}

/// An event that an endpoint took.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    pub subscription: String,
    pub key: Option<String>,
    pub event: String,
}

/// All webhooks: they take events, or answer a status to those of some subscriptions.
#[derive(Default)]
pub struct Webhooks {
    refusing: Mutex<HashMap<String, u16>>,
    /// Of a hundred requests, so many are answered 503, and all after a few milliseconds.
    flaky: Mutex<Option<(u64, Random)>>,
    taken: Mutex<Vec<Delivery>>,
}

/// Numbers that follow from a seed.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next number, less than `below`.
    pub fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

impl Webhooks {
    /// From now on, requests of a subscription are answered with this status; none is 204.
    pub fn answer(&self, subscription: &SubscriptionId, status: Option<u16>) {
        let mut refusing = self.refusing.lock().unwrap();
        match status {
            Some(status) => refusing.insert(subscription.to_string(), status),
            None => refusing.remove(subscription.as_str()),
        };
    }

    /// From now on, of a hundred requests so many are answered 503.
    pub fn be_flaky(&self, of_hundred: u64, random: Random) {
        *self.flaky.lock().unwrap() = Some((of_hundred, random));
    }

    /// From now on, everything is taken.
    pub fn recover(&self) {
        self.refusing.lock().unwrap().clear();
        *self.flaky.lock().unwrap() = None;
    }

    /// What was taken so far, in order.
    pub fn taken(&self) -> Vec<Delivery> {
        self.taken.lock().unwrap().clone()
    }
}

#[async_trait]
impl WebhookClient for Webhooks {
    async fn post(&self, request: WebhookRequest) -> Result<WebhookResponse, WebhookError> {
        let header =
            |wanted: &str| request.headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.to_string());
        let subscription = header("relay-subscription").expect("every request names its subscription");
        let mood = self.flaky.lock().unwrap().as_mut().map(|(of_hundred, random)| {
            let fails = random.next(100) < *of_hundred;
            (fails, Duration::from_millis(random.next(8)))
        });
        if let Some((_, wait)) = mood {
            tokio::time::sleep(wait).await;
        }
        let refusal = self.refusing.lock().unwrap().get(&subscription).copied();
        let refusal = refusal.or(mood.filter(|(fails, _)| *fails).map(|_| 503));
        let status = refusal.unwrap_or(204);
        if refusal.is_none() {
            let event: Value = serde_json::from_slice(&request.body).expect("an event in JSON");
            let event = event["id"].as_str().expect("an id").to_owned();
            self.taken.lock().unwrap().push(Delivery { subscription, key: header("relay-partition-key"), event });
        }
        Ok(WebhookResponse { status, retry_after: None, body_start: bytes::Bytes::new() })
    }
}

/// Resources of a test's own, and what is outside of the broker.
pub struct Broker {
    config: SdkConfig,
    http: SharedHttpClient,
    pub clients: Clients,
    pub resources: Resources,
    pub clock: Arc<HandClock>,
    pub webhooks: Arc<Webhooks>,
    pub topic: Topic,
}

/// One process of the broker: it remembers what it has read, and dies with that.
pub struct Process {
    pub wire: Wire,
    pub ports: Ports,
    pub dispatcher: Arc<Dispatcher>,
    pub drainer: Drainer,
    pub sweeper: Sweeper,
}

/// The SDK's configuration from the environment, which takes a while to read.
pub async fn configuration() -> (SdkConfig, SharedHttpClient) {
    assert!(
        std::env::var_os(ENDPOINT_VARIABLE).is_some(),
        "these tests need an emulator: run `localstack/start.sh ministack`, and set {ENDPOINT_VARIABLE} to the \
         address it prints, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to `test`, AWS_REGION to `us-east-1`"
    );
    let http = http_client();
    let loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http.clone());
    (loader.retry_config(RetryConfig::disabled()).load().await, http)
}

impl Broker {
    /// A broker with one topic and no subscription, for which time stands still.
    pub async fn new(config: &SdkConfig, http: &SharedHttpClient) -> Broker {
        Broker::with(config, http, HandClock::still()).await
    }

    pub async fn with(config: &SdkConfig, http: &SharedHttpClient, clock: HandClock) -> Broker {
        let retrying = config.clone().into_builder().retry_config(RetryConfig::standard()).build();
        let clients = Clients::new(&retrying);
        let clock = Arc::new(clock);
        let prefix = format!("b{:016x}", SystemIds.random());
        let resources = provision(&clients, &*clock, &prefix, &prefix).await.expect("the emulator makes resources");
        let now = clock.now();
        let topic = Topic::new(TopicId::new("top_orders").unwrap(), TopicName::new("orders").unwrap(), now);
        let broker = Broker {
            config: config.clone(),
            http: http.clone(),
            clients,
            resources,
            clock,
            webhooks: Arc::default(),
            topic,
        };
        let ports = broker.process().ports;
        ports.registry.put_topic(broker.topic.clone(), Expect::Absent).await.unwrap();
        broker
    }

    /// A process whose SDK repeats nothing.
    pub fn process(&self) -> Process {
        self.process_with(RetryConfig::disabled())
    }

    /// A process.
    pub fn process_with(&self, retries: RetryConfig) -> Process {
        self.process_waiting(retries, Duration::ZERO)
    }

    /// A process that waits so long for messages.
    pub fn process_waiting(&self, retries: RetryConfig, receive_wait: Duration) -> Process {
        let wire = Wire::default();
        let clients = self.clients_over(&wire, retries);
        let options = Options { receive_wait, ..Options::new(self.resources.clone()) };
        let ports = open(&clients, &options, self.clock.clone(), Arc::new(SystemIds), self.webhooks.clone());
        Process::over(wire, ports)
    }

    /// Clients whose calls go over a wire.
    pub fn clients_over(&self, wire: &Wire, retries: RetryConfig) -> Clients {
        let config = self.config.clone().into_builder().retry_config(retries);
        Clients::new(&config.http_client(wire.client(self.http.clone())).build())
    }

    /// Makes subscriptions to the topic, one after another.
    pub async fn subscribe(&self, ports: &Ports, count: usize, retry: &RetryPolicy) -> Vec<SubscriptionId> {
        let mut ids = Vec::new();
        for at in 0..count {
            let subscription = subscription(&self.topic, &format!("sub_{at}"), retry, self.clock.now());
            ids.push(subscription.id.clone());
            ports.registry.put_subscription(subscription, Expect::Absent).await.unwrap();
        }
        ids
    }

    /// Ends the visibility of all that a process has received: what its death comes to after a while.
    pub async fn show(&self, wire: &Wire) {
        for (queue, receipt) in wire.take_receipts() {
            let call = self.clients.sqs.change_message_visibility().queue_url(queue).receipt_handle(receipt);
            // A message that was deleted since is not in flight any more.
            let _ = call.visibility_timeout(0).send().await;
        }
    }
}

fn subscription(topic: &Topic, id: &str, retry: &RetryPolicy, now: Time) -> Subscription {
    Subscription {
        id: SubscriptionId::new(id).unwrap(),
        topic_id: topic.id.clone(),
        topic: topic.name.clone(),
        endpoint: Endpoint {
            url: format!("https://example.com/{id}"),
            headers: vec![],
            timeout_ms: 10_000,
            mode: Mode::Structured,
            max_batch: 1,
        },
        retry: retry.clone(),
        rate_limit: None,
        secrets: vec![],
        status: Status::Active,
        status_reason: None,
        revision: 1,
        resuming: false,
        resuming_key: None,
        rewind: None,
        skipped_from: None,
        told_of_expiry: false,
        status_at: Time(1),
        last_replay: None,
        failing_since: None,
        probes: 0,
        version: 1,
        created_at: now,
        updated_at: now,
        deleted_at: None,
    }
}

/// An event to publish.
#[derive(Clone, Debug)]
pub struct Draft {
    pub id: String,
    pub key: Option<String>,
    /// Bytes of payload, which cannot be compressed.
    pub bytes: usize,
}

impl Draft {
    pub fn new(id: impl Into<String>, key: &str) -> Draft {
        Draft { id: id.into(), key: Some(key.to_owned()), bytes: 64 }
    }

    fn json(&self) -> Value {
        let mut event = json!({
            "specversion": "1.0", "id": self.id, "source": "/shop", "type": "com.example.order.paid",
            "datacontenttype": "text/plain", "data": noise(&self.id, self.bytes),
        });
        if let Some(key) = &self.key {
            event["partitionkey"] = json!(key);
        }
        event
    }
}

/// Text that cannot be compressed and is the same each time.
fn noise(seed: &str, bytes: usize) -> String {
    let mut state = seed.bytes().fold(1u64, |state, byte| state.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'0' + u8::try_from((state >> 33) % 75).unwrap())
    };
    (0..bytes).map(|_| next()).map(|sign| if sign == '\\' { '~' } else { sign }).collect()
}

impl Process {
    pub fn over(wire: Wire, ports: Ports) -> Process {
        let attempter = Attempter::new(ports.clone());
        Process {
            wire,
            dispatcher: Arc::new(Dispatcher::new(ports.clone(), attempter.clone())),
            drainer: Drainer::new(ports.clone(), attempter),
            sweeper: Sweeper::new(ports.clone()),
            ports,
        }
    }

    /// Publishes events with one request; answers the ids of those that were accepted.
    pub async fn publish(&self, topic: &Topic, events: &[Draft]) -> Vec<String> {
        let events: Vec<Value> = events.iter().map(Draft::json).collect();
        let body = serde_json::to_vec(&events).unwrap();
        let headers: [(&str, &[u8]); 1] = [("content-type", b"application/cloudevents-batch+json")];
        let request = PublishRequest { headers: &headers, body: body.into(), publisher: "test" };
        match ingest::publish(&self.ports, topic, request).await {
            Ok(published) => {
                let accepted = published.results().filter(|result| result.outcome.is_ok());
                accepted.map(|result| result.id.to_owned()).collect()
            }
            Err(_) => Vec::new(),
        }
    }

    /// Receives once and handles what came; answers how many messages those were.
    pub async fn dispatch_once(&self) -> usize {
        let batch = self.ports.queue.receive(10).await.unwrap_or_default();
        let count = batch.len();
        self.dispatcher.handle(batch).await;
        count
    }

    /// Follows the wake-ups that have come; answers how many.
    pub async fn drain_once(&self) -> usize {
        let wake_ups: Vec<WakeUp> = self.ports.wake_ups.receive(10).await.unwrap_or_default();
        let count = wake_ups.len();
        for wake_up in wake_ups {
            // The lane's lease ends by itself, and sweep wakes it again.
            let _ = self.drainer.handle(wake_up).await;
        }
        count
    }
}
