//! Attempts.

use super::{At, word_for};
use relay_core::ports::{Attempt, AttemptOutcome};
use relay_core::sequence::Sequence;
use serde::Serialize;

const OUTCOMES: &[(&str, AttemptOutcome)] = &[
    ("delivered", AttemptOutcome::Delivered),
    ("failed", AttemptOutcome::Failed),
    ("rejected", AttemptOutcome::Rejected),
];

/// An attempt as clients see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AttemptView<'a> {
    event_id: &'a str,
    topic: &'a str,
    partition_key: Option<&'a str>,
    sequence: Sequence,
    number: u32,
    started_at: At,
    duration_ms: u64,
    outcome: &'static str,
    status: Option<u16>,
    error: Option<&'a str>,
    response: &'a str,
    replay: bool,
}

impl<'a> From<&'a Attempt> for AttemptView<'a> {
    fn from(attempt: &'a Attempt) -> Self {
        AttemptView {
            event_id: &attempt.event_id,
            topic: attempt.topic.as_str(),
            partition_key: attempt.key.partition_key().map(|key| key.as_str()),
            sequence: attempt.sequence,
            number: attempt.number,
            started_at: At(attempt.started_at),
            duration_ms: attempt.duration_ms,
            outcome: word_for(OUTCOMES, &attempt.outcome),
            status: attempt.status,
            error: attempt.error.as_deref(),
            response: &attempt.response,
            replay: attempt.replay,
        }
    }
}

/// The answer to a test.
#[derive(Debug, Serialize)]
pub(crate) struct Tested<'a> {
    pub(crate) attempt: AttemptView<'a>,
}
