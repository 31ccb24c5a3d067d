//! The registry in memory: all of it, since it is small and read with every request.

use crate::readers::rows;
use crate::sync::{read, write};
use relay_core::grants::ApiKey;
use relay_core::names::{KeyId, SubscriptionId, TopicId, TopicName};
use relay_core::ports::{PortError, TopicSubscriptions};
use relay_core::record;
use relay_core::subscription::Subscription;
use relay_core::time::Time;
use relay_core::topic::{Retention, Topic};
use rusqlite::Connection;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, RwLock};

#[derive(Debug, Default)]
struct State {
    /// The latest topic of each name; deleted ones too.
    names: BTreeMap<TopicName, Arc<Topic>>,
    /// By identifier: all topics that ever were.
    lives: HashMap<TopicId, Life>,
    subscriptions: BTreeMap<SubscriptionId, Arc<Subscription>>,
    keys: BTreeMap<KeyId, Arc<ApiKey>>,
    hashes: HashMap<String, KeyId>,
    key_uses: HashMap<KeyId, Time>,
}

/// One life of a topic.
#[derive(Debug, Default)]
struct Life {
    is_over: bool,
    retention: Retention,
    /// Its subscriptions, deleted ones not among them.
    list: Arc<TopicSubscriptions>,
}

/// The registry, as of the last commit.
#[derive(Debug, Default)]
pub(crate) struct Mirror {
    state: RwLock<State>,
}

/// A topic as it is stored.
#[derive(Debug)]
pub(super) struct StoredTopic {
    pub(super) topic: Topic,
    pub(super) list_version: u64,
}

impl State {
    fn put_topic(&mut self, stored: StoredTopic) {
        let StoredTopic { topic, list_version } = stored;
        let life = self.lives.entry(topic.id.clone()).or_default();
        (life.is_over, life.retention) = (topic.deleted_at.is_some(), topic.retention);
        Arc::make_mut(&mut life.list).version = list_version;
        let rank = |topic: &Topic| (topic.deleted_at.is_none(), topic.created_at);
        let gives_way = |known: &Arc<Topic>| known.id == topic.id || rank(known) <= rank(&topic);
        if self.names.get(&topic.name).is_none_or(gives_way) {
            self.names.insert(topic.name.clone(), Arc::new(topic));
        }
    }

    fn put_subscription(&mut self, subscription: Subscription, list_version: u64) {
        let subscription = Arc::new(subscription);
        let life = self.lives.entry(subscription.topic_id.clone()).or_default();
        let list = Arc::make_mut(&mut life.list);
        list.version = list_version;
        list.subscriptions.retain(|other| other.id != subscription.id);
        if subscription.deleted_at.is_none() {
            let place = list.subscriptions.partition_point(|other| other.id < subscription.id);
            list.subscriptions.insert(place, subscription.clone());
        }
        self.subscriptions.insert(subscription.id.clone(), subscription);
    }

    fn put_key(&mut self, key: ApiKey) {
        let key = Arc::new(key);
        self.hashes.insert(key.hash.clone(), key.id.clone());
        if let Some(before) = self.keys.insert(key.id.clone(), key.clone())
            && before.hash != key.hash
        {
            self.hashes.remove(&before.hash);
        }
    }

    fn list(&self, topic: &TopicId) -> Option<&Arc<TopicSubscriptions>> {
        self.lives.get(topic).filter(|life| !life.is_over).map(|life| &life.list)
    }
}

