//! A folder that goes when its owner goes.

use std::io;
use std::path::{Path, PathBuf};

/// A new folder among the system's temporary ones, removed with all that is in it when this is dropped.
#[derive(Debug)]
pub struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    /// Makes one whose name begins like this.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new(prefix: &str) -> io::Result<TemporaryFolder> {
        let path = std::env::temp_dir().join(format!("{prefix}-{:016x}", super::broker::random()));
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        std::fs::create_dir(&path)?;
        Ok(TemporaryFolder(path))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's own cleaning.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
