//! Replay jobs.

use super::{At, start_from, word_for};
use crate::document::{Faults, Object};
use crate::problem::Problem;
use relay_core::limits::MAX_PARTITION_KEY_CHARS;
use relay_core::log::Start;
use relay_core::manage::ReplayOrder;
use relay_core::names::PartitionKey;
use relay_core::replay::{Replay, ReplayState, Until};
use serde::Serialize;

const STATES: &[(&str, ReplayState)] = &[
    ("running", ReplayState::Running),
    ("done", ReplayState::Done),
    ("cancelled", ReplayState::Cancelled),
    ("failed", ReplayState::Failed),
];

/// A replay job as clients see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReplayView<'a> {
    id: &'a str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    scanned: u64,
    matched: u64,
    enqueued: u64,
    delivered: u64,
    started_at: At,
    finished_at: Option<At>,
}

impl<'a> From<&'a Replay> for ReplayView<'a> {
    fn from(replay: &'a Replay) -> Self {
        ReplayView {
            id: &replay.id,
            state: word_for(STATES, &replay.state),
            reason: replay.reason.as_deref(),
            scanned: replay.scanned,
            matched: replay.matched,
            enqueued: replay.enqueued,
            delivered: replay.delivered,
            started_at: At(replay.started_at),
            finished_at: replay.finished_at.map(At),
        }
    }
}

/// Reads what is to be replayed.
pub(crate) fn order(mut document: Object) -> Result<ReplayOrder, Problem> {
    let mut faults = Faults::default();
    let has_from = document.has("from");
    let from = start_from::read(&mut document, "from", &mut faults);
    if !has_from {
        faults.invalid(document.pointer_to("from"), "is required");
    }
    let pointer = document.pointer_to("to");
    let until = match start_from::read(&mut document, "to", &mut faults) {
        None | Some(Start::Latest) => None,
        Some(Start::Time(time)) => Some(Until::time(time)),
        Some(Start::After(id)) => Some(Until::event(id)),
        Some(Start::Earliest) => {
            faults.invalid(pointer, "is before every start");
            None
        }
    };
    if let (Some(Start::Time(from)), Some(Until { time, event: None })) = (from, until)
        && time < from
    {
        faults.invalid(document.pointer_to("to"), "lies before `from`");
    }
    let pointer = document.pointer_to("partitionKey");
    let key = document.text("partitionKey", 1..=MAX_PARTITION_KEY_CHARS, &mut faults).and_then(|text| {
        let key = PartitionKey::new(text);
        if let Err(fault) = &key {
            faults.invalid(pointer, fault.to_string());
        }
        key.ok()
    });
    let rate_limit = document.integer("rateLimit", 1..=u64::from(u32::MAX), &mut faults);
    document.later(&["filter"], &mut faults);
    document.finish(&mut faults);
    faults.none()?;
    let rate_limit = rate_limit.and_then(|limit| u32::try_from(limit).ok());
    Ok(ReplayOrder { from: from.unwrap_or(Start::Latest), until, key, rate_limit })
}
