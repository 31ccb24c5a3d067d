//! Wakes what was held when the last process ended. Wake-ups are timers in memory; sweep would find the lanes too, but
//! only after they are due, up to a minute late.

use relay_core::limits::MAX_WAKE_UP_DELAY;
use relay_core::ports::{PortError, Ports, WakeUp};

/// Lanes that are woken at their time; sweep finds what goes beyond.
const LANES: usize = 100_000;

/// Sends a wake-up for each lane that is due, or will be soon.
///
/// # Errors
/// If the lanes cannot be read.
pub(super) async fn wake_held_lanes(ports: &Ports) -> Result<(), PortError> {
    let now = ports.clock.now();
    let lanes = ports.lanes.due(now + MAX_WAKE_UP_DELAY, LANES).await?;
    let wake_ups = lanes.into_iter().filter_map(|item| {
        let delay = item.due_at()?.since(now);
        Some((WakeUp::Lane(item.lane), delay))
    });
    ports.wake_ups.send(wake_ups.collect()).await
}
