//! Payloads too large for a pack.

use crate::locked;
use crate::simulated::Simulated;
use async_trait::async_trait;
use bytes::Bytes;
use relay_core::digest::{hexadecimal, sha256};
use relay_core::ports::{Payloads, PortError};
use std::collections::BTreeMap;

pub(crate) type PayloadStore = BTreeMap<String, Bytes>;

/// Checks that bytes have the hash they are stored under.
fn checked(hash: &str, bytes: &Bytes) -> Result<Bytes, PortError> {
    if hexadecimal(&sha256([&bytes[..]])) == hash {
        Ok(bytes.clone())
    } else {
        Err(PortError::Corrupt("not the payload's hash".to_owned()))
    }
}

#[async_trait]
impl Payloads for Simulated {
    async fn put(&self, hash: &str, bytes: Bytes) -> Result<(), PortError> {
        let put = || {
            locked(&self.stores.payloads).insert(hash.to_owned(), bytes);
            Ok(())
        };
        self.gate.call("payloads.put", &hash, put).await
    }

    async fn get(&self, hash: &str) -> Result<Bytes, PortError> {
        let get = || match locked(&self.stores.payloads).get(hash) {
            Some(bytes) => checked(hash, bytes),
            None => Err(PortError::NotFound),
        };
        self.gate.call("payloads.get", &hash, get).await
    }
}
