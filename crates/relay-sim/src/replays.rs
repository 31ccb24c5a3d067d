//! Records of replay jobs.

use crate::locked;
use crate::simulated::Simulated;
use async_trait::async_trait;
use relay_core::names::SubscriptionId;
use relay_core::ports::{Expect, PortError, Replays};
use relay_core::replay::Replay;
use std::collections::BTreeMap;

#[derive(Default)]
pub(crate) struct ReplayStore(BTreeMap<(SubscriptionId, String), Replay>);

impl ReplayStore {
    fn put(&mut self, replay: Replay, expect: Expect) -> Result<(), PortError> {
        let key = (replay.subscription.clone(), replay.id.clone());
        let stored = self.0.get(&key);
        let holds = match expect {
            Expect::Absent => stored.is_none(),
            Expect::Version(version) => stored.is_some_and(|stored| stored.version == version),
        };
        if !holds {
            return Err(PortError::Conflict);
        }
        let delivered = stored.map_or(0, |stored| stored.delivered);
        self.0.insert(key, Replay { delivered, ..replay });
        Ok(())
    }
}

#[async_trait]
impl Replays for Simulated {
    async fn replay(&self, subscription: &SubscriptionId, id: &str) -> Result<Option<Replay>, PortError> {
        let key = (subscription.clone(), id.to_owned());
        self.gate.call("replays.replay", &id, || Ok(locked(&self.stores.replays).0.get(&key).cloned())).await
    }

    async fn put_replay(&self, replay: Replay, expect: Expect) -> Result<(), PortError> {
        let subject = (replay.id.clone(), replay.state, replay.lease, replay.enqueued, expect);
        self.gate.call("replays.put_replay", &subject, || locked(&self.stores.replays).put(replay, expect)).await
    }

    async fn add_delivered(&self, subscription: &SubscriptionId, id: &str, events: u64) -> Result<(), PortError> {
        let key = (subscription.clone(), id.to_owned());
        let add = || {
            if let Some(replay) = locked(&self.stores.replays).0.get_mut(&key) {
                replay.delivered += events;
            }
            Ok(())
        };
        self.gate.call("replays.add_delivered", &(id, events), add).await
    }
}
