//! The conditional writes of the lane protocol, as pure functions from what is stored to what is stored next.
//!
//! An adapter with single-item conditional writes expresses each as a condition; one with a lock or a single writer
//! calls the function. `None` means that the condition failed and nothing is written.

use super::tenure::Tenure;
use super::{HoldReason, LaneItem, LaneRef, Lease, OwnerId, Resolution};
use crate::time::Time;

/// What the protocol knows of a backlog item. Generic over key and put id, so that the model check can use small ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ItemView<K, P> {
    /// Place in the backlog.
    pub key: K,
    /// Which put of the item this is.
    pub put_id: P,
    /// Index of the next undelivered event.
    pub next: u16,
    /// Index after the last one.
    pub end: u16,
    /// Revision of the subscription that the writer of the item had read.
    pub revision: u64,
}

/// What a put does where there is an item already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PutRule {
    /// Of an append: it is replaced if it begins later. Else the put has nothing to do, and has succeeded.
    Append,
    /// Of a rewind: it is replaced in any case, so that no progress of an earlier read counts any more, and begins no
    /// later than it did.
    Rewind,
    /// Of a join: it stays as it is, since its index says what was accepted.
    Join,
}

impl PutRule {
    /// The index at which the written item begins; none if nothing is written.
    pub fn begins_at(self, existing_next: Option<u16>, next: u16) -> Option<u16> {
        match (self, existing_next) {
            (_, None) => Some(next),
            (PutRule::Append, Some(existing)) => (existing > next).then_some(next),
            (PutRule::Rewind, Some(existing)) => Some(existing.min(next)),
            (PutRule::Join, Some(_)) => None,
        }
    }
}

/// Progress of a delivery: the index after the last delivered event, or all of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Progress<K, P> {
    /// The item.
    pub key: K,
    /// As it was when it was read: a later put is left alone.
    pub put_id: P,
    /// Index of its next undelivered event; none if all are delivered and the item goes.
    pub next: Option<u16>,
}

/// What a write of progress does to the item that is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProgressEffect {
    /// It stays: it is gone, or was put again since.
    Ignored,
    /// Its next undelivered event is now this one.
    Advance(u16),
    /// It goes.
    Delete,
}

/// Decides a write of progress; `stored` is the put id that is stored.
pub fn progress<K, P: PartialEq>(stored: Option<&P>, progress: &Progress<K, P>) -> ProgressEffect {
    match (stored, progress.next) {
        (Some(put_id), _) if *put_id != progress.put_id => ProgressEffect::Ignored,
        (None, _) => ProgressEffect::Ignored,
        (Some(_), Some(next)) => ProgressEffect::Advance(next),
        (Some(_), None) => ProgressEffect::Delete,
    }
}

/// What the lane item is created with, if there is none.
#[derive(Clone, PartialEq, Debug)]
pub struct NewLane {
    /// Which lane.
    pub lane: LaneRef,
    /// Why it is held.
    pub reason: HoldReason,
    /// Now.
    pub since: Time,
    /// When its head is attempted next.
    pub next_attempt_at: Option<Time>,
    /// The lease of a dispatch that still waits for an answer.
    pub lease: Option<Lease>,
    /// Attempts of its head so far.
    pub attempts: u32,
    /// Status of the failed attempt.
    pub last_status: Option<u16>,
    /// Error word of the failed attempt.
    pub last_error: Option<String>,
}

/// What a switch found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Switched {
    /// The lane was live and is now held: send its wake-up.
    Created,
    /// It was held; its version has moved.
    Bumped,
}

/// The switch: the last write of an append, after its backlog items are in.
pub fn switch(existing: Option<&LaneItem>, new: &NewLane) -> (LaneItem, Switched) {
    switched(existing, new, Tenure::switched)
}

/// As [`switch`], for unordered lanes and redrive: an existing lane that is due later becomes due earlier.
pub fn switch_sooner(existing: Option<&LaneItem>, new: &NewLane) -> (LaneItem, Switched) {
    switched(existing, new, Tenure::switched_sooner)
}

fn switched(
    existing: Option<&LaneItem>,
    new: &NewLane,
    decide: fn(Option<Tenure>, Option<Lease>, Option<Time>) -> Tenure,
) -> (LaneItem, Switched) {
    let tenure = decide(existing.map(LaneItem::tenure), new.lease, new.next_attempt_at);
    match existing {
        Some(item) => (item.with_tenure(tenure), Switched::Bumped),
        None => {
            let item = LaneItem {
                lane: new.lane.clone(),
                version: tenure.version,
                lease: tenure.lease,
                reason: new.reason,
                since: new.since,
                next_attempt_at: tenure.next_attempt_at,
                attempts: new.attempts,
                last_status: new.last_status,
                last_error: new.last_error.clone(),
                resolution: None,
            };
            (item, Switched::Created)
        }
    }
}

