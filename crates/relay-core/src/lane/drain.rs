//! What a drain does next for an ordered lane whose lease it took: a machine without I/O.
//!
//! The holder of the lease does what [`Drain::step`] says and reports the answer with the method named at the step,
//! until the step is [`Step::Stop`]. Generic over the backlog's keys and put ids for the model check's sake.

use super::table::{ItemView, Progress};

/// What to do next.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step<K, P> {
    /// Read the subscription (nothing that was read before the lease was taken); report [`Drain::subscription`].
    ReadSubscription,
    /// Park the lane on condition of owner and this version ([`super::table::park`]); report [`Drain::parked`].
    Park(u64),
    /// Read version, backlog (from its start), version again; report [`Drain::backlog`].
    ReadBacklog,
    /// Read the first item of the backlog again; report [`Drain::head`].
    ReadHead,
    /// Look whether the lease has more time left than an attempt may take; report [`Drain::lease`].
    CheckLease,
    /// Renew the lease ([`super::table::renew`]); report [`Drain::renewed`].
    RenewLease,
    /// Attempt the event at `next` of this item, and as many consecutive ones of [`Drain::view`] as go into one
    /// request; report [`Drain::sent`] or [`Drain::failed`].
    Send(ItemView<K, P>),
    /// Write the progress ([`super::table::progress`]); report [`Drain::progressed`].
    Progress(Progress<K, P>),
    /// Set the next attempt and drop the lease ([`super::table::reschedule`]), then send the wake-up; report
    /// [`Drain::stop`].
    Reschedule,
    /// Delete the lane item on condition of owner and this version ([`super::table::may_release`]); report
    /// [`Drain::released`].
    Release(u64),
    /// Nothing more: the lease is gone, or given back.
    Stop,
}

/// Whether a subscription's events may be attempted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Readiness {
    /// Yes; this is its revision.
    Active(u64),
    /// One event may be, to find out whether the endpoint has recovered; this is its revision.
    Probe(u64),
    /// No.
    Inactive,
}

/// How a conditional write on the lane item ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// Written.
    Done,
    /// Refused: the version is now this one, the lease still ours.
    Moved(u64),
    /// Refused: the lease is not ours any more, or the lane is gone.
    Lost,
}

/// How much time a lease has left.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LeaseTime {
    /// More than an attempt may take.
    Enough,
    /// Less, but it has not ended.
    Short,
    /// It has ended.
    Over,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum At {
    Subscription,
    Park,
    Backlog,
    Head,
    Lease,
    Renew,
    Send,
    Progress,
    Reschedule,
    Release,
    Stop,
}

/// A drain of one lane, from taking its lease to giving it back.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Drain<K, P> {
    at: At,
    version: u64,
    revision: u64,
    probing: bool,
    view: Vec<ItemView<K, P>>,
    /// Events of the view's first items that were accepted and whose progress is still to be written.
    accepted: u16,
}

impl<K: Copy + Ord, P: Copy + Eq> Drain<K, P> {
    /// The lease was taken; the answer gave this version.
    pub fn new(version: u64) -> Self {
        Drain { at: At::Subscription, version, revision: 0, probing: false, view: Vec::new(), accepted: 0 }
    }

    /// What to do next.
    pub fn step(&self) -> Step<K, P> {
        match (self.at, self.view.first()) {
            (At::Subscription, _) => Step::ReadSubscription,
            (At::Park, _) => Step::Park(self.version),
            (At::Backlog, _) => Step::ReadBacklog,
            (At::Head, Some(_)) => Step::ReadHead,
            (At::Lease, Some(_)) => Step::CheckLease,
            (At::Renew, Some(_)) => Step::RenewLease,
            (At::Send, Some(first)) => Step::Send(*first),
            (At::Progress, Some(first)) => {
                let next = first.next.saturating_add(self.accepted).min(first.end);
                let rest = (next < first.end).then_some(next);
                Step::Progress(Progress { key: first.key, put_id: first.put_id, next: rest })
            }
            (At::Reschedule, _) => Step::Reschedule,
            (At::Release, _) => Step::Release(self.version),
            (At::Head | At::Lease | At::Renew | At::Send | At::Progress, None) => Step::ReadBacklog,
            (At::Stop, _) => Step::Stop,
        }
    }

