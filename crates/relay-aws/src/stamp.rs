//! Places in time that sort as they were made, and that no two processes share.

use relay_core::log::line;
use relay_core::ports::{Clock, Ids};
use relay_core::replay_id::LogPosition;
use relay_core::time::Time;
use std::sync::{Arc, Mutex, PoisonError};

/// Low bits of [`Stamp::unique`] that are free: they number what lies within one item.
pub(crate) const WITHIN: u32 = 8;
const RANDOM: u32 = 40;

/// When something was written, and what tells it apart from other things of the same millisecond.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Stamp {
    pub(crate) at: Time,
    /// From the top: 16 bits that count within this process and millisecond, 40 random ones, [`WITHIN`] zeros.
    pub(crate) unique: u64,
}

impl Stamp {
    /// The text form, which sorts as the stamp does: 13 digits, a dash, 20 digits.
    pub(crate) fn key(self) -> String {
        line::position_text(LogPosition { at: self.at, unique: self.unique })
    }

    /// Reads the text form.
    pub(crate) fn parse(text: &str) -> Option<Stamp> {
        line::parse_position(text).map(|LogPosition { at, unique }| Stamp { at, unique })
    }
}

/// Makes stamps; those of one maker rise.
pub(crate) struct Stamps {
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    last: Mutex<(Time, u64)>,
}

impl Stamps {
    pub(crate) fn new(clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Stamps {
        Stamps { clock, ids, last: Mutex::new((Time(0), 0)) }
    }

    /// A stamp of now.
    pub(crate) fn next(&self) -> Stamp {
        let now = self.clock.now();
        let random = (self.ids.random() >> (64 - RANDOM)) << WITHIN;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back, or a millisecond with too many: go on from the last one.
        *last = match *last {
            (at, _) if at < now => (now, 0),
            (at, count) if count < u64::from(u16::MAX) => (at, count + 1),
            (at, _) => (Time(at.0 + 1), 0),
        };
        Stamp { at: last.0, unique: last.1 << (RANDOM + WITHIN) | random }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use std::time::Duration;

    struct Still;

    #[async_trait]
    impl Clock for Still {
        fn now(&self) -> Time {
            Time(1_795_000_000_000)
        }
        async fn sleep(&self, _: Duration) {}
    }

    impl Ids for Still {
        fn random(&self) -> u64 {
            u64::MAX
        }
        fn secret_bytes(&self, _: &mut [u8]) {}
        fn unique(&self) -> String {
            String::new()
        }
    }

    #[test]
    fn stamps_rise_though_the_clock_stands_still_and_leave_room_within() {
        let stamps = Stamps::new(Arc::new(Still), Arc::new(Still));
        let made: Vec<_> = (0..100_000).map(|_| stamps.next()).collect();
        assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(made.iter().all(|stamp| stamp.unique % (1 << WITHIN) == 0));
        assert!(made.windows(2).all(|pair| pair[0].key() < pair[1].key()));
        assert_eq!(Stamp::parse(&made[7].key()), Some(made[7]));
    }

    #[test]
    fn other_texts_are_no_stamps() {
        for bad in ["", "-", "1-2", "1795000000000", "+795000000000-00000000000000000001"] {
            assert_eq!(Stamp::parse(bad), None, "{bad}");
        }
    }
}
