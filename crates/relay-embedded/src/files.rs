//! Files that are written once, whole or not at all.

use crate::private;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes a file durable under its name, below `root`, by way of a draft there. A file that is there is replaced.
pub(crate) fn write_durably(root: &Path, file: &Path, draft: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = file.parent().unwrap_or(root);
    private::create_folder(folder)?;
    let mut written = private::write().truncate(true).open(draft)?;
    written.write_all(bytes)?;
    written.sync_all()?;
    fs::rename(draft, file)?;
    sync_names(root, folder)
}

/// Makes the names of a folder, and of those between it and `root`, last. Also if they were there: whoever made them may
/// have died before this, or not have come to it yet.
pub(crate) fn sync_names(root: &Path, folder: &Path) -> io::Result<()> {
    for above in folder.ancestors().take_while(|above| above.starts_with(root)) {
        sync_folder(above)?;
    }
    Ok(())
}
