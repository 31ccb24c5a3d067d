//! Wake-ups over a standard queue.

use crate::clients::timeouts;
use crate::fault::of_call;
use crate::options::Options;
use crate::queue::batch::{Answers, MAX_ENTRIES};
use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message, SendMessageBatchRequestEntry};
use futures_util::stream::{self, StreamExt};
use relay_core::limits::MAX_WAKE_UP_DELAY;
use relay_core::ports::{PortError, WakeUp, WakeUps};
use relay_core::record;
use std::time::Duration;

/// Calls at the same time.
const AT_ONCE: usize = 8;

/// [`WakeUps`] over SQS.
pub(crate) struct WakeUpsPort {
    pub(crate) client: Client,
    pub(crate) options: Options,
}

/// Decodes the body of a wake-up's message.
///
/// # Errors
/// `Corrupt` if it is none.
pub fn decode(body: &str) -> Result<WakeUp, PortError> {
    record::decode(body)
}

/// Whole seconds as SQS counts them, never too early.
fn delay_seconds(delay: Duration) -> i32 {
    let millis = delay.min(MAX_WAKE_UP_DELAY).as_millis();
    i32::try_from(millis.div_ceil(1000)).unwrap_or(i32::MAX)
}

impl WakeUpsPort {
    async fn send_batch(&self, wake_ups: &[(WakeUp, Duration)]) -> Result<(), PortError> {
        let mut call = self.client.send_message_batch().queue_url(&self.options.resources.wake_ups_queue);
        for (at, (wake_up, delay)) in wake_ups.iter().enumerate() {
            let entry = SendMessageBatchRequestEntry::builder().id(at.to_string());
            let entry = entry.message_body(record::encode(wake_up)?).delay_seconds(delay_seconds(*delay)).build();
            call = call.entries(entry.map_err(|error| PortError::Invalid(error.to_string()))?);
        }
        let sent = call.send().await.map_err(|error| of_call("SendMessageBatch", &error))?;
        let mut answers = Answers::new("SendMessageBatch", wake_ups.len());
        for entry in sent.successful() {
            answers.set(entry.id(), Ok(()));
        }
        answers.fail(sent.failed());
        answers.into_vec().into_iter().collect()
    }

    /// Deletes messages; what stays comes again, which does no harm.
    async fn forget(&self, messages: &[Message]) {
        let mut call = self.client.delete_message_batch().queue_url(&self.options.resources.wake_ups_queue);
        for (at, message) in messages.iter().enumerate() {
            let handle = message.receipt_handle().unwrap_or_default();
            let entry = DeleteMessageBatchRequestEntry::builder().id(at.to_string()).receipt_handle(handle).build();
            let Ok(entry) = entry else { continue };
            call = call.entries(entry);
        }
        if let Err(error) = call.send().await {
            let error = of_call("DeleteMessageBatch", &error);
            tracing::warn!(%error, "wake-ups were received and not deleted: they come again");
        }
    }
}

#[async_trait]
impl WakeUps for WakeUpsPort {
    async fn send(&self, wake_ups: Vec<(WakeUp, Duration)>) -> Result<(), PortError> {
        // Sweep may send ten thousand. One call that fails leaves the others to be made.
        let batches: Vec<_> = wake_ups.chunks(MAX_ENTRIES).map(<[_]>::to_vec).collect();
        let batches = stream::iter(batches).map(|batch| async move { self.send_batch(&batch).await });
        let sent: Vec<Result<(), PortError>> = batches.buffer_unordered(AT_ONCE).collect().await;
        sent.into_iter().collect()
    }

    async fn receive(&self, max: usize) -> Result<Vec<WakeUp>, PortError> {
        let most = i32::try_from(max.clamp(1, MAX_ENTRIES)).unwrap_or(1);
        let call = self.client.receive_message().queue_url(&self.options.resources.wake_ups_queue);
        let call = call.max_number_of_messages(most).wait_time_seconds(self.options.wait_seconds());
        let bounds = aws_sdk_sqs::config::Config::builder().timeout_config(timeouts(self.options.receive_wait));
        let received = call.customize().config_override(bounds).send().await;
        let messages = received.map_err(|error| of_call("ReceiveMessage", &error))?.messages.unwrap_or_default();
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        self.forget(&messages).await;
        let decoded = messages.iter().filter_map(|message| match decode(message.body().unwrap_or_default()) {
            Ok(wake_up) => Some(wake_up),
            Err(error) => {
                tracing::error!(%error, "a wake-up cannot be read: sweep makes up for it");
                None
            }
        });
        Ok(decoded.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_never_shortened_but_by_the_longest_one() {
        assert_eq!(delay_seconds(Duration::ZERO), 0);
        assert_eq!(delay_seconds(Duration::from_millis(1)), 1);
        assert_eq!(delay_seconds(Duration::from_millis(5000)), 5);
        assert_eq!(delay_seconds(Duration::from_secs(100_000)), 900);
    }
}
