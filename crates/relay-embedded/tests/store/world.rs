//! A data folder that goes when the test ends, and a clock that the test moves.

use async_trait::async_trait;
use relay_core::event::{Event, EventData};
use relay_core::names::{PartitionKey, TopicId, TopicName};
use relay_core::pack::{LaneKey, Pack};
use relay_core::ports::webhook::NoWebhooks;
use relay_core::ports::{Clock, Message, PortError, Ports, Sent};
use relay_core::time::Time;
use relay_embedded::{Store, StoreOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// A folder of a test's own.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("relay-store-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A clock that goes on by itself, and jumps when told to.
#[derive(Clone)]
pub struct JumpingClock {
    began: Instant,
    jumps: Arc<watch::Sender<Duration>>,
}

impl JumpingClock {
    pub fn new() -> JumpingClock {
        JumpingClock { began: Instant::now(), jumps: Arc::new(watch::channel(Duration::ZERO).0) }
    }

    pub fn jump(&self, span: Duration) {
        self.jumps.send_modify(|jumped| *jumped += span);
    }
}

#[async_trait]
impl Clock for JumpingClock {
    fn now(&self) -> Time {
        Time(1_795_000_000_000) + self.began.elapsed() + *self.jumps.borrow()
    }

    async fn sleep(&self, span: Duration) {
        let end = self.now() + span;
        let mut jumps = self.jumps.subscribe();
        while self.now() < end {
            tokio::select! {
                () = tokio::time::sleep(end.since(self.now())) => {}
                _ = jumps.changed() => {}
            }
        }
    }
}

/// Options for tests: receiving does not wait for long.
pub fn options(clock: &JumpingClock) -> StoreOptions {
    let receive_wait = Duration::from_millis(20);
    StoreOptions { clock: Arc::new(clock.clone()), receive_wait, ..StoreOptions::default() }
}

pub fn ports(store: &Store) -> Ports {
    store.ports(Arc::new(NoWebhooks))
}

/// A pack of one event.
pub fn pack(key: &str, id: &str, bytes: usize) -> Arc<Pack> {
    let event = Event {
        id: id.to_owned(),
        source: "/test".to_owned(),
        kind: "test".to_owned(),
        subject: None,
        time: None,
        content_type: None,
        data_schema: None,
        extensions: vec![],
        data: EventData::Text("x".repeat(bytes)),
        made: false,
    };
    Arc::new(Pack {
        topic: TopicName::new("orders").unwrap(),
        topic_id: TopicId::new("top_orders").unwrap(),
        key: LaneKey::Ordered(PartitionKey::new(key).unwrap()),
        accepted_at: Time(1_795_000_000_000),
        events: vec![event],
    })
}

pub async fn send(ports: &Ports, pack: Arc<Pack>) -> Result<Sent, PortError> {
    ports.queue.send(vec![pack]).await.remove(0)
}

pub fn id(message: &Message) -> &str {
    &message.pack.events[0].id
}

/// Receives and acknowledges some messages; answers their ids in order.
pub async fn receive_and_acknowledge(ports: &Ports) -> Vec<String> {
    let messages = ports.queue.receive(100).await.unwrap();
    let receipts: Vec<_> = messages.iter().map(|message| message.receipt.clone()).collect();
    assert!(ports.queue.delete(&receipts).await.iter().all(Result::is_ok));
    messages.iter().map(|message| id(message).to_owned()).collect()
}

/// Receives and acknowledges until nothing comes; answers the ids in order.
pub async fn drain(ports: &Ports) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let some = receive_and_acknowledge(ports).await;
        if some.is_empty() {
            return ids;
        }
        ids.extend(some);
    }
}
