//! Faults planted into the shells around the product's machines. Each must be caught by a property.

/// A rule of the protocol that a shell breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Planted {
    /// Dispatch goes on after a failure instead of holding the lane.
    FailureSkipped,
    /// Dispatch acknowledges once a lane has failed, before its backlog has the events.
    AcknowledgedBeforeHold,
    /// Dispatch appends to the log after it has acknowledged.
    AcknowledgedBeforeLog,
    /// Dispatch moves the version, or creates the lane item, before it puts the backlog item.
    SwitchedBeforePut,
    /// A put overwrites what is there, also if it begins earlier.
    PutRaisesIndex,
    /// Dispatch makes the lanes of a paused subscription "never due" itself.
    DispatchParks,
    /// Drain parks whatever happened since it read the status.
    ParkedWithoutVersion,
    /// Drain goes by a status that it read before it took the lease.
    StatusReadBeforeLease,
    /// A resume lives in the memory of its process only.
    ResumeNotRecorded,
    /// Drain releases a lane whatever was appended.
    ReleasedWithoutVersion,
    /// Drain releases a lane that may be another's.
    ReleasedWithoutOwner,
    /// Progress is written to whatever put of the item there is.
    ProgressToLaterPut,
    /// A backlog query is trusted as if it were a snapshot.
    QueryTrusted,
    /// The same version before and after a backlog query is trusted, whoever holds the lane.
    QueryTrustedWithoutOwner,
    /// A lease that has run out is renewed, and the drain goes on with what it has read.
    RenewedInPlace,
    /// Drain delivers items of a later revision than the status it goes by.
    RevisionIgnored,
    /// Redrive deletes the dead letter before it puts the event back.
    RedriveDeletesFirst,
    /// Redrive deletes whatever dead letter of the event there is by then.
    DeadLetterDeletedUnseen,
    /// Redrive does not look whether the event is back in its lane already.
    RedriveWithoutLooking,
    /// Rewind loads without waiting for those who know nothing of it.
    RewindAtOnce,
    /// Rewind leaves items that exist as they are.
    RewindKeepsItems,
    /// Rewind overwrites items that begin earlier.
    RewindRaisesIndex,
    /// Dispatch ignores the events of a skipping subscription wherever its log entry lies.
    PositionNotCompared,
    /// A second skip moves the position of one that has not been caught up with.
    PositionMoved,
    /// A former joiner ends the join unconditionally.
    JoinEndUnconditional,
    /// Dispatch reads the lanes before the status.
    LanesReadBeforeStatus,
    /// The entries of one batch may lie on both sides of the position.
    EntriesStraddle,
    /// The join loads nothing.
    JoinedWithoutLoad,
    /// The join reads the log before it writes `collecting`.
    LogReadEarly,
    /// Dispatch reads the state before it appends to the log.
    StateReadBeforeLog,
}
