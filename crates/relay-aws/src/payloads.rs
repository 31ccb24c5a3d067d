//! Claim checks: `payloads/<SHA-256 of the bytes>`.

use crate::objects::Objects;
use async_trait::async_trait;
use bytes::Bytes;
use relay_core::digest::{hexadecimal, sha256};
use relay_core::ports::{Payloads, PortError};

/// [`Payloads`] in the bucket.
pub(crate) struct PayloadsPort {
    pub(crate) objects: Objects,
}

fn key_of(hash: &str) -> Result<String, PortError> {
    let is_hash = hash.len() == 64 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_hash { Ok(format!("payloads/{hash}")) } else { Err(PortError::Invalid("no name of a payload".to_owned())) }
}

#[async_trait]
impl Payloads for PayloadsPort {
    async fn put(&self, hash: &str, bytes: Bytes) -> Result<(), PortError> {
        let key = key_of(hash)?;
        if hexadecimal(&sha256([&bytes[..]])) != hash {
            return Err(PortError::Invalid("a payload is named by the hash of its bytes".to_owned()));
        }
        // Overwritten if it is there: the same bytes, kept for another class of retention from now on.
        self.objects.put(&key, bytes, "application/octet-stream").await
    }

    async fn get(&self, hash: &str) -> Result<Bytes, PortError> {
        let bytes = self.objects.get(&key_of(hash)?).await?;
        if hexadecimal(&sha256([&bytes[..]])) == hash {
            Ok(bytes)
        } else {
            Err(PortError::Corrupt(format!("payload {hash} has other bytes than its name says")))
        }
    }
}