/// Takes the lease: if there is none and the lane is due, or the one there is has run out.
/// `probe` takes a lane that is not due, too: that of a subscription whose circuit is open.
pub fn take(item: &LaneItem, lease: Lease, now: Time, probe: bool) -> Option<LaneItem> {
    item.tenure().taken(lease, now, probe).map(|tenure| item.with_tenure(tenure))
}

/// True if `owner` holds the lease, run out or not.
pub fn owns(item: &LaneItem, owner: OwnerId) -> bool {
    item.tenure().is_owned_by(owner)
}

/// Renews a lease before it ends. One that ran out is never renewed: the holder starts over.
pub fn renew(item: &LaneItem, lease: Lease, now: Time) -> Option<LaneItem> {
    item.tenure().renewed(lease, now).map(|tenure| item.with_tenure(tenure))
}

/// What a drain leaves behind when it drops its lease.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reschedule {
    /// When the head is attempted next.
    pub next_attempt_at: Option<Time>,
    /// Why the lane is held, if that has changed.
    pub reason: Option<HoldReason>,
    /// Attempts of the head so far.
    pub attempts: u32,
    /// Status of the last failed attempt.
    pub last_status: Option<u16>,
    /// Error word of the last failed attempt.
    pub last_error: Option<String>,
}

/// Sets the next attempt and drops the lease. A resolution that came meanwhile keeps the lane due.
pub fn reschedule(item: &LaneItem, owner: OwnerId, to: &Reschedule) -> Option<LaneItem> {
    let next_attempt_at = item.resolution.map_or(to.next_attempt_at, |resolution| Some(resolution.at));
    let tenure = item.tenure().rescheduled(owner, next_attempt_at)?;
    Some(LaneItem {
        reason: to.reason.unwrap_or(item.reason),
        attempts: to.attempts,
        last_status: to.last_status,
        last_error: to.last_error.clone(),
        ..item.with_tenure(tenure)
    })
}

/// Forgets a resolution that was carried out, or found to name another event than the head.
pub fn resolved(item: &LaneItem, owner: OwnerId, resolution: Resolution) -> Option<LaneItem> {
    let same = owns(item, owner) && item.resolution == Some(resolution);
    same.then(|| LaneItem { resolution: None, ..item.clone() })
}

/// Parks the lane: never due, no lease. Refused if the version moved: somebody resumed, appended or resolved.
pub fn park(item: &LaneItem, owner: OwnerId, version: u64, reason: HoldReason) -> Option<LaneItem> {
    let tenure = item.tenure().parked(owner, version)?;
    Some(LaneItem { reason, ..item.with_tenure(tenure) })
}

/// True if the lane item may be deleted: nothing was appended since `version` was read, and the lease is still held.
pub fn may_release(item: &LaneItem, owner: OwnerId, version: u64) -> bool {
    item.tenure().may_be_released(owner, version)
}

/// Makes a lane due, whoever holds it, and moves its version so that nobody parks it unawares.
pub fn make_due(item: &LaneItem, now: Time) -> LaneItem {
    item.with_tenure(item.tenure().made_due(now))
}

