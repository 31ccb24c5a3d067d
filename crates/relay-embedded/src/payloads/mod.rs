//! Payloads too large for a row: files, removed when they are past their time and no row of the log names them. What
//! is queued, held or given up refers to such a row.

mod files;

pub(crate) use files::PayloadFiles;

use crate::fault;
use crate::readers::{Readers, visit};
use crate::rows::decode_pack;
use crate::sync::lock;
use async_trait::async_trait;
use bytes::Bytes;
use files::{Name, name_of};
use relay_core::event::StoredData;
use relay_core::ports::{Payloads, PortError};
use relay_core::time::Time;
use rusqlite::Connection;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Files of a call.
const SOME: usize = 1_000;
/// When nothing was past its time, nothing is looked at for so long: it takes a look at every file.
const LOOK_EVERY: Duration = Duration::from_secs(3_600);

/// [`Payloads`] over a folder.
pub(crate) struct PayloadsPort {
    pub(crate) files: Arc<PayloadFiles>,
    pub(crate) readers: Readers,
    look_at: Mutex<Time>,
}

impl PayloadsPort {
    pub(crate) fn new(files: Arc<PayloadFiles>, readers: Readers) -> PayloadsPort {
        PayloadsPort { files, readers, look_at: Mutex::default() }
    }

    /// Works on files off the runtime's threads.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&PayloadFiles) -> Result<T, PortError> + Send + 'static,
    ) -> Result<T, PortError> {
        let files = self.files.clone();
        let done = tokio::task::spawn_blocking(move || work(&files)).await;
        done.map_err(|error| PortError::Unavailable(error.to_string()))?
    }
}

/// The payloads that rows of the log name. Packs without any are passed over as text.
fn named(connection: &Connection) -> Result<HashSet<Name>, PortError> {
    let mut names = HashSet::new();
    let sql = r#"SELECT pack FROM log WHERE instr(pack, CAST('"stored":{' AS BLOB)) > 0"#;
    visit(connection, sql, [], |row| {
        let pack = decode_pack(row.get(0).map_err(|error| fault::of_sqlite(&error))?)?;
        names.extend(pack.stored().map(name_of));
        Ok(true)
    })?;
    Ok(names)
}

#[async_trait]
impl Payloads for PayloadsPort {
    async fn put(&self, payload: &StoredData, bytes: Bytes) -> Result<(), PortError> {
        let payload = payload.clone();
        self.work(move |files| files.put(&payload, &bytes)).await
    }

    async fn get(&self, payload: &StoredData) -> Result<Bytes, PortError> {
        let payload = payload.clone();
        self.work(move |files| files.get(&payload).map(Bytes::from)).await
    }

    async fn expire(&self, now: Time) -> Result<u64, PortError> {
        if now < *lock(&self.look_at) {
            return Ok(0);
        }
        let past = self.work(move |files| files.past(now, SOME).map_err(|error| fault::of_io(&error))).await?;
        if past.is_empty() {
            *lock(&self.look_at) = now + LOOK_EVERY;
            return Ok(0);
        }
        // Read after they were found: what is stored again from now on has its time anew.
        let named = self.readers.read(named).await?;
        let count = past.len() as u64;
        self.work(move |files| {
            for name in &past {
                if named.contains(name) { files.keep(name)? } else { files.remove(name, now)? }
            }
            Ok(count)
        })
        .await
    }
}
