//! Topics, subscriptions, keys and idempotency records in the table.

pub(crate) mod cached;
pub(crate) mod keys;
pub(crate) mod lists;
pub(crate) mod subscriptions;
pub(crate) mod topics;

use crate::table::attributes::{Row, number, text};
use crate::table::{Condition, Key, Table, Written};
use async_trait::async_trait;
use keys::Uses;
use relay_core::grants::ApiKey;
use relay_core::limits::IDEMPOTENCY_KEPT;
use relay_core::names::{KeyId, SubscriptionId, TopicId, TopicName};
use relay_core::ports::{Clock, Expect, IdempotentAnswer, PortError, Registry, TopicSubscriptions};
use relay_core::record;
use relay_core::subscription::Subscription;
use relay_core::time::Time;
use relay_core::topic::Topic;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// [`Registry`] over the table.
pub(crate) struct RegistryPort {
    table: Table,
    clock: Arc<dyn Clock>,
    uses: Uses,
}

impl RegistryPort {
    pub(crate) fn new(table: Table, clock: Arc<dyn Clock>) -> RegistryPort {
        RegistryPort { uses: Uses::new(table.clone()), table, clock }
    }
}

/// An idempotent answer as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredAnswer {
    request_hash: String,
    status: u16,
    body: String,
}

fn answer_key(key: &str) -> Key {
    Key::new(format!("IDEMPOTENT#{key}"), "ANSWER")
}

pub(crate) fn answer_row(key: &str, answer: &IdempotentAnswer) -> Result<Row, PortError> {
    let IdempotentAnswer { request_hash, status, body, at } = answer.clone();
    Ok(Row::of(&answer_key(key))
        .with("rec", text(record::encode(&StoredAnswer { request_hash, status, body })?))
        .with("answeredAt", number(at.0))
        .with("expiresAt", number((at + IDEMPOTENCY_KEPT).0.div_ceil(1000))))
}

pub(crate) fn answer_of(row: &Row) -> Result<IdempotentAnswer, PortError> {
    let StoredAnswer { request_hash, status, body } = record::decode(row.text("rec")?)?;
    Ok(IdempotentAnswer { request_hash, status, body, at: Time(row.number("answeredAt")?) })
}

#[async_trait]
impl Registry for RegistryPort {
    async fn topic(&self, name: &TopicName) -> Result<Option<Arc<Topic>>, PortError> {
        topics::get(&self.table, name).await
    }

    async fn topics(&self, after: Option<&TopicName>, limit: usize) -> Result<Vec<Arc<Topic>>, PortError> {
        topics::list(&self.table, after, limit).await
    }

    async fn put_topic(&self, topic: Topic, expect: Expect) -> Result<(), PortError> {
        topics::put(&self.table, &topic, expect).await
    }

    async fn subscription(&self, id: &SubscriptionId) -> Result<Option<Arc<Subscription>>, PortError> {
        subscriptions::get(&self.table, id).await
    }

    async fn subscriptions(
        &self,
        topic: Option<&TopicName>,
        after: Option<&SubscriptionId>,
        limit: usize,
    ) -> Result<Vec<Arc<Subscription>>, PortError> {
        let id = match topic {
            Some(name) => match topics::get(&self.table, name).await? {
                Some(topic) => Some(topic.id.clone()),
                None => return Ok(Vec::new()),
            },
            None => None,
        };
        subscriptions::list(&self.table, id.as_ref(), after, limit).await
    }

    async fn unsettled(&self) -> Result<Vec<Arc<Subscription>>, PortError> {
        subscriptions::unsettled(&self.table).await
    }

    async fn put_subscription(&self, subscription: Subscription, expect: Expect) -> Result<(), PortError> {
        subscriptions::put(&self.table, &subscription, expect).await
    }

    async fn forget_subscription(&self, id: &SubscriptionId) -> Result<(), PortError> {
        subscriptions::forget(&self.table, id).await
    }

    async fn topic_subscriptions(&self, topic: &TopicId) -> Result<Option<Arc<TopicSubscriptions>>, PortError> {
        subscriptions::of_topic(&self.table, topic).await
    }

    async fn key_by_hash(&self, hash: &str) -> Result<Option<Arc<ApiKey>>, PortError> {
        keys::get_by_hash(&self.table, hash).await
    }

    async fn keys(&self, after: Option<&KeyId>, limit: usize) -> Result<Vec<Arc<ApiKey>>, PortError> {
        keys::list(&self.table, after, limit).await
    }

    async fn put_key(&self, key: ApiKey) -> Result<(), PortError> {
        keys::put(&self.table, &key).await
    }

    async fn delete_key(&self, id: &KeyId) -> Result<bool, PortError> {
        keys::delete(&self.table, id).await
    }

    async fn key_used_at(&self, id: &KeyId) -> Result<Option<Time>, PortError> {
        self.uses.at(id).await
    }

    fn note_key_use(&self, id: &KeyId, at: Time) {
        self.uses.note(id, at);
    }

    /// TTL removes old answers within days, so one that is too old is left out here.
    async fn idempotent_answer(&self, key: &str) -> Result<Option<IdempotentAnswer>, PortError> {
        let answer = self.table.get(&answer_key(key)).await?.as_ref().map(answer_of).transpose()?;
        let outdated = self.clock.now() - IDEMPOTENCY_KEPT;
        Ok(answer.filter(|answer| answer.at >= outdated))
    }

    async fn put_idempotent_answer(&self, key: &str, answer: IdempotentAnswer) -> Result<(), PortError> {
        let outdated = answer.at - IDEMPOTENCY_KEPT;
        let condition = Condition::new("attribute_not_exists(pk) OR answeredAt < :o").value(":o", number(outdated.0));
        match self.table.put_if(answer_row(key, &answer)?, condition).await? {
            Written::Yes(_) => Ok(()),
            // This very answer, put again after the answer to the first put was lost.
            Written::Refused(Some(row)) if answer_of(&row)? == answer => Ok(()),
            Written::Refused(_) => Err(PortError::Conflict),
        }
    }
}
