//! Payloads too large for a pack (claim checks).

use super::PortError;
use async_trait::async_trait;
use bytes::Bytes;

/// Payloads by the SHA-256 of their bytes, in hexadecimal.
#[async_trait]
pub trait Payloads: Send + Sync {
    /// Stores a payload; it is durable when this answers. Storing it again is harmless.
    ///
    /// # Errors
    /// If it could not be made durable.
    async fn put(&self, hash: &str, bytes: Bytes) -> Result<(), PortError>;

    /// Reads a payload.
    ///
    /// # Errors
    /// `NotFound`; `Corrupt` if the bytes do not have that hash.
    async fn get(&self, hash: &str) -> Result<Bytes, PortError>;
}
