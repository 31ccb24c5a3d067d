//! Events in a folder: files by date, and a manifest that says what they hold and where to go on.
//!
//! Files are numbered. They get their names, all of a number at once, before the manifest counts them: files of a number that
//! it does not count are what a run left that died in between, and are written again.

use super::durable;
use super::file::WholeFile;
use super::manifest::{Manifest, NAME, Request};
use crate::events::event::Event;
use crate::failure::Failure;
use anyhow::{Context, anyhow};
use std::collections::btree_map::{BTreeMap, Entry};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

const LOCK: &str = "export.lock";
/// Files get no further page beyond this, however few events it is: an interruption costs no more.
const FILE_BYTES: usize = 256 * 1024 * 1024;

/// A folder that is being written to, by nobody else.
pub(super) struct Folder {
    path: PathBuf,
    manifest: Manifest,
    /// Files of the next number, by date.
    parts: BTreeMap<String, WholeFile>,
    /// Events in them, and bytes.
    events: u64,
    bytes: usize,
    file_events: u64,
    /// Locked for as long as it is open.
    _lock: File,
}

impl Folder {
    /// Takes a new folder, or one that can be gone on with.
    pub fn open(path: &Path, request: Request, file_events: u64) -> Result<Folder, Failure> {
        let fault = |what: String| Failure::configuration([format!("--out {}: {what}", path.display())]);
        if path.exists() && !path.is_dir() {
            return Err(fault("is neither a folder nor a file that ends in .jsonl or .jsonl.zst".to_owned()));
        }
        durable::make_folder(path).with_context(|| format!("{} cannot be made", path.display()))?;
        if !is_ours(path).with_context(|| format!("{} cannot be read", path.display()))? {
            return Err(fault("has files, but none of an export: use another folder".to_owned()));
        }
        // Before anything is read that another export may be changing.
        let lock = lock(path)?;
        let known = Manifest::read(path).with_context(|| path.join(NAME).display().to_string())?;
        // A run that has read nothing, perhaps since it was asked for what there is not, binds nobody.
        let known = known.filter(|known| known.cursor.is_some());
        let manifest = match known.as_ref().and_then(|known| known.refuses(&request)) {
            Some(reason) => return Err(fault(format!("has an export with {reason}: use another folder"))),
            None => known.unwrap_or_else(|| Manifest::new(request)),
        };
        let folder = Folder {
            path: path.to_owned(),
            manifest,
            parts: BTreeMap::new(),
            events: 0,
            bytes: 0,
            file_events,
            _lock: lock,
        };
        folder.remove_uncounted().context("what an earlier run left cannot be removed")?;
        // From here on it can be gone on with.
        folder.manifest.write(&folder.path)?;
        Ok(folder)
    }

    /// Where to read on; none if it has all that is wanted.
    pub fn begins_at(&self) -> Option<String> {
        let manifest = &self.manifest;
        (!manifest.is_complete).then(|| manifest.cursor.clone().unwrap_or_else(|| manifest.request.begin()))
    }

    pub fn write(&mut self, event: &Event) -> Result<(), Failure> {
        let date: String = event.logged_at()?.to_string().chars().take(DATE_LENGTH).collect();
        let part = match self.parts.entry(date) {
            Entry::Occupied(part) => part.into_mut(),
            Entry::Vacant(place) => {
                let folder = self.path.join(format!("date={}", place.key()));
                durable::make_folder(&folder)?;
                place.insert(WholeFile::create(&folder.join(part_name(self.manifest.next_part)))?)
            }
        };
        let line = event.line();
        part.write(&line)?;
        self.events += 1;
        self.bytes += line.len();
        Ok(())
    }

    /// Tells that all before this place is written. Names the files when they are large enough.
    pub fn end_page(&mut self, cursor: &str) -> io::Result<()> {
        if self.events >= self.file_events || self.bytes >= FILE_BYTES { self.commit(cursor, false) } else { Ok(()) }
    }

    /// Names the files, then counts them.
    pub fn commit(&mut self, cursor: &str, is_complete: bool) -> io::Result<()> {
        let has_parts = !self.parts.is_empty();
        while let Some((_, part)) = self.parts.pop_first() {
            part.finish()?;
        }
        self.manifest.cursor = Some(cursor.to_owned());
        self.manifest.events += std::mem::take(&mut self.events);
        self.bytes = 0;
        self.manifest.next_part += u64::from(has_parts);
        self.manifest.is_complete = is_complete;
        self.manifest.write(&self.path)
    }

    /// What to tell of it.
    pub fn told(&self) -> String {
        format!("{} has {} in all", self.path.display(), self.manifest.events)
    }

    fn remove_uncounted(&self) -> io::Result<()> {
        for date in fs::read_dir(&self.path)?.collect::<io::Result<Vec<_>>>()? {
            if !date.file_name().to_string_lossy().starts_with("date=") {
                continue;
            }
            for part in fs::read_dir(date.path())?.collect::<io::Result<Vec<_>>>()? {
                if part_number(&part.file_name().to_string_lossy())
                    .is_some_and(|number| number >= self.manifest.next_part)
                {
                    fs::remove_file(part.path())?;
                }
            }
        }
        Ok(())
    }
}

/// `YYYY-MM-DD`, with which a time begins.
const DATE_LENGTH: usize = 10;

fn part_name(number: u64) -> String {
    format!("part-{number:06}.jsonl")
}

/// The number of a file, be it whole or not.
fn part_number(name: &str) -> Option<u64> {
    let name = name.strip_suffix(".tmp").unwrap_or(name);
    name.strip_prefix("part-")?.strip_suffix(".jsonl")?.parse().ok()
}

/// True if it has an export, or nothing but what a run leaves that died at its very beginning.
fn is_ours(path: &Path) -> io::Result<bool> {
    let begun = |name: &str| name == LOCK || name.starts_with(NAME);
    let entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
    Ok(path.join(NAME).is_file() || entries.iter().all(|entry| begun(&entry.file_name().to_string_lossy())))
}

fn lock(path: &Path) -> Result<File, Failure> {
    let lock = File::create(path.join(LOCK)).context("the folder cannot be locked")?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(anyhow!("{}: another export is writing there", path.display()).into()),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}
