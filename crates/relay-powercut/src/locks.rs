//! Locks as SQLite asks for them: on database files and on slots of the WAL-index.

use crate::medium::HandleId;
use std::collections::{BTreeMap, BTreeSet};

/// Somebody else holds a lock that rules this one out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Busy;

/// How firmly a connection holds a database file, from SQLite's numbers 1 to 4; 0 is not at all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Level {
    /// Reads.
    Shared = 1,
    /// Is going to write.
    Reserved,
    /// Waits for readers to end, and lets no new ones in.
    Pending,
    /// Writes.
    Exclusive,
}

impl Level {
    pub(crate) fn of(number: i32) -> Option<Level> {
        [Level::Shared, Level::Reserved, Level::Pending, Level::Exclusive]
            .into_iter()
            .find(|level| *level as i32 == number)
    }
}

/// The locks on one database file.
#[derive(Debug, Default)]
pub(crate) struct FileLocks {
    held: BTreeMap<HandleId, Level>,
}

impl FileLocks {
    /// Raises a lock. One that fails to become exclusive because of readers is left pending, as SQLite expects.
    pub(crate) fn lock(&mut self, handle: HandleId, wanted: Level) -> Result<(), Busy> {
        let mine = self.held.get(&handle).copied();
        if mine >= Some(wanted) {
            return Ok(());
        }
        let others = self.held.iter().filter(|(other, _)| **other != handle).map(|(_, level)| *level).max();
        match (wanted, others) {
            (_, None)
            | (Level::Shared, Some(Level::Shared | Level::Reserved))
            | (Level::Reserved, Some(Level::Shared)) => {
                self.held.insert(handle, wanted);
                Ok(())
            }
            (Level::Exclusive, Some(Level::Shared)) if mine >= Some(Level::Reserved) => {
                self.held.insert(handle, Level::Pending);
                Err(Busy)
            }
            _ => Err(Busy),
        }
    }

    /// Lowers a lock, to none at all if `to` is none.
    pub(crate) fn unlock(&mut self, handle: HandleId, to: Option<Level>) {
        match to {
            Some(level) if self.held.get(&handle).is_some_and(|held| *held > level) => {
                self.held.insert(handle, level);
            }
            Some(_) => {}
            None => self.forget(handle),
        }
    }

    pub(crate) fn forget(&mut self, handle: HandleId) {
        self.held.remove(&handle);
    }

    /// True if anybody is going to write.
    pub(crate) fn is_reserved(&self) -> bool {
        self.held.values().any(|level| *level >= Level::Reserved)
    }
}

/// One slot of the WAL-index: held by many, or by one alone.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    shared: BTreeSet<HandleId>,
    exclusive: Option<HandleId>,
}

impl Slot {
    pub(crate) fn lock_shared(&mut self, handle: HandleId) -> Result<(), Busy> {
        if self.exclusive.is_some_and(|holder| holder != handle) {
            return Err(Busy);
        }
        self.shared.insert(handle);
        Ok(())
    }

    /// All of the slots, or none.
    pub(crate) fn lock_exclusive(slots: &mut [Slot], handle: HandleId) -> Result<(), Busy> {
        let free = |slot: &Slot| {
            slot.exclusive.is_none_or(|holder| holder == handle) && slot.shared.iter().all(|holder| *holder == handle)
        };
        if !slots.iter().all(free) {
            return Err(Busy);
        }
        for slot in slots {
            slot.exclusive = Some(handle);
        }
        Ok(())
    }

    pub(crate) fn unlock(&mut self, handle: HandleId) {
        self.shared.remove(&handle);
        self.exclusive.take_if(|holder| *holder == handle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: HandleId = HandleId(1);
    const B: HandleId = HandleId(2);

    #[test]
    fn one_writer_waits_for_readers_and_lets_no_new_ones_in() {
        let mut locks = FileLocks::default();
        for handle in [A, B] {
            assert_eq!(locks.lock(handle, Level::Shared), Ok(()));
        }
        assert_eq!(locks.lock(A, Level::Reserved), Ok(()));
        assert!(locks.is_reserved());
        assert_eq!(locks.lock(B, Level::Reserved), Err(Busy));
        assert_eq!(locks.lock(A, Level::Exclusive), Err(Busy));
        locks.unlock(B, None);
        assert_eq!(locks.lock(B, Level::Shared), Err(Busy), "a writer is pending");
        assert_eq!(locks.lock(A, Level::Exclusive), Ok(()));
        assert_eq!(locks.lock(B, Level::Shared), Err(Busy));
        locks.unlock(A, Some(Level::Shared));
        assert_eq!(locks.lock(B, Level::Shared), Ok(()));
        assert!(!locks.is_reserved());
    }

    #[test]
    fn slots_are_shared_or_exclusive_and_taken_together() {
        let mut slots = [Slot::default(), Slot::default(), Slot::default()];
        assert_eq!(slots[1].lock_shared(A), Ok(()));
        assert_eq!(slots[1].lock_shared(B), Ok(()));
        assert_eq!(Slot::lock_exclusive(&mut slots, A), Err(Busy));
        assert_eq!(slots[0].lock_shared(B), Ok(()), "nothing was taken of what could not be had whole");
        slots[0].unlock(B);
        slots[1].unlock(B);
        slots[1].unlock(A);
        assert_eq!(Slot::lock_exclusive(&mut slots, A), Ok(()));
        assert_eq!(slots[2].lock_shared(B), Err(Busy));
        slots[2].unlock(B);
        assert_eq!(slots[2].lock_shared(B), Err(Busy), "nobody gives back what another holds");
    }
}
