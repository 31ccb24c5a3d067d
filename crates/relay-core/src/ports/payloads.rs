//! Payloads too large for a pack (claim checks).

use super::PortError;
use crate::event::StoredData;
use crate::time::Time;
use async_trait::async_trait;
use bytes::Bytes;

/// Payloads by the SHA-256 of their bytes and the retention that they are stored for. Each is kept for
/// [`StoredData::kept`] after it was stored last, and for as long as a message, a backlog item or a dead letter names it.
#[async_trait]
pub trait Payloads: Send + Sync {
    /// Stores a payload; it is durable when this answers. Storing it again is harmless, and has it kept for longer.
    ///
    /// # Errors
    /// If it could not be made durable.
    async fn put(&self, payload: &StoredData, bytes: Bytes) -> Result<(), PortError>;

    /// Reads a payload.
    ///
    /// # Errors
    /// `NotFound`; `Corrupt` if the bytes do not have that hash.
    async fn get(&self, payload: &StoredData) -> Result<Bytes, PortError>;

    /// Has some of what is named by what is held kept on, and removes some of what is past its time, unless the store
    /// does that by itself. To be called at least once a day; answers how many there were: 0 if nothing is left to do.
    ///
    /// # Errors
    /// If it could not be finished; it is for the next call then.
    async fn expire(&self, now: Time) -> Result<u64, PortError>;
}
