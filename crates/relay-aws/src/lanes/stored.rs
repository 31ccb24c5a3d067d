//! The form of backlog items and their pointers.

use crate::table::Key;
use crate::table::attributes::{Row, number};
use aws_sdk_dynamodb::types::AttributeValue;
use relay_core::lane::{BacklogItem, PutId};
use relay_core::pack::{LaneId, Pack};
use relay_core::ports::PortError;
use relay_core::replay_id::LogPosition;
use relay_core::sequence::Sequence;
use relay_core::time::Time;
use std::sync::Arc;

/// A backlog item without its pack.
pub(crate) struct Stored {
    pub(crate) key: Sequence,
    position: LogPosition,
    pub(crate) next: u16,
    end: u16,
    pub(crate) put_id: PutId,
    revision: u64,
    attempts: u32,
    first_failed_at: Option<Time>,
    pub(crate) due_at: Option<Time>,
    replay: bool,
}

/// The object that a large pack of an item lies in. Each put has its own, so that what deletes one cannot hit another.
pub(super) fn object_key(lane: &LaneId, key: Sequence, put_id: PutId) -> String {
    format!("held/{lane}/{key}.{}", put_id.0)
}

/// The row of an item, but for its pack.
pub(crate) fn item_row(key: &Key, item: &BacklogItem) -> Row {
    Row::of(key)
        .with("posAt", number(item.position.at.0))
        .with("posUnique", number(item.position.unique))
        .with("nextIndex", number(item.next))
        .with("endIndex", number(item.end))
        .with("putId", number(item.put_id.0))
        .with("subRevision", number(item.revision))
        .with("headAttempts", number(item.attempts))
        .with_some("failedAt", item.first_failed_at.map(|at| number(at.0)))
        .with_some("dueAt", item.due_at.map(|at| number(at.0)))
        .with("isReplay", AttributeValue::Bool(item.replay))
}

impl Stored {
    pub(crate) fn of(row: &Row) -> Result<Stored, PortError> {
        let key =
            row.text("sk")?.parse().map_err(|_| PortError::Corrupt("a backlog item has no sequence".to_owned()))?;
        Ok(Stored {
            key,
            position: LogPosition { at: Time(row.number("posAt")?), unique: row.number("posUnique")? },
            next: row.number("nextIndex")?,
            end: row.number("endIndex")?,
            put_id: PutId(row.number("putId")?),
            revision: row.number("subRevision")?,
            attempts: row.number("headAttempts")?,
            first_failed_at: row.find_number("failedAt").map(Time),
            due_at: row.find_number("dueAt").map(Time),
            replay: row.is_true("isReplay"),
        })
    }

    /// The item. A pack that has not the events meant is refused: they could not be delivered.
    pub(crate) fn with_pack(self, pack: Arc<Pack>) -> Result<BacklogItem, PortError> {
        if usize::from(self.end) > pack.events.len() {
            return Err(PortError::Corrupt(format!("backlog item {} has fewer events than it says", self.key)));
        }
        Ok(BacklogItem {
            key: self.key,
            pack,
            position: self.position,
            next: self.next,
            end: self.end,
            put_id: self.put_id,
            revision: self.revision,
            attempts: self.attempts,
            first_failed_at: self.first_failed_at,
            due_at: self.due_at,
            replay: self.replay,
        })
    }
}

/// True if a row is of that put.
pub(super) fn is_put(row: &Row, put_id: PutId) -> bool {
    row.find_number("putId") == Some(put_id.0)
}

/// Key of the pointer to an item that is due.
pub(super) fn pointer_key(partition: &str, at: Time, key: Sequence) -> Key {
    Key::new(partition, format!("{:013}#{key}", at.0))
}

/// The pointer to an item that is due.
pub(super) fn pointer(partition: &str, at: Time, key: Sequence) -> Row {
    Row::of(&pointer_key(partition, at, key))
}
