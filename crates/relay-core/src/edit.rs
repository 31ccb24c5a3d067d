//! Changes of a subscription's record by those who work in the background: jobs, sweep, what outcomes of attempts mean.

use crate::names::SubscriptionId;
use crate::ports::{Expect, PortError, Ports};
use crate::subscription::Subscription;

/// How often a write is repeated that others are always faster with.
const TRIES: usize = 10;

/// Writes what `edit` makes of the stored record, on condition of its version, until nobody was faster. `edit` raises the
/// version. Answers what was written; none if there is no record, or `edit` makes nothing of it.
///
/// # Errors
/// If the record cannot be read or written.
pub(crate) async fn edit(
    ports: &Ports,
    id: &SubscriptionId,
    edit: impl Fn(&Subscription) -> Option<Subscription>,
) -> Result<Option<Subscription>, PortError> {
    for _ in 0..TRIES {
        let Some(stored) = ports.registry.subscription(id).await? else { return Ok(None) };
        let Some(next) = edit(&stored) else { return Ok(None) };
        match ports.registry.put_subscription(next.clone(), Expect::Version(stored.version)).await {
            Ok(()) => return Ok(Some(next)),
            Err(PortError::Conflict) => {}
            Err(error) => return Err(error),
        }
    }
    Err(PortError::Conflict)
}
