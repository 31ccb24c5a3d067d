//! One message: its lanes at once, then the next message of its group.

use super::patience::Patience;
use super::state::LaneState;
use super::{Dispatcher, End, Entry, Left};
use crate::delivery::Outgoing;
use crate::lane::work::LaneWork;
use crate::limits::MAX_RECEIVES;
use crate::pack::LaneKey;
use crate::ports::Receipt;
use futures_util::future::join_all;
use std::collections::VecDeque;
use std::sync::Arc;

/// A group of the batch: what is left of its messages, and its lanes as they have become.
pub(super) struct GroupRun {
    entries: VecDeque<Entry>,
    lanes: Vec<LaneRun>,
}

/// A lane through the batch.
pub(super) struct LaneRun {
    pub state: LaneState,
    pub work: LaneWork,
    /// Its subscription went away meanwhile.
    pub gone: bool,
}

/// What the lanes of a message share.
pub(super) struct MessageRun {
    pub outgoing: Arc<Outgoing>,
    pub patience: Patience,
    /// Received so often that it may be crashing the process: no attempts.
    pub suspect: bool,
}

impl GroupRun {
    pub fn new(entries: VecDeque<Entry>, lanes: Vec<LaneState>) -> GroupRun {
        let Some(key) = entries.front().map(|(message, _)| message.pack.key.clone()) else {
            return GroupRun { entries, lanes: Vec::new() };
        };
        let run = |state: LaneState| LaneRun { work: LaneWork::new(holds(&state, &key)), state, gone: false };
        GroupRun { entries, lanes: lanes.into_iter().map(run).collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn into_receipts(self) -> Vec<Receipt> {
        self.entries.into_iter().map(|(message, _)| message.receipt).collect()
    }
}

/// True if dispatch may not attempt the lane's events.
pub(super) fn holds(state: &LaneState, key: &LaneKey) -> bool {
    state.held || !state.subscription.delivers(key) || state.subscription.is_drained_only()
}

impl Dispatcher {
    /// Handles the group's first message.
    pub(super) async fn next_message(&self, mut group: GroupRun) -> End {
        let Some((message, position)) = group.entries.pop_front() else { return End::Deleted };
        let now = self.ports.clock.now();
        let slow: Vec<bool> = group
            .lanes
            .iter()
            .map(|lane| self.attempter.endpoints().is_slow(&lane.state.subscription.id, now))
            .collect();
        let unslow = slow.iter().filter(|slow| !**slow).count();
        let run = MessageRun {
            patience: Patience::new(self.ports.clock.clone(), now, message.pack.accepted_at, unslow),
            outgoing: Arc::new(Outgoing::new(message.pack.clone(), message.sequence, position)),
            suspect: message.receives > MAX_RECEIVES,
        };
        let lanes = group.lanes.iter_mut().zip(slow).map(|(lane, slow)| self.lane(lane, &run, slow));
        let mut left = Left::default();
        let mut fault = None;
        for result in join_all(lanes).await {
            left.attempts.extend(result.attempts);
            left.detached.extend(result.detached);
            fault = fault.or(result.fault);
        }
        match fault {
            None => End::Finished(group, message.receipt, left),
            Some(error) => {
                group.entries.push_front((message, position));
                End::Failed(group, error, left)
            }
        }
    }
}
