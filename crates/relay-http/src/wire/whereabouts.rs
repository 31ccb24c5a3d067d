//! Why an event was not delivered.

use super::At;
use super::attempt::AttemptView;
use super::lane::reason_word;
use super::subscription::status_word;
use relay_core::manage::{LaneState, State, Whereabouts};
use relay_core::pack::LaneId;
use relay_core::sequence::Sequence;
use relay_core::subscription::Subscription;
use serde::Serialize;

/// Where an event is, as clients see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WhereaboutsView<'a> {
    event_id: &'a str,
    topic: &'a str,
    partition_key: Option<&'a str>,
    sequence: Sequence,
    replay_id: Option<String>,
    accepted_at: Option<At>,
    matched: bool,
    /// Which filter decided: subscriptions have none yet.
    filter: Option<&'a str>,
    state: &'static str,
    explanation: &'static str,
    subscription_status: &'static str,
    lane: Option<LaneView>,
    attempts: u32,
    last_attempt: Option<AttemptView<'a>>,
    next_attempt_at: Option<At>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LaneView {
    lane: LaneId,
    state: &'static str,
    reason: Option<&'static str>,
    since: Option<At>,
    head: Option<Sequence>,
}

impl<'a> WhereaboutsView<'a> {
    pub(crate) fn new(event: &'a str, subscription: &'a Subscription, found: &'a Whereabouts) -> Self {
        let head = found.lane.as_ref().and_then(|lane| lane.head);
        let behind = head.is_some_and(|head| head != found.sequence) && found.key.is_ordered();
        let (state, explanation) = words(found.state, behind);
        WhereaboutsView {
            event_id: event,
            topic: subscription.topic.as_str(),
            partition_key: found.key.partition_key().map(|key| key.as_str()),
            sequence: found.sequence,
            replay_id: found.replay_id.map(|id| id.to_string()),
            accepted_at: found.accepted_at.map(At),
            matched: found.state != State::NotMatched,
            filter: None,
            state,
            explanation,
            subscription_status: status_word(subscription.status),
            lane: found.lane.as_ref().map(LaneView::from),
            attempts: found.attempts,
            last_attempt: found.last_attempt.as_ref().map(AttemptView::from),
            next_attempt_at: found.next_attempt_at.map(At),
        }
    }
}

impl From<&LaneState> for LaneView {
    fn from(lane: &LaneState) -> LaneView {
        let held = lane.held.as_ref();
        LaneView {
            lane: lane.id,
            state: if held.is_some() { "held" } else { "live" },
            reason: held.map(|held| reason_word(held.reason)),
            since: held.map(|held| At(held.since)),
            head: lane.head,
        }
    }
}

fn words(state: State, behind: bool) -> (&'static str, &'static str) {
    match state {
        State::Delivered => ("delivered", "the webhook has accepted it"),
        State::Committed => ("committed", "the cursor that the consumer has committed is past it"),
        State::Uncommitted => ("uncommitted", "the consumer has not committed it: a pull answers it, in its turn"),
        State::Held if behind => ("held", "it waits in its lane behind the lane's head, which is not delivered yet"),
        State::Held => ("held", "it heads its lane, which is held for the reason given"),
        State::DeadLettered => ("deadLettered", "it is among the dead letters, from where it may be redriven"),
        State::Skipped => ("skipped", "it waits in the log until the subscription goes on"),
        State::Queued => ("queued", "it is queued, or being delivered at this moment"),
        State::Settled => {
            ("settled", "it was delivered or skipped, and its attempts are not on record; nothing is left to do")
        }
        State::NotMatched => ("notMatched", "it was accepted before the subscription was created"),
    }
}
