//! Patience: how long one lane may keep the others of its message waiting.

use crate::limits::{LEAST_PATIENCE, PATIENCE};
use crate::ports::Clock;
use crate::time::Time;
use futures_util::future::select;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

/// Lag of the queue at which the least patience is left.
const LEAST_PATIENCE_AT: Duration = Duration::from_secs(60);

/// The patience of one message.
pub(super) struct Patience {
    clock: Arc<dyn Clock>,
    /// When it ends for everybody.
    until: Time,
    /// How long those that are done wait for one that is not.
    with_last: Duration,
    /// Several lanes wait for each other.
    shared: bool,
    others: Mutex<Others>,
}

#[derive(Default)]
struct Others {
    undone: usize,
    waiting: Vec<Waker>,
}

impl Patience {
    /// Patience that begins now, for a message accepted at `accepted_at`, with so many lanes that are not known to be
    /// slow. The longer the message has waited, the less there is for a lane that all others wait for: a slow
    /// subscriber must not make a lag grow. A lag alone is no reason for haste with lanes that nobody waits for.
    pub fn new(clock: Arc<dyn Clock>, now: Time, accepted_at: Time, unslow: usize) -> Patience {
        let lag = now.since(accepted_at).as_secs_f64() / LEAST_PATIENCE_AT.as_secs_f64();
        let with_last = PATIENCE.mul_f64(1.0 - lag.clamp(0.0, 1.0)).max(LEAST_PATIENCE);
        let others = Mutex::new(Others { undone: unslow, waiting: Vec::new() });
        Patience { clock, until: now + PATIENCE, with_last, shared: unslow > 1, others }
    }

    /// A lane that is not known to be slow is done.
    pub fn done(&self) {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        others.undone = others.undone.saturating_sub(1);
        if others.undone <= 1 {
            others.waiting.drain(..).for_each(Waker::wake);
        }
    }

    /// Waits until a lane has kept the others waiting for too long: one known to be `slow` as soon as the others are
    /// done, any lane when the time is over.
    pub async fn over(&self, slow: bool) {
        let time = self.clock.sleep(self.until.since(self.clock.now()));
        if slow {
            select(time, pin!(self.undone_are_at_most(0))).await;
        } else if self.shared {
            let with_last = async {
                self.undone_are_at_most(1).await;
                self.clock.sleep(self.with_last).await;
            };
            select(time, pin!(with_last)).await;
        } else {
            time.await;
        }
    }

    async fn undone_are_at_most(&self, most: usize) {
        std::future::poll_fn(|context| {
            let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
            if others.undone <= most {
                return Poll::Ready(());
            }
            others.waiting.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A clock that is moved by hand, and whose sleepers are asked again by hand.
    #[derive(Default)]
    struct Hand(AtomicU64);

    #[async_trait::async_trait]
    impl Clock for Hand {
        fn now(&self) -> Time {
            Time(self.0.load(Ordering::Relaxed))
        }

        async fn sleep(&self, span: Duration) {
            let until = self.now() + span;
            std::future::poll_fn(|_| if self.now() >= until { Poll::Ready(()) } else { Poll::Pending }).await;
        }
    }

    /// Milliseconds after which patience with a lane is over, where the first of the others is done at 10 and the rest
    /// `rest_at`.
    fn over_at(slow: bool, lag: Duration, unslow: usize, rest_at: u64) -> u64 {
        let clock = Arc::new(Hand::default());
        let begin = Time(1_000_000);
        clock.0.store(begin.0, Ordering::Relaxed);
        let accepted_at = Time(begin.0 - u64::try_from(lag.as_millis()).unwrap());
        let patience = Patience::new(clock.clone(), begin, accepted_at, unslow);
        let mut over = pin!(patience.over(slow));
        let others = if slow { unslow } else { unslow - 1 };
        (0..=2000)
            .find(|after| {
                clock.0.store(begin.0 + after, Ordering::Relaxed);
                if others > 0 && *after == 10 {
                    patience.done();
                }
                if *after == rest_at {
                    (1..others).for_each(|_| patience.done());
                }
                over.as_mut().now_or_never().is_some()
            })
            .unwrap()
    }

    #[test]
    fn the_longer_the_lag_the_sooner_the_others_go_on_without_the_last() {
        let seconds = Duration::from_secs;
        assert_eq!(over_at(false, seconds(0), 3, 100), 1000, "in all, not from when the others were done");
        assert_eq!(over_at(false, seconds(30), 3, 100), 600);
        assert_eq!(over_at(false, seconds(60), 3, 100), 150);
        assert_eq!(over_at(false, seconds(600), 3, 100), 150, "however long the lag");
        assert_eq!(over_at(false, seconds(600), 3, 1500), 1000, "the others are not done either");
    }

    #[test]
    fn a_lag_is_no_reason_to_hurry_where_nobody_waits() {
        assert_eq!(over_at(false, Duration::from_secs(600), 1, 0), 1000);
    }

    #[test]
    fn nobody_waits_for_one_that_is_known_to_be_slow() {
        assert_eq!(over_at(true, Duration::ZERO, 2, 30), 30);
        assert_eq!(over_at(true, Duration::ZERO, 0, 0), 0);
    }
}
