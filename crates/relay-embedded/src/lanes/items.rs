//! Conditional writes on lane items, in the writer's transaction.

use super::mirror::LaneMirror;
use crate::writer::Tx;
use relay_core::lane::LaneItem;
use relay_core::pack::LaneId;
use relay_core::ports::PortError;
use relay_core::record;
use rusqlite::params;
use std::sync::Arc;

/// The lane item as the transaction sees it.
pub(super) fn read(tx: &Tx<'_>, lane: &LaneId) -> Result<Option<LaneItem>, PortError> {
    let text = tx.row("SELECT item FROM lanes WHERE lane = ?1", [lane.0], |row| row.get::<_, String>(0))?;
    text.map(|text| record::decode(&text)).transpose()
}

/// Creates a lane item.
pub(super) fn create(tx: &Tx<'_>, mirror: &Arc<LaneMirror>, item: &LaneItem) -> Result<(), PortError> {
    let due_at = item.due_at().map(|at| at.0);
    let lane = &item.lane;
    tx.execute(
        "INSERT INTO lanes(lane, subscription, topic, since, due_at, item) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            lane.id.0,
            lane.subscription.as_str(),
            lane.topic_id.as_str(),
            item.since.0,
            due_at,
            record::encode(item)?
        ],
    )?;
    mirror.hold(tx, lane.id, &lane.topic_id);
    Ok(())
}

/// Writes a lane item that was read before in the same transaction.
pub(super) fn update(tx: &Tx<'_>, before: &LaneItem, after: &LaneItem) -> Result<(), PortError> {
    let (lane, text) = (after.lane.id.0, record::encode(after)?);
    if before.due_at() == after.due_at() {
        // The index of due lanes is left alone: most appends change nothing in it.
        tx.execute("UPDATE lanes SET item = ?2 WHERE lane = ?1", params![lane, text])?;
    } else {
        let due_at = after.due_at().map(|at| at.0);
        tx.execute("UPDATE lanes SET item = ?2, due_at = ?3 WHERE lane = ?1", params![lane, text, due_at])?;
    }
    Ok(())
}

/// Writes what a condition makes of the lane item; none if there is no lane item, or the condition does not hold.
pub(super) fn change(
    tx: &Tx<'_>,
    lane: &LaneId,
    condition: impl FnOnce(&LaneItem) -> Option<LaneItem>,
) -> Result<Option<LaneItem>, PortError> {
    let Some(before) = read(tx, lane)? else { return Ok(None) };
    let Some(after) = condition(&before) else { return Ok(None) };
    update(tx, &before, &after)?;
    Ok(Some(after))
}

/// Deletes a lane item.
pub(super) fn delete(tx: &Tx<'_>, mirror: &Arc<LaneMirror>, item: &LaneItem) -> Result<(), PortError> {
    tx.execute("DELETE FROM lanes WHERE lane = ?1", [item.lane.id.0])?;
    mirror.release(tx, item.lane.id, &item.lane.topic_id);
    Ok(())
}
