//! The queue between ingest and dispatch, over SQS FIFO.

pub(crate) mod batch;
mod era;
pub(crate) mod gather;
mod in_flight;
mod inbox;
pub mod message;

pub use era::{BegunEra, begin_era};
pub use inbox::Inbox;

use crate::clients::timeouts;
use crate::fault::of_call;
use crate::options::Options;
use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message as SqsMessage,
    MessageSystemAttributeName as Attribute, QueueAttributeName, SendMessageBatchRequestEntry,
};
use batch::{Answers, MAX_ENTRIES};
use gather::{Gather, MOMENT};
use in_flight::InFlight;
use message::{RawMessage, body_of, sequence_of};
use relay_core::limits::VISIBILITY;
use relay_core::pack::Pack;
use relay_core::ports::{Clock, EventQueue, Ids, Message, PortError, QueueLag, Receipt, Sent};
use relay_core::time::Time;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// [`EventQueue`] over SQS FIFO.
pub(crate) struct QueuePort {
    pub(crate) client: Client,
    pub(crate) options: Options,
    pub(crate) inbox: Inbox,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) in_flight: InFlight,
    pub(crate) gather: Gather,
}

fn built<T, E: std::fmt::Display>(entry: Result<T, E>) -> Result<T, PortError> {
    entry.map_err(|error| PortError::Invalid(error.to_string()))
}

fn handle_of(receipt: &Receipt) -> Result<&str, PortError> {
    match receipt {
        Receipt::Text(handle) => Ok(handle),
        Receipt::Number(..) => Err(PortError::Invalid("a receipt of another queue".to_owned())),
    }
}

fn same_for_all<T>(entries: usize, error: &PortError) -> Vec<Result<T, PortError>> {
    (0..entries).map(|_| Err(error.clone())).collect()
}

impl QueuePort {
    fn url(&self) -> &str {
        &self.options.resources.events_queue
    }

    async fn send_batch(
        &self,
        era: u64,
        packs: &[(usize, Arc<Pack>, String)],
    ) -> Result<Vec<Result<Sent, PortError>>, PortError> {
        let mut call = self.client.send_message_batch().queue_url(self.url());
        for (at, (_, pack, body)) in packs.iter().enumerate() {
            let entry = SendMessageBatchRequestEntry::builder()
                .id(at.to_string())
                .message_group_id(pack.group().to_string())
                .message_deduplication_id(pack.dedup().to_string())
                .message_body(body);
            call = call.entries(built(entry.build())?);
        }
        // A call that timed out is sent again by the SDK: what it had sent is a repeat by its deduplication id.
        let sent = call.send().await.map_err(|error| of_call("SendMessageBatch", &error))?;
        let mut answers = Answers::new("SendMessageBatch", packs.len());
        for entry in sent.successful() {
            let sequence = sequence_of(era, entry.sequence_number().unwrap_or_default());
            let sent = sequence.map(|sequence| Sent { sequence, position: None, repeated: None });
            answers.set(entry.id(), sent);
        }
        answers.fail(sent.failed());
        Ok(answers.into_vec())
    }

    async fn count(&self) -> Result<u64, PortError> {
        use QueueAttributeName::{
            ApproximateNumberOfMessages as Visible, ApproximateNumberOfMessagesDelayed as Delayed,
            ApproximateNumberOfMessagesNotVisible as Hidden,
        };
        let names = [Visible, Hidden, Delayed];
        let call = self.client.get_queue_attributes().queue_url(self.url());
        let call = call.set_attribute_names(Some(names.to_vec())).send().await;
        let attributes = call.map_err(|error| of_call("GetQueueAttributes", &error))?.attributes.unwrap_or_default();
        Ok(names.iter().filter_map(|name| attributes.get(name)?.parse::<u64>().ok()).sum())
    }
}

/// Groups of which a message cannot be read now: it comes again when its visibility ends, and all behind it in its
/// group with it, which must not be handled before.
#[derive(Default)]
struct Blocked<'a> {
    groups: HashSet<&'a str>,
    first: Option<PortError>,
}

