//! Topics, subscriptions, API keys, idempotency records.

use super::PortError;
use crate::grants::ApiKey;
use crate::names::{KeyId, SubscriptionId, TopicId, TopicName};
use crate::subscription::Subscription;
use crate::time::Time;
use crate::topic::Topic;
use async_trait::async_trait;
use std::sync::Arc;

/// Condition of a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    /// There is no record of that name yet (for a topic: none, or a deleted one).
    Absent,
    /// The stored record has this `version`.
    Version(u64),
}

/// A topic's subscriptions as of a version.
#[derive(Clone, Debug, Default)]
pub struct TopicSubscriptions {
    /// Moved by every change of any of them, in the same transaction.
    pub version: u64,
    /// Those that are not deleted.
    pub subscriptions: Vec<Arc<Subscription>>,
}

/// The answer that a repeated `Idempotency-Key` gets again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdempotentAnswer {
    /// SHA-256 of method, path and body of the first request, in hexadecimal.
    pub request_hash: String,
    /// Status of the answer.
    pub status: u16,
    /// Its body.
    pub body: String,
    /// When it was given.
    pub at: Time,
}

/// The registry. Reads are strongly consistent; writes are durable when they answer, and `Conflict` if their
/// condition does not hold.
#[async_trait]
pub trait Registry: Send + Sync {
    /// A topic by name; a deleted one too, for as long as its name is reserved.
    ///
    /// # Errors
    /// If it cannot be read.
    async fn topic(&self, name: &TopicName) -> Result<Option<Arc<Topic>>, PortError>;

    /// Topics by name, after a name; no deleted ones.
    ///
    /// # Errors
    /// If they cannot be read.
    async fn topics(&self, after: Option<&TopicName>, limit: usize) -> Result<Vec<Arc<Topic>>, PortError>;

    /// Writes a topic.
    ///
    /// # Errors
    /// `Conflict`, or if it may not be durable.
    async fn put_topic(&self, topic: Topic, expect: Expect) -> Result<(), PortError>;

    /// A subscription; a deleted one too, for as long as it is remembered.
    ///
    /// # Errors
    /// If it cannot be read.
    async fn subscription(&self, id: &SubscriptionId) -> Result<Option<Arc<Subscription>>, PortError>;

    /// Subscriptions by id, after an id, those of one topic or all; no deleted ones.
    ///
    /// # Errors
    /// If they cannot be read.
    async fn subscriptions(
        &self,
        topic: Option<&TopicName>,
        after: Option<&SubscriptionId>,
        limit: usize,
    ) -> Result<Vec<Arc<Subscription>>, PortError>;

    /// Subscriptions that sweep has to look at ([`Subscription::is_unsettled`]).
    ///
    /// # Errors
    /// If they cannot be read.
    async fn unsettled(&self) -> Result<Vec<Arc<Subscription>>, PortError>;

    /// Writes a subscription, and moves the version of its topic's list in the same transaction.
    ///
    /// # Errors
    /// `Conflict`, or if it may not be durable.
    async fn put_subscription(&self, subscription: Subscription, expect: Expect) -> Result<(), PortError>;

    /// Forgets a deleted subscription for good.
    ///
    /// # Errors
    /// If it may not be durable.
    async fn forget_subscription(&self, id: &SubscriptionId) -> Result<(), PortError>;

    /// A topic's list of subscriptions; none if the topic id is unknown or its topic deleted.
    ///
    /// # Errors
    /// If it cannot be read.
    async fn topic_subscriptions(&self, topic: &TopicId) -> Result<Option<Arc<TopicSubscriptions>>, PortError>;

    /// A key by the SHA-256 of its text, in hexadecimal.
    ///
    /// # Errors
    /// If it cannot be read.
    async fn key_by_hash(&self, hash: &str) -> Result<Option<Arc<ApiKey>>, PortError>;

    /// Keys by id, after an id.
    ///
    /// # Errors
    /// If they cannot be read.
    async fn keys(&self, after: Option<&KeyId>, limit: usize) -> Result<Vec<Arc<ApiKey>>, PortError>;

    /// Writes a key.
    ///
    /// # Errors
    /// If it may not be durable.
    async fn put_key(&self, key: ApiKey) -> Result<(), PortError>;

    /// Deletes a key; true if it was there.
    ///
    /// # Errors
    /// If it may not be durable.
    async fn delete_key(&self, id: &KeyId) -> Result<bool, PortError>;

    /// When a key was last used, as far as it was noted (in memory, and now and then durably).
    ///
    /// # Errors
    /// If it cannot be read.
    async fn key_used_at(&self, id: &KeyId) -> Result<Option<Time>, PortError>;

    /// Notes that a key was used; never waits for a disk.
    fn note_key_use(&self, id: &KeyId, at: Time);

    /// The answer recorded under a principal's idempotency key.
    ///
    /// # Errors
    /// If it cannot be read.
    async fn idempotent_answer(&self, key: &str) -> Result<Option<IdempotentAnswer>, PortError>;

    /// Records an answer; `Conflict` if there is one already that is younger than
    /// [`crate::limits::IDEMPOTENCY_KEPT`].
    ///
    /// # Errors
    /// `Conflict`, or if it may not be durable.
    async fn put_idempotent_answer(&self, key: &str, answer: IdempotentAnswer) -> Result<(), PortError>;
}
