//! Every port of Event Relay in memory: for tests that want a broker without a disk, and for the seeded simulation.
//!
//! The stores are plain data behind locks; [`Simulated`] puts the ports of `relay-core` in front of them. Calm, a call
//! takes effect at once and never fails. Under a [`schedule::Scheduler`], every call is a point at which others may
//! come first, the caller may be killed or stalled, and the call may fail, with or without its effect: all by one seed.
//!
//! ```
//! use relay_core::time::Time;
//! use relay_sim::{ManualClock, Simulated};
//! use std::sync::Arc;
//!
//! let clock = Arc::new(ManualClock::new(Time(1_800_000_000_000)));
//! let simulated = Simulated::calm(clock);
//! let ports = simulated.ports();
//! # drop(ports);
//! ```

mod attempts;
mod bell;
mod clock;
mod cursors;
mod gate;
mod ids;
mod lanes;
mod log;
mod payloads;
mod queue;
pub mod random;
mod registry;
mod replays;
pub mod schedule;
mod segments;
mod simulated;
mod wake_ups;
pub mod webhooks;

pub use clock::{ManualClock, SimulatedClock};
pub use queue::Queued;
pub use simulated::{LanesView, Rewound, Shape, Simulated};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, whatever happened to a former holder: a panic is a test's failure already.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
