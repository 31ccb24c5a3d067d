//! API keys: `KEYS` / id, and a copy at `KEYHASH#hash` / `KEY`, by which a request finds it; when each was used.

use crate::table::attributes::{Row, number, text};
use crate::table::{Condition, Key, Query, Table, Transacted, Transaction};
use relay_core::grants::ApiKey;
use relay_core::names::KeyId;
use relay_core::ports::PortError;
use relay_core::record;
use relay_core::time::Time;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const PARTITION: &str = "KEYS";
/// The use of a key is noted in the table at most so often, by each process.
const USE_NOTED: Duration = Duration::from_secs(60);
/// Attempts at a write between others of the same key.
const TURNS: usize = 8;

fn key_of(id: &KeyId) -> Key {
    Key::new(PARTITION, id.as_str())
}

fn by_hash(hash: &str) -> Key {
    Key::new(format!("KEYHASH#{hash}"), "KEY")
}

fn use_of(id: &KeyId) -> Key {
    Key::new(format!("KEYUSE#{id}"), "KEY")
}

/// The row of a key at a place.
pub(crate) fn row_at(place: &Key, key: &ApiKey) -> Result<Row, PortError> {
    Ok(Row::of(place).with("rec", text(record::encode(key)?)).with("keyHash", text(&key.hash)))
}

pub(crate) fn api_key_of(row: &Row) -> Result<ApiKey, PortError> {
    record::decode(row.text("rec")?)
}

pub(super) async fn get_by_hash(table: &Table, hash: &str) -> Result<Option<Arc<ApiKey>>, PortError> {
    table.get(&by_hash(hash)).await?.map(|row| api_key_of(&row).map(Arc::new)).transpose()
}

pub(super) async fn list(table: &Table, after: Option<&KeyId>, limit: usize) -> Result<Vec<Arc<ApiKey>>, PortError> {
    let query = Query::of(PARTITION).after(after.map(KeyId::as_str)).limit(limit);
    let rows = table.query(query).await?;
    rows.iter().map(|row| api_key_of(row).map(Arc::new)).collect()
}

/// A condition that a key's row is the one that was read.
fn unchanged(stored: Option<&Row>) -> Result<Condition, PortError> {
    Ok(match stored {
        Some(row) => Condition::new("keyHash = :h").value(":h", text(row.text("keyHash")?)),
        None => Condition::new("attribute_not_exists(pk)"),
    })
}

pub(super) async fn put(table: &Table, key: &ApiKey) -> Result<(), PortError> {
    for _ in 0..TURNS {
        let stored = table.get(&key_of(&key.id)).await?;
        let mut transaction = Transaction::default()
            .put_if(row_at(&key_of(&key.id), key)?, unchanged(stored.as_ref())?)
            .put(row_at(&by_hash(&key.hash), key)?);
        if let Some(former) = stored.as_ref().and_then(|row| row.find_text("keyHash")).filter(|hash| *hash != key.hash)
        {
            transaction = transaction.delete(&by_hash(former));
        }
        if table.transact(transaction).await? == Transacted::Done {
            return Ok(());
        }
    }
    Err(PortError::Throttled)
}

pub(super) async fn delete(table: &Table, id: &KeyId) -> Result<bool, PortError> {
    for _ in 0..TURNS {
        let Some(stored) = table.get(&key_of(id)).await? else { return Ok(false) };
        let transaction = Transaction::default()
            .delete_if(&key_of(id), unchanged(Some(&stored))?)
            .delete(&by_hash(stored.text("keyHash")?))
            .delete(&use_of(id));
        if table.transact(transaction).await? == Transacted::Done {
            return Ok(true);
        }
    }
    Err(PortError::Throttled)
}

/// When keys were used: at once in memory, now and then in the table.
pub(super) struct Uses {
    table: Table,
    seen: Mutex<HashMap<KeyId, Use>>,
}

#[derive(Clone, Copy)]
struct Use {
    at: Time,
    noted: Option<Time>,
}

impl Uses {
    pub(super) fn new(table: Table) -> Uses {
        Uses { table, seen: Mutex::default() }
    }

    pub(super) async fn at(&self, id: &KeyId) -> Result<Option<Time>, PortError> {
        let here = self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(id).map(|seen| seen.at);
        let noted = self.table.get(&use_of(id)).await?.and_then(|row| row.find_number("usedAt")).map(Time);
        Ok(here.max(noted))
    }

    pub(super) fn note(&self, id: &KeyId, at: Time) {
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let known = seen.entry(id.clone()).or_insert(Use { at, noted: None });
            known.at = known.at.max(at);
            if known.noted.is_some_and(|noted| at.since(noted) < USE_NOTED) {
                return;
            }
            known.noted = Some(at);
        }
        // Without a runtime there is nobody to write it: it is only a note.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (table, id) = (self.table.clone(), id.clone());
        runtime.spawn(async move {
            let row = Row::of(&use_of(&id)).with("usedAt", number(at.0));
            let later = Condition::new("attribute_not_exists(pk) OR usedAt < :t").value(":t", number(at.0));
            if let Err(error) = table.put_if(row, later).await {
                tracing::debug!(%error, "the use of a key was not noted");
            }
        });
    }
}
