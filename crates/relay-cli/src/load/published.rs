//! What was published: how far each key got, and what the broker did not accept.

use std::collections::HashSet;

/// The publishing side of the books.
#[derive(Clone, Debug, Default)]
pub struct Published {
    next: Vec<u32>,
    /// Events that were not answered with 202. They may have been accepted all the same, so nothing is owed and nothing
    /// is wrong if they come.
    unsure: HashSet<(u32, u32)>,
    accepted: u64,
    first_refusal: Option<String>,
}

impl Published {
    /// Nothing yet, under so many keys.
    #[must_use]
    pub fn new(keys: usize) -> Published {
        Published { next: vec![0; keys], ..Published::default() }
    }

    /// Number of keys.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.next.len()
    }

    /// The number of a key's next event, which is taken with this.
    pub fn take(&mut self, key: u32) -> u32 {
        let next = &mut self.next[key as usize];
        let taken = *next;
        *next += 1;
        taken
    }

    /// Notes that events were accepted.
    pub fn accept(&mut self, count: usize) {
        self.accepted += count as u64;
    }

    /// Notes that events, given as key and number, may not have been accepted, and why.
    pub fn refuse(&mut self, events: impl IntoIterator<Item = (u32, u32)>, why: impl FnOnce() -> String) {
        self.unsure.extend(events);
        self.first_refusal.get_or_insert_with(why);
    }

    /// How many events were accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted
    }

    /// How many may not have been.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.unsure.len() as u64
    }

    /// Why the first of them was not.
    #[must_use]
    pub fn first_refusal(&self) -> Option<&str> {
        self.first_refusal.as_deref()
    }

    /// The number after the last event of a key.
    #[must_use]
    pub fn end(&self, key: u32) -> u32 {
        self.next.get(key as usize).copied().unwrap_or(0)
    }

    /// True if the event was answered with 202.
    #[must_use]
    pub fn was_accepted(&self, key: u32, number: u32) -> bool {
        number < self.end(key) && !self.unsure.contains(&(key, number))
    }
}
