//! Dead letters, with their events.

use super::Refused;
use crate::delivery::{EventRef, Outgoing};
use crate::names::SubscriptionId;
use crate::ports::{DeadLetter, PortError, Ports};
use bytes::Bytes;
use std::sync::Arc;

/// A dead letter with its event.
#[derive(Clone, Debug)]
pub struct DeadLetterView {
    /// The dead letter.
    pub dead_letter: DeadLetter,
    /// The event's `id`.
    pub event_id: String,
    /// The event as a CloudEvents JSON object, as it would be delivered; none if its payload cannot be read.
    pub event: Option<Bytes>,
}

/// A subscription's dead letters after an id, and where to go on.
///
/// # Errors
/// If they cannot be read.
pub async fn list_dead_letters(
    ports: &Ports,
    subscription: &SubscriptionId,
    after: Option<&str>,
    limit: usize,
) -> Result<(Vec<DeadLetterView>, Option<String>), PortError> {
    let page = ports.dead_letters.list(subscription, after, limit).await?;
    let mut views = Vec::with_capacity(page.dead_letters.len());
    for dead_letter in page.dead_letters {
        let pack = dead_letter.pack.clone();
        let outgoing = Arc::new(Outgoing::new(pack, dead_letter.sequence.pack, dead_letter.position));
        if outgoing.is_empty() {
            return Err(PortError::Corrupt("a dead letter of no event".to_owned()));
        }
        let event = EventRef::new(outgoing, dead_letter.sequence.index);
        let text = event.structured(ports).await;
        if let Err(error) = &text {
            tracing::warn!(%error, id = dead_letter.id, "a dead letter's event cannot be read");
        }
        let event_id = event.event().id.clone();
        views.push(DeadLetterView { dead_letter, event_id, event: text.ok() });
    }
    Ok((views, page.next))
}

/// Deletes a dead letter: its event is given up for good.
///
/// # Errors
/// If there is none, or it cannot be written.
pub async fn delete_dead_letter(ports: &Ports, subscription: &SubscriptionId, id: &str) -> Result<(), Refused> {
    if ports.dead_letters.delete(subscription, id).await? { Ok(()) } else { Err(Refused::DeadLetterNotFound) }
}
