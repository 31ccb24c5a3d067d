//! A broker's resources of a test's own on an emulator, and a clock that the test moves.

use async_trait::async_trait;
use relay_aws::{Clients, ENDPOINT_VARIABLE, Options, Resources, open, provision};
use relay_core::conformance::Harness;
use relay_core::limits::VISIBILITY;
use relay_core::pack::Pack;
use relay_core::ports::webhook::NoWebhooks;
use relay_core::ports::{Clock, EventQueue, Ids, Message, PortError, Ports, QueueLag, Receipt, Sent};
use relay_core::time::Time;
use relay_system::SystemIds;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The wall clock, and what the test added to it.
#[derive(Default)]
pub struct JumpingClock(AtomicU64);

#[async_trait]
impl Clock for JumpingClock {
    #[allow(clippy::disallowed_methods, reason = "the emulator goes by the wall clock")]
    fn now(&self) -> Time {
        let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Time(u64::try_from(real.as_millis()).unwrap()) + Duration::from_millis(self.0.load(Ordering::SeqCst))
    }

    async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}

/// Messages in flight, by receipt: when their visibility ends by the test's clock.
type Hidden = Arc<Mutex<HashMap<String, Time>>>;

/// The queue as it is, noting what is in flight: SQS's own clock cannot be moved, but the end of a message's visibility
/// can be brought about.
struct NotedQueue {
    inner: Arc<dyn EventQueue>,
    clock: Arc<JumpingClock>,
    hidden: Hidden,
}

#[async_trait]
impl EventQueue for NotedQueue {
    async fn send(&self, packs: Vec<Arc<Pack>>) -> Vec<Result<Sent, PortError>> {
        self.inner.send(packs).await
    }

    async fn receive(&self, max: usize) -> Result<Vec<Message>, PortError> {
        let messages = self.inner.receive(max).await?;
        let until = self.clock.now() + VISIBILITY;
        for message in &messages {
            if let Receipt::Text(handle) = &message.receipt {
                self.hidden.lock().unwrap().insert(handle.clone(), until);
            }
        }
        Ok(messages)
    }

    async fn delete(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        self.inner.delete(receipts).await
    }

    async fn give_back(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        self.inner.give_back(receipts).await
    }

    async fn lag(&self) -> Result<QueueLag, PortError> {
        self.inner.lag().await
    }
}

/// What a test runs in.
pub struct World {
    pub clients: Clients,
    pub resources: Resources,
    pub clock: Arc<JumpingClock>,
    hidden: Hidden,
    loses: bool,
    ports: Mutex<Ports>,
}

/// Spans of the emulator's own clock up to which a test really waits.
const WAITED: Duration = Duration::from_secs(8);

fn opened(clients: &Clients, resources: &Resources, clock: &Arc<JumpingClock>, hidden: &Hidden) -> Ports {
    let options = Options { receive_wait: Duration::ZERO, ..Options::new(resources.clone()) };
    let mut ports = open(clients, &options, clock.clone(), Arc::new(SystemIds), Arc::new(NoWebhooks));
    let (inner, clock, hidden) = (ports.queue.clone(), clock.clone(), hidden.clone());
    ports.queue = Arc::new(NotedQueue { inner, clock, hidden });
    ports
}

impl World {
    /// A fresh world.
    pub async fn new() -> World {
        World::make(false).await
    }

    /// A fresh world in which the first answer to every write is lost.
    pub async fn lossy() -> World {
        World::make(true).await
    }

    async fn clients(loses: bool) -> Clients {
        if loses { crate::lossy::clients().await } else { Clients::from_environment().await }
    }

    async fn make(loses: bool) -> World {
        assert!(
            std::env::var_os(ENDPOINT_VARIABLE).is_some(),
            "these tests need an emulator: run `localstack/start.sh ministack`, and set {ENDPOINT_VARIABLE} to the \
             address it prints, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to `test`, AWS_REGION to `us-east-1`"
        );
        let clients = Clients::from_environment().await;
        let clock = Arc::new(JumpingClock::default());
        let prefix = format!("t{:016x}", SystemIds.random());
        let resources = provision(&clients, &*clock, &prefix, &prefix).await.expect("the emulator makes resources");
        if loses {
            // Known before the first send, which would else take longer than some cases wait for it.
            relay_aws::begin_era(&clients, &resources, clock.clone(), Arc::new(SystemIds))
                .await
                .expect("an era begins");
        }
        let hidden = Hidden::default();
        let ports = Mutex::new(opened(&World::clients(loses).await, &resources, &clock, &hidden));
        World { clients, resources, clock, hidden, loses, ports }
    }
}

#[async_trait]
impl Harness for World {
    fn ports(&self) -> Ports {
        self.ports.lock().unwrap().clone()
    }

    async fn advance(&self, span: Duration) {
        if span <= WAITED {
            // Delays of the wake-ups' queue pass by themselves.
            tokio::time::sleep(span).await;
        } else {
            self.clock.0.fetch_add(u64::try_from(span.as_millis()).unwrap(), Ordering::SeqCst);
        }
        let now = self.clock.now();
        let ended: Vec<String> = {
            let mut hidden = self.hidden.lock().unwrap();
            let ended: Vec<_> =
                hidden.iter().filter(|(_, until)| **until <= now).map(|(handle, _)| handle.clone()).collect();
            hidden.retain(|_, until| *until > now);
            ended
        };
        for handle in ended {
            let call = self.clients.sqs.change_message_visibility().queue_url(&self.resources.events_queue);
            // A message that was deleted since, or received again, is not in flight under this receipt.
            let _ = call.receipt_handle(handle).visibility_timeout(0).send().await;
        }
    }

    async fn crash(&self) {
        // A process that dies takes its clients and what they knew along.
        let clients = World::clients(self.loses).await;
        *self.ports.lock().unwrap() = opened(&clients, &self.resources, &self.clock, &self.hidden);
    }

    fn excuse(&self, case: &str) -> Option<&'static str> {
        crate::conformance::excuse(case)
    }
}
