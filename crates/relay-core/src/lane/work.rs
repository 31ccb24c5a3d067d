//! What dispatch does next for one lane of its batch: a machine without I/O.
//!
//! Dispatch keeps one [`LaneWork`] per lane for the whole batch. For each message it calls [`LaneWork::begin`], then
//! does what [`LaneWork::step`] says and reports the outcome, until the step is [`Step::Done`]. A message may be
//! acknowledged once it is in the log and all its lanes are done.

/// What to do next for the current message.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Step {
    /// Attempt the event at this index, then report [`LaneWork::accepted`], [`LaneWork::failed`] or
    /// [`LaneWork::patience_over`].
    Deliver(u16),
    /// Put the message's events from this index on into the backlog, then report [`LaneWork::put`].
    Put(u16),
    /// Bump the lane item's version or create it ([`super::table::switch`]), then report [`LaneWork::switched`].
    Switch,
    /// Send the lane's wake-up, then report [`LaneWork::woken`].
    WakeUp,
    /// Nothing: all of the message's events are delivered or in the backlog.
    Done,
}

/// A request that goes on after its lane was held.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Detached {
    /// There is none.
    #[default]
    None,
    /// It waits for its answer.
    InFlight,
    /// It was accepted: write the progress, then report [`LaneWork::detached_progressed`].
    Progress,
    /// Drop the lease if it is still ours; the head is due now (`true`) or by the retry policy. Then report
    /// [`LaneWork::detached_dropped`].
    DropLease(bool),
    /// Send the wake-up, then report [`LaneWork::detached_woken`].
    WakeUp,
}

/// One lane, through one batch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LaneWork {
    held: bool,
    detaching: bool,
    step: Step,
    end: u16,
    detached: Detached,
}

impl LaneWork {
    /// A lane as the state read at the start shows it. It is `held` if its lane item exists, or if its events may not
    /// be attempted by dispatch (the subscription is not active, or has a rate limit).
    pub fn new(held: bool) -> LaneWork {
        LaneWork { held, detaching: false, step: Step::Done, end: 0, detached: Detached::None }
    }

    /// The state was read again: a lane that this batch held stays held.
    pub fn read_again(&mut self, held: bool) {
        self.held |= held;
        if let (true, Step::Deliver(index)) = (self.held, self.step) {
            self.step = Step::Put(index);
        }
    }

    /// Begins a message of so many events.
    pub fn begin(&mut self, events: u16) {
        self.end = events;
        self.detaching = false;
        self.step = if self.held { Step::Put(0) } else { Step::Deliver(0) };
    }

    /// What to do next.
    pub fn step(&self) -> Step {
        self.step
    }

    /// True if the lane is held, as far as this dispatch knows.
    pub fn is_held(&self) -> bool {
        self.held
    }

    /// True if the message's lane item is to be created with this invocation's lease.
    pub fn is_detaching(&self) -> bool {
        self.detaching
    }

    /// The webhook has accepted the next `count` events.
    pub fn accepted(&mut self, count: u16) {
        if let Step::Deliver(index) = self.step {
            let next = index.saturating_add(count);
            self.step = if next >= self.end { Step::Done } else { Step::Deliver(next) };
        }
    }

    /// The attempt failed, or nobody knows whether it did: the lane is held from this event on.
    pub fn failed(&mut self) {
        if let Step::Deliver(index) = self.step {
            (self.held, self.step) = (true, Step::Put(index));
        }
    }

    /// The others have waited long enough: the lane is held from this event on, and its request goes on.
    pub fn patience_over(&mut self) {
        if let (Step::Deliver(_), Detached::None) = (self.step, self.detached) {
            self.failed();
            (self.detaching, self.detached) = (true, Detached::InFlight);
        }
    }

    /// The backlog has the events.
    pub fn put(&mut self) {
        if let Step::Put(_) = self.step {
            self.step = Step::Switch;
        }
    }

    /// The lane item was created, or its version moved.
    pub fn switched(&mut self, created: bool) {
        if self.step == Step::Switch {
            self.step = if created && !self.detaching { Step::WakeUp } else { Step::Done };
        }
    }

    /// The wake-up is sent, or was tried: sweep makes up for a lost one.
    pub fn woken(&mut self) {
        if self.step == Step::WakeUp {
            self.step = Step::Done;
        }
    }

    /// What to do about a detached request. Its writes wait until the hold is complete.
    pub fn detached(&self) -> Detached {
        if self.detaching && self.step != Step::Done && self.detached != Detached::InFlight {
            Detached::None
        } else {
            self.detached
        }
    }

    /// The detached request's outcome: accepted, or failed (or unknown).
    pub fn detached_answered(&mut self, accepted: bool) {
        if self.detached == Detached::InFlight {
            self.detached = if accepted { Detached::Progress } else { Detached::DropLease(false) };
        }
    }

    /// The progress of the detached request is written, or was refused.
    pub fn detached_progressed(&mut self) {
        if self.detached == Detached::Progress {
            self.detached = Detached::DropLease(true);
        }
    }

    /// The lease is dropped; `mine` tells whether it was still ours.
    pub fn detached_dropped(&mut self, mine: bool) {
        if let Detached::DropLease(_) = self.detached {
            self.detached = if mine { Detached::WakeUp } else { Detached::None };
        }
    }

    /// The wake-up is sent, or was tried.
    pub fn detached_woken(&mut self) {
        if self.detached == Detached::WakeUp {
            self.detached = Detached::None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_holds_the_lane_from_the_failed_event_on_and_for_later_messages() {
        let mut work = LaneWork::new(false);
        work.begin(3);
        work.accepted(1);
        assert_eq!(work.step(), Step::Deliver(1));
        work.failed();
        assert_eq!(work.step(), Step::Put(1));
        work.put();
        assert_eq!(work.step(), Step::Switch);
        work.switched(true);
        assert_eq!(work.step(), Step::WakeUp);
        work.woken();
        assert_eq!(work.step(), Step::Done);
        work.begin(1);
        assert_eq!(work.step(), Step::Put(0));
        work.read_again(false);
        assert!(work.is_held());
    }

    #[test]
    fn a_detached_request_is_settled_after_the_hold_is_complete() {
        let mut work = LaneWork::new(false);
        work.begin(1);
        work.patience_over();
        work.detached_answered(true);
        assert_eq!((work.step(), work.detached()), (Step::Put(0), Detached::None));
        work.put();
        work.switched(true);
        assert_eq!((work.step(), work.detached()), (Step::Done, Detached::Progress));
        work.detached_progressed();
        assert_eq!(work.detached(), Detached::DropLease(true));
        work.detached_dropped(true);
        assert_eq!(work.detached(), Detached::WakeUp);
    }
}
