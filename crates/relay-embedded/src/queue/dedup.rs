//! Which packs were sent of late: small enough to keep in memory, exact because the log has the last word.
//!
//! A generation covers some seconds of sends. The youngest is a hash table; those before it are sealed into arrays of
//! six bytes a send, which are also written down, so that a start need not read five minutes of the log.

use hashbrown::HashTable;
use relay_core::limits::DEDUPLICATION_WINDOW;
use relay_core::pack::{DedupId, GroupId};
use relay_core::time::Time;
use std::collections::VecDeque;
use std::time::Duration;

/// A generation is sealed when it is so old,
const GENERATION: Duration = Duration::from_secs(30);
/// or so large.
const GENERATION_SENDS: usize = 256 * 1024;
/// Sends to a bucket of a sealed generation.
const BUCKET: usize = 8;

/// A sealed generation.
#[derive(Debug)]
pub(crate) struct Sealed {
    /// Positions are counted from here.
    first: u64,
    /// The last position that was given out when it was sealed.
    through: u64,
    /// No send in it is later.
    ended: Time,
    shift: u32,
    /// Where each bucket starts; one more than there are.
    starts: Vec<u32>,
    tags: Vec<u16>,
    offsets: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Send {
    hash: u32,
    offset: u32,
}

/// Sends of the last five minutes, and some before.
#[derive(Debug)]
pub(crate) struct Dedup {
    seed: u64,
    open: HashTable<Send>,
    open_first: u64,
    open_began: Time,
    sealed: VecDeque<Sealed>,
}

/// An odd number whose bits are as good as random.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// Combines hashes with a number that nobody outside knows, so that nobody can aim at a bucket.
#[derive(Clone, Copy, Debug)]
struct Mixer(u64);

impl Mixer {
    fn add(&mut self, hash: &[u8; 16]) {
        for part in hash.chunks(8) {
            let number = part.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
            let product = u128::from(self.0 ^ number) * u128::from(SPREAD);
            self.0 = (product >> 64) as u64 ^ product as u64;
        }
    }
}

impl Dedup {
    /// Nothing was sent yet that is known of; `seed` is to be random, and the same for all of a store's life.
    pub(crate) fn new(seed: u64, first: u64, now: Time) -> Dedup {
        Dedup { seed, open: HashTable::new(), open_first: first, open_began: now, sealed: VecDeque::new() }
    }

    /// What stands for a pack of a group here.
    pub(crate) fn hash(&self, group: &GroupId, dedup: &DedupId) -> u32 {
        let mut mixer = Mixer(self.seed);
        mixer.add(&group.0);
        mixer.add(&dedup.0);
        (mixer.0 >> 32) as u32
    }

    /// Positions that may be those of the same pack, sent no more than five minutes ago; the log tells.
    pub(crate) fn candidates(&self, hash: u32, now: Time) -> Vec<u64> {
        let sealed = self.sealed.iter().filter(|generation| generation.ended + DEDUPLICATION_WINDOW >= now);
        let mut found: Vec<u64> = sealed.flat_map(|generation| generation.candidates(hash)).collect();
        let open = self.open.iter_hash(spread(hash));
        found.extend(open.filter(|send| send.hash == hash).map(|send| self.open_first + u64::from(send.offset)));
        found
    }

    /// Notes a send.
    pub(crate) fn insert(&mut self, hash: u32, position: u64) {
        let offset = u32::try_from(position - self.open_first).unwrap_or(u32::MAX);
        self.open.insert_unique(spread(hash), Send { hash, offset }, |send| spread(send.hash));
    }

    /// Forgets a send that came to nothing.
    pub(crate) fn remove(&mut self, hash: u32, position: u64) {
        let first = self.open_first;
        let is_it = |send: &Send| send.hash == hash && first + u64::from(send.offset) == position;
        if let Ok(entry) = self.open.find_entry(spread(hash), is_it) {
            entry.remove();
        }
    }

    /// Seals the open generation if it is time to, and forgets what is too old. Answers the sealed one, to be
    /// written. `through` is the last position that was given out; all of it must be committed.
    pub(crate) fn turn(&mut self, through: u64, now: Time) -> Option<&Sealed> {
        if now < self.open_began + GENERATION && self.open.len() < GENERATION_SENDS {
            return None;
        }
        while self.sealed.front().is_some_and(|first| first.ended + DEDUPLICATION_WINDOW < now) {
            self.sealed.pop_front();
        }
        let sends = std::mem::take(&mut self.open);
        let first = std::mem::replace(&mut self.open_first, through + 1);
        self.open_began = now;
        if sends.is_empty() {
            return None;
        }
        let sealed = Sealed::build(first, through, now, sends.iter().copied());
        self.sealed.push_back(sealed);
        self.sealed.back()
    }

    /// The sealed generations from the one that ends at a position on.
    pub(crate) fn sealed_since(&self, through: u64) -> impl Iterator<Item = &Sealed> {
        self.sealed.iter().filter(move |generation| generation.through >= through)
    }

    /// Nothing before this position will be noted any more.
    pub(crate) fn begin_at(&mut self, position: u64) {
        if self.open.is_empty() {
            self.open_first = position;
        }
    }

