//! Topics, subscriptions, keys and idempotency records: written through to tables of JSON records, read from memory.

mod mirror;

pub(crate) use mirror::Mirror;

use crate::cursors;
use crate::readers::{Readers, row};
use crate::writer::{Tx, Writer};
use async_trait::async_trait;
use mirror::StoredTopic;
use relay_core::grants::ApiKey;
use relay_core::limits::IDEMPOTENCY_KEPT;
use relay_core::names::{KeyId, SubscriptionId, TopicId, TopicName};
use relay_core::ports::{Expect, IdempotentAnswer, PortError, Registry, TopicSubscriptions};
use relay_core::record;
use relay_core::subscription::Subscription;
use relay_core::time::Time;
use relay_core::topic::Topic;
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// The use of a key is noted durably at most so often.
const USE_NOTED: Duration = Duration::from_secs(60);

/// [`Registry`] over tables and their mirror.
pub(crate) struct RegistryPort {
    pub(crate) writer: Arc<Writer>,
    pub(crate) readers: Readers,
    pub(crate) mirror: Arc<Mirror>,
}

/// An idempotent answer as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredAnswer {
    request_hash: String,
    status: u16,
    body: String,
}

fn read_answer(connection: &Connection, key: &str) -> Result<Option<IdempotentAnswer>, PortError> {
    let sql = "SELECT at, record FROM idempotent_answers WHERE key = ?1";
    let read = row(connection, sql, [key], |row| Ok((row.get::<_, u64>(0)?, row.get::<_, String>(1)?)))?;
    let Some((at, text)) = read else { return Ok(None) };
    let StoredAnswer { request_hash, status, body } = record::decode(&text)?;
    Ok(Some(IdempotentAnswer { request_hash, status, body, at: Time(at) }))
}

/// The topic of a name as the transaction sees it, and the version of its list: the mirror may be behind by what
/// came before in the same transaction.
fn stored_topic(tx: &Tx<'_>, id: &TopicId) -> Result<Option<StoredTopic>, PortError> {
    let sql = "SELECT list_version, record FROM topics WHERE id = ?1";
    let read = tx.row(sql, [id.as_str()], |row| Ok((row.get::<_, u64>(0)?, row.get::<_, String>(1)?)))?;
    let Some((list_version, text)) = read else { return Ok(None) };
    Ok(Some(StoredTopic { topic: record::decode(&text)?, list_version }))
}

/// True if a topic of this name, other than that of this id, is stored and not deleted.
fn is_name_taken(tx: &Tx<'_>, topic: &Topic) -> Result<bool, PortError> {
    let sql = "SELECT 1 FROM topics WHERE id <> ?1 AND record ->> '$.record.name' = ?2
               AND record ->> '$.record.deletedAt' IS NULL LIMIT 1";
    tx.row(sql, [topic.id.as_str(), topic.name.as_str()], |_| Ok(())).map(|found| found.is_some())
}

fn put_topic(tx: &Tx<'_>, mirror: &Arc<Mirror>, topic: Topic, expect: Expect) -> Result<(), PortError> {
    let stored = stored_topic(tx, &topic.id)?;
    let holds = match (expect, &stored) {
        (Expect::Absent, None) => !is_name_taken(tx, &topic)?,
        (Expect::Absent, Some(_)) | (Expect::Version(_), None) => false,
        (Expect::Version(version), Some(stored)) => stored.topic.version == version,
    };
    if !holds {
        return Err(PortError::Conflict);
    }
    let list_version = stored.map_or(1, |stored| stored.list_version);
    let record = record::encode(&topic)?;
    tx.execute(
        "INSERT INTO topics(id, list_version, record) VALUES(?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET record = excluded.record",
        params![topic.id.as_str(), list_version, record],
    )?;
    let mirror = mirror.clone();
    tx.settle(move |committed| {
        if committed {
            mirror.put_topic(StoredTopic { topic, list_version });
        }
    });
    Ok(())
}

fn put_subscription(
    tx: &Tx<'_>,
    mirror: &Arc<Mirror>,
    subscription: Subscription,
    expect: Expect,
) -> Result<(), PortError> {
    let sql = "SELECT record FROM subscriptions WHERE id = ?1";
    let text = tx.row(sql, [subscription.id.as_str()], |row| row.get::<_, String>(0))?;
    let stored = text.map(|text| record::decode::<Subscription>(&text)).transpose()?;
    let holds = match (expect, &stored) {
        (Expect::Absent, None) => true,
        (Expect::Version(version), Some(stored)) => stored.version == version,
        (Expect::Absent, Some(_)) | (Expect::Version(_), None) => false,
    };
    if !holds {
        return Err(PortError::Conflict);
    }
    tx.execute(
        "INSERT INTO subscriptions(id, record) VALUES(?1, ?2) ON CONFLICT DO UPDATE SET record = excluded.record",
        params![subscription.id.as_str(), record::encode(&subscription)?],
    )?;
    let sql = "UPDATE topics SET list_version = list_version + 1 WHERE id = ?1 RETURNING list_version";
    let list_version = tx.row(sql, [subscription.topic_id.as_str()], |row| row.get(0))?.unwrap_or(0);
    let mirror = mirror.clone();
    tx.settle(move |committed| {
        if committed {
            mirror.put_subscription(subscription, list_version);
        }
    });
    Ok(())
}

