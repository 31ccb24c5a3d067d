//! Slowness of a subscription: when its endpoint has let others wait, and for how long that is held against it.

use crate::limits::{PATIENCE, SLOW_FOR};
use crate::time::Time;
use std::time::Duration;

/// Quick answers in a row that end slowness.
pub const QUICK_ANSWERS: u32 = 16;
/// Each relapse doubles them, up to this.
pub const MOST_QUICK_ANSWERS: u32 = 4096;

/// Whether an endpoint is known to be slow. One slow answer makes it so; enough quick ones in a row, or time, end it.
/// An endpoint that relapses has to prove itself for longer each time, so that one that is slow now and then does not
/// make others wait now and then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slowness {
    last: Option<Time>,
    quick: u32,
    needed: u32,
}

impl Slowness {
    /// It let somebody wait for longer than patience lasts.
    pub fn was_slow(&mut self, now: Time) {
        let relapsed = self.is_remembered(now) && self.quick >= self.needed;
        self.needed = match self.is_remembered(now) {
            true if relapsed => (self.needed * 2).min(MOST_QUICK_ANSWERS),
            true => self.needed,
            false => QUICK_ANSWERS,
        };
        self.last = Some(now);
        self.quick = 0;
    }

    /// It has answered, or failed, after so long.
    pub fn answered(&mut self, after: Duration, now: Time) {
        if after >= PATIENCE {
            self.was_slow(now);
        } else if self.last.is_some() {
            self.quick = self.quick.saturating_add(1);
        }
    }

    /// True if nobody should wait for it.
    pub fn is_slow(&self, now: Time) -> bool {
        self.is_remembered(now) && self.quick < self.needed
    }

    fn is_remembered(&self, now: Time) -> bool {
        self.last.is_some_and(|last| now < last + SLOW_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(5);

    fn quick_answers_needed(slowness: &mut Slowness, now: Time) -> u32 {
        (0..)
            .find(|_| {
                !slowness.is_slow(now) || {
                    slowness.answered(QUICK, now);
                    false
                }
            })
            .unwrap()
    }

    #[test]
    fn it_passes_with_time() {
        let mut slowness = Slowness::default();
        assert!(!slowness.is_slow(Time(0)));
        slowness.was_slow(Time(0));
        assert!(slowness.is_slow(Time(59_999)));
        assert!(!slowness.is_slow(Time(60_000)));
    }

    #[test]
    fn quick_answers_end_it_and_each_relapse_takes_more_of_them() {
        let mut slowness = Slowness::default();
        let needed: Vec<u32> = (0..10)
            .map(|time| {
                slowness.was_slow(Time(time));
                quick_answers_needed(&mut slowness, Time(time))
            })
            .collect();
        assert_eq!(needed, [16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 4096]);
        slowness.was_slow(Time(60_009));
        assert_eq!(quick_answers_needed(&mut slowness, Time(60_009)), 16, "what is long ago is forgotten");
    }

    #[test]
    fn a_slow_answer_begins_the_count_anew_but_is_no_relapse() {
        let mut slowness = Slowness::default();
        slowness.answered(PATIENCE, Time(0));
        for _ in 0..15 {
            slowness.answered(QUICK, Time(1));
        }
        slowness.answered(PATIENCE, Time(2));
        assert_eq!(quick_answers_needed(&mut slowness, Time(3)), 16);
    }
}