    /// What is known of the backlog, from its head on.
    pub fn view(&self) -> &[ItemView<K, P>] {
        &self.view
    }

    /// The same drain with other numbers for versions and items. Those are only ever compared, so that a model check
    /// may tell drains apart by what they can still do and not by how far something was counted before.
    pub fn renumbered<Q>(
        &self,
        version: impl Fn(u64) -> u64,
        item: impl Fn(&ItemView<K, P>) -> ItemView<K, Q>,
        revision: impl Fn(u64) -> u64,
    ) -> Drain<K, Q> {
        Drain {
            at: self.at,
            version: version(self.version),
            revision: revision(self.revision),
            probing: self.probing,
            view: self.view.iter().map(item).collect(),
            accepted: self.accepted,
        }
    }

    /// True if this drain may attempt one event only.
    pub fn is_probing(&self) -> bool {
        self.probing
    }

    /// The subscription was read.
    pub fn subscription(&mut self, readiness: Readiness) {
        self.view.clear();
        self.probing = false;
        self.at = match readiness {
            Readiness::Active(revision) => {
                self.revision = revision;
                At::Backlog
            }
            Readiness::Probe(revision) => {
                (self.revision, self.probing) = (revision, true);
                At::Backlog
            }
            Readiness::Inactive => At::Park,
        };
    }

    /// The lane was parked, or not. If its version moved, the subscription may have been resumed: read it again.
    pub fn parked(&mut self, outcome: Outcome) {
        self.at = match outcome {
            Outcome::Moved(version) => {
                self.version = version;
                At::Subscription
            }
            Outcome::Done | Outcome::Lost => At::Stop,
        };
    }

    /// The backlog was read, between two readings of the version (none: the lane item is gone, or not this holder's any
    /// more: [`super::tenure::Tenure::version_for`]). A query is not a snapshot: if the version moved meanwhile, only
    /// what a second look at the head confirms is believed.
    pub fn backlog(&mut self, before: Option<u64>, items: Vec<ItemView<K, P>>, after: Option<u64>) {
        let Some(version) = before else {
            self.at = At::Stop;
            return;
        };
        self.version = version;
        self.view = items;
        self.at = match (self.view.is_empty(), after == Some(version)) {
            (true, _) => At::Release,
            (false, true) => self.check_revision(),
            (false, false) => At::Head,
        };
    }

    /// The head was read again. If it is the same it is delivered alone, else the backlog is read again.
    pub fn head(&mut self, head: Option<(K, P, u16)>) {
        let same = |item: &ItemView<K, P>| head == Some((item.key, item.put_id, item.next));
        if self.view.first().is_some_and(same) {
            self.view.truncate(1);
            self.at = self.check_revision();
        } else {
            self.view.clear();
            self.at = At::Backlog;
        }
    }

    /// An item written by someone who knew a later revision is not delivered by what was read before it.
    fn check_revision(&self) -> At {
        match self.view.first() {
            Some(first) if first.revision > self.revision => At::Subscription,
            Some(_) => At::Lease,
            None => At::Backlog,
        }
    }

    /// The subscription's status was read too long ago to go by.
    pub fn status_is_old(&mut self) {
        if matches!(self.at, At::Lease | At::Send) {
            self.at = At::Subscription;
        }
    }

    /// The lease was looked at.
    pub fn lease(&mut self, left: LeaseTime) {
        self.at = match left {
            LeaseTime::Enough => At::Send,
            LeaseTime::Short => At::Renew,
            LeaseTime::Over => At::Stop,
        };
    }

    /// The lease was renewed and the answer gave this version, or it was lost. The subscription is read again: a
    /// rewind may have begun.
    pub fn renewed(&mut self, version: Option<u64>) {
        self.at = match version {
            Some(version) => {
                self.version = version;
                At::Subscription
            }
            None => At::Stop,
        };
    }

    /// The webhook has accepted the next `events` events (or an operator has had them skipped or dead-lettered).
    pub fn sent(&mut self, events: u16) {
        if events > 0 {
            (self.accepted, self.at) = (events, At::Progress);
        }
    }

    /// The attempt failed, or this drain has to stop for now.
    pub fn failed(&mut self) {
        self.at = At::Reschedule;
    }

