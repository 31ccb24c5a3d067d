//! Topics, subscriptions, API keys, idempotency records.

mod store;

pub(crate) use store::RegistryStore;

use crate::locked;
use crate::simulated::{Rewound, Simulated};
use crate::webhooks::Received;
use async_trait::async_trait;
use relay_core::grants::ApiKey;
use relay_core::names::{KeyId, SubscriptionId, TopicId, TopicName};
use relay_core::ports::{Expect, IdempotentAnswer, PortError, Registry, TopicSubscriptions};
use relay_core::subscription::Subscription;
use relay_core::time::Time;
use relay_core::topic::Topic;
use std::fmt::Debug;
use std::sync::Arc;

impl Simulated {
    /// Notes where log and endpoints were when a rewind began and ended.
    fn note_rewind(&self, before: Option<Arc<Subscription>>, after: &Subscription) {
        let mut rewinds = locked(&self.stores.rewinds);
        let ended = before.as_ref().and_then(|before| before.rewind.as_ref());
        if let Some(rewind) = ended
            && after.rewind.as_ref().is_none_or(|next| next.job != rewind.job)
            && let Some(logged) = rewinds.begun.remove(&rewind.job)
        {
            let received = self.endpoints().with_received(<[Received]>::len);
            let (subscription, topic) = (after.id.clone(), after.topic_id.clone());
            rewinds.ended.push(Rewound { subscription, topic, rewind: rewind.clone(), logged, received });
        }
        if let Some(rewind) = &after.rewind {
            let logged = locked(&self.stores.log).last();
            rewinds.begun.entry(rewind.job.clone()).or_insert(logged);
        }
    }

    async fn on_registry<T: Debug + Send>(
        &self,
        name: &str,
        subject: &(dyn Debug + Sync),
        effect: impl FnOnce(&mut RegistryStore) -> Result<T, PortError> + Send,
    ) -> Result<T, PortError> {
        self.gate.call(name, subject, || effect(&mut locked(&self.stores.tables).registry)).await
    }
}

#[async_trait]
impl Registry for Simulated {
    async fn topic(&self, name: &TopicName) -> Result<Option<Arc<Topic>>, PortError> {
        self.on_registry("registry.topic", name, |registry| Ok(registry.topic(name))).await
    }

    async fn topics(&self, after: Option<&TopicName>, limit: usize) -> Result<Vec<Arc<Topic>>, PortError> {
        self.on_registry("registry.topics", &after, |registry| Ok(registry.topics(after, limit))).await
    }

    async fn put_topic(&self, topic: Topic, expect: Expect) -> Result<(), PortError> {
        let subject = (topic.name.clone(), topic.version, expect);
        self.on_registry("registry.put_topic", &subject, |registry| registry.put_topic(topic, expect)).await
    }

    async fn subscription(&self, id: &SubscriptionId) -> Result<Option<Arc<Subscription>>, PortError> {
        self.on_registry("registry.subscription", id, |registry| Ok(registry.subscription(id))).await
    }

    async fn subscriptions(
        &self,
        topic: Option<&TopicName>,
        after: Option<&SubscriptionId>,
        limit: usize,
    ) -> Result<Vec<Arc<Subscription>>, PortError> {
        let list = |registry: &mut RegistryStore| Ok(registry.subscriptions(topic, after, limit));
        self.on_registry("registry.subscriptions", &topic, list).await
    }

    async fn unsettled(&self) -> Result<Vec<Arc<Subscription>>, PortError> {
        self.on_registry("registry.unsettled", &(), |registry| Ok(registry.unsettled())).await
    }

    async fn put_subscription(&self, subscription: Subscription, expect: Expect) -> Result<(), PortError> {
        let subject = (
            subscription.id.clone(),
            subscription.status,
            subscription.revision,
            subscription.resuming,
            subscription.deleted_at,
            expect,
        );
        let put = |registry: &mut RegistryStore| {
            let (before, after) = (registry.subscription(&subscription.id), subscription.clone());
            registry.put_subscription(subscription, expect)?;
            self.note_rewind(before, &after);
            Ok(())
        };
        self.on_registry("registry.put_subscription", &subject, put).await
    }

    async fn forget_subscription(&self, id: &SubscriptionId) -> Result<(), PortError> {
        let forget = |registry: &mut RegistryStore| {
            registry.forget_subscription(id);
            Ok(())
        };
        self.on_registry("registry.forget_subscription", id, forget).await
    }

    async fn topic_subscriptions(&self, topic: &TopicId) -> Result<Option<Arc<TopicSubscriptions>>, PortError> {
        let list = |registry: &mut RegistryStore| Ok(registry.topic_subscriptions(topic));
        self.on_registry("registry.topic_subscriptions", topic, list).await
    }

    async fn key_by_hash(&self, hash: &str) -> Result<Option<Arc<ApiKey>>, PortError> {
        self.on_registry("registry.key_by_hash", &hash, |registry| Ok(registry.key_by_hash(hash))).await
    }

    async fn keys(&self, after: Option<&KeyId>, limit: usize) -> Result<Vec<Arc<ApiKey>>, PortError> {
        self.on_registry("registry.keys", &after, |registry| Ok(registry.keys(after, limit))).await
    }

    async fn put_key(&self, key: ApiKey) -> Result<(), PortError> {
        let put = |registry: &mut RegistryStore| {
            registry.put_key(key);
            Ok(())
        };
        self.on_registry("registry.put_key", &(), put).await
    }

    async fn delete_key(&self, id: &KeyId) -> Result<bool, PortError> {
        self.on_registry("registry.delete_key", id, |registry| Ok(registry.delete_key(id))).await
    }

    async fn key_used_at(&self, id: &KeyId) -> Result<Option<Time>, PortError> {
        self.on_registry("registry.key_used_at", id, |registry| Ok(registry.key_used_at(id))).await
    }

    fn note_key_use(&self, id: &KeyId, at: Time) {
        locked(&self.stores.tables).registry.note_key_use(id, at);
    }

    async fn idempotent_answer(&self, key: &str) -> Result<Option<IdempotentAnswer>, PortError> {
        self.on_registry("registry.idempotent_answer", &key, |registry| Ok(registry.idempotent_answer(key))).await
    }

    async fn put_idempotent_answer(&self, key: &str, answer: IdempotentAnswer) -> Result<(), PortError> {
        let put = |registry: &mut RegistryStore| registry.put_idempotent_answer(key, answer);
        self.on_registry("registry.put_idempotent_answer", &key, put).await
    }
}
