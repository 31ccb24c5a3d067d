//! Which positions of the log are acknowledged: a bit each, so that an acknowledgement costs no row of its own.

use std::collections::{BTreeMap, BTreeSet};

/// Positions to a chunk.
pub(crate) const CHUNK: u64 = 4096;
const WORDS: usize = (CHUNK / 64) as usize;

#[derive(Debug)]
enum Chunk {
    Partly { words: Box<[u64; WORDS]>, count: u64 },
    Wholly,
}

/// Acknowledgements, and what of them is not written down yet.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    /// Chunks below this one are wholly acknowledged.
    low: u64,
    /// What is known of others; nothing of one that is not here is acknowledged.
    chunks: BTreeMap<u64, Chunk>,
    dirty: BTreeSet<u64>,
    low_is_dirty: bool,
}

/// What has to be written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Unwritten {
    /// Chunks and their bits: none for a wholly acknowledged one.
    pub(crate) chunks: Vec<(u64, Vec<u8>)>,
    /// Chunks below this one need no row any more.
    pub(crate) low: Option<u64>,
}

impl Unwritten {
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.low.is_none()
    }
}

impl Acks {
    /// What was written: the lowest chunk that is not wholly acknowledged, and the rows of those from there on.
    /// Position 0 is no position: it counts as acknowledged.
    pub(crate) fn restore(low: u64, rows: impl IntoIterator<Item = (u64, Vec<u8>)>) -> Option<Acks> {
        let mut acks = Acks { low, ..Acks::default() };
        for (number, bits) in rows {
            let chunk = if bits.is_empty() {
                Chunk::Wholly
            } else {
                let mut words = Box::new([0; WORDS]);
                if bits.len() != WORDS * 8 {
                    return None;
                }
                for (word, bytes) in words.iter_mut().zip(bits.chunks_exact(8)) {
                    *word = u64::from_le_bytes(bytes.try_into().ok()?);
                }
                let count = words.iter().map(|word| u64::from(word.count_ones())).sum();
                Chunk::Partly { words, count }
            };
            acks.chunks.insert(number, chunk);
        }
        acks.set(0);
        acks.dirty.clear();
        Some(acks)
    }

    /// Acknowledges a position; false if it was.
    pub(crate) fn set(&mut self, position: u64) -> bool {
        let number = position / CHUNK;
        if number < self.low {
            return false;
        }
        let empty = || Chunk::Partly { words: Box::new([0; WORDS]), count: 0 };
        let chunk = self.chunks.entry(number).or_insert_with(empty);
        let Chunk::Partly { words, count } = chunk else { return false };
        let (word, bit) = ((position % CHUNK / 64) as usize, 1 << (position % 64));
        if words[word] & bit != 0 {
            return false;
        }
        words[word] |= bit;
        *count += 1;
        self.dirty.insert(number);
        if *count == CHUNK {
            *chunk = Chunk::Wholly;
            while let Some(Chunk::Wholly) = self.chunks.get(&self.low) {
                self.chunks.remove(&self.low);
                self.dirty.remove(&self.low);
                self.low += 1;
                self.low_is_dirty = true;
            }
        }
        true
    }

    /// True if it is acknowledged.
    pub(crate) fn contains(&self, position: u64) -> bool {
        let number = position / CHUNK;
        match self.chunks.get(&number) {
            _ if number < self.low => true,
            None => false,
            Some(Chunk::Wholly) => true,
            Some(Chunk::Partly { words, .. }) => words[(position % CHUNK / 64) as usize] & 1 << (position % 64) != 0,
        }
    }

    /// The first position from one on that is not acknowledged; it may lie behind the last one that was given out.
    pub(crate) fn first_unset(&self, from: u64) -> u64 {
        let mut position = from.max(self.low * CHUNK);
        loop {
            match self.chunks.get(&(position / CHUNK)) {
                None => return position,
                Some(Chunk::Wholly) => position = (position / CHUNK + 1) * CHUNK,
                Some(Chunk::Partly { words, .. }) => {
                    let word = words[(position % CHUNK / 64) as usize] >> (position % 64);
                    let skip = u64::from((!word).trailing_zeros()).min(64 - position % 64);
                    // The bits that were shifted in are unset, so a run of set ones ends within the word or at its end.
                    if skip < 64 - position % 64 {
                        return position + skip;
                    }
                    position += skip;
                }
            }
        }
    }

    /// Number of positions up to `last` that are not acknowledged.
    pub(crate) fn unset_through(&self, last: u64) -> u64 {
        let given = (last + 1).saturating_sub(self.low * CHUNK);
        let set: u64 = self
            .chunks
            .values()
            .map(|chunk| match chunk {
                Chunk::Partly { count, .. } => *count,
                Chunk::Wholly => CHUNK,
            })
            .sum();
        given.saturating_sub(set)
    }

    /// Takes what has to be written, to be written in one transaction.
    pub(crate) fn take_unwritten(&mut self) -> Unwritten {
        let bits = |number: &u64| match self.chunks.get(number) {
            Some(Chunk::Partly { words, .. }) => words.iter().flat_map(|word| word.to_le_bytes()).collect(),
            _ => Vec::new(),
        };
        let chunks = self.dirty.iter().map(|number| (*number, bits(number))).collect();
        self.dirty.clear();
        let low = std::mem::take(&mut self.low_is_dirty).then_some(self.low);
        Unwritten { chunks, low }
    }

    /// What was taken was not written.
    pub(crate) fn put_back(&mut self, unwritten: &Unwritten) {
        let above = unwritten.chunks.iter().map(|(number, _)| *number).filter(|number| *number >= self.low);
        self.dirty.extend(above);
        self.low_is_dirty |= unwritten.low.is_some();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    proptest! {
        #[test]
        fn bits_are_those_of_a_set_and_survive_being_written(
            positions in proptest::collection::vec(1u64..3 * CHUNK, 0..300),
            run in 0u64..2 * CHUNK,
            cut in 0usize..300,
        ) {
            let (mut acks, mut model) = (Acks::restore(0, []).unwrap(), HashSet::new());
            let mut rows: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
            let mut low = 0;
            for (at, position) in (1..=run).chain(positions).enumerate() {
                prop_assert_eq!(acks.set(position), model.insert(position));
                if at == cut {
                    let lost = acks.take_unwritten();
                    acks.put_back(&lost);
                }
            }
            let last = 3 * CHUNK;
            let written = acks.take_unwritten();
            rows.extend(written.chunks);
            if let Some(new) = written.low {
                low = new;
                rows.retain(|number, _| *number >= new);
            }
            prop_assert!(acks.take_unwritten().is_empty());
            let restored = Acks::restore(low, rows).unwrap();
            for acks in [&acks, &restored] {
                prop_assert_eq!(acks.unset_through(last), last - model.len() as u64);
                let mut next = 1;
                for position in (1..=last).filter(|position| !model.contains(position)) {
                    next = acks.first_unset(next);
                    prop_assert_eq!(next, position);
                    next += 1;
                }
                prop_assert!((1..=last).all(|position| acks.contains(position) == model.contains(&position)));
            }
        }
    }

    #[test]
    fn a_chunk_that_is_done_needs_no_row() {
        let mut acks = Acks::restore(0, []).unwrap();
        for position in 1..CHUNK {
            acks.set(position);
        }
        assert_eq!(acks.take_unwritten(), Unwritten { chunks: vec![], low: Some(1) });
        acks.set(CHUNK);
        assert_eq!(acks.take_unwritten().chunks.len(), 1);
        assert!(!acks.set(5) && acks.contains(5) && !acks.contains(CHUNK + 1));
    }
}
