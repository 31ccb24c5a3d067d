//! Held lanes.

use super::{At, word_for};
use crate::document::{Faults, Object};
use crate::problem::Problem;
use relay_core::lane::{BacklogItem, HoldReason};
use relay_core::pack::LaneId;
use relay_core::ports::HeldLane;
use relay_core::sequence::Sequence;
use serde::Serialize;

const REASONS: &[(&str, HoldReason)] = &[
    ("failing", HoldReason::Failing),
    ("slow", HoldReason::Slow),
    ("paused", HoldReason::Paused),
    ("suspended", HoldReason::Suspended),
    ("disabled", HoldReason::Disabled),
    ("rateLimited", HoldReason::RateLimited),
    ("redriven", HoldReason::Redriven),
    ("suspect", HoldReason::Suspect),
];

/// A held lane as clients see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HeldLaneView<'a> {
    lane: LaneId,
    topic: &'a str,
    partition_key: Option<&'a str>,
    reason: &'static str,
    since: At,
    attempts: u32,
    next_attempt_at: Option<At>,
    depth: u64,
    head: Option<HeadView<'a>>,
    last_status: Option<u16>,
    last_error: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HeadView<'a> {
    event_id: &'a str,
    sequence: Sequence,
}

impl<'a> From<&'a HeldLane> for HeldLaneView<'a> {
    fn from(held: &'a HeldLane) -> Self {
        let item = &held.item;
        let head = held.head.as_ref();
        // In an unordered lane each event is tried by itself.
        let own = head.filter(|_| !item.lane.key.is_ordered());
        HeldLaneView {
            lane: item.lane.id,
            topic: item.lane.topic.as_str(),
            partition_key: item.lane.key.partition_key().map(|key| key.as_str()),
            reason: reason_word(item.reason),
            since: At(item.since),
            attempts: own.map_or(item.attempts, |head| head.attempts),
            next_attempt_at: own.map_or(item.next_attempt_at, |head| head.due_at).map(At),
            depth: held.depth,
            head: head.and_then(head_view),
            last_status: item.last_status,
            last_error: item.last_error.as_deref(),
        }
    }
}

fn head_view(item: &BacklogItem) -> Option<HeadView<'_>> {
    let event = item.pack.events.get(usize::from(item.next))?;
    Some(HeadView { event_id: &event.id, sequence: item.head() })
}

/// The word for a reason.
pub(crate) fn reason_word(reason: HoldReason) -> &'static str {
    word_for(REASONS, &reason)
}

/// Reads which event an operator means.
pub(crate) fn sequence(mut document: Object) -> Result<Option<Sequence>, Problem> {
    let mut faults = Faults::default();
    let pointer = document.pointer_to("sequence");
    let sequence = document.take("sequence").and_then(|value| {
        let sequence = value.as_str().and_then(|text| text.parse().ok());
        if sequence.is_none() {
            faults.invalid(pointer, "must be a sequence: a string of 36 digits");
        }
        sequence
    });
    document.finish(&mut faults);
    faults.none().map(|()| sequence)
}

/// The answer to a resolution.
#[derive(Debug, Serialize)]
pub(crate) struct Resolving<'a> {
    pub(crate) action: &'a str,
    pub(crate) sequence: Sequence,
}
