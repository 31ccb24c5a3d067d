//! Received messages, by this process or by Lambda's poller: decoded, or put into quarantine.

use super::era::Era;
use super::message::{RawMessage, decode};
use crate::clients::Clients;
use crate::objects::Objects;
use crate::options::Options;
use crate::table::Table;
use bytes::Bytes;
use relay_core::ports::{Clock, Ids, Message, PortError};
use std::sync::Arc;

/// Decodes messages. Functions use it by itself: Lambda receives and deletes for them.
pub struct Inbox {
    era: Era,
    objects: Objects,
}

impl Inbox {
    /// An inbox of the queue of accepted packs. Calls nothing: the era is read with the first message.
    pub fn new(clients: &Clients, options: &Options, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Inbox {
        let resources = &options.resources;
        let table = Table::new(clients.dynamodb.clone(), resources.table.clone(), clock, ids);
        let era = Era::new(table, clients.sqs.clone(), resources.events_queue.clone());
        Inbox { era, objects: Objects::new(clients.s3.clone(), resources.bucket.clone()) }
    }

    /// The queue's era.
    pub(crate) async fn era(&self) -> Result<u64, PortError> {
        self.era.get().await
    }

    /// Decodes a message. None if it was put into quarantine: nobody could ever handle it, so it is done.
    ///
    /// # Errors
    /// If the era cannot be read, or the message not be put aside, or a later version wrote it: it has to come again, and all behind it.
    pub async fn decode(&self, raw: &RawMessage<'_>) -> Result<Option<Message>, PortError> {
        let era = self.era().await?;
        let error = match decode(era, raw) {
            Ok(message) => return Ok(Some(message)),
            Err(error @ PortError::Corrupt(_)) => error,
            Err(error) => return Err(error),
        };
        let key = format!("quarantine/{era:013}{:0>20}", raw.sequence_number);
        let body = Bytes::copy_from_slice(raw.body.as_bytes());
        self.objects.put(&key, body, "application/octet-stream").await?;
        relay_core::metrics::quarantined();
        tracing::error!(%key, %error, "a message cannot be read and lies in quarantine");
        Ok(None)
    }
}