fn put_answer(tx: &Tx<'_>, key: &str, answer: IdempotentAnswer) -> Result<(), PortError> {
    let outdated = answer.at - IDEMPOTENCY_KEPT;
    if read_answer(tx.connection(), key)?.is_some_and(|stored| stored.at >= outdated) {
        return Err(PortError::Conflict);
    }
    let IdempotentAnswer { request_hash, status, body, at } = answer;
    let record = record::encode(&StoredAnswer { request_hash, status, body })?;
    tx.execute(
        "INSERT OR REPLACE INTO idempotent_answers(key, at, record) VALUES(?1, ?2, ?3)",
        params![key, at.0, record],
    )?;
    // Each one that comes takes some outdated ones along.
    tx.execute(
        "DELETE FROM idempotent_answers WHERE key IN
         (SELECT key FROM idempotent_answers WHERE at < ?1 ORDER BY at LIMIT 4)",
        [outdated.0],
    )?;
    Ok(())
}

#[async_trait]
impl Registry for RegistryPort {
    async fn topic(&self, name: &TopicName) -> Result<Option<Arc<Topic>>, PortError> {
        Ok(self.mirror.topic(name))
    }

    async fn topics(&self, after: Option<&TopicName>, limit: usize) -> Result<Vec<Arc<Topic>>, PortError> {
        Ok(self.mirror.topics(after, limit))
    }

    async fn put_topic(&self, topic: Topic, expect: Expect) -> Result<(), PortError> {
        let mirror = self.mirror.clone();
        self.writer.write(move |tx| put_topic(tx, &mirror, topic, expect)).await
    }

    async fn subscription(&self, id: &SubscriptionId) -> Result<Option<Arc<Subscription>>, PortError> {
        Ok(self.mirror.subscription(id))
    }

    async fn subscriptions(
        &self,
        topic: Option<&TopicName>,
        after: Option<&SubscriptionId>,
        limit: usize,
    ) -> Result<Vec<Arc<Subscription>>, PortError> {
        Ok(self.mirror.subscriptions(topic, after, limit))
    }

    async fn unsettled(&self) -> Result<Vec<Arc<Subscription>>, PortError> {
        Ok(self.mirror.unsettled())
    }

    async fn put_subscription(&self, subscription: Subscription, expect: Expect) -> Result<(), PortError> {
        let mirror = self.mirror.clone();
        self.writer.write(move |tx| put_subscription(tx, &mirror, subscription, expect)).await
    }

    async fn forget_subscription(&self, id: &SubscriptionId) -> Result<(), PortError> {
        let (id, mirror) = (id.clone(), self.mirror.clone());
        let forget = move |tx: &Tx<'_>| {
            tx.execute("DELETE FROM subscriptions WHERE id = ?1", [id.as_str()])?;
            cursors::forget(tx, &id)?;
            tx.settle(move |committed| {
                if committed {
                    mirror.forget_subscription(&id);
                }
            });
            Ok(())
        };
        self.writer.write(forget).await
    }

    async fn topic_subscriptions(&self, topic: &TopicId) -> Result<Option<Arc<TopicSubscriptions>>, PortError> {
        Ok(self.mirror.list(topic))
    }

    async fn key_by_hash(&self, hash: &str) -> Result<Option<Arc<ApiKey>>, PortError> {
        Ok(self.mirror.key_by_hash(hash))
    }

    async fn keys(&self, after: Option<&KeyId>, limit: usize) -> Result<Vec<Arc<ApiKey>>, PortError> {
        Ok(self.mirror.keys(after, limit))
    }

    async fn put_key(&self, key: ApiKey) -> Result<(), PortError> {
        let mirror = self.mirror.clone();
        let put = move |tx: &Tx<'_>| {
            tx.execute(
                "INSERT INTO keys(id, record) VALUES(?1, ?2) ON CONFLICT DO UPDATE SET record = excluded.record",
                params![key.id.as_str(), record::encode(&key)?],
            )?;
            tx.settle(move |committed| {
                if committed {
                    mirror.put_key(key);
                }
            });
            Ok(())
        };
        self.writer.write(put).await
    }

    async fn delete_key(&self, id: &KeyId) -> Result<bool, PortError> {
        let (id, mirror) = (id.clone(), self.mirror.clone());
        let delete = move |tx: &Tx<'_>| {
            let deleted = tx.execute("DELETE FROM keys WHERE id = ?1", [id.as_str()])?;
            tx.execute("DELETE FROM key_uses WHERE id = ?1", [id.as_str()])?;
            tx.settle(move |committed| {
                if committed {
                    mirror.delete_key(&id);
                }
            });
            Ok(deleted > 0)
        };
        self.writer.write(delete).await
    }

    async fn key_used_at(&self, id: &KeyId) -> Result<Option<Time>, PortError> {
        Ok(self.mirror.key_used_at(id))
    }

    fn note_key_use(&self, id: &KeyId, at: Time) {
        let before = self.mirror.key_used_at(id);
        if before.is_some_and(|before| at <= before) {
            return;
        }
        self.mirror.use_key(id, at);
        if before.is_none_or(|before| at.since(before) >= USE_NOTED) {
            self.writer.later(|lazy| lazy.key_used(id.clone(), at));
        }
    }

    async fn idempotent_answer(&self, key: &str) -> Result<Option<IdempotentAnswer>, PortError> {
        let key = key.to_owned();
        self.readers.read(move |connection| read_answer(connection, &key)).await
    }

    async fn put_idempotent_answer(&self, key: &str, answer: IdempotentAnswer) -> Result<(), PortError> {
        let key = key.to_owned();
        self.writer.write(move |tx| put_answer(tx, &key, answer)).await
    }
}