fn from<K: Ord>(after: Option<&K>) -> (Bound<&K>, Bound<&K>) {
    (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

impl Mirror {
    /// Reads the registry.
    pub(crate) fn load(connection: &Connection) -> Result<Mirror, PortError> {
        let mut state = State::default();
        let texts = |sql| rows(connection, sql, [], |row| row.get::<_, String>(0));
        let topics = rows(connection, "SELECT list_version, record FROM topics", [], |row| {
            Ok((row.get::<_, u64>(0)?, row.get::<_, String>(1)?))
        })?;
        let mut versions = HashMap::new();
        for (list_version, text) in topics {
            let topic: Topic = record::decode(&text)?;
            versions.insert(topic.id.clone(), list_version);
            state.put_topic(StoredTopic { topic, list_version });
        }
        for text in texts("SELECT record FROM subscriptions")? {
            let subscription: Subscription = record::decode(&text)?;
            let version = versions.get(&subscription.topic_id).copied().unwrap_or(0);
            state.put_subscription(subscription, version);
        }
        for text in texts("SELECT record FROM keys")? {
            state.put_key(record::decode(&text)?);
        }
        let uses = rows(connection, "SELECT id, at FROM key_uses", [], |row| {
            Ok((row.get::<_, String>(0)?, Time(row.get(1)?)))
        })?;
        state.key_uses = uses.into_iter().filter_map(|(id, at)| Some((KeyId::new(id).ok()?, at))).collect();
        Ok(Mirror { state: RwLock::new(state) })
    }

    pub(super) fn put_topic(&self, stored: StoredTopic) {
        write(&self.state).put_topic(stored);
    }

    pub(super) fn put_subscription(&self, subscription: Subscription, list_version: u64) {
        write(&self.state).put_subscription(subscription, list_version);
    }

    pub(super) fn forget_subscription(&self, id: &SubscriptionId) {
        write(&self.state).subscriptions.remove(id);
    }

    pub(super) fn put_key(&self, key: ApiKey) {
        write(&self.state).put_key(key);
    }

    pub(super) fn delete_key(&self, id: &KeyId) {
        let mut state = write(&self.state);
        if let Some(key) = state.keys.remove(id) {
            state.hashes.remove(&key.hash);
        }
        state.key_uses.remove(id);
    }

    pub(super) fn use_key(&self, id: &KeyId, at: Time) {
        write(&self.state).key_uses.insert(id.clone(), at);
    }

    pub(super) fn topic(&self, name: &TopicName) -> Option<Arc<Topic>> {
        read(&self.state).names.get(name).cloned()
    }

    pub(super) fn topics(&self, after: Option<&TopicName>, limit: usize) -> Vec<Arc<Topic>> {
        let state = read(&self.state);
        let live = state.names.range(from(after)).map(|(_, topic)| topic).filter(|topic| topic.deleted_at.is_none());
        live.take(limit).cloned().collect()
    }

    pub(super) fn subscription(&self, id: &SubscriptionId) -> Option<Arc<Subscription>> {
        read(&self.state).subscriptions.get(id).cloned()
    }

    pub(super) fn subscriptions(
        &self,
        topic: Option<&TopicName>,
        after: Option<&SubscriptionId>,
        limit: usize,
    ) -> Vec<Arc<Subscription>> {
        let state = read(&self.state);
        let listed = |subscription: &&Arc<Subscription>| {
            subscription.deleted_at.is_none() && topic.is_none_or(|topic| subscription.topic == *topic)
        };
        state.subscriptions.range(from(after)).map(|(_, one)| one).filter(listed).take(limit).cloned().collect()
    }

    pub(super) fn unsettled(&self) -> Vec<Arc<Subscription>> {
        read(&self.state).subscriptions.values().filter(|one| one.is_unsettled()).cloned().collect()
    }

    /// A topic's list of subscriptions; none if the topic is gone.
    pub(super) fn list(&self, topic: &TopicId) -> Option<Arc<TopicSubscriptions>> {
        read(&self.state).list(topic).cloned()
    }

    /// The versions of topics' lists.
    pub(crate) fn versions(&self, topics: &[TopicId]) -> Vec<Option<u64>> {
        let state = read(&self.state);
        topics.iter().map(|topic| state.list(topic).map(|list| list.version)).collect()
    }

    /// How long entries of topics are kept.
    pub(crate) fn retentions(&self) -> HashMap<TopicId, Retention> {
        read(&self.state).lives.iter().map(|(topic, life)| (topic.clone(), life.retention)).collect()
    }

    pub(super) fn key_by_hash(&self, hash: &str) -> Option<Arc<ApiKey>> {
        let state = read(&self.state);
        state.hashes.get(hash).and_then(|id| state.keys.get(id)).cloned()
    }

    pub(super) fn keys(&self, after: Option<&KeyId>, limit: usize) -> Vec<Arc<ApiKey>> {
        read(&self.state).keys.range(from(after)).take(limit).map(|(_, key)| key.clone()).collect()
    }

    pub(super) fn key_used_at(&self, id: &KeyId) -> Option<Time> {
        read(&self.state).key_uses.get(id).copied()
    }
}
