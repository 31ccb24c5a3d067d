//! Records of replay jobs.

use super::{Expect, PortError};
use crate::names::SubscriptionId;
use crate::replay::Replay;
use async_trait::async_trait;

/// The records of replay jobs: how far each is, and what it came to. A job itself is part of its subscription for as
/// long as it runs. A record is kept for [`crate::limits::REPLAYS_KEPT`] after it was written last.
#[async_trait]
pub trait Replays: Send + Sync {
    /// A subscription's job.
    ///
    /// # Errors
    /// If it cannot be read.
    async fn replay(&self, subscription: &SubscriptionId, id: &str) -> Result<Option<Replay>, PortError>;

    /// Writes a record, all but its count of delivered events, which only [`Replays::add_delivered`] changes.
    ///
    /// # Errors
    /// `Conflict`, or if it may not be durable.
    async fn put_replay(&self, replay: Replay, expect: Expect) -> Result<(), PortError>;

    /// Counts events that were delivered as parts of a replay: for people, so a count whose answer was lost may be made
    /// twice. One that has no record any more is left alone.
    ///
    /// # Errors
    /// If it may not be durable.
    async fn add_delivered(&self, subscription: &SubscriptionId, id: &str, events: u64) -> Result<(), PortError>;
}
