//! What the registry holds.

use relay_core::grants::ApiKey;
use relay_core::limits::IDEMPOTENCY_KEPT;
use relay_core::log::Committed;
use relay_core::names::{KeyId, SubscriptionId, TopicId, TopicName};
use relay_core::ports::{Expect, IdempotentAnswer, PortError, TopicSubscriptions};
use relay_core::subscription::Subscription;
use relay_core::time::Time;
use relay_core::topic::{Retention, Topic};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

#[derive(Default)]
pub(crate) struct RegistryStore {
    topics: BTreeMap<TopicName, Arc<Topic>>,
    /// The version of the list of subscriptions of every topic that was ever there.
    lists: BTreeMap<TopicId, u64>,
    subscriptions: BTreeMap<SubscriptionId, Arc<Subscription>>,
    cursors: BTreeMap<SubscriptionId, Committed>,
    keys: BTreeMap<KeyId, Arc<ApiKey>>,
    key_uses: BTreeMap<KeyId, Time>,
    answers: BTreeMap<String, IdempotentAnswer>,
}

/// Whether a write's condition holds for what is stored (its version, if it counts as being there).
fn check(stored: Option<u64>, expect: Expect) -> Result<(), PortError> {
    match (stored, expect) {
        (None, Expect::Absent) => Ok(()),
        (Some(stored), Expect::Version(expected)) if stored == expected => Ok(()),
        _ => Err(PortError::Conflict),
    }
}

fn after<T: Ord>(from: Option<&T>) -> (Bound<&T>, Bound<&T>) {
    (from.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

impl RegistryStore {
    pub fn topic(&self, name: &TopicName) -> Option<Arc<Topic>> {
        self.topics.get(name).cloned()
    }

    pub fn topics(&self, from: Option<&TopicName>, limit: usize) -> Vec<Arc<Topic>> {
        let found = self.topics.range(after(from)).map(|(_, topic)| topic);
        found.filter(|topic| topic.deleted_at.is_none()).take(limit).cloned().collect()
    }

    fn live_topic(&self, id: &TopicId) -> Option<&Arc<Topic>> {
        self.topics.values().find(|topic| topic.id == *id && topic.deleted_at.is_none())
    }

    /// How long a topic's events are kept; those of a topic that is gone are not.
    pub fn retention(&self, id: &TopicId) -> Duration {
        self.live_topic(id).map_or(Retention::Days1, |topic| topic.retention).duration()
    }

    pub fn put_topic(&mut self, topic: Topic, expect: Expect) -> Result<(), PortError> {
        let stored = self.topics.get(&topic.name);
        let counts = |stored: &&Arc<Topic>| expect != Expect::Absent || stored.deleted_at.is_none();
        check(stored.filter(counts).map(|stored| stored.version), expect)?;
        self.lists.entry(topic.id.clone()).or_insert(0);
        self.topics.insert(topic.name.clone(), Arc::new(topic));
        Ok(())
    }

    pub fn subscription(&self, id: &SubscriptionId) -> Option<Arc<Subscription>> {
        self.subscriptions.get(id).cloned()
    }

    pub fn subscriptions(
        &self,
        topic: Option<&TopicName>,
        from: Option<&SubscriptionId>,
        limit: usize,
    ) -> Vec<Arc<Subscription>> {
        let found = self.subscriptions.range(after(from)).map(|(_, subscription)| subscription);
        let there = found.filter(|subscription| subscription.deleted_at.is_none());
        there
            .filter(|subscription| topic.is_none_or(|topic| subscription.topic == *topic))
            .take(limit)
            .cloned()
            .collect()
    }

    pub fn unsettled(&self) -> Vec<Arc<Subscription>> {
        self.subscriptions.values().filter(|subscription| subscription.is_unsettled()).cloned().collect()
    }

    pub fn put_subscription(&mut self, subscription: Subscription, expect: Expect) -> Result<(), PortError> {
        check(self.subscriptions.get(&subscription.id).map(|stored| stored.version), expect)?;
        *self.lists.entry(subscription.topic_id.clone()).or_insert(0) += 1;
        self.subscriptions.insert(subscription.id.clone(), Arc::new(subscription));
        Ok(())
    }

    pub fn forget_subscription(&mut self, id: &SubscriptionId) {
        if self.subscriptions.get(id).is_some_and(|subscription| subscription.deleted_at.is_some()) {
            self.subscriptions.remove(id);
            self.cursors.remove(id);
        }
    }

    pub fn committed(&self, id: &SubscriptionId) -> Option<Committed> {
        self.cursors.get(id).copied()
    }

    pub fn commit(
        &mut self,
        id: &SubscriptionId,
        committed: Committed,
        expected: Option<Committed>,
    ) -> Result<(), PortError> {
        if self.committed(id) != expected {
            return Err(PortError::Conflict);
        }
        self.cursors.insert(id.clone(), committed);
        Ok(())
    }

    pub fn list_version(&self, topic: &TopicId) -> Option<u64> {
        self.live_topic(topic).and_then(|topic| self.lists.get(&topic.id)).copied()
    }

    pub fn topic_subscriptions(&self, topic: &TopicId) -> Option<Arc<TopicSubscriptions>> {
        let version = self.list_version(topic)?;
        let of_topic = self.subscriptions.values().filter(|subscription| subscription.topic_id == *topic);
        let subscriptions = of_topic.filter(|subscription| subscription.deleted_at.is_none()).cloned().collect();
        Some(Arc::new(TopicSubscriptions { version, subscriptions }))
    }

    pub fn key_by_hash(&self, hash: &str) -> Option<Arc<ApiKey>> {
        self.keys.values().find(|key| key.hash == hash).cloned()
    }

    pub fn keys(&self, from: Option<&KeyId>, limit: usize) -> Vec<Arc<ApiKey>> {
        self.keys.range(after(from)).take(limit).map(|(_, key)| Arc::clone(key)).collect()
    }

    pub fn put_key(&mut self, key: ApiKey) {
        self.keys.insert(key.id.clone(), Arc::new(key));
    }

    pub fn delete_key(&mut self, id: &KeyId) -> bool {
        self.key_uses.remove(id);
        self.keys.remove(id).is_some()
    }

    pub fn key_used_at(&self, id: &KeyId) -> Option<Time> {
        self.key_uses.get(id).copied()
    }

    pub fn note_key_use(&mut self, id: &KeyId, at: Time) {
        self.key_uses.insert(id.clone(), at);
    }

    pub fn idempotent_answer(&self, key: &str) -> Option<IdempotentAnswer> {
        self.answers.get(key).cloned()
    }

    pub fn put_idempotent_answer(&mut self, key: &str, answer: IdempotentAnswer) -> Result<(), PortError> {
        let stored = self.answers.get(key);
        if stored.is_some_and(|stored| answer.at.since(stored.at) < IDEMPOTENCY_KEPT) {
            return Err(PortError::Conflict);
        }
        self.answers.insert(key.to_owned(), answer);
        Ok(())
    }
}
