//! One file's bytes: those that are durable, those that a reader sees, and the changes between the two.

use rand::Rng;
use rand::rngs::StdRng;

/// What a disk writes as a whole or not at all.
pub(crate) const SECTOR: usize = 512;

/// What is found, after a power cut, of changes that were not synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// None of them.
    Nothing,
    /// Any of them, in parts: each sector of each write is there or not.
    RandomSubset,
    /// All of them, still not durable: what is open is dead, but the machine goes on, as when a process is killed. The
    /// next cut may take them yet.
    Everything,
}

/// A file's bytes.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    durable: Vec<u8>,
    current: Vec<u8>,
    pending: Vec<Change>,
}

/// A change that was not synced, of one sector at most.
#[derive(Debug)]
enum Change {
    Write { offset: usize, bytes: Box<[u8]> },
    Truncate(usize),
}

impl Contents {
    /// A file as it is found when the power is back.
    fn found(bytes: Vec<u8>) -> Contents {
        Contents { current: bytes.clone(), durable: bytes, pending: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.current.len()
    }

    /// Fills the buffer from `offset` on, with zeros past the end; answers how many bytes were there.
    pub(crate) fn read(&self, offset: usize, buffer: &mut [u8]) -> usize {
        let start = offset.min(self.current.len());
        let there = buffer.len().min(self.current.len() - start);
        buffer[..there].copy_from_slice(&self.current[start..start + there]);
        buffer[there..].fill(0);
        there
    }

    pub(crate) fn write(&mut self, offset: usize, bytes: &[u8]) {
        let mut offset = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (sector, tail) = rest.split_at(rest.len().min(SECTOR - offset % SECTOR));
            self.change(Change::Write { offset, bytes: sector.into() });
            offset += sector.len();
            rest = tail;
        }
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.change(Change::Truncate(len));
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.current);
        self.pending.push(change);
    }

    /// Makes all changes durable.
    pub(crate) fn sync(&mut self) {
        self.sync_first(self.pending.len());
    }

    /// Makes the older half of the changes durable: what a sync may have done when the power fails within it.
    pub(crate) fn sync_half(&mut self) {
        self.sync_first(self.pending.len().div_ceil(2));
    }

    fn sync_first(&mut self, count: usize) {
        for change in self.pending.drain(..count) {
            change.apply(&mut self.durable);
        }
    }

    /// The file as it is found after a cut.
    pub(crate) fn after_cut(&mut self, keep: Keep, random: &mut StdRng) -> Contents {
        match keep {
            Keep::Nothing => Contents::found(self.durable.clone()),
            Keep::RandomSubset => Contents::found(self.torn(random)),
            Keep::Everything => std::mem::take(self),
        }
    }

    fn torn(&self, random: &mut StdRng) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let luck = Luck::draw(self.pending.len(), random);
        for (index, change) in self.pending.iter().enumerate() {
            if luck.keeps(index, random) {
                change.apply(&mut bytes);
            }
        }
        bytes
    }
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Change::Truncate(len) => to.resize(*len, 0),
            Change::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if *offset == to.len() {
                    to.extend_from_slice(bytes);
                    return;
                }
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[*offset..end].copy_from_slice(bytes);
            }
        }
    }
}

/// How much of a file's changes outlives a cut. Drawn file by file, so that one file's may all be there while another's
/// are all lost: it is what was written in the wrong order that hurts.
enum Luck {
    Share(f64),
    First(usize),
}

impl Luck {
    fn draw(changes: usize, random: &mut StdRng) -> Luck {
        const SHARES: [f64; 6] = [0.0, 0.05, 0.5, 0.5, 0.95, 1.0];
        if random.random_ratio(1, 3) {
            Luck::First(random.random_range(0..=changes))
        } else {
            Luck::Share(SHARES[random.random_range(0..SHARES.len())])
        }
    }

    fn keeps(&self, index: usize, random: &mut StdRng) -> bool {
        match self {
            Luck::Share(share) => random.random_bool(*share),
            Luck::First(count) => index < *count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use std::collections::HashSet;

    fn after(contents: &mut Contents, keep: Keep, seed: u64) -> Vec<u8> {
        contents.after_cut(keep, &mut StdRng::seed_from_u64(seed)).current
    }

    #[test]
    fn a_reader_sees_what_was_written_and_a_cut_leaves_what_was_synced() {
        let mut contents = Contents::default();
        contents.write(0, b"synced");
        contents.sync();
        contents.write(3, b"later");
        contents.truncate(7);
        let mut seen = [9; 10];
        assert_eq!(contents.read(0, &mut seen), 7);
        assert_eq!(&seen, b"synlate\0\0\0");
        assert_eq!(contents.read(100, &mut seen), 0);
        assert_eq!(after(&mut contents, Keep::Nothing, 1), b"synced");
        contents.sync();
        assert_eq!(after(&mut contents, Keep::Nothing, 1), b"synlate");
        assert_eq!(after(&mut contents, Keep::RandomSubset, 1), b"synlate");
    }

    #[test]
    fn writes_that_were_not_synced_are_torn_at_sectors_and_nowhere_else() {
        let mut contents = Contents::found(vec![0; 2048]);
        contents.write(256, &[1; 1024]);
        let mut found = HashSet::new();
        for seed in 0..200 {
            let bytes = after(&mut contents, Keep::RandomSubset, seed);
            let pieces = [256..512, 512..1024, 1024..1280].map(|range| {
                let piece = &bytes[range];
                assert!(piece.iter().all(|byte| *byte == piece[0]), "a piece is there as a whole or not at all");
                piece[0] == 1
            });
            assert!(bytes[..256].iter().chain(&bytes[1280..]).all(|byte| *byte == 0));
            found.insert(pieces);
        }
        assert_eq!(found.len(), 8, "every subset of the three pieces is found");
    }

    #[test]
    fn what_a_killed_process_wrote_is_there_until_the_next_cut() {
        let mut contents = Contents::default();
        contents.write(0, b"written");
        let mut found = contents.after_cut(Keep::Everything, &mut StdRng::seed_from_u64(1));
        assert_eq!(found.current, b"written");
        assert_eq!(after(&mut found, Keep::Nothing, 1), b"");
    }

    #[test]
    fn half_a_sync_is_its_older_half() {
        let mut contents = Contents::default();
        contents.write(0, &[1; 4 * SECTOR]);
        contents.sync_half();
        assert_eq!(after(&mut contents, Keep::Nothing, 1), [1; 2 * SECTOR]);
    }
}
