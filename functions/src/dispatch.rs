//! Dispatch: batches of the event queue.

use crate::acknowledgements::Acknowledgements;
use crate::deadline::Deadline;
use async_trait::async_trait;
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures_util::FutureExt;
use relay_core::attempt::Attempter;
use relay_core::dispatch::Dispatcher;
use relay_core::ports::{Clock, Message, PortError, Ports};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// How long giving back may take when time is up.
const GIVING_BACK: Duration = Duration::from_secs(2);

/// A message of Lambda's event, as far as the broker reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<'a> {
    /// The message's id, by which failures are reported.
    pub id: &'a str,
    /// The body.
    pub body: &'a str,
    /// The receipt handle.
    pub receipt: &'a str,
    /// Attribute `MessageGroupId`.
    pub group: &'a str,
    /// Attribute `SequenceNumber`.
    pub sequence_number: &'a str,
    /// Attribute `ApproximateReceiveCount`.
    pub receive_count: &'a str,
}

impl<'a> From<&'a SqsMessage> for Raw<'a> {
    fn from(message: &'a SqsMessage) -> Raw<'a> {
        let attribute = |name| message.attributes.get(name).map_or("", String::as_str);
        Raw {
            id: message.message_id.as_deref().unwrap_or_default(),
            body: message.body.as_deref().unwrap_or_default(),
            receipt: message.receipt_handle.as_deref().unwrap_or_default(),
            group: attribute("MessageGroupId"),
            sequence_number: attribute("SequenceNumber"),
            receive_count: attribute("ApproximateReceiveCount"),
        }
    }
}

/// Makes messages of what Lambda hands over.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// Decodes a message. One that cannot be decoded is put into quarantine: none, and it is done.
    ///
    /// # Errors
    /// If it could not be put there: the message, and what is behind it, has to come again.
    async fn decode(&self, raw: Raw<'_>) -> Result<Option<Message>, PortError>;
}

/// The function.
pub struct DispatchFunction {
    clock: Arc<dyn Clock>,
    inbox: Arc<dyn Inbox>,
    acknowledgements: Arc<Acknowledgements>,
    dispatcher: Dispatcher,
}

impl DispatchFunction {
    /// Dispatch over these ports.
    pub fn new(ports: Ports, inbox: Arc<dyn Inbox>) -> DispatchFunction {
        let acknowledgements = Arc::new(Acknowledgements::new(ports.queue.clone()));
        let ports = Ports { queue: acknowledgements.clone(), ..ports };
        let attempter = Attempter::new(ports.clone());
        let clock = ports.clock.clone();
        DispatchFunction { clock, inbox, acknowledgements, dispatcher: Dispatcher::new(ports, attempter) }
    }

    /// Handles a batch; the answer names what has to come again, in order. Webhooks that fail are no failures here.
    pub async fn handle(&self, event: SqsEvent, deadline: Deadline) -> SqsBatchResponse {
        let raws: Vec<Raw<'_>> = event.records.iter().map(Raw::from).collect();
        let Some(opened) = deadline.bound(&*self.clock, self.open(&raws)).await else {
            return report(raws.iter().map(|raw| raw.id));
        };
        self.acknowledgements.begin(opened.messages.iter().map(|(id, message)| (id.clone(), message)));
        let batch = opened.messages.into_iter().map(|(_, message)| message).collect();
        if deadline.bound(&*self.clock, self.deliver(batch)).await.is_none() {
            tracing::warn!("time is up: what is not done is given back");
            let bounded = async {
                tokio::select! {
                    () = self.acknowledgements.give_back_rest() => {}
                    () = self.clock.sleep(GIVING_BACK) => {}
                }
            };
            bounded.await;
        }
        let failed: HashSet<String> = self.acknowledgements.end().into_iter().chain(opened.failed).collect();
        report(raws.iter().map(|raw| raw.id).filter(|id| failed.contains(*id)))
    }

    /// Decodes messages. What is behind one that could not be put aside waits with it.
    async fn open(&self, raws: &[Raw<'_>]) -> Opened {
        let mut opened = Opened::default();
        let mut blocked = HashSet::new();
        for raw in raws {
            let decoded = if blocked.contains(raw.group) { None } else { Some(self.inbox.decode(*raw).await) };
            match decoded {
                Some(Ok(Some(message))) => opened.messages.push((raw.id.to_owned(), message)),
                Some(Ok(None)) => {}
                Some(Err(error)) => {
                    tracing::error!(%error, "a message can neither be read nor put aside");
                    blocked.insert(raw.group);
                    opened.failed.push(raw.id.to_owned());
                }
                None => opened.failed.push(raw.id.to_owned()),
            }
        }
        opened
    }

    async fn deliver(&self, batch: Vec<Message>) {
        let mut detached = self.dispatcher.deliver(batch).await;
        if (&mut detached).now_or_never().is_none() {
            // The answer waits for requests that no message waits for.
            self.acknowledgements.delete_finished().await;
            detached.await;
        }
    }
}

/// What Lambda handed over.
#[derive(Default)]
struct Opened {
    /// Messages by id.
    messages: Vec<(String, Message)>,
    /// Ids of those that have to come again.
    failed: Vec<String>,
}

/// The answer that reports messages.
pub(crate) fn report<'a>(ids: impl Iterator<Item = &'a str>) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    for id in ids {
        response.add_failure(id);
    }
    response
}

#[cfg(test)]
mod tests;
