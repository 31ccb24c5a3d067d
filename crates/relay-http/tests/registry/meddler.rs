//! A registry that lets somebody else come in between.

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use relay_core::grants::ApiKey;
use relay_core::names::{KeyId, SubscriptionId, TopicId, TopicName};
use relay_core::ports::{Expect, IdempotentAnswer, PortError, Registry, TopicSubscriptions};
use relay_core::subscription::Subscription;
use relay_core::time::Time;
use relay_core::topic::Topic;
use std::sync::{Arc, Mutex};

/// What somebody else does with the registry.
pub(crate) type Meddling = Box<dyn FnOnce(Arc<dyn Registry>) -> BoxFuture<'static, ()> + Send>;

/// Before the next write of a topic or subscription, somebody else does something.
pub(crate) struct Meddler {
    inner: Arc<dyn Registry>,
    next: Mutex<Option<Meddling>>,
}

impl Meddler {
    pub(crate) fn new(inner: Arc<dyn Registry>) -> Arc<Meddler> {
        Arc::new(Meddler { inner, next: Mutex::new(None) })
    }

    pub(crate) fn before_the_next_write(&self, meddling: Meddling) {
        *self.next.lock().unwrap() = Some(meddling);
    }

    async fn meddle(&self) {
        let meddling = self.next.lock().unwrap().take();
        if let Some(meddling) = meddling {
            meddling(self.inner.clone()).await;
        }
    }
}

#[async_trait]
impl Registry for Meddler {
    async fn topic(&self, name: &TopicName) -> Result<Option<Arc<Topic>>, PortError> {
        self.inner.topic(name).await
    }

    async fn topics(&self, after: Option<&TopicName>, limit: usize) -> Result<Vec<Arc<Topic>>, PortError> {
        self.inner.topics(after, limit).await
    }

    async fn put_topic(&self, topic: Topic, expect: Expect) -> Result<(), PortError> {
        self.meddle().await;
        self.inner.put_topic(topic, expect).await
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
        self.meddle().await;
        self.inner.put_subscription(subscription, expect).await
    }

    async fn forget_subscription(&self, id: &SubscriptionId) -> Result<(), PortError> {
        self.inner.forget_subscription(id).await
    }

    async fn topic_subscriptions(&self, topic: &TopicId) -> Result<Option<Arc<TopicSubscriptions>>, PortError> {
        self.inner.topic_subscriptions(topic).await
    }

    async fn key_by_hash(&self, hash: &str) -> Result<Option<Arc<ApiKey>>, PortError> {
        self.inner.key_by_hash(hash).await
    }

    async fn keys(&self, after: Option<&KeyId>, limit: usize) -> Result<Vec<Arc<ApiKey>>, PortError> {
        self.inner.keys(after, limit).await
    }

    async fn put_key(&self, key: ApiKey) -> Result<(), PortError> {
        self.inner.put_key(key).await
    }

    async fn delete_key(&self, id: &KeyId) -> Result<bool, PortError> {
        self.inner.delete_key(id).await
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
