//! What loads a lane from the log: rewind, skip and catch up.

use super::{Run, Size, caught, holds};
use crate::bounds::{Admin, Bounds};
use crate::planted::Planted;
use crate::properties::Property;

pub(super) fn rewind() -> Vec<Run> {
    let admin = Admin::Rewind { position: 0, anywhere: false };
    let base = Bounds { admin, write_timeouts: false, ..Bounds::new([2, 1, 0], 1) };
    let calm = Bounds { faults: 0, ..base };
    let strict = Bounds { skew: false, ..base };
    let middle = Admin::Rewind { position: 1, anywhere: false };
    let two = Bounds { events: [1, 1, 0], detach: false, ..base };
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
            Bounds { skew: false, ..calm },
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
        )
        .sized(Size::Medium),
        holds("rewind: pack and message, no faults", Size::Small, calm),
        holds("rewind: strict order, pack and message, no faults", Size::Small, Bounds { skew: false, ..calm }),
        holds(
            "rewind: from the middle of a pack, no detaching, 1 fault",
            Size::Small,
            Bounds { admin: middle, events: [2, 0, 0], ..two },
        ),
        holds("rewind: strict order, 2 messages, no detaching, 1 fault", Size::Medium, Bounds { skew: false, ..two }),
        holds("rewind: 2 messages, no detaching, 1 fault", Size::Large, two),
        holds(
            "rewind: from the middle of a pack, then a message, no detaching, 1 fault",
            Size::Large,
            Bounds { admin: middle, events: [2, 1, 0], ..two },
        ),
    ]
}

pub(super) fn catch_up() -> Vec<Run> {
    let admin = Admin::CatchUp { twice: false };
    let base = Bounds { admin, write_timeouts: false, detach: false, ..Bounds::new([1, 1, 1], 0) };
    let two = Bounds { events: [1, 1, 0], ..base };
    let one_fault = Bounds { faults: 1, ..two };
    let twice = Bounds { admin: Admin::CatchUp { twice: true }, ..base };
    vec![
        caught("catch-up, planted: the position is not compared", Planted::PositionNotCompared, Property::NoLoss, base),
        caught("catch-up, planted: drain ignores revisions", Planted::RevisionIgnored, Property::Order, base)
            .sized(Size::Medium),
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
            one_fault,
        )
        .sized(Size::Medium),
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
        holds("catch-up: 1 pack, no faults", Size::Small, Bounds { events: [2, 0, 0], ..base }),
        holds("catch-up: 2 messages, no faults", Size::Medium, two),
        holds(
            "catch-up: 2 messages, status read before the lanes, no faults",
            Size::Medium,
            Bounds { split_read: true, ..two },
        ),
        holds("catch-up: 2 messages, state read again, no faults", Size::Medium, Bounds { reads_again: true, ..two }),
        holds(
            "catch-up: 1 message, twice, former joiners, no faults",
            Size::Medium,
            Bounds { former_jobs: true, events: [1, 0, 0], ..twice },
        ),
        holds("catch-up: 1 message, 1 fault", Size::Medium, Bounds { events: [1, 0, 0], ..one_fault }),
        holds(
            "catch-up: pack and message, detaching, no faults",
            Size::Medium,
            Bounds { events: [2, 1, 0], detach: true, ..base },
        ),
        holds("catch-up: 3 messages, no faults", Size::Medium, base),
        holds(
            "catch-up: 2 messages, twice, former joiners, no faults",
            Size::Large,
            Bounds { former_jobs: true, events: [1, 1, 0], ..twice },
        ),
        holds(
            "catch-up: 3 messages, status read before the lanes, no faults",
            Size::Large,
            Bounds { split_read: true, ..base },
        ),
        holds("catch-up: 3 messages, state read again, no faults", Size::Large, Bounds { reads_again: true, ..base }),
        holds("catch-up: 3 messages, torn reads, no faults", Size::Large, Bounds { torn_reads: true, ..base }),
        holds("catch-up: 2 messages, 1 fault", Size::Large, one_fault),
    ]
}
