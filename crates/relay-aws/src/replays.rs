//! Records of replay jobs: `REPLAY#subscription` / id. The count of delivered events is an attribute of its own, which
//! drains add to without a look at the rest. TTL removes them.

use crate::table::attributes::{Row, number, text};
use crate::table::{Condition, Key, Table, Written};
use async_trait::async_trait;
use relay_core::limits::REPLAYS_KEPT;
use relay_core::names::SubscriptionId;
use relay_core::ports::{Clock, Expect, PortError, Replays};
use relay_core::record;
use relay_core::replay::Replay;
use std::sync::Arc;

/// [`Replays`] over the table.
pub(crate) struct ReplaysPort {
    pub(crate) table: Table,
    pub(crate) clock: Arc<dyn Clock>,
}

fn key_of(subscription: &SubscriptionId, id: &str) -> Key {
    Key::new(format!("REPLAY#{subscription}"), id)
}

pub(crate) fn replay_of(row: &Row) -> Result<Replay, PortError> {
    let delivered = row.find_number("delivered").unwrap_or(0);
    Ok(Replay { delivered, ..record::decode(row.text("rec")?)? })
}

#[async_trait]
impl Replays for ReplaysPort {
    async fn replay(&self, subscription: &SubscriptionId, id: &str) -> Result<Option<Replay>, PortError> {
        self.table.get(&key_of(subscription, id)).await?.map(|row| replay_of(&row)).transpose()
    }

    async fn put_replay(&self, replay: Replay, expect: Expect) -> Result<(), PortError> {
        let key = key_of(&replay.subscription, &replay.id);
        let stored = record::encode(&replay)?;
        let condition = match expect {
            Expect::Absent => Condition::new("attribute_not_exists(pk)"),
            Expect::Version(version) => Condition::new("replayVersion = :o").value(":o", number(version)),
        };
        let expires_at = (self.clock.now() + REPLAYS_KEPT).0 / 1000;
        let condition = condition
            .value(":r", text(stored.clone()))
            .value(":n", number(replay.version))
            .value(":e", number(expires_at))
            .value(":v", number(Row::VERSION));
        let update = "SET rec = :r, replayVersion = :n, expiresAt = :e, v = :v";
        match self.table.update_if(&key, update, condition).await? {
            Written::Yes(_) => Ok(()),
            // The answer to a write of this very record was lost.
            Written::Refused(Some(row)) if row.find_text("rec") == Some(stored.as_str()) => Ok(()),
            Written::Refused(_) => Err(PortError::Conflict),
        }
    }

    async fn add_delivered(&self, subscription: &SubscriptionId, id: &str, events: u64) -> Result<(), PortError> {
        let condition = Condition::new("attribute_exists(pk)").value(":n", number(events));
        self.table.update_if(&key_of(subscription, id), "ADD delivered :n", condition).await.map(drop)
    }
}
