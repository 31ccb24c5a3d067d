//! What is held for long keeps its payloads. The row of a backlog item or dead letter whose pack names some is in the
//! index under `PAYLOADS`, by the time when they have to be stored again; it leaves the index when it goes.

use super::copy;
use crate::objects::Objects;
use crate::packs;
use crate::table::attributes::{Row, text};
use crate::table::{Condition, Key, Query, Table, Written};
use futures_util::stream::{self, StreamExt};
use relay_core::pack::Pack;
use relay_core::ports::PortError;
use relay_core::time::Time;
use std::time::Duration;

const PARTITION: &str = "PAYLOADS";
/// Payloads are stored again so long before they would go.
const MARGIN: Duration = Duration::from_secs(15 * 86_400);
/// Rows of a call, and of them at the same time.
const SOME: usize = 256;
const AT_ONCE: usize = 4;

fn sort_key(at: Time) -> String {
    format!("{:013}", at.0)
}

/// When the payloads of a pack have to be stored again that were stored at a time; none if it has none.
fn due(pack: &Pack, stored_at: Time) -> Option<String> {
    let kept = pack.stored().map(|payload| payload.kept()).min()?;
    Some(sort_key(stored_at + kept - MARGIN))
}

/// Lists the row of a pack that is put away.
pub(crate) fn listed(row: Row, pack: &Pack) -> Row {
    match due(pack, pack.accepted_at) {
        Some(due) => row.with("gpk", text(PARTITION)).with("gsk", text(due)),
        None => row,
    }
}

/// Stores payloads again that are due. Answers how many rows they were of.
pub(super) async fn renew_some(table: &Table, objects: &Objects, now: Time) -> Result<u64, PortError> {
    let rows = table.query(Query::of_index(PARTITION).up_to(sort_key(now)).limit(SOME)).await?;
    let renewed = stream::iter(rows).map(|row| async move { renew(table, objects, &row.key()?, now).await });
    let (mut count, mut fault) = (0, None);
    for result in renewed.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await {
        match result {
            Ok(is_renewed) => count += u64::from(is_renewed),
            Err(error) => fault = Some(error),
        }
    }
    fault.map_or(Ok(count), Err)
}

/// Stores the payloads of a row again; false if it is gone, or not due after all: the index is a little behind.
async fn renew(table: &Table, objects: &Objects, key: &Key, now: Time) -> Result<bool, PortError> {
    let Some(row) = table.get(key).await? else { return Ok(false) };
    let Some(was_due) = row.find_text("gsk").filter(|due| **due <= *sort_key(now)) else { return Ok(false) };
    let pack = match packs::load(objects, &row).await {
        Ok(pack) => pack,
        // It goes after its row, or with another put of it.
        Err(PortError::NotFound) => return Ok(false),
        Err(error) => return Err(error),
    };
    for payload in pack.stored() {
        copy(objects, payload, payload).await?;
    }
    let next = due(&pack, now).unwrap_or_else(|| sort_key(now + MARGIN));
    let same = Condition::new("gsk = :o").value(":o", text(was_due)).value(":n", text(next));
    Ok(matches!(table.update_if(key, "SET gsk = :n", same).await?, Written::Yes(_)))
}