    /// Takes back a generation that was written; they come in order.
    pub(crate) fn restore(&mut self, generation: Sealed) {
        self.open_first = generation.through + 1;
        self.sealed.push_back(generation);
    }
}

impl Sealed {
    fn build(first: u64, through: u64, ended: Time, sends: impl Iterator<Item = Send> + Clone) -> Sealed {
        let count = sends.clone().count();
        let bits = (count / BUCKET).next_power_of_two().trailing_zeros().min(16);
        let shift = 32 - bits;
        let bucket = |hash: u32| (u64::from(hash) >> shift) as usize;
        let mut starts = vec![0u32; (1 << bits) + 1];
        for send in sends.clone() {
            starts[bucket(send.hash) + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = starts.clone();
        let (mut tags, mut offsets) = (vec![0; count], vec![0; count]);
        for send in sends {
            let at = &mut next[bucket(send.hash)];
            tags[*at as usize] = tag(send.hash, shift);
            offsets[*at as usize] = send.offset;
            *at += 1;
        }
        Sealed { first, through, ended, shift, starts, tags, offsets }
    }

    fn candidates(&self, hash: u32) -> impl Iterator<Item = u64> + '_ {
        let bucket = (u64::from(hash) >> self.shift) as usize;
        let range = self.starts[bucket] as usize..self.starts[bucket + 1] as usize;
        let tag = tag(hash, self.shift);
        range.filter(move |at| self.tags[*at] == tag).map(|at| self.first + u64::from(self.offsets[at]))
    }

    /// The first position that it covers, the last, and when it ended.
    pub(crate) fn span(&self) -> (u64, u64, Time) {
        (self.first, self.through, self.ended)
    }

    /// Its sends, as they are written.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![1, self.shift as u8];
        bytes.extend((self.starts.len() as u32).to_le_bytes());
        bytes.extend(self.starts.iter().flat_map(|start| start.to_le_bytes()));
        bytes.extend(self.tags.iter().flat_map(|tag| tag.to_le_bytes()));
        bytes.extend(self.offsets.iter().flat_map(|offset| offset.to_le_bytes()));
        bytes
    }

    /// Reads what was written; none if it is damaged, or of a later version.
    pub(crate) fn decode(first: u64, through: u64, ended: Time, bytes: &[u8]) -> Option<Sealed> {
        let (head, rest) = bytes.split_at_checked(6)?;
        let shift = u32::from(head[1]);
        let buckets = u32::from_le_bytes(head[2..6].try_into().ok()?) as usize;
        if head[0] != 1 || !(16..=32).contains(&shift) || buckets != (1 << (32 - shift)) + 1 {
            return None;
        }
        let (starts, rest) = rest.split_at_checked(buckets * 4)?;
        let wide = |bytes: &[u8]| -> Vec<u32> {
            bytes.chunks_exact(4).map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect()
        };
        let starts = wide(starts);
        let count = *starts.last()? as usize;
        let (tags, offsets) = rest.split_at_checked(count * 2)?;
        let tags = tags.chunks_exact(2).map(|two| u16::from_le_bytes([two[0], two[1]])).collect();
        let whole = offsets.len() == count * 4 && starts.is_sorted();
        whole.then(|| Sealed { first, through, ended, shift, starts, tags, offsets: wide(offsets) })
    }
}

/// Spreads a hash of 32 bits over 64, as the table wants it.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(SPREAD)
}

/// The 16 bits below those that choose the bucket.
fn tag(hash: u32, shift: u32) -> u16 {
    if shift >= 16 { (u64::from(hash) >> (shift - 16)) as u16 } else { hash as u16 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> DedupId {
        DedupId::of([number.to_be_bytes().as_slice()])
    }

    const GROUP: GroupId = GroupId([3; 16]);

    #[test]
    fn every_send_is_found_and_hardly_anything_else() {
        let mut dedup = Dedup::new(99, 1, Time(0));
        let mut now = Time(0);
        for position in 1..=50_000 {
            now = Time(position * 4);
            dedup.insert(dedup.hash(&GROUP, &id(position)), position);
            if let Some(sealed) = dedup.turn(position, now) {
                let (first, through, ended) = sealed.span();
                let read = Sealed::decode(first, through, ended, &sealed.encode()).unwrap();
                assert_eq!((&read.starts, &read.tags, &read.offsets), (&sealed.starts, &sealed.tags, &sealed.offsets));
            }
        }
        assert_eq!(dedup.sealed.len(), 6);
        let mut more = 0;
        for position in 1..=50_000 {
            let found = dedup.candidates(dedup.hash(&GROUP, &id(position)), now);
            assert!(found.contains(&position));
            more += found.len() - 1;
            more += dedup.candidates(dedup.hash(&GROUP, &id(position + 1_000_000)), now).len();
        }
        assert!(more < 200, "{more} false hits");
        let later = now + DEDUPLICATION_WINDOW;
        let found = (1..=50_000).filter(|at| !dedup.candidates(dedup.hash(&GROUP, &id(*at)), later).is_empty());
        assert!(found.count() < 10_000, "what is older than the window is passed over");
    }

    #[test]
    fn a_send_that_came_to_nothing_is_forgotten() {
        let mut dedup = Dedup::new(5, 1, Time(0));
        let hash = dedup.hash(&GROUP, &id(1));
        dedup.insert(hash, 1);
        dedup.insert(hash, 2);
        dedup.remove(hash, 2);
        dedup.remove(hash, 7);
        assert_eq!(dedup.candidates(hash, Time(0)), [1]);
    }

    #[test]
    fn damaged_generations_are_refused() {
        let mut dedup = Dedup::new(5, 1, Time(0));
        dedup.insert(dedup.hash(&GROUP, &id(1)), 1);
        let sealed = dedup.turn(1, Time(60_000)).unwrap();
        let bytes = sealed.encode();
        assert!(Sealed::decode(1, 1, Time(0), &bytes[..bytes.len() - 1]).is_none());
        assert!(Sealed::decode(1, 1, Time(0), &[]).is_none());
        assert!(Sealed::decode(1, 1, Time(0), &[9; 40]).is_none());
    }
}
