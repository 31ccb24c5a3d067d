//! When an invocation has to be done.

use relay_core::ports::Clock;
use relay_core::time::Time;
use std::future::Future;
use std::time::Duration;

/// Kept of an invocation's time for giving back what is not done, and for the answer.
pub const RESERVE: Duration = Duration::from_secs(4);

/// When an invocation's work has to be done: before Lambda cuts it off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Time);

impl Deadline {
    /// The deadline of an invocation that Lambda cuts off at this time, in Unix milliseconds
    /// (`Lambda-Runtime-Deadline-Ms`).
    pub fn of_invocation(cut_off_ms: u64) -> Deadline {
        Deadline(Time(cut_off_ms) - RESERVE)
    }

    /// Time that is left; none if the deadline has passed.
    pub fn left(self, clock: &dyn Clock) -> Duration {
        self.0.since(clock.now())
    }

    /// Does some work until the deadline; none if it was not done by then, and was dropped where it stood. The
    /// protocol allows for that at every point: it is what a crash would do.
    pub async fn bound<T>(self, clock: &dyn Clock, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = clock.sleep(self.left(clock)) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_sim::ManualClock;

    #[tokio::test]
    async fn work_that_is_not_done_in_time_is_dropped() {
        let clock = ManualClock::new(Time(1_000_000));
        let deadline = Deadline::of_invocation(1_010_000);
        assert_eq!(deadline.left(&clock), Duration::from_secs(6));
        assert_eq!(deadline.bound(&clock, std::future::ready(1)).await, Some(1));
        let never = deadline.bound(&clock, std::future::pending::<()>());
        let (late, ()) = tokio::join!(never, async {
            tokio::task::yield_now().await;
            clock.advance(Duration::from_secs(6));
        });
        assert_eq!(late, None);
        assert_eq!(deadline.left(&clock), Duration::ZERO);
    }
}
