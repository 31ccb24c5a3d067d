//! Clocks: one that a test moves, and one that the scheduler does.

use crate::locked;
use crate::schedule::Scheduler;
use async_trait::async_trait;
use relay_core::ports::Clock;
use relay_core::time::Time;
use std::future::poll_fn;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<(Time, Vec<Waker>)>,
}

impl ManualClock {
    /// A clock that shows this time.
    pub fn new(now: Time) -> ManualClock {
        ManualClock { state: Mutex::new((now, Vec::new())) }
    }

    /// Moves it, and wakes the sleepers whose time has come.
    pub fn advance(&self, span: Duration) {
        let mut state = locked(&self.state);
        state.0 = state.0 + span;
        state.1.drain(..).for_each(Waker::wake);
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Time {
        locked(&self.state).0
    }

    async fn sleep(&self, span: Duration) {
        let deadline = self.now() + span;
        poll_fn(|context| {
            let mut state = locked(&self.state);
            if state.0 >= deadline {
                return Poll::Ready(());
            }
            state.1.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// What virtual time begins at: 2027-01-15T08:00:00Z.
const EPOCH: Time = Time(1_800_000_000_000);

/// The wall clock of one simulated machine: virtual time, and how far it is off.
#[derive(Debug)]
pub struct SimulatedClock {
    scheduler: Scheduler,
    off_by_ms: AtomicI64,
}

impl SimulatedClock {
    /// An exact clock.
    pub fn new(scheduler: Scheduler) -> SimulatedClock {
        SimulatedClock { scheduler, off_by_ms: AtomicI64::new(0) }
    }

    /// Lets it jump to this far from the true time.
    pub fn set_off_by(&self, millis: i64) {
        self.off_by_ms.store(millis, Ordering::Relaxed);
    }
}

#[async_trait]
impl Clock for SimulatedClock {
    fn now(&self) -> Time {
        let now = EPOCH.0 + self.scheduler.now_ms();
        Time(now.saturating_add_signed(self.off_by_ms.load(Ordering::Relaxed)))
    }

    async fn sleep(&self, span: Duration) {
        self.scheduler.sleep(span).await;
    }
}
