//! Which file a name means: now, and after a power cut.

use super::FileId;
use std::collections::BTreeMap;

/// The names of files. Ordered, so that a seed gives the same draws again.
#[derive(Debug, Default)]
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

    /// The names that are found after a cut; `changed` says, for each name whose change was not synced, whether the
    /// change is found.
    pub(crate) fn after_cut(&self, mut changed: impl FnMut() -> bool) -> BTreeMap<String, FileId> {
        let mut found = BTreeMap::new();
        for name in self.current.keys().chain(self.durable.keys()) {
            if found.contains_key(name) {
                continue;
            }
            let (now, then) = (self.current.get(name), self.durable.get(name));
            let file = if now != then && changed() { now } else { then };
            found.insert(name.clone(), file.copied());
        }
        found.into_iter().filter_map(|(name, file)| Some((name, file?))).collect()
    }

    /// The folder as it is found when the power is back.
    pub(crate) fn found(names: BTreeMap<String, FileId>) -> Folder {
        Folder { current: names.clone(), durable: names }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: FileId = FileId(1);
    const NEW: FileId = FileId(2);

    fn found(folder: &Folder, changed: bool) -> Option<FileId> {
        folder.after_cut(|| changed).get("a").copied()
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
}
