//! Randomness that a seed reproduces.

use std::ops::Range;

/// A small generator (SplitMix64, <https://prng.di.unimi.it/splitmix64.c>): the same seed, the same numbers, on every
/// machine and with every version of every library.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Begins the sequence of a seed.
    pub fn new(seed: u64) -> Random {
        Random(seed ^ 0x5851_f42d_4c95_7f2d)
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of a range; its start if it is empty.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        match range.end.checked_sub(range.start) {
            None | Some(0) => range.start,
            Some(width) => range.start + self.bits() % width,
        }
    }

    /// An index below `length`; 0 if that is 0.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.within(0..length as u64)).unwrap_or(0)
    }

    /// True in `rate` of 10,000 cases.
    pub fn happens(&mut self, rate: u32) -> bool {
        rate > 0 && self.bits() % 10_000 < u64::from(rate)
    }

    /// One of some; none if there are none.
    pub fn one_of<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        choices.get(self.index(choices.len()))
    }

    /// A generator of its own, which draws nothing from this one afterwards.
    pub fn branch(&mut self) -> Random {
        Random::new(self.bits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_again_and_another_seed_gives_others() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            [random.bits(), random.bits(), random.within(5..9), random.index(3) as u64]
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn ranges_are_kept_and_rates_are_of_ten_thousand() {
        let mut random = Random::new(3);
        assert!((0..1000).all(|_| (5..9).contains(&random.within(5..9))));
        assert_eq!((random.within(7..7), random.index(0)), (7, 0));
        let hits = (0..100_000).filter(|_| random.happens(1000)).count();
        assert!((9_000..11_000).contains(&hits), "{hits}");
        assert!(!random.happens(0) && random.happens(10_000));
    }
}
