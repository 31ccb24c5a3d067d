//! Where the consumers of pull subscriptions are.

use super::PortError;
use crate::log::Committed;
use crate::names::SubscriptionId;
use async_trait::async_trait;

/// What consumers have committed: a record beside each pull subscription, which changes often and is nobody else's
/// concern. It goes with [`forget_subscription`](super::Registry::forget_subscription).
#[async_trait]
pub trait Cursors: Send + Sync {
    /// What is committed, read strongly consistent; none for a subscription that has no consumer.
    ///
    /// # Errors
    /// If it cannot be read.
    async fn committed(&self, subscription: &SubscriptionId) -> Result<Option<Committed>, PortError>;

    /// Writes what is committed, if what is stored until then is as expected; durable when it answers.
    ///
    /// # Errors
    /// `Conflict` if something else is stored, or if it may not be durable.
    async fn commit(
        &self,
        subscription: &SubscriptionId,
        committed: Committed,
        expected: Option<Committed>,
    ) -> Result<(), PortError>;
}
