//! The WAL-index that connections to one database share. It is memory, so it is gone with the power.

use crate::locks::{Busy, Slot};
use crate::medium::HandleId;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Slots that SQLite locks.
pub(crate) const SLOTS: usize = 8;

/// The shared memory of one database file.
#[derive(Debug, Default)]
pub(crate) struct SharedMemory {
    // Not boxes: SQLite holds on to addresses within them, and a box claims to be the only way to what it owns.
    regions: Vec<Arc<[AtomicU64]>>,
    users: BTreeSet<HandleId>,
    slots: [Slot; SLOTS],
}

impl SharedMemory {
    /// A region of the given size, of zeros when it is new; none if it is not there and is not to be made. It stays
    /// where it is until everybody who mapped any has unmapped.
    pub(crate) fn map(&mut self, handle: HandleId, index: usize, bytes: usize, extend: bool) -> Option<&[AtomicU64]> {
        self.users.insert(handle);
        while extend && self.regions.len() <= index {
            self.regions.push((0..bytes.div_ceil(size_of::<u64>())).map(|_| AtomicU64::new(0)).collect());
        }
        self.regions.get(index).map(|region| &**region)
    }

    pub(crate) fn unmap(&mut self, handle: HandleId) {
        self.unlock(0..SLOTS, handle);
        self.users.remove(&handle);
        if self.users.is_empty() {
            self.regions.clear();
        }
    }

    pub(crate) fn lock_shared(&mut self, slots: Range<usize>, handle: HandleId) -> Result<(), Busy> {
        self.slots[slots].iter_mut().try_for_each(|slot| slot.lock_shared(handle))
    }

    pub(crate) fn lock_exclusive(&mut self, slots: Range<usize>, handle: HandleId) -> Result<(), Busy> {
        Slot::lock_exclusive(&mut self.slots[slots], handle)
    }

    pub(crate) fn unlock(&mut self, slots: Range<usize>, handle: HandleId) {
        for slot in &mut self.slots[slots] {
            slot.unlock(handle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn regions_are_shared_until_the_last_user_is_gone() {
        let (a, b) = (HandleId(1), HandleId(2));
        let mut memory = SharedMemory::default();
        assert!(memory.map(a, 0, 64, false).is_none());
        memory.map(a, 1, 64, true).unwrap()[7].store(9, Ordering::Relaxed);
        assert_eq!(memory.map(b, 1, 64, false).unwrap()[7].load(Ordering::Relaxed), 9);
        memory.unmap(a);
        assert!(memory.map(b, 1, 64, false).is_some());
        memory.unmap(b);
        assert!(memory.map(a, 1, 64, false).is_none());
    }

    #[test]
    fn who_unmaps_gives_its_locks_back() {
        let (a, b) = (HandleId(1), HandleId(2));
        let mut memory = SharedMemory::default();
        assert_eq!(memory.lock_exclusive(0..3, a), Ok(()));
        assert_eq!(memory.lock_shared(2..3, b), Err(Busy));
        memory.unmap(a);
        assert_eq!(memory.lock_shared(2..3, b), Ok(()));
    }
}