    /// The progress was written, or refused, which is as good: someone has put the item again.
    pub fn progressed(&mut self) {
        let Some(first) = self.view.first_mut() else {
            self.at = At::Backlog;
            return;
        };
        let left = first.end.saturating_sub(first.next);
        if self.accepted >= left {
            self.accepted -= left;
            self.view.remove(0);
        } else {
            first.next += self.accepted;
            self.accepted = 0;
        }
        self.at = match (self.accepted, self.probing, self.view.is_empty()) {
            (1.., ..) => At::Progress,
            (0, true, _) => At::Subscription,
            (0, false, true) => At::Backlog,
            (0, false, false) => self.check_revision(),
        };
    }

    /// The lane was released, or not.
    pub fn released(&mut self, outcome: Outcome) {
        self.at = match outcome {
            Outcome::Moved(_) => At::Backlog,
            Outcome::Done | Outcome::Lost => At::Stop,
        };
    }

    /// The next attempt is set, or somebody else holds the lane now.
    pub fn stop(&mut self) {
        self.at = At::Stop;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(key: u8, next: u16, end: u16) -> ItemView<u8, u8> {
        ItemView { key, put_id: 0, next, end, revision: 1 }
    }

    fn reading() -> Drain<u8, u8> {
        let mut drain = Drain::new(4);
        assert_eq!(drain.step(), Step::ReadSubscription);
        drain.subscription(Readiness::Active(1));
        assert_eq!(drain.step(), Step::ReadBacklog);
        drain
    }

    #[test]
    fn a_backlog_is_delivered_in_order_and_the_lane_released() {
        let mut drain = reading();
        drain.backlog(Some(4), vec![item(1, 1, 3), item(2, 0, 1)], Some(4));
        drain.lease(LeaseTime::Enough);
        assert_eq!(drain.step(), Step::Send(item(1, 1, 3)));
        drain.sent(1);
        assert_eq!(drain.step(), Step::Progress(Progress { key: 1, put_id: 0, next: Some(2) }));
        drain.progressed();
        assert_eq!(drain.step(), Step::CheckLease);
        drain.lease(LeaseTime::Enough);
        drain.sent(2);
        assert_eq!(drain.step(), Step::Progress(Progress { key: 1, put_id: 0, next: None }));
        drain.progressed();
        assert_eq!(drain.step(), Step::Progress(Progress { key: 2, put_id: 0, next: None }));
        drain.progressed();
        assert_eq!(drain.step(), Step::ReadBacklog);
        drain.backlog(Some(4), vec![], Some(5));
        assert_eq!(drain.step(), Step::Release(4));
        drain.released(Outcome::Moved(5));
        assert_eq!(drain.step(), Step::ReadBacklog);
    }

    #[test]
    fn a_torn_read_is_believed_only_as_far_as_the_head_confirms() {
        let mut drain = reading();
        drain.backlog(Some(4), vec![item(2, 0, 1), item(3, 0, 1)], Some(5));
        assert_eq!(drain.step(), Step::ReadHead);
        drain.head(Some((1, 0, 0)));
        assert_eq!(drain.step(), Step::ReadBacklog);
        drain.backlog(Some(5), vec![item(1, 0, 1), item(2, 0, 1)], Some(6));
        drain.head(Some((1, 0, 0)));
        assert_eq!((drain.step(), drain.view().len()), (Step::CheckLease, 1));
    }

    #[test]
    fn an_item_of_a_later_revision_sends_the_drain_back_to_the_subscription() {
        let mut drain = reading();
        drain.backlog(Some(4), vec![ItemView { revision: 2, ..item(1, 0, 1) }], Some(4));
        assert_eq!(drain.step(), Step::ReadSubscription);
    }

    #[test]
    fn a_probe_delivers_one_event_and_asks_again() {
        let mut drain = Drain::new(4);
        drain.subscription(Readiness::Probe(1));
        drain.backlog(Some(4), vec![item(1, 0, 2)], Some(4));
        drain.lease(LeaseTime::Enough);
        drain.sent(1);
        drain.progressed();
        assert_eq!(drain.step(), Step::ReadSubscription);
        drain.subscription(Readiness::Inactive);
        assert_eq!(drain.step(), Step::Park(4));
        drain.parked(Outcome::Moved(6));
        assert_eq!(drain.step(), Step::ReadSubscription);
    }
}
