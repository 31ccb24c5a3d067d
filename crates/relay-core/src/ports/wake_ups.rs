//! Hints that a lane is due. A lost or repeated one does no harm: sweep makes up for it.

use super::PortError;
use crate::lane::LaneRef;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A hint to drain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WakeUp {
    /// A lane is, or will be, due.
    Lane(LaneRef),
    /// An open circuit's probe is due: deliver one event of some lane of this subscription.
    Probe(crate::names::SubscriptionId),
}

/// Delayed hints, at least once, in no order.
#[async_trait]
pub trait WakeUps: Send + Sync {
    /// Sends hints, each received after its delay, of at most [`crate::limits::MAX_WAKE_UP_DELAY`].
    ///
    /// # Errors
    /// If some may not have been sent.
    async fn send(&self, wake_ups: Vec<(WakeUp, Duration)>) -> Result<(), PortError>;

    /// Receives up to `max` hints whose delay has passed, and forgets them. Waits some time for the first one.
    ///
    /// # Errors
    /// If they cannot be read.
    async fn receive(&self, max: usize) -> Result<Vec<WakeUp>, PortError>;
}
