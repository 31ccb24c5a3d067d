//! The disk itself, without any of SQLite's ways: files, their names, power and faults.

mod contents;
mod folder;
mod plan;

pub use contents::Keep;
pub use plan::Moment;
pub(crate) use plan::{Cut, Plan, Step, Syncs};

use crate::locks::FileLocks;
use crate::shared_memory::SharedMemory;
use contents::Contents;
use folder::Folder;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::HashMap;

/// A file, whatever it is called.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct FileId(pub(crate) u64);

/// One opening of a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct HandleId(pub(crate) u64);

/// Names an opening in every call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Opened {
    pub(crate) file: FileId,
    pub(crate) handle: HandleId,
    /// Which time between two cuts it belongs to: once the power was cut it is dead for good.
    session: u64,
}

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mode {
    pub(crate) create: bool,
    pub(crate) exclusive: bool,
}

/// Why the disk did not do what was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// The power is, or was, off.
    Dead,
    /// There is no room.
    Full,
    /// The sync failed, as it was told to.
    SyncFailed,
    /// There is no such file, or there is one already.
    Name,
}

/// A file and what its openings share.
#[derive(Debug, Default)]
pub(crate) struct File {
    pub(crate) locks: FileLocks,
    pub(crate) memory: SharedMemory,
    contents: Contents,
    openings: usize,
}

/// Everything behind the disk's lock.
#[derive(Debug)]
pub(crate) struct Medium {
    pub(crate) plan: Plan,
    pub(crate) syncs: Syncs,
    pub(crate) capacity: Option<usize>,
    files: HashMap<FileId, File>,
    folder: Folder,
    on: bool,
    session: u64,
    last_id: u64,
    random: StdRng,
}

