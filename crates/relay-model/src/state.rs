//! What the model remembers: queue, table, log, subscription, jobs, the actors' memories, and what the webhook has seen.

use crate::bounds::{Bounds, KEYS, LANES, MESSAGES};
use relay_core::lane::drain::Drain as Machine;
use relay_core::lane::table::ItemView;
use relay_core::lane::tenure::Tenure;
use relay_core::lane::work::{LaneWork, Step};
use relay_core::lane::{Lease, OwnerId};
use relay_core::time::Time;
use std::rc::Rc;

/// The time it always is: leases and next attempts lie before or after it.
pub(crate) const NOW: Time = Time(1);
/// A next attempt that is due, a lease that has run out.
pub(crate) const PAST: Time = Time(0);
/// A next attempt that is not due yet, a lease that goes on.
pub(crate) const FUTURE: Time = Time(2);
/// Holds what was held by an actor that is no more.
pub(crate) const GONE: OwnerId = OwnerId(7);

pub(crate) fn dispatch_owner(slot: usize) -> OwnerId {
    OwnerId(1 + slot as u64)
}

pub(crate) fn drain_owner(slot: usize) -> OwnerId {
    OwnerId(3 + slot as u64)
}

pub(crate) fn lease(owner: OwnerId) -> Lease {
    Lease { owner, until: FUTURE }
}

/// A message in the queue's one group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(crate) enum Message {
    #[default]
    Acknowledged,
    Visible,
    /// At the dispatcher in this slot.
    InFlight(u8),
    /// At a dispatcher that is no more, until its visibility ends.
    Lost,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) enum Status {
    #[default]
    Active,
    Paused,
    Suspended,
    Rewinding,
    Skipping,
    Collecting,
}

/// The job that makes held lanes due after a resume.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) enum Resume {
    #[default]
    None,
    /// It has to list the held lanes.
    List,
    /// It has to make these lanes due (bits).
    MakeDue(u8),
}

/// A rewind, or the load of one who catches up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) enum Load {
    #[default]
    None,
    /// The status is written; the log is not read.
    Begun,
    /// The log was read before the status was written (planted): these messages (bits).
    ReadEarly(u8),
    /// It has to put message `at` of these (bits).
    Put { rest: u8, at: u8 },
    /// It has put it, and has to switch its lanes.
    Switch { rest: u8, at: u8 },
    /// All is loaded; the status is to be written.
    End,
    /// The status is written.
    Over,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum RedriveStep {
    /// Look whether the event is back in the backlog already.
    Look,
    Put,
    Switch,
    Delete,
}

/// A dead letter that is being put back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Redrive {
    pub lane: u8,
    pub event: u8,
    pub step: RedriveStep,
    /// The event was given up again since its dead letter was read.
    pub given_up_again: bool,
    /// The event was found in the backlog: its lane is switched, its dead letter stays.
    pub was_back: bool,
}

/// A joiner that has lost its job (to another one, or to a second skip) and lives on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct FormerJoiner {
    pub revision: u8,
    pub load: Load,
}

/// What skip and catch-up go by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct CatchUp {
    /// Batches with a log entry (bits: see [`batch`]), while that may matter to a skip.
    pub entries: u8,
    /// Messages with an entry at or after the subscription's position.
    pub after: u8,
    /// The latter, when `collecting` was written.
    pub before_join: u8,
    /// The subscription has a position in the log: it is behind.
    pub position: bool,
    pub skipped: bool,
    pub skipped_again: bool,
    pub former: Option<FormerJoiner>,
}

/// What the webhook has been found to have seen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Seen {
    pub out_of_order: bool,
    pub redelivered_out_of_order: bool,
    pub stale_after_load: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct World {
    pub queue: [Message; MESSAGES],
    /// Messages in the log (bits).
    pub log: u8,
    pub status: Status,
    /// Raised by every change of status.
    pub revision: u8,
    /// Pauses, or openings of the circuit, so far.
    pub turns: u8,
    pub resume: Resume,
    pub load: Load,
    /// What the rewind has found in the log.
    pub loaded: u8,
    pub redrives: [Option<Redrive>; 2],
    pub catch_up: CatchUp,
    pub faults: u8,
    pub seen: Seen,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Item {
    pub put_id: u8,
    pub next: u8,
    pub end: u8,
    pub revision: u8,
}

impl Item {
    pub fn view(self, key: u8) -> ItemView<u8, u8> {
        let Item { put_id, next, end, revision } = self;
        ItemView { key, put_id, next: next.into(), end: end.into(), revision: revision.into() }
    }
}

pub(crate) type Backlog = [Option<Item>; KEYS];

/// Lane item, its backlog, its wake-up, and the webhook's view of the lane. Sets of events are bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Lane {
    pub tenure: Option<Tenure>,
    pub backlog: Backlog,
    pub wake: bool,
    /// Events that the webhook has accepted at least once.
    pub got: u8,
    /// The same since the rewind began, but for actors that know nothing of it.
    pub regot: u8,
    /// The same since the rewind began, from anyone.
    pub since: u8,
    /// Dead letters.
    pub dead: u8,
    /// What has ever been one: later events need not wait for it.
    pub given_up: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Phase {
    /// It has to append the batch to the log.
    Log,
    /// It has to read the state.
    Read,
    /// ... the second half of it.
    ReadRest,
    Work,
}

/// A request that goes on after its lane was held.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Request {
    pub message: u8,
    pub index: u8,
    pub count: u8,
    /// Of the put that held its lane.
    pub put_id: u8,
}

