//! What the actors share: transitions, table writes, the webhook.

use crate::bounds::{Admin, Bounds};
use crate::planted::Planted;
use crate::state::{Lane, Load, State};
use relay_core::lane::table::{Progress, ProgressEffect, progress};

/// Who does something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Who {
    Dispatch(usize),
    Drain(usize),
    Admin,
    Time,
    Sweep,
    Queue,
}

/// What a step is about, for its trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum About {
    Nothing,
    /// So many events from this one on.
    Events(u8, u8),
    Message(u8),
    /// Messages (bits).
    Messages(u8),
    Version(Option<u64>),
    Key(u8),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Act {
    pub who: Who,
    pub what: &'static str,
    pub lane: usize,
    pub about: About,
    /// A step that liveness may not count on.
    pub fault: bool,
    /// The write has taken effect, its answer was lost, and it is repeated.
    pub repeats: bool,
}

impl Act {
    pub fn new(who: Who, what: &'static str, lane: usize) -> Act {
        Act { who, what, lane, about: About::Nothing, fault: false, repeats: false }
    }

    pub fn about(self, about: About) -> Act {
        Act { about, ..self }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Model {
    pub bounds: Bounds,
    pub planted: Option<Planted>,
}

impl Model {
    pub fn plants(&self, fault: Planted) -> bool {
        self.planted == Some(fault)
    }

    /// The webhook accepts events; `stale`: from one who knows nothing of the rewind.
    pub fn accept(&self, state: &mut State, lane: usize, events: std::ops::Range<u8>, stale: bool) {
        for event in events {
            let bit = 1u8 << event;
            let seen = &mut state.lanes[lane];
            let passed = seen.got | seen.given_up;
            if seen.got & bit == 0 && passed & (bit - 1) != bit - 1 {
                state.world.seen.out_of_order = true;
            }
            seen.got |= bit;
            let Admin::Rewind { position, .. } = self.bounds.admin else { continue };
            if state.world.load == Load::None || event < position {
                continue;
            }
            let earlier = (bit - 1) & !((1u8 << position) - 1);
            seen.since |= bit;
            let early = seen.regot & bit == 0 && seen.regot & earlier != earlier;
            if !stale {
                state.world.seen.redelivered_out_of_order |= early;
                seen.regot |= bit;
            } else if early && state.world.load != Load::Begun && !self.bounds.skew {
                state.world.seen.stale_after_load = true;
            }
        }
    }

    /// A write of progress, as the table carries it out.
    pub fn progress(&self, lane: &mut Lane, mut write: Progress<u8, u8>) {
        let slot = &mut lane.backlog[usize::from(write.key)];
        if let (true, Some(item)) = (self.plants(Planted::ProgressToLaterPut), slot.as_ref()) {
            write.put_id = item.put_id;
        }
        match (progress(slot.as_ref().map(|item| &item.put_id), &write), slot.as_mut()) {
            (ProgressEffect::Advance(next), Some(item)) => item.next = next as u8,
            (ProgressEffect::Delete, _) => *slot = None,
            _ => {}
        }
    }
}

/// The steps that are possible in a state.
pub(crate) struct Next<'a> {
    pub model: &'a Model,
    pub now: &'a State,
    pub out: &'a mut Vec<(Act, State)>,
}

impl Next<'_> {
    pub fn push(&mut self, act: Act, state: State) {
        self.out.push((act, state));
    }

    pub fn push_fault(&mut self, act: Act, mut state: State) {
        if self.now.world.faults < self.model.bounds.faults {
            state.world.faults += 1;
            self.out.push((Act { fault: true, ..act }, state));
        }
    }

    /// A table write with this effect, which `then` reports to the writer's memory. Its answer may be lost; then the
    /// writer repeats it.
    pub fn write(&mut self, act: Act, mut effect: State, then: impl FnOnce(&mut State)) {
        if self.model.bounds.write_timeouts && effect.lanes != self.now.lanes {
            self.push_fault(Act { repeats: true, ..act }, effect.clone());
        }
        then(&mut effect);
        self.push(act, effect);
    }
}
