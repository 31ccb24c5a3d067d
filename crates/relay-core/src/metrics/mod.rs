//! What the broker says of itself in numbers, through the `metrics` facade: each process decides where they go.
//!
//! Counters are those of one process and only rise; gauges are of the whole broker, and whoever runs
//! sweep sets them after it.

mod gauges;

pub use gauges::measure;

use metrics::{Unit, counter};

/// Events accepted: durable, and answered so.
pub const EVENTS_ACCEPTED: &str = "relay_events_accepted_total";
/// Events delivered, for each subscription.
pub const EVENTS_DELIVERED: &str = "relay_events_delivered_total";
/// Attempts that did not deliver, for each event of a request.
pub const ATTEMPTS_FAILED: &str = "relay_attempts_failed_total";
/// Messages that could not be read, and were put aside into quarantine.
pub const MESSAGES_QUARANTINED: &str = "relay_messages_quarantined_total";
/// Ranged reads of segments of the log.
pub const SEGMENT_READS: &str = "relay_segment_reads_total";
/// Lanes that are held now.
pub const HELD_LANES: &str = "relay_held_lanes";
/// How long the oldest undelivered event has waited, in a held lane or in the queue; in seconds.
pub const OLDEST_UNDELIVERED: &str = "relay_oldest_undelivered_age_seconds";
/// How long the lane that is due longest has waited for a drain; in seconds.
pub const DRAIN_LAG: &str = "relay_drain_lag_seconds";
/// How long the oldest entry of the log has waited to be compacted; in seconds.
pub const COMPACTION_LAG: &str = "relay_compaction_lag_seconds";

/// A metric, for those that show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its name.
    pub name: &'static str,
    /// What is counted.
    pub unit: Unit,
    /// What it means, in a line.
    pub meaning: &'static str,
}

/// Every metric there is.
pub const ALL: [Description; 9] = [
    Description { name: EVENTS_ACCEPTED, unit: Unit::Count, meaning: "Events accepted by this process" },
    Description {
        name: EVENTS_DELIVERED,
        unit: Unit::Count,
        meaning: "Events delivered by this process, for each subscription",
    },
    Description {
        name: ATTEMPTS_FAILED,
        unit: Unit::Count,
        meaning: "Attempts of this process that did not deliver, for each event of a request",
    },
    Description {
        name: MESSAGES_QUARANTINED,
        unit: Unit::Count,
        meaning: "Messages of the queue that this process could not read and put into quarantine",
    },
    Description {
        name: SEGMENT_READS,
        unit: Unit::Count,
        meaning: "Reads of a part of a segment of the log by this process",
    },
    Description { name: HELD_LANES, unit: Unit::Count, meaning: "Lanes that are held" },
    Description {
        name: OLDEST_UNDELIVERED,
        unit: Unit::Seconds,
        meaning: "How long the oldest undelivered event has waited, in a held lane or in the queue",
    },
    Description {
        name: DRAIN_LAG,
        unit: Unit::Seconds,
        meaning: "How long the lane that is due longest has waited for a drain",
    },
    Description {
        name: COMPACTION_LAG,
        unit: Unit::Seconds,
        meaning: "How long the oldest entry of the log has waited to be written into a segment",
    },
];

pub(crate) fn accepted(events: u64) {
    counter!(EVENTS_ACCEPTED).increment(events);
}

/// Counts a message that was put into quarantine.
pub fn quarantined() {
    counter!(MESSAGES_QUARANTINED).increment(1);
}

/// Counts a read of a part of a segment.
pub fn segment_read() {
    counter!(SEGMENT_READS).increment(1);
}

pub(crate) fn answered(events: usize, delivered: bool) {
    counter!(if delivered { EVENTS_DELIVERED } else { ATTEMPTS_FAILED }).increment(events as u64);
}