impl Medium {
    pub(crate) fn new(seed: u64) -> Medium {
        Medium {
            plan: Plan::default(),
            syncs: Syncs::Honoured,
            capacity: None,
            files: HashMap::new(),
            folder: Folder::default(),
            on: true,
            session: 0,
            last_id: 0,
            random: StdRng::seed_from_u64(seed),
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.on
    }

    pub(crate) fn power_on(&mut self) {
        self.on = true;
    }

    /// Cuts the power: what is found afterwards is put in the place of what there was.
    pub(crate) fn cut(&mut self, keep: Keep) {
        if !self.on {
            return;
        }
        self.on = false;
        self.session += 1;
        self.plan.forget();
        let Medium { files, folder, last_id, random, .. } = self;
        match keep {
            Keep::Nothing => folder.cut(|| false),
            Keep::RandomSubset => folder.cut(|| random.random()),
            Keep::Everything => {}
        }
        // The old files stay, without a name, for those that have them open.
        folder.replace(|old| {
            let contents = files.get_mut(&old).map(|file| file.contents.after_cut(keep, random));
            *last_id += 1;
            files.insert(FileId(*last_id), File { contents: contents.unwrap_or_default(), ..File::default() });
            FileId(*last_id)
        });
        self.forget_unreachable();
    }

    /// Bytes in all files together.
    pub(crate) fn used(&self) -> usize {
        self.files.iter().filter(|(id, _)| self.folder.names(**id)).map(|(_, file)| file.contents.len()).sum()
    }

    pub(crate) fn open(&mut self, name: Option<&str>, mode: Mode) -> Result<Opened, Refusal> {
        if !self.on {
            return Err(Refusal::Dead);
        }
        let existing = name.and_then(|name| self.folder.find(name));
        let file = match existing {
            Some(_) if mode.create && mode.exclusive => return Err(Refusal::Name),
            Some(file) => file,
            None if mode.create => self.add(Contents::default()),
            None => return Err(Refusal::Name),
        };
        if let Some(name) = name {
            self.folder.put(name, file);
        }
        self.last_id += 1;
        self.files.entry(file).or_default().openings += 1;
        Ok(Opened { file, handle: HandleId(self.last_id), session: self.session })
    }

    /// Gives back an opening with its locks and shared memory. Works without power, too.
    pub(crate) fn close(&mut self, opened: Opened) {
        if let Some(file) = self.files.get_mut(&opened.file) {
            file.openings -= 1;
            file.locks.forget(opened.handle);
            file.memory.unmap(opened.handle);
        }
        self.forget_unreachable();
    }

    pub(crate) fn exists(&self, name: &str) -> Result<bool, Refusal> {
        if !self.on {
            return Err(Refusal::Dead);
        }
        // As the `unix` VFS has it: an empty file is as good as none.
        let file = self.folder.find(name).and_then(|file| self.files.get(&file));
        Ok(file.is_some_and(|file| file.contents.len() > 0))
    }

    /// Removes a name; lasting at once with `sync_folder`.
    pub(crate) fn remove(&mut self, name: &str, sync_folder: bool) -> Result<(), Refusal> {
        self.step(Step::Change)?;
        if !self.folder.remove(name) {
            return Err(Refusal::Name);
        }
        if sync_folder && self.syncs == Syncs::Honoured {
            self.folder.sync();
        }
        self.forget_unreachable();
        Ok(())
    }

    pub(crate) fn read(&mut self, opened: Opened, offset: usize, buffer: &mut [u8]) -> Result<usize, Refusal> {
        Ok(self.live(opened)?.contents.read(offset, buffer))
    }

    pub(crate) fn len(&mut self, opened: Opened) -> Result<usize, Refusal> {
        Ok(self.live(opened)?.contents.len())
    }

    pub(crate) fn write(&mut self, opened: Opened, offset: usize, bytes: &[u8]) -> Result<(), Refusal> {
        self.live(opened)?;
        self.step(Step::Change)?;
        let (used, capacity) = (self.used(), self.capacity);
        let contents = &mut self.live(opened)?.contents;
        let growth = (offset + bytes.len()).saturating_sub(contents.len());
        if growth > 0 && capacity.is_some_and(|capacity| used + growth > capacity) {
            return Err(Refusal::Full);
        }
        contents.write(offset, bytes);
        Ok(())
    }

    pub(crate) fn truncate(&mut self, opened: Opened, len: usize) -> Result<(), Refusal> {
        self.live(opened)?;
        self.step(Step::Change)?;
        self.live(opened)?.contents.truncate(len);
        Ok(())
    }

    /// Syncs a file, and with the first sync of a journal (or WAL) the folder, too.
    pub(crate) fn sync(&mut self, opened: Opened, name: Option<&str>, is_journal: bool) -> Result<(), Refusal> {
        self.live(opened)?;
        let cut = self.plan.count(Step::Sync);
        match (self.syncs, cut.map(|cut| cut.moment)) {
            (Syncs::Failing, None) => return Err(Refusal::SyncFailed),
            (Syncs::Failing | Syncs::Ignored, _) | (_, Some(Moment::Before)) => {}
            (Syncs::Honoured, Some(Moment::Half)) => self.live(opened)?.contents.sync_half(),
            (Syncs::Honoured, None | Some(Moment::After)) => {
                self.live(opened)?.contents.sync();
                if name.is_some_and(|name| self.folder.sync_name(name, opened.file)) && is_journal {
                    self.folder.sync();
                }
            }
        }
        match cut {
            None => Ok(()),
            Some(cut) => {
                self.cut(cut.keep);
                Err(Refusal::Dead)
            }
        }
    }

    /// The file, if the power has not been cut since it was opened.
    pub(crate) fn live(&mut self, opened: Opened) -> Result<&mut File, Refusal> {
        let session = self.session;
        let alive = self.on && opened.session == session;
        self.files.get_mut(&opened.file).filter(|_| alive).ok_or(Refusal::Dead)
    }

    /// The file, dead or not: locks have to be given back even so.
    pub(crate) fn any(&mut self, opened: Opened) -> Option<&mut File> {
        self.files.get_mut(&opened.file)
    }

    fn step(&mut self, step: Step) -> Result<(), Refusal> {
        if self.on
            && let Some(cut) = self.plan.count(step)
        {
            self.cut(cut.keep);
        }
        if self.on { Ok(()) } else { Err(Refusal::Dead) }
    }

    fn add(&mut self, contents: Contents) -> FileId {
        self.last_id += 1;
        let id = FileId(self.last_id);
        self.files.insert(id, File { contents, ..File::default() });
        id
    }

    fn forget_unreachable(&mut self) {
        let Medium { files, folder, .. } = self;
        files.retain(|id, file| file.openings > 0 || folder.names(*id));
    }
}
