//! The era of the queue: what makes sequences of a later queue sort after those of an earlier one.
//!
//! It is a number in the table, taken from the queue's creation the first time and kept from then on, so that a new
//! one can be begun (after a restore of the table) without another queue.

use crate::clients::Clients;
use crate::fault::of_call;
use crate::options::Resources;
use crate::table::attributes::{Row, number};
use crate::table::{Condition, Key, Table, Written};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use relay_core::ports::{Clock, Ids, PortError};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// A change of the era. Eras are Unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BegunEra {
    /// The one that has ended.
    pub before: u64,
    /// The one that has begun.
    pub era: u64,
}

/// Begins a new era of the event queue: sequences of what is delivered from now on sort after all that were given
/// before, whatever a restored table knows of them. Processes know the era from their start, so none may run.
///
/// # Errors
/// `Conflict` if somebody else began one at the same time; or if table or queue cannot be reached.
pub async fn begin_era(
    clients: &Clients,
    resources: &Resources,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
) -> Result<BegunEra, PortError> {
    let now = clock.now().as_millis();
    let table = Table::new(clients.dynamodb.clone(), resources.table.clone(), clock, ids);
    Era::new(table, clients.sqs.clone(), resources.events_queue.clone()).begin(now).await
}

/// By the queue's name: its URL differs between ways to reach it.
fn key_of(queue: &str) -> Key {
    let name = queue.rsplit('/').next().unwrap_or(queue);
    Key::new(format!("QUEUE#{name}"), "ERA")
}

/// The era, read once.
pub(crate) struct Era {
    pub(crate) table: Table,
    pub(crate) client: Client,
    pub(crate) queue: String,
    pub(crate) known: OnceCell<u64>,
}

impl Era {
    pub(crate) fn new(table: Table, client: Client, queue: String) -> Era {
        Era { table, client, queue, known: OnceCell::new() }
    }

    pub(crate) async fn get(&self) -> Result<u64, PortError> {
        self.known.get_or_try_init(|| self.read()).await.copied()
    }

    async fn read(&self) -> Result<u64, PortError> {
        let key = key_of(&self.queue);
        if let Some(row) = self.table.get(&key).await? {
            return row.number("era");
        }
        let era = self.created_at().await?;
        let row = Row::of(&key).with("era", number(era));
        match self.table.put_if(row, Condition::new("attribute_not_exists(pk)")).await? {
            Written::Yes(_) => Ok(era),
            Written::Refused(Some(row)) => row.number("era"),
            Written::Refused(None) => Err(PortError::Unavailable("the era was written and is gone".to_owned())),
        }
    }

    /// Begins an era at this time (Unix milliseconds), or right after the present one if that is later.
    async fn begin(&self, now: u64) -> Result<BegunEra, PortError> {
        let before = self.read().await?;
        let era = now.max(before + 1);
        let key = key_of(&self.queue);
        let unchanged = Condition::new("era = :before").value(":before", number(before));
        match self.table.put_if(Row::of(&key).with("era", number(era)), unchanged).await? {
            Written::Yes(_) => Ok(BegunEra { before, era }),
            // A repeat of a call whose answer was lost meets what it wrote itself.
            Written::Refused(Some(row)) if row.number::<u64>("era")? == era => Ok(BegunEra { before, era }),
            Written::Refused(_) => Err(PortError::Conflict),
        }
    }

    async fn created_at(&self) -> Result<u64, PortError> {
        let name = QueueAttributeName::CreatedTimestamp;
        let call = self.client.get_queue_attributes().queue_url(&self.queue).attribute_names(name.clone()).send().await;
        let read = call.map_err(|error| of_call("GetQueueAttributes", &error))?;
        let seconds = read.attributes().and_then(|attributes| attributes.get(&name)?.parse::<u64>().ok());
        let missing = || PortError::Corrupt("SQS does not say when the queue was created".to_owned());
        // In seconds (GetQueueAttributes); sequences have milliseconds.
        seconds.map(|seconds| seconds * 1000).ok_or_else(missing)
    }
}