/// What a dispatcher knows of one lane.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct LaneRun {
    /// The product's machine.
    pub work: LaneWork,
    /// Id of a put that has to be repeated; 0 if there is none.
    pub put_id: u8,
    pub request: Option<Request>,
    pub ignore: Ignore,
}

/// Whether the current message is ignored, as the subscription skips.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) enum Ignore {
    #[default]
    No,
    Yes,
    /// It has been.
    Done,
}

impl LaneRun {
    /// True if nothing more is to be done for the current message.
    pub fn is_done(&self) -> bool {
        match self.ignore {
            Ignore::No => self.work.step() == Step::Done,
            Ignore::Yes => false,
            Ignore::Done => true,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Dispatch {
    /// Its visibility has ended while it lives.
    pub zombie: bool,
    /// It read the state before the rewind began.
    pub stale: bool,
    pub phase: Phase,
    pub last: u8,
    pub current: u8,
    /// The subscription as it was read.
    pub status: Status,
    pub revision: u8,
    /// Messages finished and not yet acknowledged (bits).
    pub done: u8,
    /// What it has appended to the log ([`batch`]), while that may matter to a skip.
    pub batch: u8,
    /// Its log entry lies at or after the subscription's position.
    pub after: bool,
    /// It has appended to the log.
    pub logged: bool,
    pub lanes: [LaneRun; LANES],
}

impl Dispatch {
    pub fn new(first: u8, last: u8, phase: Phase) -> Dispatch {
        let run = LaneRun { work: LaneWork::new(false), put_id: 0, request: None, ignore: Ignore::No };
        Dispatch {
            zombie: false,
            stale: false,
            phase,
            last,
            current: first,
            status: Status::Active,
            revision: 0,
            done: 0,
            batch: 0,
            after: false,
            logged: false,
            lanes: [run; LANES],
        }
    }

    /// True if it has messages of its batch still before it.
    pub fn has_message(&self) -> bool {
        self.current <= self.last
    }
}

/// How far a drain's shell is with its machine's step.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Part {
    /// It has not begun.
    Start,
    /// The status was read before the lease was taken (planted).
    Early { active: bool },
    /// The version is read, and of the backlog what comes before this key.
    Reading { before: Option<u64>, at: u8, items: Backlog },
    /// Looking for the head: nothing before this key.
    ReadingHead { at: u8 },
    /// The lease is dropped; the wake-up is to be sent.
    Wake,
    /// The probe was accepted; the circuit is to be closed. So many events were sent.
    Close { sent: u8 },
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Drain {
    pub lane: u8,
    /// The revision that this drain may probe.
    pub probe: Option<u8>,
    /// It read the status before the rewind began.
    pub stale: bool,
    /// Revision of the subscription when it read it.
    pub revision: u8,
    pub part: Part,
    /// The product's machine.
    pub machine: Machine<u8, u8>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct State {
    pub world: World,
    pub lanes: [Lane; LANES],
    pub dispatch: [Option<Dispatch>; 2],
    pub drain: [Option<Rc<Drain>>; 2],
}

impl State {
    pub fn initial(bounds: &Bounds) -> State {
        let mut state = State::default();
        for message in &mut state.world.queue[..bounds.messages()] {
            *message = Message::Visible;
        }
        state
    }

    /// What an actor that is no more has held is nobody's.
    pub fn owner_is_gone(&mut self, owner: OwnerId) {
        for tenure in self.lanes.iter_mut().filter_map(|lane| lane.tenure.as_mut()) {
            if let Some(lease) = tenure.lease.as_mut().filter(|lease| lease.owner == owner) {
                lease.owner = GONE;
            }
        }
    }

    /// An event becomes a dead letter, anew if it is one.
    pub fn give_up(&mut self, lane: usize, event: u8) {
        self.lanes[lane].dead |= 1 << event;
        self.lanes[lane].given_up |= 1 << event;
        let same = |redrive: &&mut Redrive| (usize::from(redrive.lane), redrive.event) == (lane, event);
        for redrive in self.world.redrives.iter_mut().flatten().filter(same) {
            redrive.given_up_again = true;
        }
    }

    /// A put id that nobody knows.
    pub fn fresh_put_id(&self, lane: usize, key: u8, bounds: &Bounds) -> u8 {
        let mut known = 0u64;
        known |= self.lanes[lane].backlog[usize::from(key)].map_or(0, |item| 1 << item.put_id);
        for dispatch in self.dispatch.iter().flatten() {
            let run = &dispatch.lanes[lane];
            if dispatch.has_message() && bounds.rest(dispatch.current) == key {
                known |= 1 << run.put_id;
            }
            if let Some(request) = run.request.filter(|request| bounds.rest(request.message) == key) {
                known |= 1 << request.put_id;
            }
        }
        for drain in self.drain.iter().flatten().filter(|drain| usize::from(drain.lane) == lane) {
            for item in drain.machine.view().iter().filter(|item| item.key == key) {
                known |= 1 << item.put_id;
            }
            if let Part::Reading { items, .. } = &drain.part {
                known |= items[usize::from(key)].map_or(0, |item| 1 << item.put_id);
            }
        }
        (1..=63).find(|id| known & (1 << id) == 0).unwrap_or(0)
    }
}

/// Bit of the batch of messages `first..=last`.
pub(crate) fn batch(first: u8, last: u8) -> u8 {
    if first == last { 1 << first } else { 8 << first }
}

/// The messages of a set of batches.
pub(crate) fn messages_of(batches: u8) -> u8 {
    let pairs = batches >> 3;
    (batches & 7) | pairs | (pairs << 1)
}

/// The lowest message of a set, or none that there is.
pub(crate) fn first_of(set: u8) -> u8 {
    set.trailing_zeros().min(7) as u8
}
