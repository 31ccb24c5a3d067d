//! Claim checks: payloads too large for a pack are stored before the events that refer to them are sent.

use super::Needs;
use super::send::{Backoff, is_worth_repeating};
use crate::digest::{hexadecimal, sha256};
use crate::event::{EventData, Incoming, StoredData, StoredForm};
use crate::limits::MAX_PACK_BYTES;
use crate::ports::PortError;
use crate::topic::Retention;
use bytes::Bytes;

/// Moves the payloads of events that are too large for a pack to the payload store.
pub(super) async fn store_large(
    needs: Needs<'_>,
    retention: Retention,
    events: &mut [Incoming],
) -> Result<(), PortError> {
    for incoming in events.iter_mut().filter(|incoming| incoming.bytes > MAX_PACK_BYTES) {
        let (form, bytes) = match &incoming.event.data {
            EventData::Json(bytes) => (StoredForm::Json, bytes.clone()),
            EventData::Text(text) => (StoredForm::Text, Bytes::copy_from_slice(text.as_bytes())),
            EventData::Binary(bytes) => (StoredForm::Binary, bytes.clone()),
            EventData::None | EventData::Stored(_) => continue,
        };
        let stored = StoredData { hash: hash(&bytes), bytes: bytes.len() as u64, form, retention: Some(retention) };
        put(needs, &stored, bytes).await?;
        incoming.event.data = EventData::Stored(stored);
    }
    Ok(())
}

async fn put(needs: Needs<'_>, payload: &StoredData, bytes: Bytes) -> Result<(), PortError> {
    let mut backoff = Backoff::new();
    loop {
        match needs.payloads.put(payload, bytes.clone()).await {
            Err(error) if is_worth_repeating(&error) && backoff.wait(needs).await => {}
            other => return other,
        }
    }
}

/// A payload is named by its bytes: any publisher may use an event's id again.
fn hash(bytes: &[u8]) -> String {
    hexadecimal(&sha256([bytes]))
}
