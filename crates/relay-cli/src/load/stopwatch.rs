//! Time since a run began, shared by everything that measures.

use std::time::{Duration, Instant};

/// Nanoseconds since a run began.
pub type Nanos = u64;

/// Tells the time since a run began. Copies agree with each other.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts at zero, now.
    #[must_use]
    pub fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    /// Time since the start.
    #[must_use]
    pub fn now(self) -> Nanos {
        nanos(self.0.elapsed())
    }

    /// The moment that lies this far after the start.
    #[must_use]
    pub fn instant(self, at: Nanos) -> Instant {
        self.0 + Duration::from_nanos(at)
    }
}

/// A span in nanoseconds, as far as they can be counted: 584 years.
#[must_use]
pub fn nanos(span: Duration) -> Nanos {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// The part of a run that is measured: what happens before is warm-up, what happens after is its tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// When it begins.
    pub from: Nanos,
    /// When it is over.
    pub to: Nanos,
}

impl Window {
    /// From a time on, without end.
    #[must_use]
    pub fn since(from: Nanos) -> Window {
        Window { from, to: Nanos::MAX }
    }

    /// True if this time is measured.
    #[must_use]
    pub fn contains(self, at: Nanos) -> bool {
        (self.from..self.to).contains(&at)
    }

    /// How long it is, in seconds.
    #[must_use]
    pub fn seconds(self) -> f64 {
        Duration::from_nanos(self.to.saturating_sub(self.from)).as_secs_f64()
    }
}
