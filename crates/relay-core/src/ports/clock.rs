//! Time, identifiers and randomness.

use crate::lane::{OwnerId, PutId};
use crate::time::Time;
use async_trait::async_trait;
use std::time::Duration;

/// Wall-clock time.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Time;

    /// Waits. Dropping the future ends the wait.
    async fn sleep(&self, span: Duration);
}

/// Identifiers and randomness.
pub trait Ids: Send + Sync {
    /// 64 random bits.
    fn random(&self) -> u64;

    /// Fills a buffer with bytes fit for keys and secrets.
    fn secret_bytes(&self, bytes: &mut [u8]);

    /// A fresh identifier that sorts by time, of 32 hexadecimal digits or in the hyphenated form of a UUID.
    fn unique(&self) -> String;

    /// Evenly from 0 up to 1.
    fn jitter(&self) -> f64 {
        (self.random() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A fresh holder of a lease.
    fn owner(&self) -> OwnerId {
        OwnerId(self.random() >> 1)
    }

    /// A fresh put.
    fn put_id(&self) -> PutId {
        PutId(self.random() >> 1)
    }
}
