//! The data folder, and the lock that lets one process at a time into it.

use crate::private;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another store of this one, has the folder open.
    #[error("the data folder {0} is in use by another process; one at a time may open it")]
    InUse(PathBuf),
    /// A later version of the broker wrote it.
    #[error("the data folder {folder} has format {found}; this version reads up to {supported}: use a newer one")]
    NewerFormat {
        /// The folder.
        folder: PathBuf,
        /// The format of its store.
        found: u32,
        /// The latest that this version reads.
        supported: u32,
    },
    /// There is a database, but not one of ours.
    #[error("{0} is not a store of Event Relay")]
    Foreign(PathBuf),
    /// There is a file of that name.
    #[error("{0} is not a folder")]
    NotAFolder(PathBuf),
    /// A file cannot be made, opened or locked.
    #[error("cannot open {path}")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// SQLite cannot open or read it.
    #[error("cannot open the store in {folder}")]
    Database {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// What is stored cannot be read.
    #[error("the store in {folder} is damaged: {what}")]
    Damaged {
        /// The folder.
        folder: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// A data folder that this process has to itself, for as long as a clone lives.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: Arc<File>,
}

impl Folder {
    /// Makes the folder if there is none, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Folder, OpenError> {
        let file = |path: &Path, source| OpenError::File { path: path.to_owned(), source };
        if path.exists() && !path.is_dir() {
            return Err(OpenError::NotAFolder(path.to_owned()));
        }
        private::create_folder(path).map_err(|source| file(path, source))?;
        let lock_path = path.join("relay.lock");
        let lock = private::write().open(&lock_path).map_err(|source| file(&lock_path, source))?;
        match lock.try_lock() {
            Ok(()) => {
                let folder = Folder { path: path.to_owned(), _lock: Arc::new(lock) };
                folder.sync().map_err(|source| file(path, source))?;
                Ok(folder)
            }
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(file(&lock_path, source)),
        }
    }

    /// Makes the names of the folder and of what is in it last. SQLite sees to what is in its files only.
    pub(crate) fn sync(&self) -> std::io::Result<()> {
        if cfg!(unix) {
            File::open(&self.path)?.sync_all()?;
            if let Some(parent) = self.path.canonicalize()?.parent() {
                File::open(parent)?.sync_all()?;
            }
        }
        Ok(())
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The database.
    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("relay.db")
    }

    /// Payloads too large for a row.
    pub(crate) fn payloads(&self) -> PathBuf {
        self.path.join("payloads")
    }
}