/// Writes down what an operator wants done with the head; due at once.
pub fn resolve(item: &LaneItem, resolution: Resolution) -> LaneItem {
    LaneItem { resolution: Some(resolution), ..make_due(item, resolution.at) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{PartitionKey, SubscriptionId, TopicId, TopicName};
    use crate::pack::LaneKey;
    use crate::ports::BacklogRead;
    use std::time::Duration;

    const NOW: Time = Time(1_000_000);
    const ME: OwnerId = OwnerId(1);
    const OTHER: OwnerId = OwnerId(2);

    fn lease(owner: OwnerId, until: u64) -> Lease {
        Lease { owner, until: Time(until) }
    }

    fn held() -> LaneItem {
        let lane = LaneRef::new(
            &SubscriptionId::new("sub").unwrap(),
            &TopicId::new("top").unwrap(),
            &TopicName::new("orders").unwrap(),
            &LaneKey::Ordered(PartitionKey::new("k").unwrap()),
        );
        let new = NewLane {
            lane,
            reason: HoldReason::Failing,
            since: NOW,
            next_attempt_at: Some(NOW),
            lease: None,
            attempts: 1,
            last_status: Some(500),
            last_error: None,
        };
        switch(None, &new).0
    }

    #[test]
    fn a_put_never_raises_the_index() {
        let begins = |existing| PutRule::Append.begins_at(existing, 3);
        assert_eq!([None, Some(4), Some(3), Some(2)].map(begins), [Some(3), Some(3), None, None]);
        let begins = |existing| PutRule::Rewind.begins_at(existing, 3);
        assert_eq!([None, Some(4), Some(3), Some(2)].map(begins), [Some(3), Some(3), Some(3), Some(2)]);
        let begins = |existing| PutRule::Join.begins_at(existing, 3);
        assert_eq!([None, Some(4), Some(3), Some(2)].map(begins), [Some(3), None, None, None]);
    }

    #[test]
    fn progress_of_an_older_read_leaves_a_later_put_alone() {
        let advance = Progress { key: 0, put_id: 7, next: Some(2) };
        assert_eq!(progress(Some(&7), &advance), ProgressEffect::Advance(2));
        assert_eq!(progress(Some(&8), &advance), ProgressEffect::Ignored);
        assert_eq!(progress(None, &advance), ProgressEffect::Ignored);
        assert_eq!(progress(Some(&7), &Progress { next: None, ..advance }), ProgressEffect::Delete);
    }

    #[test]
    fn a_lease_is_taken_when_free_and_due_or_run_out() {
        assert!(take(&held(), lease(ME, 9), NOW, false).is_some());
        let later = LaneItem { next_attempt_at: Some(NOW + Duration::from_secs(1)), ..held() };
        assert!(take(&later, lease(ME, 9), NOW, false).is_none());
        assert!(take(&later, lease(ME, 9), NOW, true).is_some());
        let parked = LaneItem { next_attempt_at: None, ..held() };
        assert!(take(&parked, lease(ME, 9), NOW, false).is_none());
        let leased = LaneItem { lease: Some(lease(OTHER, NOW.0 + 1)), ..held() };
        assert!(take(&leased, lease(ME, 9), NOW, true).is_none());
        assert!(take(&leased, lease(ME, 9), Time(NOW.0 + 1), false).is_some());
    }

    #[test]
    fn a_lease_that_ran_out_is_not_renewed() {
        let mine = LaneItem { lease: Some(lease(ME, NOW.0 + 1)), ..held() };
        assert!(renew(&mine, lease(ME, NOW.0 + 60), NOW).is_some());
        assert!(renew(&mine, lease(ME, NOW.0 + 60), Time(NOW.0 + 1)).is_none());
        assert!(renew(&mine, lease(OTHER, NOW.0 + 60), NOW).is_none());
    }

    #[test]
    fn release_and_park_need_the_owner_and_the_version() {
        let mine = LaneItem { lease: Some(lease(ME, NOW.0)), ..held() };
        assert!(may_release(&mine, ME, 1) && !may_release(&mine, ME, 2) && !may_release(&mine, OTHER, 1));
        assert!(park(&mine, ME, 2, HoldReason::Paused).is_none());
        let parked = park(&mine, ME, 1, HoldReason::Paused).unwrap();
        assert_eq!((parked.due_at(), parked.lease), (None, None));
        assert!(park(&make_due(&mine, NOW), ME, 1, HoldReason::Paused).is_none());
    }

    #[test]
    fn the_second_look_at_a_version_counts_only_under_the_same_lease() {
        let mine = LaneItem { lease: Some(lease(ME, NOW.0)), ..held() };
        let renewed = LaneItem { lease: Some(lease(ME, NOW.0 + 9)), ..mine.clone() };
        // Released, held anew and taken by another: version 1 again.
        let anew = LaneItem { lease: Some(lease(OTHER, NOW.0)), ..held() };
        assert_eq!(BacklogRead::between(Some(mine.clone()), vec![], Some(&renewed)).after, Some(1));
        assert_eq!(BacklogRead::between(Some(mine.clone()), vec![], Some(&anew)).after, None);
        assert_eq!(BacklogRead::between(Some(mine.clone()), vec![], Some(&held())).after, None);
        assert_eq!(BacklogRead::between(Some(mine.clone()), vec![], None).after, None);
        assert_eq!(BacklogRead::between(None, vec![], Some(&held())).after, None);
        assert_eq!((mine.tenure().version_for(ME), mine.tenure().version_for(OTHER)), (Some(1), None));
    }

    #[test]
    fn a_switch_creates_or_moves_the_version() {
        let item = held();
        let new = NewLane {
            lane: item.lane.clone(),
            reason: HoldReason::Slow,
            since: Time(9),
            next_attempt_at: Some(Time(5)),
            lease: None,
            attempts: 0,
            last_status: None,
            last_error: None,
        };
        let (bumped, switched) = switch(Some(&item), &new);
        assert_eq!((bumped.version, switched, bumped.next_attempt_at), (2, Switched::Bumped, Some(NOW)));
        assert_eq!(switch_sooner(Some(&item), &new).0.next_attempt_at, Some(Time(5)));
        assert_eq!(switch(None, &new).1, Switched::Created);
    }
}