fn attribute<'a>(message: &'a SqsMessage, name: &Attribute) -> &'a str {
    message.attributes().and_then(|attributes| attributes.get(name)).map_or("", String::as_str)
}

#[async_trait]
impl EventQueue for QueuePort {
    async fn send(&self, packs: Vec<Arc<Pack>>) -> Vec<Result<Sent, PortError>> {
        if packs.is_empty() {
            return Vec::new();
        }
        let era = match self.inbox.era().await {
            Ok(era) => era,
            Err(error) => return same_for_all(packs.len(), &error),
        };
        let (mut answers, mut sendable) = (Vec::with_capacity(packs.len()), Vec::with_capacity(packs.len()));
        for (place, pack) in packs.into_iter().enumerate() {
            // What cannot be sent is one pack's fault, and not its neighbours'.
            match body_of(&pack) {
                Ok(body) => {
                    answers.push(Err(PortError::Unavailable("SendMessageBatch: no answer".to_owned())));
                    sendable.push((place, pack, body));
                }
                Err(error) => answers.push(Err(error)),
            }
        }
        let sizes: Vec<_> = sendable.iter().map(|(_, pack, body)| (pack.group(), body.len())).collect();
        let batches = batch::cut(&sizes).into_iter().map(|range| async {
            let batch = &sendable[range];
            self.send_batch(era, batch).await.unwrap_or_else(|error| same_for_all(batch.len(), &error))
        });
        let sent = futures_util::future::join_all(batches).await.concat();
        for ((place, ..), answer) in sendable.iter().zip(sent) {
            answers[*place] = answer;
        }
        answers
    }

    async fn receive(&self, max: usize) -> Result<Vec<Message>, PortError> {
        let most = i32::try_from(max.clamp(1, MAX_ENTRIES)).unwrap_or(1);
        let call = self.client.receive_message().queue_url(self.url()).max_number_of_messages(most);
        let wanted = [
            Attribute::MessageGroupId,
            Attribute::SequenceNumber,
            Attribute::ApproximateReceiveCount,
            Attribute::SentTimestamp,
        ];
        let call = call.set_message_system_attribute_names(Some(wanted.to_vec()));
        let call = call.visibility_timeout(i32::try_from(VISIBILITY.as_secs()).unwrap_or(i32::MAX));
        // With it, a call that is repeated because its answer was lost gets the same messages again:
        // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-receiverequestattemptid-request-parameter.html
        let call = call.receive_request_attempt_id(self.ids.unique()).wait_time_seconds(self.options.wait_seconds());
        let bounds = aws_sdk_sqs::config::Config::builder().timeout_config(timeouts(self.options.receive_wait));
        let received = call.customize().config_override(bounds).send().await;
        let received = received.map_err(|error| of_call("ReceiveMessage", &error))?.messages.unwrap_or_default();
        let (mut messages, mut blocked) = (Vec::with_capacity(received.len()), Blocked::default());
        for message in &received {
            let group = attribute(message, &Attribute::MessageGroupId);
            if blocked.groups.contains(group) {
                continue;
            }
            let raw = RawMessage {
                body: message.body().unwrap_or_default(),
                sequence_number: attribute(message, &Attribute::SequenceNumber),
                receive_count: attribute(message, &Attribute::ApproximateReceiveCount),
                receipt: message.receipt_handle().unwrap_or_default(),
            };
            match self.inbox.decode(&raw).await {
                Ok(Some(decoded)) => {
                    let sent_at = attribute(message, &Attribute::SentTimestamp).parse().map(Time);
                    self.in_flight.received(raw.receipt, sent_at.unwrap_or(decoded.pack.accepted_at), self.clock.now());
                    messages.push(decoded);
                }
                // If this fails it comes again, and is put aside again: nothing behind it has to wait.
                Ok(None) => self.delete_one(raw.receipt).await.unwrap_or_else(|error| {
                    tracing::warn!(%error, "a message that lies in quarantine was not deleted");
                }),
                Err(error) => {
                    blocked.groups.insert(group);
                    blocked.first.get_or_insert(error);
                }
            }
        }
        match blocked.first {
            Some(error) if messages.is_empty() => Err(error),
            Some(error) => {
                tracing::warn!(%error, groups = blocked.groups.len(), "messages cannot be read now, and come again");
                Ok(messages)
            }
            None => Ok(messages),
        }
    }

