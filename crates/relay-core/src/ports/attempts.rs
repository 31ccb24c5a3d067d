//! What was attempted, and what was given up.

use super::PortError;
use crate::lane::PutId;
use crate::names::{SubscriptionId, TopicId, TopicName};
use crate::pack::{LaneKey, Pack};
use crate::replay_id::LogPosition;
use crate::retry::DeadLetterReason;
use crate::sequence::Sequence;
use crate::time::Time;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How an attempt ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AttemptOutcome {
    /// 2xx.
    Delivered,
    /// A fault that may pass.
    Failed,
    /// A 4xx that says the request is at fault.
    Rejected,
}

/// One event of one HTTP request to a webhook.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// The subscription.
    pub subscription: SubscriptionId,
    /// The event's `id`.
    pub event_id: String,
    /// The topic.
    pub topic: TopicName,
    /// The key.
    pub key: LaneKey,
    /// The event's sequence.
    pub sequence: Sequence,
    /// 1 for the first attempt.
    pub number: u32,
    /// When it began.
    pub started_at: Time,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// The answer's status, if there was one.
    pub status: Option<u16>,
    /// The error word, if there was none.
    pub error: Option<String>,
    /// The beginning of the answer's body, up to 1 KiB.
    pub response: String,
    /// It was delivered as a replay.
    pub replay: bool,
}

/// Some attempts, newest first.
#[derive(Clone, Debug, Default)]
pub struct AttemptsPage {
    /// The attempts.
    pub attempts: Vec<Attempt>,
    /// Pass it back for older ones.
    pub next: Option<String>,
}

/// The record of attempts, kept for [`crate::limits::ATTEMPTS_KEPT`]. Recording need not be durable at once.
#[async_trait]
pub trait Attempts: Send + Sync {
    /// Records attempts of one invocation.
    ///
    /// # Errors
    /// If they are lost. Nobody fails a delivery for that.
    async fn record(&self, attempts: Vec<Attempt>) -> Result<(), PortError>;

    /// A subscription's attempts, newest first; all that were recorded before the call are seen.
    ///
    /// # Errors
    /// If they cannot be read; `Invalid` for a cursor that is none.
    async fn list(
        &self,
        subscription: &SubscriptionId,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<AttemptsPage, PortError>;

    /// Removes attempts older than a time; some, if there are many.
    ///
    /// # Errors
    /// If they cannot be removed.
    async fn expire(&self, before: Time) -> Result<u64, PortError>;
}

/// An event that its subscription's policy, or an operator, gave up on.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Names it: the same for the same event of the same subscription.
    pub id: String,
    /// The subscription.
    pub subscription: SubscriptionId,
    /// The topic's identifier.
    pub topic_id: TopicId,
    /// The pack that holds the event.
    pub pack: Arc<Pack>,
    /// Which event.
    pub sequence: Sequence,
    /// Where the pack lies in the log.
    pub position: LogPosition,
    /// Why.
    pub reason: DeadLetterReason,
    /// When.
    pub at: Time,
    /// Attempts until then.
    pub attempts: u32,
    /// Status of the last attempt.
    pub last_status: Option<u16>,
    /// Error word of the last attempt.
    pub last_error: Option<String>,
    /// This put of it: drawn afresh each time the event is given up.
    pub put_id: PutId,
}

impl DeadLetter {
    /// The id of an event's dead letter.
    pub fn id_of(lane: &crate::pack::LaneId, sequence: Sequence) -> String {
        format!("{lane}{sequence}")
    }
}

/// Some dead letters.
#[derive(Clone, Debug, Default)]
pub struct DeadLettersPage {
    /// In the order of their ids, so those of a lane in sequence order.
    pub dead_letters: Vec<DeadLetter>,
    /// Ask for those after this id for more.
    pub next: Option<String>,
}

/// Dead letters. Their events stay readable for as long as they are here.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Puts a dead letter; putting the same one again is harmless.
    ///
    /// # Errors
    /// If it may not be durable.
    async fn put(&self, dead_letter: DeadLetter) -> Result<(), PortError>;

    /// A subscription's dead letters.
    ///
    /// # Errors
    /// If they cannot be read.
    async fn list(
        &self,
        subscription: &SubscriptionId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<DeadLettersPage, PortError>;

    /// One of them.
    ///
    /// # Errors
    /// If it cannot be read.
    async fn get(&self, subscription: &SubscriptionId, id: &str) -> Result<Option<DeadLetter>, PortError>;

    /// Deletes one; true if it was there.
    ///
    /// # Errors
    /// If it may not be durable.
    async fn delete(&self, subscription: &SubscriptionId, id: &str) -> Result<bool, PortError>;

    /// Deletes one if it is still this put of it, in one step; true if it was. An event that was given up again since
    /// is a dead letter anew, and stays one.
    ///
    /// # Errors
    /// If it may not be durable.
    async fn delete_put(&self, dead_letter: &DeadLetter) -> Result<bool, PortError>;
}
