//! The runs: bounds, planted fault, and what each is expected to show.

use crate::bounds::{Admin, Bounds};
use crate::explore::{Report, explore};
use crate::model::Model;
use crate::planted::Planted;
use crate::properties::Property;

/// How long a run takes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Size {
    /// Well under a second, optimised.
    Small,
    /// Seconds.
    Medium,
    /// Minutes and gigabytes: not for every change.
    Large,
}

/// One search.
#[derive(Clone, Debug)]
pub struct Run {
    /// What it is about.
    pub name: &'static str,
    /// How long it takes.
    pub size: Size,
    /// The promise that a planted fault is expected to break; none if all must hold.
    pub breaks: Option<Property>,
    model: Model,
}

impl Run {
    /// Searches all states within the bounds, or as many as `limit`.
    pub fn search(&self, limit: usize) -> Report {
        explore(&self.model, limit)
    }

    /// The bounds, for people.
    pub fn bounds(&self) -> String {
        format!("{:?}", self.model.bounds)
    }

    /// True if the search has shown what it was expected to show.
    pub fn is_as_expected(&self, report: &Report) -> bool {
        let broken = report.violation.as_ref().map(|violation| violation.property);
        broken == self.breaks && (broken.is_some() || report.complete)
    }
}

/// All promises hold.
fn holds(name: &'static str, size: Size, bounds: Bounds) -> Run {
    Run { name, size, breaks: None, model: Model { bounds, planted: None } }
}

/// A fault that a property must catch.
fn caught(name: &'static str, planted: Planted, breaks: Property, bounds: Bounds) -> Run {
    Run { name, size: Size::Small, breaks: Some(breaks), model: Model { bounds, planted: Some(planted) } }
}

/// All runs.
pub fn runs() -> Vec<Run> {
    let parts = [delivery(), reads(), status(), dead_letters(), rewind(), catch_up()];
    parts.into_iter().flatten().collect()
}

fn delivery() -> Vec<Run> {
    let base = Bounds::new([2, 1, 0], 1);
    let plain = Bounds { write_timeouts: false, ..base };
    let two_faults = Bounds { faults: 2, ..plain };
    vec![
        caught("delivery, planted: a failure is skipped, not held", Planted::FailureSkipped, Property::Order, plain),
        caught(
            "delivery, planted: acknowledged before the hold",
            Planted::AcknowledgedBeforeHold,
            Property::NoLoss,
            plain,
        ),
        caught(
            "delivery, planted: acknowledged before the log",
            Planted::AcknowledgedBeforeLog,
            Property::NoLoss,
            plain,
        ),
        caught("delivery, planted: version bumped before the put", Planted::SwitchedBeforePut, Property::NoLoss, plain),
        caught(
            "delivery, planted: released without the version",
            Planted::ReleasedWithoutVersion,
            Property::NoLoss,
            plain,
        ),
        caught(
            "delivery, planted: released without the owner",
            Planted::ReleasedWithoutOwner,
            Property::NoLoss,
            Bounds { counted_versions: true, ..two_faults },
        ),
        holds("delivery: pack and message, 1 fault", Size::Small, base),
        holds("delivery: pack and message, 2 faults", Size::Large, Bounds { faults: 2, ..base }),
        holds("delivery: 2 messages, 2 faults", Size::Medium, Bounds { events: [1, 1, 0], faults: 2, ..base }),
        holds("delivery: 3 messages, 1 fault", Size::Small, Bounds { events: [1, 1, 1], ..base }),
        holds("delivery: pack and message, 2 events a request, 1 fault", Size::Small, Bounds { request: 2, ..base }),
        holds(
            "delivery: 2 packs, 2 events a request, 1 fault",
            Size::Small,
            Bounds { request: 2, events: [2, 2, 0], ..base },
        ),
        holds("delivery: wake-ups as messages, 1 fault", Size::Medium, Bounds { wake_ups: true, ..base }),
        holds("delivery: versions counted, 1 fault", Size::Medium, Bounds { counted_versions: true, ..base }),
        holds("delivery: rate limited, 1 fault", Size::Medium, Bounds { rate_limited: true, ..base }),
        holds(
            "delivery: 2 lanes, 2 messages, no faults",
            Size::Small,
            Bounds { lanes: 2, events: [1, 1, 0], faults: 0, ..base },
        ),
        holds("delivery: 2 lanes, 1 message, 1 fault", Size::Medium, Bounds { lanes: 2, events: [1, 0, 0], ..base }),
        holds("delivery: 2 lanes, 2 messages, 1 fault", Size::Large, Bounds { lanes: 2, events: [1, 1, 0], ..base }),
    ]
}

