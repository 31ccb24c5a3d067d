//! The database: its form, its version, and how connections to it are set up.

use crate::folder::{Folder, OpenError};
use crate::private;
use crate::upgrade;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

/// Version of the form that this broker writes, in `user_version`.
pub(crate) const FORMAT: u32 = 2;
/// `application_id`: "RLAY".
const APPLICATION: u32 = 0x524c_4159;

/// How connections are opened.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(crate) folder: Folder,
    pub(crate) max_page_count: Option<u32>,
    pub(crate) vfs: Option<String>,
}

/// An accepted pack is one row of `log`: queue entry and log entry at once, and whatever holds or gave up its events
/// refers to that row. A row names its topic and shard by the number that `shards` gives them. Rows up to `compacted` are
/// in `segments`, too, each of which is a file; those up to `pending` are to be written as the one of that path.
/// `acks` has a bit for each position, 4096 to a row: no bits for "all of them", no row for "none of them".
const SCHEMA: &str = "
CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE shards(
    number INTEGER PRIMARY KEY, topic TEXT NOT NULL, shard INTEGER NOT NULL, compacted INTEGER NOT NULL DEFAULT 0,
    pending INTEGER, pending_path TEXT, UNIQUE(topic, shard)) STRICT;
CREATE TABLE segments(
    shard INTEGER NOT NULL, last_at INTEGER NOT NULL, last INTEGER NOT NULL, kept INTEGER NOT NULL, path TEXT NOT NULL,
    record TEXT NOT NULL, PRIMARY KEY(shard, last_at, last)) WITHOUT ROWID, STRICT;
CREATE TABLE log(
    position INTEGER PRIMARY KEY, at INTEGER NOT NULL, shard INTEGER NOT NULL, grp BLOB NOT NULL, dedup BLOB NOT NULL,
    pack BLOB NOT NULL) STRICT;
CREATE INDEX log_of_shard ON log(shard, position);
CREATE TABLE acks(chunk INTEGER PRIMARY KEY, bits BLOB NOT NULL) STRICT;
CREATE TABLE starts(number INTEGER PRIMARY KEY, through INTEGER NOT NULL) STRICT;
CREATE TABLE recent(
    through INTEGER PRIMARY KEY, first INTEGER NOT NULL, ended INTEGER NOT NULL, entries BLOB NOT NULL) STRICT;
CREATE TABLE lanes(
    lane BLOB PRIMARY KEY, subscription TEXT NOT NULL, topic TEXT NOT NULL, since INTEGER NOT NULL, due_at INTEGER,
    item TEXT NOT NULL) WITHOUT ROWID, STRICT;
CREATE INDEX lanes_of_subscription ON lanes(subscription, lane);
CREATE INDEX lanes_of_topic ON lanes(topic, since);
CREATE INDEX lanes_due ON lanes(due_at) WHERE due_at IS NOT NULL;
CREATE TABLE backlog(
    lane BLOB NOT NULL, key BLOB NOT NULL, position INTEGER NOT NULL, next INTEGER NOT NULL, past INTEGER NOT NULL,
    put_id INTEGER NOT NULL, revision INTEGER NOT NULL, attempts INTEGER NOT NULL, first_failed_at INTEGER,
    due_at INTEGER, replay INTEGER NOT NULL, PRIMARY KEY(lane, key)) WITHOUT ROWID, STRICT;
CREATE INDEX backlog_of_position ON backlog(position);
CREATE INDEX backlog_due ON backlog(lane, due_at) WHERE due_at IS NOT NULL;
CREATE TABLE dead_letters(
    subscription TEXT NOT NULL, id TEXT NOT NULL, position INTEGER NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY(subscription, id)) WITHOUT ROWID, STRICT;
CREATE INDEX dead_letters_of_position ON dead_letters(position);
CREATE TABLE attempts(
    number INTEGER PRIMARY KEY, subscription TEXT NOT NULL, at INTEGER NOT NULL, packed BLOB NOT NULL) STRICT;
