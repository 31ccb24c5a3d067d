//! The contract of the [ports](crate::ports), as tests that every adapter runs from its own.
//!
//! An adapter's test implements [`Harness`] and calls [`run_all`], or the `run_all` of one port's module. Each case
//! gets a fresh, empty world, and nothing of it depends on the wall clock: time moves by [`Harness::advance`] only
//! (an adapter may let a little real time pass besides: much less than a second).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests: a broken contract is to panic")]

mod backlog;
mod lane_items;
mod samples;

pub mod attempts;
pub mod cursors;
pub mod dead_letters;
pub mod lanes;
pub mod log;
pub mod payloads;
pub mod queue;
pub mod registry;
pub mod replays;
pub mod wake_ups;

use crate::ports::Ports;
use async_trait::async_trait;
use std::time::Duration;

/// One empty world that a case runs in.
#[async_trait]
pub trait Harness: Send + Sync {
    /// Its ports as they are now: ask again after a [`Harness::crash`]. The cases never use `webhooks`.
    fn ports(&self) -> Ports;

    /// Moves the clock on.
    async fn advance(&self, span: Duration);

    /// The process dies, without a chance to finish anything, and another one starts over what is durable. Nothing to
    /// do for an adapter that keeps no state in the process.
    async fn crash(&self);

    /// Why a case cannot be run in this world: it hangs on the clock of a service that nobody can move. Its adapter's
    /// own tests make up for it.
    fn excuse(&self, _case: &str) -> Option<&'static str> {
        None
    }
}

/// Runs the contract of all ports.
pub async fn run_all<H: Harness>(make: impl AsyncFn() -> H) {
    queue::run_all(&make).await;
    log::run_all(&make).await;
    lanes::run_all(&make).await;
    wake_ups::run_all(&make).await;
    registry::run_all(&make).await;
    replays::run_all(&make).await;
    cursors::run_all(&make).await;
    attempts::run_all(&make).await;
    dead_letters::run_all(&make).await;
    payloads::run_all(&make).await;
}

/// Runs each case in a world of its own.
macro_rules! run {
    ($make:expr; $($case:path),* $(,)?) => {
        $({
            let world = $make().await;
            match world.excuse(stringify!($case)) {
                None => $case(&world).await,
                Some(why) => eprintln!("not run here: {} ({why})", stringify!($case)),
            }
        })*
    };
}
use run;