fn reads() -> Vec<Run> {
    let base = Bounds { torn_reads: true, ..Bounds::new([1, 1, 1], 1) };
    let plain = Bounds { write_timeouts: false, ..base };
    vec![
        caught(
            "torn reads, planted: a query trusted as a snapshot",
            Planted::QueryTrusted,
            Property::Order,
            Bounds { faults: 0, ..plain },
        ),
        caught(
            "torn reads, planted: the same version trusted, whoever holds the lane",
            Planted::QueryTrustedWithoutOwner,
            Property::Order,
            Bounds { counted_versions: true, ..plain },
        ),
        holds("torn reads: 3 messages, 1 fault", Size::Medium, base),
        holds(
            "torn reads: 3 messages, versions counted, 1 fault",
            Size::Medium,
            Bounds { counted_versions: true, ..base },
        ),
        holds(
            "torn reads: pause and resume, 1 fault",
            Size::Medium,
            Bounds { admin: Admin::Pause(1), events: [1, 1, 0], ..base },
        ),
    ]
}

fn status() -> Vec<Run> {
    let pause = Bounds { admin: Admin::Pause(1), ..Bounds::new([2, 1, 0], 1) };
    let plain = Bounds { write_timeouts: false, ..pause };
    let circuit = Bounds { admin: Admin::Circuit(1), ..pause };
    vec![
        caught(
            "pause, planted: dispatch parks",
            Planted::DispatchParks,
            Property::Liveness,
            Bounds { faults: 0, ..plain },
        ),
        caught(
            "pause, planted: drain parks whatever resume did",
            Planted::ParkedWithoutVersion,
            Property::Liveness,
            Bounds { faults: 0, ..plain },
        ),
        caught(
            "pause, planted: status read before the lease",
            Planted::StatusReadBeforeLease,
            Property::Liveness,
            Bounds { faults: 0, ..plain },
        ),
        caught(
            "pause, planted: resume not recorded",
            Planted::ResumeNotRecorded,
            Property::Liveness,
            Bounds { events: [1, 0, 0], ..plain },
        ),
        holds("pause: pack and message, no faults", Size::Small, Bounds { faults: 0, ..pause }),
        holds("pause: 2 messages, 1 fault", Size::Medium, Bounds { events: [1, 1, 0], ..pause }),
        holds("pause: pack and message, 1 fault", Size::Large, pause),
        holds(
            "pause: twice, 2 messages, no faults",
            Size::Small,
            Bounds { admin: Admin::Pause(2), events: [1, 1, 0], faults: 0, ..pause },
        ),
        holds(
            "pause: twice, 1 message, 1 fault",
            Size::Medium,
            Bounds { admin: Admin::Pause(2), events: [1, 0, 0], ..pause },
        ),
        holds(
            "pause: 2 lanes, 1 message, no faults",
            Size::Small,
            Bounds { lanes: 2, events: [1, 0, 0], faults: 0, ..pause },
        ),
        holds(
            "pause: state read again, status before lanes, 2 messages, 1 fault",
            Size::Medium,
            Bounds { reads_again: true, split_read: true, events: [1, 1, 0], detach: false, ..plain },
        ),
        holds("circuit: pack and message, no faults", Size::Small, Bounds { faults: 0, ..circuit }),
        holds("circuit: 1 pack, 1 fault", Size::Medium, Bounds { events: [2, 0, 0], ..circuit }),
        holds("circuit: 2 messages, 1 fault", Size::Medium, Bounds { events: [1, 1, 0], ..circuit }),
        holds(
            "circuit: 2 lanes, 1 message, no faults",
            Size::Small,
            Bounds { lanes: 2, events: [1, 0, 0], faults: 0, ..circuit },
        ),
    ]
}

fn dead_letters() -> Vec<Run> {
    let base = Bounds { dead_letters: true, detach: false, ..Bounds::new([2, 1, 0], 1) };
    let plain = Bounds { write_timeouts: false, ..base };
    vec![
        caught(
            "redrive, planted: the dead letter is deleted first",
            Planted::RedriveDeletesFirst,
            Property::NoLoss,
            Bounds { events: [1, 0, 0], ..plain },
        ),
        caught(
            "redrive, planted: whatever dead letter there is by then is deleted",
            Planted::DeadLetterDeletedUnseen,
            Property::NoLoss,
            Bounds { faults: 0, ..plain },
        ),
        caught(
            "redrive, planted: an event that is back already is not looked for",
            Planted::RedriveWithoutLooking,
            Property::NoLoss,
            Bounds { faults: 0, ..plain },
        ),
        holds(
            "redrive: two at once, 1 message, 1 fault",
            Size::Medium,
            Bounds { events: [1, 0, 0], former_jobs: true, ..base },
        ),
        holds(
            "redrive: two at once, pack, no faults",
            Size::Medium,
            Bounds { events: [2, 0, 0], former_jobs: true, faults: 0, ..base },
        ),
        holds("redrive: pack and message, no faults", Size::Small, Bounds { faults: 0, detach: true, ..base }),
        holds("redrive: 1 pack, 1 fault", Size::Medium, Bounds { events: [2, 0, 0], ..base }),
        holds(
            "redrive: 1 pack, torn reads, 1 fault",
            Size::Medium,
            Bounds { events: [2, 0, 0], torn_reads: true, ..plain },
        ),
        holds(
            "redrive: pack and message, torn reads, no faults",
            Size::Medium,
            Bounds { torn_reads: true, faults: 0, ..plain },
        ),
    ]
}

