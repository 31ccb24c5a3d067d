//! Dead letters: `DEAD#subscription` / id. Their packs are their own, so they outlive log and claim.

use crate::objects::Objects;
use crate::packs;
use crate::payloads::renewal;
use crate::table::attributes::{Row, number, text};
use crate::table::{Condition, Key, Query, Table, Written};
use async_trait::async_trait;
use futures_util::future::try_join_all;
use relay_core::lane::PutId;
use relay_core::names::{SubscriptionId, TopicId};
use relay_core::pack::Pack;
use relay_core::ports::{DeadLetter, DeadLetters, DeadLettersPage, PortError};
use relay_core::record;
use relay_core::replay_id::LogPosition;
use relay_core::retry::DeadLetterReason;
use relay_core::sequence::Sequence;
use relay_core::time::Time;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// [`DeadLetters`] over table and bucket.
pub(crate) struct DeadLettersPort {
    pub(crate) table: Table,
    pub(crate) objects: Objects,
}

/// A dead letter as it is stored beside its pack.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    subscription: SubscriptionId,
    topic_id: TopicId,
    sequence: Sequence,
    position: LogPosition,
    reason: DeadLetterReason,
    at: Time,
    attempts: u32,
    last_status: Option<u16>,
    last_error: Option<String>,
}

fn partition(subscription: &SubscriptionId) -> String {
    format!("DEAD#{subscription}")
}

fn key_of(subscription: &SubscriptionId, id: &str) -> Key {
    Key::new(partition(subscription), id)
}

/// The row of a dead letter, but for its pack.
pub(crate) fn row_of(dead_letter: &DeadLetter) -> Result<Row, PortError> {
    let stored = Stored {
        subscription: dead_letter.subscription.clone(),
        topic_id: dead_letter.topic_id.clone(),
        sequence: dead_letter.sequence,
        position: dead_letter.position,
        reason: dead_letter.reason,
        at: dead_letter.at,
        attempts: dead_letter.attempts,
        last_status: dead_letter.last_status,
        last_error: dead_letter.last_error.clone(),
    };
    let row = Row::of(&key_of(&dead_letter.subscription, &dead_letter.id));
    Ok(row.with("rec", text(record::encode(&stored)?)).with("putId", number(dead_letter.put_id.0)))
}

/// The dead letter of a row and its pack.
pub(crate) fn dead_letter_of(row: &Row, pack: Arc<Pack>) -> Result<DeadLetter, PortError> {
    let stored: Stored = record::decode(row.text("rec")?)?;
    Ok(DeadLetter {
        id: row.text("sk")?.to_owned(),
        subscription: stored.subscription,
        topic_id: stored.topic_id,
        pack,
        sequence: stored.sequence,
        position: stored.position,
        reason: stored.reason,
        at: stored.at,
        attempts: stored.attempts,
        last_status: stored.last_status,
        last_error: stored.last_error,
        put_id: PutId(row.number("putId")?),
    })
}

impl DeadLettersPort {
    /// None if it was deleted, or replaced, since its row was read.
    async fn load(&self, row: &Row) -> Result<Option<DeadLetter>, PortError> {
        match packs::load(&self.objects, row).await {
            Ok(pack) => dead_letter_of(row, pack).map(Some),
            Err(PortError::NotFound) => {
                let Some(now) = self.table.get(&row.key()?).await? else { return Ok(None) };
                let lost = || PortError::Corrupt(format!("the object of {:?} is gone", row.key()));
                if packs::object_of(&now) == packs::object_of(row) {
                    return Err(lost());
                }
                let pack = packs::load(&self.objects, &now).await.map_err(|_| lost())?;
                dead_letter_of(&now, pack).map(Some)
            }
            Err(error) => Err(error),
        }
    }

    async fn delete_if(&self, key: &Key, condition: Condition) -> Result<bool, PortError> {
        match self.table.delete_if(key, condition).await? {
            Written::Yes(before) => {
                packs::discard(&self.objects, before.as_ref()).await;
                Ok(before.is_some())
            }
            Written::Refused(_) => Ok(false),
        }
    }
}

#[async_trait]
impl DeadLetters for DeadLettersPort {
    async fn put(&self, dead_letter: DeadLetter) -> Result<(), PortError> {
        let (subscription, id) = (&dead_letter.subscription, &dead_letter.id);
        let object = format!("held/dead/{subscription}/{id}.{}", dead_letter.put_id.0);
        let row = renewal::listed(row_of(&dead_letter)?, &dead_letter.pack);
        let row = packs::store(&self.objects, row, &dead_letter.pack, &object).await?;
        // This very put, made again, leaves what is there: it is the same.
        let other = Condition::new("attribute_not_exists(pk) OR putId <> :p");
        let other = other.value(":p", number(dead_letter.put_id.0));
        if let Written::Yes(before) = self.table.put_if(row, other).await? {
            packs::discard(&self.objects, before.as_ref()).await;
        }
        Ok(())
    }

    async fn list(
        &self,
        subscription: &SubscriptionId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<DeadLettersPage, PortError> {
        let query = Query::of(partition(subscription)).after(after).limit(limit.saturating_add(1));
        let mut rows = self.table.query(query).await?;
        let is_more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| is_more).map(|row| row.text("sk").map(str::to_owned)).transpose()?;
        let loaded = try_join_all(rows.iter().map(|row| self.load(row))).await?;
        Ok(DeadLettersPage { dead_letters: loaded.into_iter().flatten().collect(), next })
    }

    async fn get(&self, subscription: &SubscriptionId, id: &str) -> Result<Option<DeadLetter>, PortError> {
        if id.is_empty() {
            return Ok(None);
        }
        match self.table.get(&key_of(subscription, id)).await? {
            Some(row) => self.load(&row).await,
            None => Ok(None),
        }
    }

    async fn delete(&self, subscription: &SubscriptionId, id: &str) -> Result<bool, PortError> {
        if id.is_empty() {
            return Ok(false);
        }
        self.delete_if(&key_of(subscription, id), Condition::new("attribute_exists(pk)")).await
    }

    async fn delete_put(&self, dead_letter: &DeadLetter) -> Result<bool, PortError> {
        let same = Condition::new("putId = :p").value(":p", number(dead_letter.put_id.0));
        self.delete_if(&key_of(&dead_letter.subscription, &dead_letter.id), same).await
    }
}