    /// Waits a moment for other acknowledgements, where any may come: not if these are all that this process received.
    async fn delete(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        if receipts.len() >= MAX_ENTRIES || self.in_flight.is_all(receipts, self.clock.now()) {
            return self.delete_now(receipts).await;
        }
        let (answers, waiting) = self.gather.add(receipts);
        if waiting < MAX_ENTRIES {
            self.clock.sleep(MOMENT).await;
        }
        let taken = self.gather.take();
        if !taken.receipts.is_empty() {
            let deleted = self.delete_now(&taken.receipts).await;
            taken.answer(deleted);
        }
        gather::all(answers).await
    }

    async fn give_back(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        let batches = receipts.chunks(MAX_ENTRIES).map(|batch| async move {
            let answers = self.show_batch(batch).await.unwrap_or_else(|error| same_for_all(batch.len(), &error));
            self.in_flight.settled(batch.iter().zip(&answers));
            answers
        });
        futures_util::future::join_all(batches).await.concat()
    }

    /// SQS counts its messages but does not tell their age (CloudWatch does, minutes later): the age is that of the
    /// oldest message that this process has received and not acknowledged, or else of the one it received last.
    async fn lag(&self) -> Result<QueueLag, PortError> {
        let messages = self.count().await?;
        let now = self.clock.now();
        let oldest = if messages == 0 { None } else { self.in_flight.oldest(now) };
        Ok(QueueLag { messages, oldest: oldest.map_or(Duration::ZERO, |at| now.since(at)) })
    }
}

impl QueuePort {
    async fn delete_now(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        let batches = receipts.chunks(MAX_ENTRIES).map(|batch| async move {
            let answers = self.delete_batch(batch).await.unwrap_or_else(|error| same_for_all(batch.len(), &error));
            self.in_flight.settled(batch.iter().zip(&answers));
            answers
        });
        futures_util::future::join_all(batches).await.concat()
    }

    async fn delete_one(&self, receipt: &str) -> Result<(), PortError> {
        let delete = self.client.delete_message().queue_url(self.url()).receipt_handle(receipt).send().await;
        delete.map(drop).map_err(|error| of_call("DeleteMessage", &error))
    }

    async fn delete_batch(&self, receipts: &[Receipt]) -> Result<Vec<Result<(), PortError>>, PortError> {
        let mut call = self.client.delete_message_batch().queue_url(self.url());
        for (at, receipt) in receipts.iter().enumerate() {
            let entry = DeleteMessageBatchRequestEntry::builder().id(at.to_string());
            call = call.entries(built(entry.receipt_handle(handle_of(receipt)?).build())?);
        }
        let done = call.send().await.map_err(|error| of_call("DeleteMessageBatch", &error))?;
        let mut answers = Answers::new("DeleteMessageBatch", receipts.len());
        for entry in done.successful() {
            answers.set(entry.id(), Ok(()));
        }
        answers.fail(done.failed());
        Ok(answers.into_vec())
    }

    async fn show_batch(&self, receipts: &[Receipt]) -> Result<Vec<Result<(), PortError>>, PortError> {
        let mut call = self.client.change_message_visibility_batch().queue_url(self.url());
        for (at, receipt) in receipts.iter().enumerate() {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(at.to_string()).visibility_timeout(0);
            call = call.entries(built(entry.receipt_handle(handle_of(receipt)?).build())?);
        }
        let done = call.send().await.map_err(|error| of_call("ChangeMessageVisibilityBatch", &error))?;
        let mut answers = Answers::new("ChangeMessageVisibilityBatch", receipts.len());
        for entry in done.successful() {
            answers.set(entry.id(), Ok(()));
        }
        answers.fail(done.failed());
        Ok(answers.into_vec())
    }
}
