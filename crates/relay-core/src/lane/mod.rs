//! Lanes: the unit of ordering and of blocking.
//!
//! A lane is one (subscription, topic, key). While it is **live** it has no lane item, and only dispatch delivers to
//! it; while it is **held** a [`LaneItem`] exists, its events wait in its backlog, and only the holder of its lease
//! delivers them. What keeps this safe is split three ways, all free of I/O, and all run by the product, by the
//! simulation and by the model check alike:
//!
//! - [`table`]: the conditional writes on lane items and backlog items, which for lane items go by [`tenure`];
//! - [`work`]: what dispatch does next for one lane of its batch;
//! - [`drain`]: what a drain does next for the lane whose lease it took.

pub mod drain;
pub mod table;
pub mod tenure;
pub mod work;

use crate::names::{SubscriptionId, TopicId, TopicName};
use crate::pack::{LaneId, LaneKey, Pack};
use crate::replay_id::LogPosition;
use crate::sequence::{PackSequence, Sequence};
use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Which lane: enough to find it, and to say what it is.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LaneRef {
    /// Hash of the other fields.
    pub id: LaneId,
    /// The subscription.
    pub subscription: SubscriptionId,
    /// The topic's identifier.
    pub topic_id: TopicId,
    /// The topic's name.
    pub topic: TopicName,
    /// The partition key, or the group of events without one.
    pub key: LaneKey,
}

impl LaneRef {
    /// The lane of a subscription that a pack's events belong to.
    pub fn new(subscription: &SubscriptionId, topic_id: &TopicId, topic: &TopicName, key: &LaneKey) -> LaneRef {
        LaneRef {
            id: lane_id(subscription, topic_id, key),
            subscription: subscription.clone(),
            topic_id: topic_id.clone(),
            topic: topic.clone(),
            key: key.clone(),
        }
    }
}

/// The identifier of a lane.
pub fn lane_id(subscription: &SubscriptionId, topic_id: &TopicId, key: &LaneKey) -> LaneId {
    let (sub, topic) = (subscription.as_str().as_bytes(), topic_id.as_str().as_bytes());
    match key {
        LaneKey::Ordered(key) => LaneId::of([sub, topic, key.as_str().as_bytes()]),
        LaneKey::Unordered(number) => LaneId::of([sub, topic, &number.to_be_bytes(), b"unordered"]),
    }
}

/// Names one holder of a lease: drawn afresh each time a lease is taken.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OwnerId(pub u64);

/// Names one put of a backlog item: drawn afresh for each, the same when a put is repeated.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PutId(pub u64);

/// The right to deliver a held lane's backlog until a time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Lease {
    /// Who holds it.
    pub owner: OwnerId,
    /// When it ends.
    pub until: Time,
}

/// Why a lane is held.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HoldReason {
    /// An attempt failed.
    Failing,
    /// The subscriber kept the others of a message waiting.
    Slow,
    /// The subscription is paused.
    Paused,
    /// The subscription's circuit is open.
    Suspended,
    /// The subscription is disabled.
    Disabled,
    /// The subscription is being rewound.
    Rewinding,
    /// The subscription has a rate limit: drain delivers all of its events.
    RateLimited,
    /// Dead letters were put back.
    Redriven,
    /// A message was received too often: its events may be crashing the process.
    Suspect,
}

/// What an operator wants done with a held lane's head.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resolution {
    /// What to do.
    pub action: ResolveAction,
    /// Only if this is still the head: a resolution carried out twice must not hit the next event.
    pub sequence: Sequence,
    /// When it was asked.
    pub at: Time,
}

/// Ways to resolve a head.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ResolveAction {
    /// Attempt it now.
    Retry,
    /// Drop it.
    Skip,
    /// Put it among the dead letters.
    DeadLetter,
}

/// The item whose existence makes a lane a held one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LaneItem {
    /// Which lane.
    pub lane: LaneRef,
    /// Moved by every append and by whatever else a drain must not overlook.
    pub version: u64,
    /// Who delivers it now.
    pub lease: Option<Lease>,
    /// Why it is held.
    pub reason: HoldReason,
    /// Since when.
    pub since: Time,
    /// When its head is attempted next; none while it is parked, or held by a lease with nothing known yet.
    pub next_attempt_at: Option<Time>,
    /// Attempts of its head so far.
    pub attempts: u32,
    /// Status of the last failed attempt, if there was an answer.
    pub last_status: Option<u16>,
    /// Error word of the last failed attempt, if there was no answer.
    pub last_error: Option<String>,
    /// What an operator wants done with its head.
    pub resolution: Option<Resolution>,
}

impl LaneItem {
    /// When somebody should look at the lane: the end of its lease, else its next attempt, else never.
    pub fn due_at(&self) -> Option<Time> {
        self.lease.map_or(self.next_attempt_at, |lease| Some(lease.until))
    }
}

/// What waits in a lane's backlog: events of one pack, from `next` to before `end`.
#[derive(Clone, Debug)]
pub struct BacklogItem {
    /// Sorts the backlog, and names the item in its lane: the pack's sequence with
    /// [`Sequence::REST_OF_PACK`] for what is left of a pack, or with the event's own index for a single event
    /// (of an unordered lane, or put back from the dead letters: such a one sorts before the rest of its pack).
    pub key: Sequence,
    /// The events, of which only `next..end` are meant.
    pub pack: Arc<Pack>,
    /// Where the pack lies in the log.
    pub position: LogPosition,
    /// Index of the next undelivered event.
    pub next: u16,
    /// Index after the last one.
    pub end: u16,
    /// This put of it.
    pub put_id: PutId,
    /// Revision of the subscription that its writer had read.
    pub revision: u64,
    /// Attempts of its head so far.
    pub attempts: u32,
    /// When its head first failed.
    pub first_failed_at: Option<Time>,
    /// When it is attempted next, in an unordered lane; ordered lanes go by the lane item.
    pub due_at: Option<Time>,
    /// It is delivered as a replay.
    pub replay: bool,
}

impl BacklogItem {
    /// The sequence of the next undelivered event.
    pub fn head(&self) -> Sequence {
        self.key.pack.event(self.next)
    }

    /// Number of undelivered events.
    pub fn depth(&self) -> u64 {
        u64::from(self.end.saturating_sub(self.next))
    }

    /// What the protocol goes by.
    pub fn view(&self) -> table::ItemView<Sequence, PutId> {
        table::ItemView { key: self.key, put_id: self.put_id, next: self.next, end: self.end, revision: self.revision }
    }
}

/// The key of the backlog item that holds the rest of a pack.
pub fn rest_key(pack: PackSequence) -> Sequence {
    pack.event(Sequence::REST_OF_PACK)
}
