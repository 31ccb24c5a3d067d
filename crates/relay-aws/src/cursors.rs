//! Where the consumers of pull subscriptions are: `SUB#id` / `CURSOR`, beside the subscription.

use crate::table::attributes::{Row, text};
use crate::table::{Condition, Key, Table, Written};
use async_trait::async_trait;
use relay_core::log::Committed;
use relay_core::names::SubscriptionId;
use relay_core::ports::{Cursors, PortError};
use relay_core::record;

/// [`Cursors`] over the table.
pub(crate) struct CursorsPort {
    pub(crate) table: Table,
}

pub(crate) fn key_of(subscription: &SubscriptionId) -> Key {
    Key::new(format!("SUB#{subscription}"), "CURSOR")
}

pub(crate) fn row_of(subscription: &SubscriptionId, committed: &Committed) -> Result<Row, PortError> {
    Ok(Row::of(&key_of(subscription)).with("rec", text(record::encode(committed)?)))
}

pub(crate) fn committed_of(row: &Row) -> Result<Committed, PortError> {
    record::decode(row.text("rec")?)
}

#[async_trait]
impl Cursors for CursorsPort {
    async fn committed(&self, subscription: &SubscriptionId) -> Result<Option<Committed>, PortError> {
        self.table.get(&key_of(subscription)).await?.as_ref().map(committed_of).transpose()
    }

    async fn commit(
        &self,
        subscription: &SubscriptionId,
        committed: Committed,
        expected: Option<Committed>,
    ) -> Result<(), PortError> {
        let condition = match expected {
            None => Condition::new("attribute_not_exists(pk)"),
            Some(expected) => Condition::new("rec = :rec").value(":rec", text(record::encode(&expected)?)),
        };
        match self.table.put_if(row_of(subscription, &committed)?, condition).await? {
            Written::Yes(_) => Ok(()),
            // This very one, put again after the answer to the first put was lost.
            Written::Refused(Some(row)) if committed_of(&row)? == committed => Ok(()),
            Written::Refused(_) => Err(PortError::Conflict),
        }
    }
}
