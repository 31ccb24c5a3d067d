//! Payloads as files, by retention and by the hash of their bytes. A file's time says when it was stored last.

use crate::fault;
use crate::files::{sync_names, write_durably};
use relay_core::digest::{hexadecimal, sha256};
use relay_core::event::StoredData;
use relay_core::limits::PAYLOADS_OUTLIVE;
use relay_core::ports::{Clock, PortError};
use relay_core::time::Time;
use relay_core::topic::Retention;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, UNIX_EPOCH};

/// What tells payloads apart: the hash of their bytes, and the retention that they are stored for.
pub(super) type Name = (String, Option<Retention>);

/// The name of a payload.
pub(super) fn name_of(payload: &StoredData) -> Name {
    (payload.hash.clone(), payload.retention)
}

/// Payloads below a data folder.
pub(crate) struct PayloadFiles {
    root: PathBuf,
    clock: Arc<dyn Clock>,
    /// Tells files apart that are being written at the same time.
    writes: AtomicU64,
    /// Whoever removes has it alone: what is being stored again must not go.
    removal: RwLock<()>,
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_hash_of(hash: &str, bytes: &[u8]) -> bool {
    hexadecimal(&sha256([bytes])) == hash
}

/// What was stored before that may go.
fn past_before(retention: Option<Retention>, now: Time) -> Time {
    now - (retention.unwrap_or(Retention::LONGEST).duration() + PAYLOADS_OUTLIVE)
}

fn stored_at(file: &Path) -> io::Result<Time> {
    let since = fs::metadata(file)?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
}

/// Entries of a folder; none if it is not there.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(found) => found.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

impl PayloadFiles {
    pub(crate) fn new(root: PathBuf, clock: Arc<dyn Clock>) -> PayloadFiles {
        PayloadFiles { root, clock, writes: AtomicU64::new(0), removal: RwLock::new(()) }
    }

    fn file(&self, (hash, retention): &Name) -> Result<PathBuf, PortError> {
        if is_hash(hash) {
            Ok(self.root.join(StoredData::folder_for(*retention)).join(&hash[..2]).join(hash))
        } else {
            Err(PortError::Invalid("a payload's name is the SHA-256 of its bytes".to_owned()))
        }
    }

    /// Makes a payload durable under its name.
    pub(super) fn put(&self, payload: &StoredData, bytes: &[u8]) -> Result<(), PortError> {
        let file = self.file(&name_of(payload))?;
        if !is_hash_of(&payload.hash, bytes) {
            return Err(PortError::Invalid("the payload's bytes do not have that hash".to_owned()));
        }
        let _stays = self.removal.read().unwrap_or_else(PoisonError::into_inner);
        let known = fs::metadata(&file).is_ok_and(|known| known.len() == bytes.len() as u64);
        if known { self.sync(&file) } else { self.write(&file, bytes) }.map_err(|error| fault::of_io(&error))?;
        self.touch(&file).map_err(|error| fault::of_io(&error))
    }

    fn sync(&self, file: &Path) -> io::Result<()> {
        sync_names(&self.root, file.parent().unwrap_or(&self.root))
    }

    fn write(&self, file: &Path, bytes: &[u8]) -> io::Result<()> {
        let draft = self.root.join(format!("payloads/{}.draft", self.writes.fetch_add(1, Ordering::Relaxed)));
        write_durably(&self.root, file, &draft, bytes).inspect_err(|_| {
            // A draft that stays is overwritten by a later one.
            let _ = fs::remove_file(&draft);
        })
    }

    /// Has it count as stored now.
    fn touch(&self, file: &Path) -> io::Result<()> {
        let file = File::options().write(true).open(file)?;
        file.set_modified(UNIX_EPOCH + Duration::from_millis(self.clock.now().0))?;
        file.sync_all()
    }

    /// Reads a payload.
    pub(super) fn get(&self, payload: &StoredData) -> Result<Vec<u8>, PortError> {
        let bytes = fs::read(self.file(&name_of(payload))?).map_err(|error| fault::of_io(&error))?;
        let is_whole = is_hash_of(&payload.hash, &bytes);
        if is_whole { Ok(bytes) } else { Err(PortError::Corrupt(format!("the payload {} is damaged", payload.hash))) }
    }

    /// Stores a payload under another name, too. One that cannot be read is left as it is: it holds up nothing.
    pub(crate) fn copy(&self, from: &StoredData, to: &StoredData) -> Result<(), PortError> {
        match self.get(from) {
            Ok(bytes) => self.put(to, &bytes),
            Err(error @ (PortError::NotFound | PortError::Corrupt(_))) => {
                tracing::error!(%error, hash = from.hash, "a payload of the log cannot be kept on");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Payloads that were stored so long ago that they may go, at most so many.
    pub(super) fn past(&self, now: Time, most: usize) -> io::Result<Vec<Name>> {
        let mut past = Vec::new();
        for retention in Retention::ALL.map(Some).into_iter().chain([None]) {
            let until = past_before(retention, now);
            for folder in entries(&self.root.join(StoredData::folder_for(retention)))? {
                let is_part = folder.file_name().is_some_and(|name| name.len() == 2);
                for file in if is_part { entries(&folder)? } else { Vec::new() } {
                    let hash = file.file_name().and_then(|name| name.to_str()).filter(|name| is_hash(name));
                    if let Some(hash) = hash
                        && stored_at(&file)? < until
                    {
                        past.push((hash.to_owned(), retention));
                    }
                    if past.len() == most {
                        return Ok(past);
                    }
                }
            }
        }
        Ok(past)
    }

    /// Has a payload kept as long again.
    pub(super) fn keep(&self, name: &Name) -> Result<(), PortError> {
        self.touch(&self.file(name)?).map_err(|error| fault::of_io(&error))
    }

    /// Removes a payload that is past its time, unless it was stored again.
    pub(super) fn remove(&self, name: &Name, now: Time) -> Result<(), PortError> {
        let file = self.file(name)?;
        let _alone = self.removal.write().unwrap_or_else(PoisonError::into_inner);
        let remove = || if stored_at(&file)? < past_before(name.1, now) { fs::remove_file(&file) } else { Ok(()) };
        remove().map_err(|error| fault::of_io(&error))
    }
}
