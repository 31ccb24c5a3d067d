//! Dead letters.

use super::{At, word_for};
use crate::document::{Faults, Object};
use crate::problem::Problem;
use relay_core::manage::{DeadLetterView, Selection};
use relay_core::retry::DeadLetterReason;
use relay_core::sequence::Sequence;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

const REASONS: &[(&str, DeadLetterReason)] = &[
    ("exhausted", DeadLetterReason::Exhausted),
    ("rejected", DeadLetterReason::Rejected),
    ("resolved", DeadLetterReason::Resolved),
];
/// Most dead letters named in one request.
const MAX_IDS: usize = 1_000;

/// A dead letter as clients see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeadLetterWire<'a> {
    id: &'a str,
    event_id: &'a str,
    topic: &'a str,
    partition_key: Option<&'a str>,
    sequence: Sequence,
    reason: &'static str,
    dead_lettered_at: At,
    attempts: u32,
    last_status: Option<u16>,
    last_error: Option<&'a str>,
    event: Option<&'a RawValue>,
}

impl<'a> From<&'a DeadLetterView> for DeadLetterWire<'a> {
    fn from(view: &'a DeadLetterView) -> Self {
        let letter = &view.dead_letter;
        DeadLetterWire {
            id: &letter.id,
            event_id: &view.event_id,
            topic: letter.pack.topic.as_str(),
            partition_key: letter.pack.key.partition_key().map(|key| key.as_str()),
            sequence: letter.sequence,
            reason: word_for(REASONS, &letter.reason),
            dead_lettered_at: At(letter.at),
            attempts: letter.attempts,
            last_status: letter.last_status,
            last_error: letter.last_error.as_deref(),
            event: view.event.as_ref().and_then(|text| serde_json::from_slice(text).ok()),
        }
    }
}

/// Reads which dead letters are meant.
pub(crate) fn selection(mut document: Object) -> Result<Selection, Problem> {
    let mut faults = Faults::default();
    let ids = document.array("ids", 0..=MAX_IDS, &mut faults).map(|elements| {
        let id = |(pointer, value): (String, Value)| match value {
            Value::String(id) => Some(id),
            _ => {
                faults.invalid(pointer, "must be the id of a dead letter");
                None
            }
        };
        elements.into_iter().filter_map(id).collect()
    });
    document.finish(&mut faults);
    faults.none().map(|()| ids.map_or(Selection::All, Selection::Ids))
}

/// The answer to a redrive.
#[derive(Debug, Serialize)]
pub(crate) struct Redriven {
    pub(crate) redriven: u64,
}
