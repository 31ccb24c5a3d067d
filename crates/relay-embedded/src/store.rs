//! Opening and closing a data folder.

use crate::attempts::AttemptsPort;
use crate::checkpoint::Checkpoints;
use crate::cursors::CursorsPort;
use crate::dead_letters::DeadLettersPort;
use crate::folder::{Folder, OpenError};
use crate::lanes::LanesPort;
use crate::lanes::mirror::LaneMirror;
use crate::log::LogPort;
use crate::log::segments::Segments;
use crate::payloads::{PayloadFiles, PayloadsPort};
use crate::private;
use crate::queue::{Queue, QueuePort};
use crate::readers::Readers;
use crate::recovery::Recovered;
use crate::registry::{Mirror, RegistryPort};
use crate::replays::ReplaysPort;
use crate::schema::Opening;
use crate::wake_ups::WakeUpsPort;
use crate::writer::lazy::Lazy;
use crate::writer::{CommitStats, Engine, Writer};
use relay_core::ports::webhook::WebhookClient;
use relay_core::ports::{Clock, Ids, PortError, Ports};
use relay_system::{SystemClock, SystemIds};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How a store works.
#[derive(Clone)]
pub struct StoreOptions {
    /// The time that everything goes by.
    pub clock: Arc<dyn Clock>,
    /// Where identifiers and random numbers come from.
    pub ids: Arc<dyn Ids>,
    /// How long receiving waits for the first message or wake-up.
    pub receive_wait: Duration,
    /// Most pages of 4 KiB that the database may have: for those who want to see it full.
    pub max_page_count: Option<u32>,
    /// The SQLite VFS to use, by its name: for those who want to see the disk fail.
    pub vfs: Option<String>,
}

impl Default for StoreOptions {
    fn default() -> StoreOptions {
        StoreOptions {
            clock: Arc::new(SystemClock),
            ids: Arc::new(SystemIds),
            receive_wait: Duration::from_secs(10),
            max_page_count: None,
            vfs: None,
        }
    }
}

impl std::fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreOptions").field("receive_wait", &self.receive_wait).finish_non_exhaustive()
    }
}

/// An open data folder. Dropping it without [`Store::close`] loses nothing that was answered, but messages that were
/// acknowledged last may be delivered again.
pub struct Store {
    options: StoreOptions,
    path: PathBuf,
    era: u64,
    queue: Arc<Queue>,
    lanes: Arc<LaneMirror>,
    registry: Arc<Mirror>,
    readers: Readers,
    writer: Arc<Writer>,
    log: Arc<LogPort>,
    wake_ups: Arc<WakeUpsPort>,
    payloads: Arc<PayloadsPort>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens a data folder, and makes one if there is none. Blocks while it reads what it has to know.
    ///
    /// # Errors
    /// An [`OpenError`]: another process has it open, a later version wrote it, or it cannot be read.
    pub fn open(path: &Path, options: StoreOptions) -> Result<Store, OpenError> {
        let folder = Folder::open(path)?;
        let (max_page_count, vfs) = (options.max_page_count, options.vfs.clone());
        let opening = Opening { folder: folder.clone(), max_page_count, vfs };
        let mut connection = opening.writer()?;
        let database = |source| OpenError::Database { folder: path.to_owned(), source };
        let recovered = Recovered::read(&connection, options.clock.now(), options.ids.random());
        let recovered = recovered.map_err(|error| match error {
            PortError::Corrupt(what) => OpenError::Damaged { folder: path.to_owned(), what },
            other => OpenError::Damaged { folder: path.to_owned(), what: other.to_string() },
        })?;
        let file = |path: &Path, source| OpenError::File { path: path.to_owned(), source };
        let payloads = folder.payloads();
        private::create_folder(&payloads).map_err(|source| file(&payloads, source))?;
        folder.sync().map_err(|source| file(path, source))?;
        let readers = Readers::open(&opening)?;
        let checkpoints = Checkpoints::start(&mut connection, opening.checkpointer()?).map_err(database)?;
        let queue = Arc::new(Queue::new(recovered.acks, recovered.intake.last(), recovered.crashes));
        let lazy = Arc::new(Lazy::new(queue.clone()));
        let stats = Arc::new(Mutex::new(CommitStats::default()));
        let engine = Engine {
            connection,
            intake: recovered.intake,
            queue: queue.clone(),
            lazy: lazy.clone(),
            clock: options.clock.clone(),
            checkpoints,
            stats: stats.clone(),
            broken: None,
            _folder: folder,
        };
        let writer = Writer::start(engine, lazy, stats).map_err(|source| file(path, source))?;
        let (lanes, registry) = (Arc::new(recovered.lanes), Arc::new(recovered.registry));
        let (writer, era) = (Arc::new(writer), recovered.era);
        let segments = Segments::new(path);
        let payloads = Arc::new(PayloadFiles::new(path.to_owned(), options.clock.clone()));
        let files = (segments, payloads.clone());
        let clock = (era, options.clock.clone());
        let log = LogPort::new(queue.clone(), writer.clone(), readers.clone(), registry.clone(), clock, files);
        let (log, wake_ups) = (Arc::new(log), WakeUpsPort::new(options.clock.clone(), options.receive_wait));
        let (path, wake_ups) = (path.to_owned(), Arc::new(wake_ups));
        let payloads = Arc::new(PayloadsPort::new(payloads, readers.clone()));
        Ok(Store { options, path, era, queue, lanes, registry, readers, writer, log, wake_ups, payloads })
    }

    /// The ports over this folder, with this way out. Those of several calls share all but that.
    pub fn ports(&self, webhooks: Arc<dyn WebhookClient>) -> Ports {
        let (writer, readers) = (|| self.writer.clone(), || self.readers.clone());
        let (clock, wait) = (self.options.clock.clone(), self.options.receive_wait);
        let queue = QueuePort {
            queue: self.queue.clone(),
            writer: writer(),
            readers: readers(),
            clock: clock.clone(),
            wait,
            era: self.era,
        };
        let lanes = LanesPort {
            writer: writer(),
            readers: readers(),
            registry: self.registry.clone(),
            mirror: self.lanes.clone(),
        };
        let registry = RegistryPort { writer: writer(), readers: readers(), mirror: self.registry.clone() };
        Ports {
            clock,
            ids: self.options.ids.clone(),
            queue: Arc::new(queue),
            log: self.log.clone(),
            lanes: Arc::new(lanes),
            wake_ups: self.wake_ups.clone(),
            registry: Arc::new(registry),
            replays: Arc::new(ReplaysPort { writer: writer(), readers: readers(), clock: self.options.clock.clone() }),
            cursors: Arc::new(CursorsPort { writer: writer(), readers: readers() }),
            attempts: Arc::new(AttemptsPort { writer: writer(), readers: readers() }),
            dead_letters: Arc::new(DeadLettersPort { writer: writer(), readers: readers() }),
            payloads: self.payloads.clone(),
            webhooks,
        }
    }

    /// What the writer has done so far.
    pub fn commit_stats(&self) -> CommitStats {
        self.writer.stats()
    }

    /// Makes everything durable, acknowledgements and attempts too, and closes the folder. Ports that are still
    /// around fail from then on.
    ///
    /// # Errors
    /// If that was not possible; nothing that was answered is lost all the same.
    pub async fn close(&self) -> Result<(), PortError> {
        self.readers.close();
        self.writer.close().await
    }

    /// Stops at once, without finishing anything, as a crash would. Ports that are still around fail from then on.
    pub fn abandon(&self) {
        self.writer.abandon();
        self.readers.close();
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.abandon();
    }
}
