//! Records of replay jobs.

use crate::readers::{Readers, row};
use crate::writer::{Tx, Writer};
use async_trait::async_trait;
use relay_core::limits::REPLAYS_KEPT;
use relay_core::names::SubscriptionId;
use relay_core::ports::{Clock, Expect, PortError, Replays};
use relay_core::record;
use relay_core::replay::Replay;
use relay_core::time::Time;
use rusqlite::{Connection, params};
use std::sync::Arc;

/// [`Replays`] over a table of records.
pub(crate) struct ReplaysPort {
    pub(crate) writer: Arc<Writer>,
    pub(crate) readers: Readers,
    pub(crate) clock: Arc<dyn Clock>,
}

fn read(connection: &Connection, subscription: &SubscriptionId, id: &str) -> Result<Option<Replay>, PortError> {
    let sql = "SELECT record, delivered FROM replays WHERE subscription = ?1 AND id = ?2";
    let found = row(connection, sql, params![subscription.as_str(), id], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, u64>(1)?))
    })?;
    let Some((text, delivered)) = found else { return Ok(None) };
    Ok(Some(Replay { delivered, ..record::decode(&text)? }))
}

fn put(tx: &Tx<'_>, replay: &Replay, expect: Expect, now: Time) -> Result<(), PortError> {
    let stored = read(tx.connection(), &replay.subscription, &replay.id)?;
    let holds = match expect {
        Expect::Absent => stored.is_none(),
        Expect::Version(version) => stored.is_some_and(|stored| stored.version == version),
    };
    if !holds {
        return Err(PortError::Conflict);
    }
    tx.execute(
        "INSERT INTO replays(subscription, id, at, record, delivered) VALUES(?1, ?2, ?3, ?4, 0)
         ON CONFLICT DO UPDATE SET at = excluded.at, record = excluded.record",
        params![replay.subscription.as_str(), replay.id, now.0, record::encode(replay)?],
    )?;
    // Each one that comes takes outdated ones along.
    tx.execute("DELETE FROM replays WHERE at < ?1", [(now - REPLAYS_KEPT).0])?;
    Ok(())
}

/// Nobody works on a replay of a store that is just being opened: whoever did is gone.
pub(crate) fn forget_leases(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("UPDATE replays SET record = json_set(record, '$.record.lease', NULL)")
}

#[async_trait]
impl Replays for ReplaysPort {
    async fn replay(&self, subscription: &SubscriptionId, id: &str) -> Result<Option<Replay>, PortError> {
        let (subscription, id) = (subscription.clone(), id.to_owned());
        self.readers.read(move |connection| read(connection, &subscription, &id)).await
    }

    async fn put_replay(&self, replay: Replay, expect: Expect) -> Result<(), PortError> {
        let now = self.clock.now();
        self.writer.write(move |tx| put(tx, &replay, expect, now)).await
    }

    async fn add_delivered(&self, subscription: &SubscriptionId, id: &str, events: u64) -> Result<(), PortError> {
        let (subscription, id) = (subscription.clone(), id.to_owned());
        let add = move |tx: &Tx<'_>| {
            let sql = "UPDATE replays SET delivered = delivered + ?3 WHERE subscription = ?1 AND id = ?2";
            tx.execute(sql, params![subscription.as_str(), id, events]).map(drop)
        };
        self.writer.write(add).await
    }
}
