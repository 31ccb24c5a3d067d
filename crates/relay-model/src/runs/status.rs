//! Pause and resume; the circuit and its probe.

use super::{Run, Size, caught, holds};
use crate::bounds::{Admin, Bounds};
use crate::planted::Planted;
use crate::properties::Property;

pub(super) fn pause() -> Vec<Run> {
    let base = Bounds { admin: Admin::Pause(1), ..Bounds::new([2, 1, 0], 1) };
    let plain = Bounds { write_timeouts: false, ..base };
    let calm = Bounds { faults: 0, ..plain };
    let one = Bounds { events: [1, 0, 0], ..base };
    let twice = Admin::Pause(2);
    vec![
        caught("pause, planted: dispatch parks", Planted::DispatchParks, Property::Liveness, calm),
        caught(
            "pause, planted: drain parks whatever resume did",
            Planted::ParkedWithoutVersion,
            Property::Liveness,
            calm,
        ),
        caught(
            "pause, planted: status read before the lease",
            Planted::StatusReadBeforeLease,
            Property::Liveness,
            calm,
        ),
        caught(
            "pause, planted: resume not recorded",
            Planted::ResumeNotRecorded,
            Property::Liveness,
            Bounds { write_timeouts: false, ..one },
        ),
        holds("pause: pack and message, no faults", Size::Small, calm),
        holds("pause: 1 message, 1 fault", Size::Small, one),
        holds("pause: twice, 2 messages, no faults", Size::Small, Bounds { admin: twice, events: [1, 1, 0], ..calm }),
        holds("pause: 2 lanes, 1 message, no faults", Size::Small, Bounds { lanes: 2, faults: 0, ..one }),
        holds(
            "pause: 2 messages, state read again, status before lanes, no faults",
            Size::Small,
            Bounds { reads_again: true, split_read: true, events: [1, 1, 0], ..calm },
        ),
        holds("pause: twice, 1 message, 1 fault", Size::Medium, Bounds { admin: twice, ..one }),
        holds(
            "pause: 2 messages, no detaching, 1 fault",
            Size::Medium,
            Bounds { events: [1, 1, 0], detach: false, ..plain },
        ),
        holds("pause: 2 messages, 1 fault", Size::Large, Bounds { events: [1, 1, 0], ..base }),
        holds("pause: pack and message, 1 fault", Size::Large, base),
        holds(
            "pause: 2 messages, state read again, status before lanes, 1 fault",
            Size::Large,
            Bounds { reads_again: true, split_read: true, events: [1, 1, 0], detach: false, ..plain },
        ),
    ]
}

pub(super) fn circuit() -> Vec<Run> {
    let base = Bounds { admin: Admin::Circuit(1), ..Bounds::new([2, 1, 0], 1) };
    let one = Bounds { events: [1, 0, 0], ..base };
    vec![
        holds("circuit: pack and message, no faults", Size::Small, Bounds { faults: 0, ..base }),
        holds("circuit: 1 message, 1 fault", Size::Small, one),
        holds(
            "circuit: twice, 2 messages, no faults",
            Size::Small,
            Bounds { admin: Admin::Circuit(2), events: [1, 1, 0], faults: 0, ..base },
        ),
        holds("circuit: 2 lanes, 1 message, no faults", Size::Small, Bounds { lanes: 2, faults: 0, ..one }),
        holds("circuit: 1 pack, 1 fault", Size::Medium, Bounds { events: [2, 0, 0], ..base }),
        holds("circuit: 2 messages, 1 fault", Size::Large, Bounds { events: [1, 1, 0], ..base }),
    ]
}
