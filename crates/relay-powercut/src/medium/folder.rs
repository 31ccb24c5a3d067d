//! Which file a name means: now, and after a power cut.

use super::FileId;
use std::collections::{BTreeMap, BTreeSet};

/// The names of files. Ordered, so that a seed gives the same draws again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Folder {
    current: BTreeMap<String, FileId>,
    durable: BTreeMap<String, FileId>,
}

impl Folder {
    pub(crate) fn find(&self, name: &str) -> Option<FileId> {
        self.current.get(name).copied()
    }

    pub(crate) fn put(&mut self, name: &str, file: FileId) {
        self.current.insert(name.to_owned(), file);
    }

    /// Takes a name away; true if it was there. Lasting only once the folder is synced.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        self.current.remove(name).is_some()
    }

    /// Makes every change of names last.
    pub(crate) fn sync(&mut self) {
        self.durable = self.current.clone();
    }

    /// Makes one name last, if it still means this file; true if it did not last before.
    pub(crate) fn sync_name(&mut self, name: &str, file: FileId) -> bool {
        self.find(name) == Some(file) && self.durable.insert(name.to_owned(), file) != Some(file)
    }

    /// True if the file is found under a name now, or would be after a cut.
    pub(crate) fn names(&self, file: FileId) -> bool {
        self.current.values().chain(self.durable.values()).any(|named| *named == file)
    }

    /// Forgets changes that were not synced: of each of them, `is_found` says whether it is found all the same.
    pub(crate) fn cut(&mut self, mut is_found: impl FnMut() -> bool) {
        let names: BTreeSet<String> = self.current.keys().chain(self.durable.keys()).cloned().collect();
        for name in names {
            let (now, then) = (self.find(&name), self.durable.get(&name).copied());
            let file = if now != then && is_found() { now } else { then };
            match file {
                Some(file) => self.current.insert(name, file),
                None => self.current.remove(&name),
            };
        }
        self.sync();
    }

    /// Puts other files in the place of all that have a name.
    pub(crate) fn replace(&mut self, mut other: impl FnMut(FileId) -> FileId) {
        let mut others = BTreeMap::new();
        for file in self.current.values_mut().chain(self.durable.values_mut()) {
            *file = *others.entry(*file).or_insert_with(|| other(*file));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: FileId = FileId(1);
    const NEW: FileId = FileId(2);

    fn found(folder: &Folder, is_found: bool) -> Option<FileId> {
        let mut folder = folder.clone();
        folder.cut(|| is_found);
        assert_eq!(folder.current, folder.durable);
        folder.find("a")
    }

    #[test]
    fn a_name_lasts_once_it_was_synced() {
        let mut folder = Folder::default();
        folder.put("a", OLD);
        assert_eq!((found(&folder, false), found(&folder, true)), (None, Some(OLD)));
        assert!(folder.sync_name("a", OLD));
        assert!(!folder.sync_name("a", OLD), "it lasted already");
        assert_eq!(found(&folder, false), Some(OLD));
    }

    #[test]
    fn a_removed_name_is_back_unless_the_folder_was_synced() {
        let mut folder = Folder::default();
        folder.put("a", OLD);
        folder.sync();
        assert!(folder.remove("a"));
        assert!(!folder.remove("a"));
        assert_eq!((found(&folder, false), found(&folder, true)), (Some(OLD), None));
        assert!(folder.names(OLD));
        folder.put("a", NEW);
        assert_eq!((found(&folder, false), found(&folder, true)), (Some(OLD), Some(NEW)));
        assert!(!folder.sync_name("a", OLD), "the name means another file");
        folder.sync();
        assert_eq!(found(&folder, false), Some(NEW));
        assert!(!folder.names(OLD));
    }

    #[test]
    fn a_replaced_file_keeps_its_names() {
        let mut folder = Folder::default();
        folder.put("a", OLD);
        folder.put("b", OLD);
        assert!(folder.sync_name("a", OLD));
        let mut calls = 0;
        folder.replace(|file| {
            calls += 1;
            assert_eq!(file, OLD);
            NEW
        });
        assert_eq!((calls, folder.find("a"), folder.find("b")), (1, Some(NEW), Some(NEW)));
        folder.cut(|| false);
        assert_eq!((folder.find("a"), folder.find("b")), (Some(NEW), None));
    }
}
