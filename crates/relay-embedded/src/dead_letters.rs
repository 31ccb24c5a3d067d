//! Dead letters: records that refer to the log's rows.

use crate::readers::{Readers, row, rows};
use crate::rows::decode_pack;
use crate::writer::Writer;
use async_trait::async_trait;
use relay_core::lane::PutId;
use relay_core::names::{SubscriptionId, TopicId};
use relay_core::ports::{DeadLetter, DeadLetters, DeadLettersPage, PortError};
use relay_core::record;
use relay_core::replay_id::LogPosition;
use relay_core::retry::DeadLetterReason;
use relay_core::sequence::Sequence;
use relay_core::time::Time;
use rusqlite::{Connection, Row, params};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// [`DeadLetters`] over a table.
pub(crate) struct DeadLettersPort {
    pub(crate) writer: Arc<Writer>,
    pub(crate) readers: Readers,
}

/// A dead letter as it is stored: without what its key and the log's row tell.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    topic_id: TopicId,
    sequence: Sequence,
    reason: DeadLetterReason,
    at: Time,
    attempts: u32,
    last_status: Option<u16>,
    last_error: Option<String>,
    put_id: PutId,
}

const DELETE: &str = "DELETE FROM dead_letters WHERE subscription = ?1 AND id = ?2";

const READ: &str = "SELECT d.id, d.record, d.position, l.at, l.pack
                    FROM dead_letters d JOIN log l ON l.position = d.position WHERE d.subscription = ?1";

type Columns = (String, String, u64, u64, Vec<u8>);

fn columns(row: &Row<'_>) -> rusqlite::Result<Columns> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
}

fn dead_letter(subscription: &SubscriptionId, columns: Columns) -> Result<DeadLetter, PortError> {
    let (id, text, unique, at, pack) = columns;
    let stored: Stored = record::decode(&text)?;
    Ok(DeadLetter {
        id,
        subscription: subscription.clone(),
        topic_id: stored.topic_id,
        pack: decode_pack(pack)?,
        sequence: stored.sequence,
        position: LogPosition { at: Time(at), unique },
        reason: stored.reason,
        at: stored.at,
        attempts: stored.attempts,
        last_status: stored.last_status,
        last_error: stored.last_error,
        put_id: stored.put_id,
    })
}

#[async_trait]
impl DeadLetters for DeadLettersPort {
    async fn put(&self, dead_letter: DeadLetter) -> Result<(), PortError> {
        let stored = Stored {
            topic_id: dead_letter.topic_id,
            sequence: dead_letter.sequence,
            reason: dead_letter.reason,
            at: dead_letter.at,
            attempts: dead_letter.attempts,
            last_status: dead_letter.last_status,
            last_error: dead_letter.last_error,
            put_id: dead_letter.put_id,
        };
        let record = record::encode(&stored)?;
        let (subscription, id, position) = (dead_letter.subscription, dead_letter.id, dead_letter.position.unique);
        let put = move |tx: &crate::writer::Tx<'_>| {
            let written = tx.execute(
                "INSERT OR REPLACE INTO dead_letters(subscription, id, position, record)
                 SELECT ?1, ?2, position, ?4 FROM log WHERE position = ?3",
                params![subscription.as_str(), id, position, record],
            )?;
            let missing = || PortError::Invalid("a dead letter refers to what is not in the log".to_owned());
            if written == 0 { Err(missing()) } else { Ok(()) }
        };
        self.writer.write(put).await
    }

    async fn list(
        &self,
        subscription: &SubscriptionId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<DeadLettersPage, PortError> {
        let (subscription, after) = (subscription.clone(), after.unwrap_or_default().to_owned());
        let read = move |connection: &Connection| {
            let sql = format!("{READ} AND d.id > ?2 ORDER BY d.id LIMIT ?3");
            let params = params![subscription.as_str(), after, limit.saturating_add(1)];
            let mut found = rows(connection, &sql, params, columns)?;
            let is_more = found.len() > limit;
            found.truncate(limit);
            let read = found.into_iter().map(|columns| dead_letter(&subscription, columns));
            let dead_letters = read.collect::<Result<Vec<_>, _>>()?;
            let next = dead_letters.last().filter(|_| is_more).map(|last| last.id.clone());
            Ok(DeadLettersPage { dead_letters, next })
        };
        self.readers.read(read).await
    }

    async fn get(&self, subscription: &SubscriptionId, id: &str) -> Result<Option<DeadLetter>, PortError> {
        let (subscription, id) = (subscription.clone(), id.to_owned());
        let read = move |connection: &Connection| {
            let found = row(connection, &format!("{READ} AND d.id = ?2"), [subscription.as_str(), &id], columns)?;
            found.map(|columns| dead_letter(&subscription, columns)).transpose()
        };
        self.readers.read(read).await
    }

    async fn delete(&self, subscription: &SubscriptionId, id: &str) -> Result<bool, PortError> {
        let (subscription, id) = (subscription.clone(), id.to_owned());
        self.writer.write(move |tx| Ok(tx.execute(DELETE, [subscription.as_str(), &id])? > 0)).await
    }

    async fn delete_put(&self, dead_letter: &DeadLetter) -> Result<bool, PortError> {
        let (subscription, id) = (dead_letter.subscription.clone(), dead_letter.id.clone());
        let put_id = dead_letter.put_id;
        let delete = move |tx: &crate::writer::Tx<'_>| {
            let key = [subscription.as_str(), &id];
            let sql = "SELECT record FROM dead_letters WHERE subscription = ?1 AND id = ?2";
            let Some(text) = tx.row(sql, key, |row| row.get::<_, String>(0))? else { return Ok(false) };
            let stored: Stored = record::decode(&text)?;
            Ok(stored.put_id == put_id && tx.execute(DELETE, key)? > 0)
        };
        self.writer.write(delete).await
    }
}
