//! The FIFO queue between ingest and dispatch.

use super::PortError;
use crate::pack::Pack;
use crate::replay_id::LogPosition;
use crate::sequence::PackSequence;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;

/// A pack that the queue has taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sent {
    /// Its sequence: that of the first one, if this is a repeat within the deduplication window.
    pub sequence: PackSequence,
    /// Where it lies in the log, if queue and log are one.
    pub position: Option<LogPosition>,
    /// It was a repeat. `None` where the queue does not tell.
    pub repeated: Option<bool>,
}

/// Acknowledges one receipt of a message; worthless once the message was received again.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Receipt {
    /// A number of the adapter's.
    Number(u64, u64),
    /// A text of the adapter's.
    Text(String),
}

/// A received message.
#[derive(Clone, Debug)]
pub struct Message {
    /// What it carries.
    pub pack: Arc<Pack>,
    /// The pack's place within its group.
    pub sequence: PackSequence,
    /// How often it was received, this time included.
    pub receives: u32,
    /// Acknowledges it.
    pub receipt: Receipt,
    /// Where the pack lies in the log, if queue and log are one.
    pub position: Option<LogPosition>,
}

/// How far dispatch is behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct QueueLag {
    /// Messages that are not acknowledged.
    pub messages: u64,
    /// Age of the oldest of them.
    pub oldest: Duration,
}

/// A FIFO queue with message groups and deduplication, as SQS FIFO has them: messages of a group are received in the
/// order they were sent; while one of a group is in flight nobody receives another of it; a message whose visibility
/// ends is received again, before those behind it; the same pack sent again within five minutes, in the same group,
/// is not queued twice.
#[async_trait]
pub trait EventQueue: Send + Sync {
    /// Sends packs, at most one of a group. Entries succeed or fail one by one, in the order of `packs`; when `Ok`,
    /// the pack is durable.
    async fn send(&self, packs: Vec<Arc<Pack>>) -> Vec<Result<Sent, PortError>>;

    /// Receives up to `max` messages, hidden from others for [`crate::limits::VISIBILITY`]; those of one group come
    /// in order. Waits some time for the first one; empty if there was none.
    ///
    /// # Errors
    /// If the queue cannot be read.
    async fn receive(&self, max: usize) -> Result<Vec<Message>, PortError>;

    /// Acknowledges messages: they are never received again. Entries fail one by one. A receipt that has expired may
    /// be refused with `Conflict`.
    async fn delete(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>>;

    /// Gives messages back: visible at once, in their place.
    async fn give_back(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>>;

    /// How far dispatch is behind.
    ///
    /// # Errors
    /// If the queue cannot be asked.
    async fn lag(&self) -> Result<QueueLag, PortError>;

    /// True if the message that lies at a position of the log is acknowledged. A queue that is not one with the log
    /// knows that of none.
    fn has_acknowledged(&self, _position: LogPosition) -> bool {
        false
    }
}
