//! Payloads too large for a pack.

use crate::locked;
use crate::simulated::Simulated;
use async_trait::async_trait;
use bytes::Bytes;
use relay_core::digest::{hexadecimal, sha256};
use relay_core::event::StoredData;
use relay_core::pack::Pack;
use relay_core::ports::{Payloads, PortError};
use relay_core::time::Time;
use relay_core::topic::Retention;
use std::collections::{BTreeMap, HashSet};

type Name = (String, Option<&'static str>);

fn name_of(payload: &StoredData) -> Name {
    (payload.hash.clone(), payload.retention.map(Retention::word))
}

/// A payload, and when it was stored last.
pub(crate) struct Kept {
    payload: StoredData,
    bytes: Bytes,
    at: Time,
}

pub(crate) type PayloadStore = BTreeMap<Name, Kept>;

/// Checks that bytes have the hash they are stored under.
fn checked(hash: &str, bytes: &Bytes) -> Result<Bytes, PortError> {
    if hexadecimal(&sha256([&bytes[..]])) == hash {
        Ok(bytes.clone())
    } else {
        Err(PortError::Corrupt("not the payload's hash".to_owned()))
    }
}

impl Simulated {
    /// What is queued, logged, held or given up names these. Of the log all is kept, in segments or not.
    fn named(&self) -> HashSet<Name> {
        let mut names = HashSet::new();
        let mut add = |pack: &Pack| names.extend(pack.stored().map(name_of));
        locked(&self.stores.queue).packs().for_each(&mut add);
        locked(&self.stores.log).packs().for_each(&mut add);
        locked(&self.stores.tables).lanes.backlogs().for_each(|(_, item)| add(&item.pack));
        locked(&self.stores.dead_letters).packs().for_each(&mut add);
        names
    }
}

#[async_trait]
impl Payloads for Simulated {
    async fn put(&self, payload: &StoredData, bytes: Bytes) -> Result<(), PortError> {
        let put = || {
            let kept = Kept { payload: payload.clone(), bytes, at: self.clock.now() };
            locked(&self.stores.payloads).insert(name_of(payload), kept);
            Ok(())
        };
        self.gate.call("payloads.put", &payload.hash, put).await
    }

    async fn get(&self, payload: &StoredData) -> Result<Bytes, PortError> {
        let get = || match locked(&self.stores.payloads).get(&name_of(payload)) {
            Some(kept) => checked(&payload.hash, &kept.bytes),
            None => Err(PortError::NotFound),
        };
        self.gate.call("payloads.get", &payload.hash, get).await
    }

    async fn expire(&self, now: Time) -> Result<u64, PortError> {
        let expire = || {
            let named = self.named();
            let mut payloads = locked(&self.stores.payloads);
            let before = payloads.len();
            payloads.retain(|name, kept| named.contains(name) || now.since(kept.at) <= kept.payload.kept());
            Ok((before - payloads.len()) as u64)
        };
        self.gate.call("payloads.expire", &now, expire).await
    }
}