fn rewind() -> Vec<Run> {
    let admin = Admin::Rewind { position: 0, anywhere: false };
    let base = Bounds { admin, write_timeouts: false, ..Bounds::new([2, 1, 0], 1) };
    let calm = Bounds { faults: 0, ..base };
    let strict = Bounds { skew: false, ..base };
    vec![
        caught(
            "rewind, planted: progress written to a later put",
            Planted::ProgressToLaterPut,
            Property::RewindGap,
            base,
        ),
        caught("rewind, planted: a put raises the index", Planted::PutRaisesIndex, Property::RewindGap, base),
        caught(
            "rewind, planted: loads at once",
            Planted::RewindAtOnce,
            Property::RewindOrder,
            Bounds { faults: 0, ..strict },
        ),
        caught("rewind, planted: keeps items that exist", Planted::RewindKeepsItems, Property::RewindGap, calm),
        caught(
            "rewind, planted: raises an index",
            Planted::RewindRaisesIndex,
            Property::NoLoss,
            Bounds { admin: Admin::Rewind { position: 1, anywhere: true }, ..calm },
        ),
        caught(
            "rewind, planted: a lease renewed after its end",
            Planted::RenewedInPlace,
            Property::RewindOrder,
            strict,
        ),
        holds("rewind: pack and message, no faults", Size::Small, calm),
        holds("rewind: strict order, pack and message, no faults", Size::Small, Bounds { skew: false, ..calm }),
        holds(
            "rewind: strict order, 2 messages, no detaching, 1 fault",
            Size::Medium,
            Bounds { events: [1, 1, 0], detach: false, ..strict },
        ),
        holds(
            "rewind: 2 messages, no detaching, 1 fault",
            Size::Medium,
            Bounds { events: [1, 1, 0], detach: false, ..base },
        ),
        holds(
            "rewind: from the middle of a pack, no detaching, 1 fault",
            Size::Medium,
            Bounds { admin: Admin::Rewind { position: 1, anywhere: false }, events: [2, 0, 0], detach: false, ..base },
        ),
    ]
}

fn catch_up() -> Vec<Run> {
    let admin = Admin::CatchUp { twice: false };
    let base = Bounds { admin, write_timeouts: false, detach: false, ..Bounds::new([1, 1, 1], 0) };
    let twice = Bounds { admin: Admin::CatchUp { twice: true }, ..base };
    let two = Bounds { events: [1, 1, 0], faults: 1, ..base };
    vec![
        caught("catch-up, planted: the position is not compared", Planted::PositionNotCompared, Property::NoLoss, base),
        caught("catch-up, planted: drain ignores revisions", Planted::RevisionIgnored, Property::Order, base),
        caught("catch-up, planted: a second skip moves the position", Planted::PositionMoved, Property::NoLoss, twice),
        caught(
            "catch-up, planted: a former joiner ends the join",
            Planted::JoinEndUnconditional,
            Property::NoLoss,
            Bounds { former_jobs: true, ..twice },
        ),
        caught(
            "catch-up, planted: lanes read before the status",
            Planted::LanesReadBeforeStatus,
            Property::Order,
            Bounds { split_read: true, ..base },
        ),
        caught(
            "catch-up, planted: entries of a batch straddle the position",
            Planted::EntriesStraddle,
            Property::Order,
            two,
        ),
        caught("catch-up, planted: joined without the load", Planted::JoinedWithoutLoad, Property::NoLoss, base),
        caught(
            "catch-up, planted: log read before the status is written",
            Planted::LogReadEarly,
            Property::NoLoss,
            base,
        ),
        caught(
            "catch-up, planted: state read before the log append",
            Planted::StateReadBeforeLog,
            Property::NoLoss,
            base,
        ),
        holds("catch-up: 3 messages, no faults", Size::Medium, base),
        holds(
            "catch-up: pack and message, detaching, no faults",
            Size::Medium,
            Bounds { events: [2, 1, 0], detach: true, ..base },
        ),
        holds("catch-up: 1 message, 1 fault", Size::Medium, Bounds { events: [1, 0, 0], ..two }),
        holds("catch-up: 2 messages, 1 fault", Size::Large, two),
        holds(
            "catch-up: twice, former joiners, 2 messages, no faults",
            Size::Medium,
            Bounds { former_jobs: true, events: [1, 1, 0], ..twice },
        ),
        holds(
            "catch-up: status read before the lanes, 3 messages, no faults",
            Size::Medium,
            Bounds { split_read: true, ..base },
        ),
        holds("catch-up: state read again, 3 messages, no faults", Size::Medium, Bounds { reads_again: true, ..base }),
        holds("catch-up: torn reads, 3 messages, no faults", Size::Medium, Bounds { torn_reads: true, ..base }),
    ]
}
