//! Live delivery, hold, detach, drain and release; reads that are no snapshots; dead letters.

use super::{Run, Size, caught, holds};
use crate::bounds::{Admin, Bounds};
use crate::planted::Planted;
use crate::properties::Property;

pub(super) fn live_and_held() -> Vec<Run> {
    let base = Bounds::new([2, 1, 0], 1);
    let plain = Bounds { write_timeouts: false, ..base };
    let small = Bounds { events: [1, 0, 0], ..base };
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
            Bounds { counted_versions: true, ..plain },
        )
        .sized(Size::Medium),
        holds("delivery: 1 message, 1 fault", Size::Small, small),
        holds("delivery: 1 message, wake-ups as messages, 1 fault", Size::Small, Bounds { wake_ups: true, ..small }),
        holds("delivery: pack and message, rate limited, 1 fault", Size::Small, Bounds { rate_limited: true, ..base }),
        holds(
            "delivery: 2 lanes, 2 messages, no faults",
            Size::Small,
            Bounds { lanes: 2, events: [1, 1, 0], faults: 0, ..base },
        ),
        holds("delivery: pack and message, 1 fault", Size::Medium, base),
        holds(
            "delivery: pack and message, versions counted, 1 fault",
            Size::Medium,
            Bounds { counted_versions: true, ..base },
        ),
        holds("delivery: 3 messages, 1 fault", Size::Medium, Bounds { events: [1, 1, 1], ..base }),
        holds(
            "delivery: 3 messages, 2 events a request, 1 fault",
            Size::Medium,
            Bounds { request: 2, events: [1, 1, 1], ..base },
        ),
        holds(
            "delivery: 2 packs, 3 events a request, 1 fault",
            Size::Medium,
            Bounds { request: 3, events: [2, 2, 0], ..base },
        ),
        holds("delivery: 1 pack, 2 faults", Size::Medium, Bounds { events: [2, 0, 0], faults: 2, ..base }),
        holds(
            "delivery: 2 messages, wake-ups as messages, 1 fault",
            Size::Large,
            Bounds { wake_ups: true, events: [1, 1, 0], ..base },
        ),
        holds(
            "delivery: pack and message, wake-ups as messages, 1 fault",
            Size::Large,
            Bounds { wake_ups: true, ..base },
        ),
        holds("delivery: 2 messages, 2 faults", Size::Large, Bounds { events: [1, 1, 0], faults: 2, ..base }),
        holds("delivery: pack and message, 2 faults", Size::Large, Bounds { faults: 2, ..base }),
        holds("delivery: 2 lanes, 1 message, 1 fault", Size::Large, Bounds { lanes: 2, ..small }),
    ]
}

pub(super) fn torn_reads() -> Vec<Run> {
    let base = Bounds { torn_reads: true, ..Bounds::new([1, 1, 1], 1) };
    let plain = Bounds { write_timeouts: false, ..base };
    let two = Bounds { events: [1, 1, 0], ..plain };
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
        )
        .sized(Size::Medium),
        holds("torn reads: 3 messages, no faults", Size::Small, Bounds { faults: 0, ..base }),
        holds(
            "torn reads: pause and resume, 2 messages, no faults",
            Size::Small,
            Bounds { admin: Admin::Pause(1), faults: 0, ..two },
        ),
        holds(
            "torn reads: 3 messages, versions counted, 1 fault",
            Size::Medium,
            Bounds { counted_versions: true, ..base },
        ),
        holds("torn reads: 3 messages, 1 fault", Size::Large, base),
        holds(
            "torn reads: pause and resume, 2 messages, 1 fault",
            Size::Large,
            Bounds { admin: Admin::Pause(1), write_timeouts: true, ..two },
        ),
    ]
}

pub(super) fn redrive() -> Vec<Run> {
    let base = Bounds { dead_letters: true, detach: false, ..Bounds::new([2, 1, 0], 1) };
    let plain = Bounds { write_timeouts: false, ..base };
    let calm = Bounds { faults: 0, ..plain };
    let pack = Bounds { events: [2, 0, 0], ..base };
    vec![
        caught(
            "redrive, planted: the dead letter is deleted first",
            Planted::RedriveDeletesFirst,
            Property::NoLoss,
            plain,
        ),
        caught(
            "redrive, planted: whatever dead letter there is by then is deleted",
            Planted::DeadLetterDeletedUnseen,
            Property::NoLoss,
            calm,
        ),
        caught(
            "redrive, planted: an event that is back already is not looked for",
            Planted::RedriveWithoutLooking,
            Property::NoLoss,
            calm,
        ),
        holds("redrive: 1 pack, no faults", Size::Small, Bounds { faults: 0, ..pack }),
        holds(
            "redrive: two at once, 1 message, 1 fault",
            Size::Medium,
            Bounds { events: [1, 0, 0], former_jobs: true, ..base },
        ),
        holds("redrive: two at once, 1 pack, no faults", Size::Medium, Bounds { former_jobs: true, faults: 0, ..pack }),
        holds("redrive: 1 pack, 1 fault", Size::Medium, pack),
        holds("redrive: pack and message, torn reads, no faults", Size::Medium, Bounds { torn_reads: true, ..calm }),
        holds(
            "redrive: 1 pack, torn reads, 1 fault",
            Size::Large,
            Bounds { torn_reads: true, write_timeouts: false, ..pack },
        ),
        holds(
            "redrive: pack and message, detaching, no faults",
            Size::Large,
            Bounds { faults: 0, detach: true, ..base },
        ),
    ]
}