CREATE INDEX attempts_of_subscription ON attempts(subscription, number);
CREATE TABLE topics(id TEXT PRIMARY KEY, list_version INTEGER NOT NULL, record TEXT NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE subscriptions(id TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE keys(id TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE key_uses(id TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE idempotent_answers(key TEXT PRIMARY KEY, at INTEGER NOT NULL, record TEXT NOT NULL) WITHOUT ROWID, STRICT;
CREATE INDEX idempotent_answers_by_age ON idempotent_answers(at);
";

/// What came after form 2 and needs no other: a broker without it leaves it alone.
const ADDED: &str = "
CREATE TABLE IF NOT EXISTS replays(
    subscription TEXT NOT NULL, id TEXT NOT NULL, at INTEGER NOT NULL, record TEXT NOT NULL, delivered INTEGER NOT NULL,
    PRIMARY KEY(subscription, id)) WITHOUT ROWID, STRICT;
CREATE TABLE IF NOT EXISTS cursors(subscription TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID, STRICT;
";

impl Opening {
    fn database(&self, source: rusqlite::Error) -> OpenError {
        OpenError::Database { folder: self.folder.path().to_owned(), source }
    }

    fn connect(&self, flags: OpenFlags) -> rusqlite::Result<Connection> {
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let path = self.folder.database();
        match &self.vfs {
            Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs.as_str()),
            None => Connection::open_with_flags(path, flags),
        }
    }

    /// The connection of the writer; makes the database if there is none, and refuses one that is not ours.
    pub(crate) fn writer(&self) -> Result<Connection, OpenError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        if self.vfs.is_none() {
            // SQLite would let everybody read what it makes; the files beside the database have its permissions.
            let path = self.folder.database();
            private::write().open(&path).map_err(|source| OpenError::File { path, source })?;
        }
        let mut connection = self.connect(flags).map_err(|source| self.database(source))?;
        self.check_format(&connection)?;
        self.prepare_writer(&mut connection).map_err(|source| self.database(source))?;
        Ok(connection)
    }

    fn check_format(&self, connection: &Connection) -> Result<(), OpenError> {
        let foreign = || OpenError::Foreign(self.folder.database());
        let read = || -> rusqlite::Result<(u32, u32, u32)> {
            let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0));
            Ok((pragma("application_id")?, pragma("user_version")?, pragma("schema_version")?))
        };
        match read() {
            Ok((0, 0, 0)) => Ok(()),
            Ok((APPLICATION, 1..=FORMAT, _)) => Ok(()),
            Ok((APPLICATION, found, _)) if found > FORMAT => {
                let folder = self.folder.path().to_owned();
                Err(OpenError::NewerFormat { folder, found, supported: FORMAT })
            }
            Ok(_) => Err(foreign()),
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) => Err(foreign()),
            Err(error) => Err(self.database(error)),
        }
    }

    fn prepare_writer(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        // The checkpoints are ours to time (see `checkpoint`). `fullfsync` matters on macOS, where a plain fsync
        // leaves data in the drive's cache.
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
             PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON; PRAGMA foreign_keys = OFF;
             PRAGMA temp_store = MEMORY; PRAGMA cache_size = -4096; PRAGMA journal_size_limit = 67108864;",
        )?;
        if let Some(pages) = self.max_page_count {
            connection.execute_batch(&format!("PRAGMA max_page_count = {pages}"))?;
        }
        connection.set_prepared_statement_cache_capacity(128);
        let version: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        let stamps = format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT};");
        match version {
            0 => connection.execute_batch(&format!("BEGIN IMMEDIATE; {SCHEMA} {stamps} COMMIT;"))?,
            1 => {
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                upgrade::from_1(&transaction)?;
                transaction.execute_batch(&stamps)?;
                transaction.commit()?;
            }
            _ => {}
        }
        connection.execute_batch(ADDED)
    }

    /// A connection that only reads.
    pub(crate) fn reader(&self) -> Result<Connection, OpenError> {
        let open = || {
            let connection = self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            connection
                .execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -1024; PRAGMA temp_store = MEMORY;")?;
            Ok(connection)
        };
        open().map_err(|source| self.database(source))
    }

    /// The connection of the thread that checkpoints.
    pub(crate) fn checkpointer(&self) -> Result<Connection, OpenError> {
        let open = || {
            let connection = self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            connection.execute_batch(
                "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA checkpoint_fullfsync = ON;
                 PRAGMA cache_size = -64;",
            )?;
            Ok(connection)
        };
        open().map_err(|source| self.database(source))
    }
}
