//! Where the consumers of pull subscriptions are: a row each.

use crate::readers::{Readers, row};
use crate::writer::{Tx, Writer};
use async_trait::async_trait;
use relay_core::log::Committed;
use relay_core::names::SubscriptionId;
use relay_core::ports::{Cursors, PortError};
use relay_core::record;
use rusqlite::{Connection, params};
use std::sync::Arc;

/// [`Cursors`] over a table.
pub(crate) struct CursorsPort {
    pub(crate) writer: Arc<Writer>,
    pub(crate) readers: Readers,
}

fn read(connection: &Connection, subscription: &SubscriptionId) -> Result<Option<Committed>, PortError> {
    let sql = "SELECT record FROM cursors WHERE subscription = ?1";
    let text = row(connection, sql, [subscription.as_str()], |row| row.get::<_, String>(0))?;
    text.map(|text| record::decode(&text)).transpose()
}

/// Removes the row of a subscription that is forgotten.
pub(crate) fn forget(tx: &Tx<'_>, subscription: &SubscriptionId) -> Result<(), PortError> {
    tx.execute("DELETE FROM cursors WHERE subscription = ?1", [subscription.as_str()]).map(drop)
}

#[async_trait]
impl Cursors for CursorsPort {
    async fn committed(&self, subscription: &SubscriptionId) -> Result<Option<Committed>, PortError> {
        let subscription = subscription.clone();
        self.readers.read(move |connection| read(connection, &subscription)).await
    }

    async fn commit(
        &self,
        subscription: &SubscriptionId,
        committed: Committed,
        expected: Option<Committed>,
    ) -> Result<(), PortError> {
        let subscription = subscription.clone();
        let commit = move |tx: &Tx<'_>| {
            if read(tx.connection(), &subscription)? != expected {
                return Err(PortError::Conflict);
            }
            tx.execute(
                "INSERT OR REPLACE INTO cursors(subscription, record) VALUES(?1, ?2)",
                params![subscription.as_str(), record::encode(&committed)?],
            )
            .map(drop)
        };
        self.writer.write(commit).await
    }
}
