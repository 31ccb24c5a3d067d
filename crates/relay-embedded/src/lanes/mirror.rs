//! Which lanes are held, and how much waits in each: in memory, so that dispatch's look at its lanes costs no read.
//!
//! A lane shows as held before the transaction that holds it commits, and until the one that releases it has: whoever
//! was told "held" is never shown "live" before the release.

use crate::sync::lock;
use crate::writer::Tx;
use relay_core::names::TopicId;
use relay_core::pack::LaneId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lane {
    is_held: bool,
    /// Which topic, as numbered here.
    topic: u32,
    /// Undelivered events in its backlog.
    depth: u64,
}

#[derive(Debug, Default)]
struct State {
    lanes: HashMap<LaneId, Lane>,
    topics: HashMap<TopicId, u32>,
    /// By the topic's number: held lanes, and events in backlogs.
    totals: Vec<(u64, u64)>,
}

/// The lanes in memory.
#[derive(Debug, Default)]
pub(crate) struct LaneMirror {
    state: Mutex<State>,
}

impl State {
    fn topic(&mut self, topic: &TopicId) -> u32 {
        if let Some(number) = self.topics.get(topic) {
            return *number;
        }
        let number = u32::try_from(self.totals.len()).unwrap_or(u32::MAX);
        self.topics.insert(topic.clone(), number);
        self.totals.push((0, 0));
        number
    }

    fn total(&mut self, topic: u32) -> Option<&mut (u64, u64)> {
        self.totals.get_mut(topic as usize)
    }

    /// Sets whether a lane is held; answers whether it was.
    fn set_held(&mut self, id: LaneId, topic: u32, is_held: bool) -> bool {
        let lane = self.lanes.entry(id).or_insert(Lane { topic, ..Lane::default() });
        let was_held = std::mem::replace(&mut lane.is_held, is_held);
        let (topic, is_idle) = (lane.topic, !lane.is_held && lane.depth == 0);
        if is_idle {
            self.lanes.remove(&id);
        }
        if let Some((lanes, _)) = self.total(topic) {
            *lanes = (*lanes + u64::from(is_held)).saturating_sub(u64::from(was_held));
        }
        was_held
    }

    fn change_depth(&mut self, id: LaneId, topic: u32, by: i64) {
        let lane = self.lanes.entry(id).or_insert(Lane { topic, ..Lane::default() });
        lane.depth = lane.depth.saturating_add_signed(by);
        let (topic, is_idle) = (lane.topic, !lane.is_held && lane.depth == 0);
        if is_idle {
            self.lanes.remove(&id);
        }
        if let Some((_, events)) = self.total(topic) {
            *events = events.saturating_add_signed(by);
        }
    }
}

impl LaneMirror {
    /// A held lane, as it was stored.
    pub(crate) fn restore_lane(&self, lane: LaneId, topic: &TopicId) {
        let mut state = lock(&self.state);
        let topic = state.topic(topic);
        state.set_held(lane, topic, true);
    }

    /// A backlog, as it was stored.
    pub(crate) fn restore_backlog(&self, lane: LaneId, topic: &TopicId, depth: u64) {
        let mut state = lock(&self.state);
        let topic = state.topic(topic);
        state.change_depth(lane, topic, i64::try_from(depth).unwrap_or(i64::MAX));
    }

    /// A lane is being held.
    pub(crate) fn hold(self: &Arc<Self>, tx: &Tx<'_>, lane: LaneId, topic: &TopicId) {
        let (was_held, topic) = {
            let mut state = lock(&self.state);
            let topic = state.topic(topic);
            (state.set_held(lane, topic, true), topic)
        };
        let mirror = self.clone();
        // Again once it is committed: a release before it in the same transaction has removed it by then.
        tx.settle(move |committed| {
            if committed || !was_held {
                lock(&mirror.state).set_held(lane, topic, committed);
            }
        });
    }

    /// A lane is being released.
    pub(crate) fn release(self: &Arc<Self>, tx: &Tx<'_>, lane: LaneId, topic: &TopicId) {
        let (mirror, topic) = (self.clone(), lock(&self.state).topic(topic));
        tx.settle(move |committed| {
            if committed {
                lock(&mirror.state).set_held(lane, topic, false);
            }
        });
    }

    /// A backlog's number of events changes.
    pub(crate) fn deepen(self: &Arc<Self>, tx: &Tx<'_>, lane: LaneId, topic: &TopicId, by: i64) {
        if by == 0 {
            return;
        }
        let (mirror, topic) = (self.clone(), lock(&self.state).topic(topic));
        tx.settle(move |committed| {
            if committed {
                lock(&mirror.state).change_depth(lane, topic, by);
            }
        });
    }

    /// As [`LaneMirror::deepen`], of a lane whose topic the mirror knows.
    pub(crate) fn change_depth(self: &Arc<Self>, tx: &Tx<'_>, lane: LaneId, by: i64) {
        let mirror = self.clone();
        tx.settle(move |committed| {
            if committed {
                let mut state = lock(&mirror.state);
                if let Some(topic) = state.lanes.get(&lane).map(|lane| lane.topic) {
                    state.change_depth(lane, topic, by);
                }
            }
        });
    }

    /// Whether lanes are held.
    pub(crate) fn are_held(&self, lanes: &[LaneId]) -> Vec<bool> {
        let state = lock(&self.state);
        lanes.iter().map(|lane| state.lanes.get(lane).is_some_and(|lane| lane.is_held)).collect()
    }

    /// Undelivered events in lanes' backlogs.
    pub(crate) fn depths(&self, lanes: &[LaneId]) -> Vec<u64> {
        let state = lock(&self.state);
        lanes.iter().map(|lane| state.lanes.get(lane).map_or(0, |lane| lane.depth)).collect()
    }

    /// A topic's number of held lanes, and of events in their backlogs.
    pub(crate) fn totals(&self, topic: &TopicId) -> (u64, u64) {
        let state = lock(&self.state);
        let number = state.topics.get(topic);
        number.and_then(|number| state.totals.get(*number as usize)).copied().unwrap_or_default()
    }
}
