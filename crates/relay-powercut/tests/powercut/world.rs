//! One disk, one data folder, and the stores that are opened in it one after another.

use crate::possible::Fault;
use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use relay_core::ports::webhook::NoWebhooks;
use relay_core::ports::{Clock, Ids, Ports};
use relay_core::time::Time;
use relay_embedded::{Store, StoreOptions};
use relay_powercut::Disk;
use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What outlives the stores.
pub struct World {
    pub disk: Disk,
    pub clock: Arc<ManualClock>,
    ids: Arc<SeededIds>,
    folder: PathBuf,
}

/// An open store.
pub struct Life {
    pub store: Store,
    pub ports: Ports,
}

impl World {
    pub fn new(seed: u64) -> World {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let name = format!("powercut-{}-{}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed));
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let ids = Arc::new(SeededIds(Mutex::new(StdRng::seed_from_u64(seed))));
        World { disk: Disk::new(seed), clock: Arc::new(ManualClock(AtomicU64::new(1_700_000_000_000))), ids, folder }
    }

    /// Opens the store.
    pub fn open(&self) -> Result<Life, Fault> {
        let options = StoreOptions {
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            receive_wait: Duration::ZERO,
            vfs: Some(self.disk.vfs_name().to_owned()),
            ..StoreOptions::default()
        };
        let store =
            Store::open(&self.folder, options).map_err(|error| Fault(format!("{error}: {:?}", error.source())))?;
        let ports = store.ports(Arc::new(NoWebhooks));
        Ok(Life { store, ports })
    }

    /// The text of what `PRAGMA integrity_check` says.
    pub fn integrity(&self) -> Result<String, Fault> {
        let look = || {
            let path = self.folder.join("relay.db");
            let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
            let connection = rusqlite::Connection::open_with_flags_and_vfs(path, flags, self.disk.vfs_name())?;
            connection.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0))
        };
        look().map_err(|error| Fault(format!("the database cannot be read: {error}")))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // There may be none, if nothing was opened.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Time that passes when it is told to.
pub struct ManualClock(AtomicU64);

impl ManualClock {
    pub fn advance(&self, span: Duration) {
        self.0.fetch_add(u64::try_from(span.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Time {
        Time(self.0.load(Ordering::SeqCst))
    }

    async fn sleep(&self, span: Duration) {
        self.advance(span);
    }
}

struct SeededIds(Mutex<StdRng>);

impl Ids for SeededIds {
    fn random(&self) -> u64 {
        self.0.lock().unwrap().next_u64()
    }

    fn secret_bytes(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap().fill_bytes(bytes);
    }

    fn unique(&self) -> String {
        format!("{:016x}{:016x}", self.random(), self.random())
    }
}
