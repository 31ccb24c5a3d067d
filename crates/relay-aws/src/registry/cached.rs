//! A registry that remembers keys and topics for a few seconds: with it, a publish reads nothing of the table. For
//! processes that publish and do not manage: what they remember may be out of date.

use async_trait::async_trait;
use relay_core::grants::ApiKey;
use relay_core::names::{KeyId, SubscriptionId, TopicId, TopicName};
use relay_core::ports::{Clock, Expect, IdempotentAnswer, PortError, Ports, Registry, TopicSubscriptions};
use relay_core::subscription::Subscription;
use relay_core::time::Time;
use relay_core::topic::Topic;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long what was read is gone by.
pub const REMEMBERED_FOR: Duration = Duration::from_secs(10);
/// Most records of a kind.
const MOST: usize = 4096;

/// Ports whose registry remembers keys and topics for [`REMEMBERED_FOR`]: a key that is deleted, or a topic, may be
/// used for so long; one that is made is known at once.
pub fn remembering(ports: Ports) -> Ports {
    let registry = Remembering {
        inner: ports.registry.clone(),
        clock: ports.clock.clone(),
        keys: Memory::default(),
        topics: Memory::default(),
    };
    Ports { registry: Arc::new(registry), ..ports }
}

struct Remembering {
    inner: Arc<dyn Registry>,
    clock: Arc<dyn Clock>,
    keys: Memory<String, ApiKey>,
    topics: Memory<TopicName, Topic>,
}

/// Records and when each was read.
struct Memory<K, V>(Mutex<HashMap<K, (Time, Arc<V>)>>);

impl<K, V> Default for Memory<K, V> {
    fn default() -> Self {
        Memory(Mutex::default())
    }
}

impl<K: Eq + Hash, V> Memory<K, V> {
    fn get<Q: Eq + Hash + ?Sized>(&self, name: &Q, now: Time) -> Option<Arc<V>>
    where
        K: std::borrow::Borrow<Q>,
    {
        let records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back makes a record neither older nor younger than it is: it is read again.
        let is_fresh = |read_at: Time| read_at <= now && now.since(read_at) < REMEMBERED_FOR;
        records.get(name).filter(|(read_at, _)| is_fresh(*read_at)).map(|(_, record)| record.clone())
    }

    fn set(&self, name: K, record: &Arc<V>, read_at: Time) {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() >= MOST {
            records.clear();
        }
        records.insert(name, (read_at, record.clone()));
    }

    fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[async_trait]
impl Registry for Remembering {
    /// What is not there is not remembered: it may be made the next moment.
    async fn topic(&self, name: &TopicName) -> Result<Option<Arc<Topic>>, PortError> {
        let now = self.clock.now();
        if let Some(known) = self.topics.get(name, now) {
            return Ok(Some(known));
        }
        let read = self.inner.topic(name).await?;
        if let Some(topic) = &read {
            self.topics.set(name.clone(), topic, now);
        }
        Ok(read)
    }

    async fn topics(&self, after: Option<&TopicName>, limit: usize) -> Result<Vec<Arc<Topic>>, PortError> {
        self.inner.topics(after, limit).await
    }

    async fn put_topic(&self, topic: Topic, expect: Expect) -> Result<(), PortError> {
        let put = self.inner.put_topic(topic, expect).await;
        self.topics.clear();
        put
    }

    async fn subscription(&self, id: &SubscriptionId) -> Result<Option<Arc<Subscription>>, PortError> {
        self.inner.subscription(id).await
    }

    async fn subscriptions(
        &self,
        topic: Option<&TopicName>,
        after: Option<&SubscriptionId>,
        limit: usize,
    ) -> Result<Vec<Arc<Subscription>>, PortError> {
        self.inner.subscriptions(topic, after, limit).await
    }

    async fn unsettled(&self) -> Result<Vec<Arc<Subscription>>, PortError> {
        self.inner.unsettled().await
    }

    async fn put_subscription(&self, subscription: Subscription, expect: Expect) -> Result<(), PortError> {
        self.inner.put_subscription(subscription, expect).await
    }

    async fn forget_subscription(&self, id: &SubscriptionId) -> Result<(), PortError> {
        self.inner.forget_subscription(id).await
    }

    async fn topic_subscriptions(&self, topic: &TopicId) -> Result<Option<Arc<TopicSubscriptions>>, PortError> {
        self.inner.topic_subscriptions(topic).await
    }

    async fn key_by_hash(&self, hash: &str) -> Result<Option<Arc<ApiKey>>, PortError> {
        let now = self.clock.now();
        if let Some(known) = self.keys.get(hash, now) {
            return Ok(Some(known));
        }
        let read = self.inner.key_by_hash(hash).await?;
        if let Some(key) = &read {
            self.keys.set(hash.to_owned(), key, now);
        }
        Ok(read)
    }

    async fn keys(&self, after: Option<&KeyId>, limit: usize) -> Result<Vec<Arc<ApiKey>>, PortError> {
        self.inner.keys(after, limit).await
    }

    async fn put_key(&self, key: ApiKey) -> Result<(), PortError> {
        let put = self.inner.put_key(key).await;
        self.keys.clear();
        put
    }

    async fn delete_key(&self, id: &KeyId) -> Result<bool, PortError> {
        let deleted = self.inner.delete_key(id).await;
        self.keys.clear();
        deleted
    }

    async fn key_used_at(&self, id: &KeyId) -> Result<Option<Time>, PortError> {
        self.inner.key_used_at(id).await
    }

    fn note_key_use(&self, id: &KeyId, at: Time) {
        self.inner.note_key_use(id, at);
    }

    async fn idempotent_answer(&self, key: &str) -> Result<Option<IdempotentAnswer>, PortError> {
        self.inner.idempotent_answer(key).await
    }

    async fn put_idempotent_answer(&self, key: &str, answer: IdempotentAnswer) -> Result<(), PortError> {
        self.inner.put_idempotent_answer(key, answer).await
    }
}
