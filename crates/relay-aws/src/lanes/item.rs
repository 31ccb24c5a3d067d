//! Lane items as rows, and the conditional writes on them.
//!
//! Each is one of [`relay_core::lane::table`], run on the row that was read and written on condition that the row is
//! still that one: by its write token, drawn afresh for each write, for a lane that was released and held anew begins
//! at version 1 again. Beside the item lies a marker under its subscription, written and deleted in the same
//! transaction, by which lanes are listed strongly consistently.

use crate::table::attributes::{Row, number, text};
use crate::table::{Condition, Key, Table, Transacted, Transaction, Written};
use relay_core::lane::LaneItem;
use relay_core::pack::LaneId;
use relay_core::ports::{Ids, PortError};
use relay_core::record;

/// Attempts at a write whose row others keep changing.
const TURNS: usize = 32;

/// Digits that spread markers and index entries: the first one of the lane's id, so that all of a subscription's
/// markers, read shard by shard, are in the order of the ids.
pub(super) const SHARDS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];

fn shard_of(lane: &LaneId) -> char {
    lane.to_string().chars().next().unwrap_or('0')
}

/// Key of a lane item.
pub(super) fn key_of(lane: &LaneId) -> Key {
    Key::new(format!("LANE#{lane}"), "LANE")
}

/// Partition of a subscription's markers.
pub(super) fn markers_of(subscription: &str, shard: char) -> String {
    format!("HELD#{subscription}#{shard}")
}

/// Partition of the index that lists a topic's held lanes.
pub(super) fn topic_lanes(topic: &str, shard: char) -> String {
    format!("HELDTOPIC#{topic}#{shard}")
}

/// Partition of the index that lists lanes that are due.
pub(super) fn due_lanes(shard: char) -> String {
    format!("DUE#{shard}")
}

fn marker_key(item: &LaneItem) -> Key {
    let id = &item.lane.id;
    Key::new(markers_of(item.lane.subscription.as_str(), shard_of(id)), id.to_string())
}

fn marker(item: &LaneItem) -> Row {
    let (lane, since) = (&item.lane, item.since.0);
    Row::of(&marker_key(item))
        .with("gpk", text(topic_lanes(lane.topic_id.as_str(), shard_of(&lane.id))))
        .with("gsk", text(format!("{since:013}#{}", lane.id)))
}

/// A lane item's row.
pub(crate) fn row_of(item: &LaneItem, token: u64) -> Result<Row, PortError> {
    let id = &item.lane.id;
    let row = Row::of(&key_of(id))
        .with("rec", text(record::encode(item)?))
        .with("itemVersion", number(item.version))
        .with("writeToken", number(token));
    Ok(match item.due_at() {
        Some(at) => row.with("gpk", text(due_lanes(shard_of(id)))).with("gsk", text(format!("{:013}#{id}", at.0))),
        None => row,
    })
}

/// The lane item of a row. Appends move the version beside the record.
pub(crate) fn item_of(row: &Row) -> Result<LaneItem, PortError> {
    let item: LaneItem = record::decode(row.text("rec")?)?;
    Ok(LaneItem { version: row.number("itemVersion")?, ..item })
}

fn still(token: u64) -> Condition {
    Condition::new("writeToken = :w").value(":w", number(token))
}

/// What a change came to.
pub(super) enum Changed {
    /// It is written.
    Done(LaneItem),
    /// The rule says no to what is there.
    Refused(LaneItem),
    /// The lane is live.
    Absent,
}

/// Lane items.
pub(super) struct Items<'a> {
    pub(super) table: &'a Table,
    pub(super) ids: &'a dyn Ids,
}

impl Items<'_> {
    pub(super) async fn get(&self, lane: &LaneId) -> Result<Option<LaneItem>, PortError> {
        self.table.get(&key_of(lane)).await?.as_ref().map(item_of).transpose()
    }

    fn token(&self) -> u64 {
        self.ids.random() >> 1
    }

    /// Changes a lane item by a rule; none means that the rule refuses.
    pub(super) async fn change(
        &self,
        lane: &LaneId,
        rule: impl Fn(&LaneItem) -> Option<LaneItem>,
    ) -> Result<Changed, PortError> {
        let mut found = self.table.get(&key_of(lane)).await?;
        for _ in 0..TURNS {
            let Some(row) = found else { return Ok(Changed::Absent) };
            let item = item_of(&row)?;
            let Some(after) = rule(&item) else { return Ok(Changed::Refused(item)) };
            let token = self.token();
            found = match self.table.put_if(row_of(&after, token)?, still(row.number("writeToken")?)).await? {
                Written::Yes(_) => return Ok(Changed::Done(after)),
                Written::Refused(Some(row)) if row.find_number("writeToken") == Some(token) => {
                    // The answer of an earlier try of this very write was lost.
                    return item_of(&row).map(Changed::Done);
                }
                Written::Refused(Some(row)) => Some(row.checked()?),
                Written::Refused(None) => self.table.get(&key_of(lane)).await?,
            };
        }
        Err(PortError::Throttled)
    }

    /// Moves the version of a held lane; false if the lane is live. One write, and none to the index.
    pub(super) async fn bump(&self, lane: &LaneId) -> Result<bool, PortError> {
        // Refused by its own token, it is a repeat whose first try was made and its answer lost.
        let condition = Condition::new("attribute_exists(pk) AND writeToken <> :w")
            .value(":one", number(1))
            .value(":w", number(self.token()));
        let update = "SET writeToken = :w ADD itemVersion :one";
        match self.table.update_if(&key_of(lane), update, condition).await? {
            Written::Yes(_) => Ok(true),
            Written::Refused(found) => Ok(found.is_some()),
        }
    }

    /// Makes a live lane a held one; false if it is held already.
    pub(super) async fn create(&self, item: &LaneItem) -> Result<bool, PortError> {
        let absent = Condition::new("attribute_not_exists(pk)");
        let transaction = Transaction::default().put_if(row_of(item, self.token())?, absent).put(marker(item));
        Ok(self.table.transact(transaction).await? == Transacted::Done)
    }

    /// Makes a held lane a live one, if a rule says so of what is there.
    pub(super) async fn delete(&self, lane: &LaneId, rule: impl Fn(&LaneItem) -> bool) -> Result<Changed, PortError> {
        for _ in 0..TURNS {
            let Some(row) = self.table.get(&key_of(lane)).await? else { return Ok(Changed::Absent) };
            let item = item_of(&row)?;
            if !rule(&item) {
                return Ok(Changed::Refused(item));
            }
            let condition = still(row.number("writeToken")?);
            let transaction = Transaction::default().delete_if(&key_of(lane), condition).delete(&marker_key(&item));
            if self.table.transact(transaction).await? == Transacted::Done {
                return Ok(Changed::Done(item));
            }
        }
        Err(PortError::Throttled)
    }
}
