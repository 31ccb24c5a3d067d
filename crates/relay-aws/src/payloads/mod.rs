//! Claim checks: `payloads/retention=…/<SHA-256 of the bytes>`. The bucket's lifecycle rules remove them when they have
//! not been stored for as long as [`StoredData::kept`]; what is held for longer has them stored again ([`renewal`]).

pub(crate) mod renewal;

use crate::objects::Objects;
use crate::table::Table;
use async_trait::async_trait;
use bytes::Bytes;
use relay_core::digest::{hexadecimal, sha256};
use relay_core::event::StoredData;
use relay_core::ports::{Payloads, PortError};
use relay_core::time::Time;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// When nothing was due to be stored again, nothing is looked at for so long: there is half a month's time for it.
const LOOK_EVERY: Duration = Duration::from_secs(3_600);

/// [`Payloads`] in the bucket.
pub(crate) struct PayloadsPort {
    table: Table,
    objects: Objects,
    look_at: Mutex<Time>,
}

impl PayloadsPort {
    pub(crate) fn new(table: Table, objects: Objects) -> PayloadsPort {
        PayloadsPort { table, objects, look_at: Mutex::default() }
    }

    fn look_at(&self) -> MutexGuard<'_, Time> {
        self.look_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key_of(payload: &StoredData) -> Result<String, PortError> {
    let hash = &payload.hash;
    let is_hash = hash.len() == 64 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_hash {
        return Err(PortError::Invalid("no name of a payload".to_owned()));
    }
    Ok(format!("{}/{hash}", StoredData::folder_for(payload.retention)))
}

async fn put(objects: &Objects, payload: &StoredData, bytes: Bytes) -> Result<(), PortError> {
    let key = key_of(payload)?;
    if hexadecimal(&sha256([&bytes[..]])) != payload.hash {
        return Err(PortError::Invalid("a payload is named by the hash of its bytes".to_owned()));
    }
    // Overwritten if it is there: the same bytes, which begin a new life.
    objects.put(&key, bytes, "application/octet-stream").await
}

async fn get(objects: &Objects, payload: &StoredData) -> Result<Bytes, PortError> {
    let bytes = objects.get(&key_of(payload)?).await?;
    if hexadecimal(&sha256([&bytes[..]])) == payload.hash {
        Ok(bytes)
    } else {
        Err(PortError::Corrupt(format!("payload {} has other bytes than its name says", payload.hash)))
    }
}

/// Stores a payload under another name, or anew under its own. One that cannot be read is left as it is: it holds up
/// nothing.
pub(crate) async fn copy(objects: &Objects, from: &StoredData, to: &StoredData) -> Result<(), PortError> {
    match get(objects, from).await {
        Ok(bytes) => put(objects, to, bytes).await,
        Err(error @ (PortError::NotFound | PortError::Corrupt(_))) => {
            tracing::error!(%error, hash = from.hash, "a payload cannot be kept on");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

#[async_trait]
impl Payloads for PayloadsPort {
    async fn put(&self, payload: &StoredData, bytes: Bytes) -> Result<(), PortError> {
        put(&self.objects, payload, bytes).await
    }

    async fn get(&self, payload: &StoredData) -> Result<Bytes, PortError> {
        get(&self.objects, payload).await
    }

    async fn expire(&self, now: Time) -> Result<u64, PortError> {
        if now < *self.look_at() {
            return Ok(0);
        }
        let renewed = renewal::renew_some(&self.table, &self.objects, now).await?;
        if renewed == 0 {
            *self.look_at() = now + LOOK_EVERY;
        }
        Ok(renewed)
    }
}
