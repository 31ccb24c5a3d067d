//! What is retained of a topic.

use super::{Message, PortError};
use crate::pack::Pack;
use crate::replay_id::LogPosition;
use async_trait::async_trait;
use std::sync::Arc;

/// The log of accepted events.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// Appends what a batch of messages carries, and answers their positions in the same order. When `Ok`, all are
    /// durable. Appending a message again is harmless: readers drop repeats.
    ///
    /// # Errors
    /// If not all of them could be made durable.
    async fn append(&self, messages: &[Message]) -> Result<Vec<LogPosition>, PortError>;

    /// The newest entries of a topic, newest first, from before a position.
    ///
    /// # Errors
    /// If the log cannot be read.
    async fn newest(
        &self,
        topic: &crate::names::TopicId,
        before: Option<LogPosition>,
        limit: usize,
    ) -> Result<Vec<(LogPosition, crate::sequence::PackSequence, Arc<Pack>)>, PortError>;

    /// Removes what its topic's retention has passed and nothing refers to any more; some of it, if there is much.
    /// Answers how many entries went.
    ///
    /// # Errors
    /// If the log cannot be written.
    async fn expire(&self, now: crate::time::Time) -> Result<u64, PortError>;
}
