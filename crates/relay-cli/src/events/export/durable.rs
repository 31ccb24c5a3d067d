//! Files that are there whole, or not at all, whenever the power goes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Gives a file that was written under another name its own.
pub(super) fn place(file: &File, from: &Path, to: &Path) -> io::Result<()> {
    file.sync_all()?;
    fs::rename(from, to)?;
    sync_folder_of(to)
}

/// Replaces a small file.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_added_extension("tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(content)?;
    place(&file, &temporary, path)
}

/// Makes a folder, if it is not there.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)?;
    sync_folder_of(path)
}

/// What is new in a folder is there after a power cut only when the folder itself was synced.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
