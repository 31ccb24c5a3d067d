//! Where the consumers of pull subscriptions are.

use crate::locked;
use crate::simulated::Simulated;
use async_trait::async_trait;
use relay_core::log::Committed;
use relay_core::names::SubscriptionId;
use relay_core::ports::{Cursors, PortError};

#[async_trait]
impl Cursors for Simulated {
    async fn committed(&self, subscription: &SubscriptionId) -> Result<Option<Committed>, PortError> {
        let read = || Ok(locked(&self.stores.tables).registry.committed(subscription));
        self.gate.call("cursors.committed", subscription, read).await
    }

    async fn commit(
        &self,
        subscription: &SubscriptionId,
        committed: Committed,
        expected: Option<Committed>,
    ) -> Result<(), PortError> {
        let commit = || locked(&self.stores.tables).registry.commit(subscription, committed, expected);
        self.gate.call("cursors.commit", &(subscription, committed), commit).await
    }
}
