//! Payloads too large for a row: files named by the hash of their bytes.

use crate::fault;
use crate::files::{sync_names, write_durably};
use async_trait::async_trait;
use bytes::Bytes;
use relay_core::digest::{hexadecimal, sha256};
use relay_core::ports::{Payloads, PortError};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// [`Payloads`] over a folder.
pub(crate) struct PayloadsPort {
    folder: PathBuf,
    /// Tells files apart that are being written at the same time.
    writes: AtomicU64,
}

impl PayloadsPort {
    pub(crate) fn new(folder: PathBuf) -> PayloadsPort {
        PayloadsPort { folder, writes: AtomicU64::new(0) }
    }

    fn file(&self, hash: &str) -> Result<PathBuf, PortError> {
        let is_hash = hash.len() == 64 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !is_hash {
            return Err(PortError::Invalid("a payload's name is the SHA-256 of its bytes".to_owned()));
        }
        Ok(self.folder.join(&hash[..2]).join(hash))
    }
}

fn is_hash_of(hash: &str, bytes: &[u8]) -> bool {
    hexadecimal(&sha256([bytes])) == hash
}

/// Makes a payload durable under its name.
fn store(root: &Path, file: &Path, draft: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if fs::metadata(file).is_ok_and(|known| known.len() == bytes.len() as u64) {
        return sync_names(root, file.parent().unwrap_or(root));
    }
    write_durably(root, file, draft, bytes)
}

fn failed(error: tokio::task::JoinError) -> PortError {
    PortError::Unavailable(error.to_string())
}

#[async_trait]
impl Payloads for PayloadsPort {
    async fn put(&self, hash: &str, bytes: Bytes) -> Result<(), PortError> {
        let (file, hash) = (self.file(hash)?, hash.to_owned());
        let draft = self.folder.join(format!("{}.draft", self.writes.fetch_add(1, Ordering::Relaxed)));
        let root = self.folder.clone();
        let put = move || {
            if !is_hash_of(&hash, &bytes) {
                return Err(PortError::Invalid("the payload's bytes do not have that hash".to_owned()));
            }
            store(&root, &file, &draft, &bytes).map_err(|error| {
                // A draft that stays is overwritten by a later one.
                let _ = fs::remove_file(&draft);
                fault::of_io(&error)
            })
        };
        tokio::task::spawn_blocking(put).await.map_err(failed)?
    }

    async fn get(&self, hash: &str) -> Result<Bytes, PortError> {
        let (file, hash) = (self.file(hash)?, hash.to_owned());
        let get = move || {
            let bytes = fs::read(&file).map_err(|error| fault::of_io(&error))?;
            if is_hash_of(&hash, &bytes) {
                Ok(Bytes::from(bytes))
            } else {
                Err(PortError::Corrupt(format!("the payload {hash} is damaged")))
            }
        };
        tokio::task::spawn_blocking(get).await.map_err(failed)?
    }
}
