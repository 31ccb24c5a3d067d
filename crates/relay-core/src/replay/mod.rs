//! Replays: what a subscription's lanes get once more from the log, before they go on live.
//!
//! A replay is a *rewind*, which the model checks (`rewind` in the lane model): the status becomes `rewinding`, so that
//! dispatch holds and drain parks; after a while nobody who read an earlier status can still send; then the log's
//! entries from the position on are put into the lanes' backlogs, and the subscription is resumed. Backlogs are sorted by
//! sequence, so old events are drained first and live ones follow. A replay of one key does the same with one lane.
//!
//! What is to be done is part of the subscription, written with its status in one write; how far it is, is a record of
//! its own. A job that lost its process is taken up again where its last part ended.

mod load;
mod run;
mod skip;

pub use run::run;
pub use skip::skip;
pub(crate) use skip::watch;

use crate::lane::Lease;
use crate::limits::{CLOCK_ERROR, DISPATCH_DEADLINE, STATUS_AGE};
use crate::log::Cursor;
use crate::names::{PartitionKey, SubscriptionId};
use crate::pack::LaneKey;
use crate::ports::LogEntry;
use crate::replay_id::{LogPosition, ReplayId, key_hash};
use crate::sequence::Sequence;
use crate::subscription::{Status, Subscription};
use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A rewind that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rewind {
    /// The job's record.
    pub job: String,
    /// Where it starts.
    pub from: Cursor,
    /// Where it ends; none for what is in the log by now.
    pub until: Option<Until>,
    /// Only this key's lane, while the others go on.
    pub key: Option<PartitionKey>,
    /// When it was asked for.
    pub began_at: Time,
    /// Not before this, since somebody who read an earlier status may still send.
    pub loads_at: Time,
    /// The status after it, unless it is that of one key.
    pub then: Status,
    /// Somebody has cancelled it: what is loaded by then is delivered.
    pub is_cancelled: bool,
    /// It puts what is absent and nothing else: what was skipped, to go on from there.
    #[serde(default)]
    pub joins: bool,
}

impl Rewind {
    /// A rewind of everything from a place on, for which nobody has to be waited for.
    pub fn new(job: String, from: Cursor, now: Time) -> Rewind {
        Rewind {
            job,
            from,
            until: None,
            key: None,
            began_at: now,
            loads_at: now,
            then: Status::Active,
            is_cancelled: false,
            joins: false,
        }
    }
}

/// The last event that a replay wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Until {
    /// What was logged later is left out,
    pub time: Time,
    /// but of this key (by its hash) those after this sequence.
    pub event: Option<(u64, Sequence)>,
}

impl Until {
    /// What was logged up to a time.
    pub fn time(time: Time) -> Until {
        Until { time, event: None }
    }

    /// Of an event's key what came up to it, and of others what was logged up to then.
    pub fn event(id: ReplayId) -> Until {
        Until { time: id.at, event: Some((id.key_hash, id.sequence)) }
    }

    /// The number of an entry's events that are wanted, all of them at its beginning. Once there are none, there are none
    /// in what follows of its key: what is still queued must not be passed over, and the next one delivered. So it goes by
    /// places in the log, never by when something was accepted, since publishers are answered by different clocks.
    pub fn wanted(&self, entry: &LogEntry) -> u16 {
        let count = u16::try_from(entry.pack.events.len()).unwrap_or(u16::MAX);
        match self.event {
            Some((hash, last)) if hash == key_hash(&entry.pack.key) => {
                (0..count).find(|index| entry.sequence.event(*index) > last).unwrap_or(count)
            }
            _ if entry.position.at > self.time => 0,
            _ => count,
        }
    }
}

/// The replay that a subscription had last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LastReplay {
    /// The job's record.
    pub job: String,
    /// Most requests a second that carry events of it.
    pub rate_limit: Option<u32>,
}

/// How far a replay is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ReplayState {
    /// The log is being loaded.
    Running,
    /// All is loaded; deliveries may still be under way.
    Done,
    /// Somebody has cancelled it, or deleted its subscription.
    Cancelled,
    /// The log could not be read.
    Failed,
}

/// The record of a replay job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Replay {
    /// Names it.
    pub id: String,
    /// The subscription.
    pub subscription: SubscriptionId,
    /// How far it is.
    pub state: ReplayState,
    /// Why it has failed.
    pub reason: Option<String>,
    /// Events of the log that were looked at,
    pub scanned: u64,
    /// those of them that the replay wants,
    pub matched: u64,
    /// those of them that were put into lanes,
    pub enqueued: u64,
    /// and those that were delivered since; a crash may leave some of them uncounted.
    #[serde(default)]
    pub delivered: u64,
    /// When it was asked for.
    pub started_at: Time,
    /// When its state became final.
    pub finished_at: Option<Time>,
    /// Not before this is anything loaded.
    pub loads_at: Time,
    /// Up to where the log is loaded.
    pub cursor: Cursor,
    /// Where the log ended when the load began: up to there it is loaded. None before that.
    pub end: Option<LogPosition>,
    /// What was logged since may still have been queued then.
    pub queued_since: Option<Time>,
    /// Who works on it.
    pub lease: Option<Lease>,
    /// Counts the writes: the condition of each.
    pub version: u64,
}

impl Replay {
    /// The record of a rewind that nobody has worked on yet.
    pub fn of(subscription: &SubscriptionId, rewind: &Rewind) -> Replay {
        Replay {
            id: rewind.job.clone(),
            subscription: subscription.clone(),
            state: ReplayState::Running,
            reason: None,
            scanned: 0,
            matched: 0,
            enqueued: 0,
            delivered: 0,
            started_at: rewind.began_at,
            finished_at: None,
            loads_at: rewind.loads_at,
            cursor: rewind.from,
            end: None,
            queued_since: None,
            lease: None,
            version: 1,
        }
    }

    /// As [`Replay::of`], once somebody works on it: its wait counts from now at the earliest, since the status may have
    /// been written long after it was asked for.
    fn begun(subscription: &Subscription, rewind: &Rewind, now: Time) -> Replay {
        let wait = rewind.loads_at.since(rewind.began_at);
        Replay { loads_at: rewind.loads_at.max(now + wait), ..Replay::of(&subscription.id, rewind) }
    }
}

/// How long somebody who read an earlier status may still send: what was read is not used for longer than a bound, and
/// a request lasts no longer than its time-out.
pub fn wait_before_load(subscription: &Subscription, settle: Duration) -> Duration {
    STATUS_AGE.max(DISPATCH_DEADLINE) + subscription.endpoint.timeout() + settle + CLOCK_ERROR
}

impl Subscription {
    /// The record after a rewind has begun; none if it has one already, or its status does not go with it.
    ///
    /// Like every change of status it raises the revision; a rewind of one key does so, too, since it is one for that
    /// key's lane.
    pub fn rewound(&self, rewind: Rewind, rate_limit: Option<u32>, now: Time) -> Option<Subscription> {
        if self.rewind.is_some() || self.status == Status::Disabled {
            return None;
        }
        let status = if rewind.key.is_some() { self.status } else { Status::Rewinding };
        Some(Subscription {
            status,
            status_reason: if status == self.status { self.status_reason.clone() } else { None },
            revision: self.revision + 1,
            version: self.version + 1,
            updated_at: now,
            status_at: if status == self.status { self.status_at } else { now },
            resuming: self.resuming && status == self.status,
            probes: if status == self.status { self.probes } else { 0 },
            last_replay: Some(LastReplay { job: rewind.job.clone(), rate_limit }),
            rewind: Some(rewind),
            ..self.clone()
        })
    }

    /// The record after all of its rewind was loaded; none if it has none.
    pub fn loaded(&self, now: Time) -> Option<Subscription> {
        let rewind = self.rewind.clone()?;
        let status = if rewind.key.is_some() { self.status } else { rewind.then };
        // A job that is to make other lanes due, or all, is not over yet.
        let resumes_all = self.resuming && self.resuming_key != rewind.key;
        Some(Subscription {
            status,
            revision: self.revision + 1,
            version: self.version + 1,
            updated_at: now,
            status_at: if status == self.status { self.status_at } else { now },
            // What was skipped is in the backlogs now, unless only one key was loaded.
            skipped_from: if rewind.key.is_some() { self.skipped_from } else { None },
            resuming: status == Status::Active,
            resuming_key: if resumes_all { None } else { rewind.key },
            rewind: None,
            ..self.clone()
        })
    }

    /// The record after its rewind has ended before all was loaded, for a reason if that is a fault; none if it has none.
    ///
    /// What it has skipped is in no backlog, and still to be caught up with: at once if it is to be active, or when
    /// somebody resumes it. A fault in that very load is nothing to pass over: it is disabled until somebody has seen it.
    pub(crate) fn given_up(&self, fault: Option<&str>, now: Time) -> Option<Subscription> {
        let (rewind, ended) = (self.rewind.as_ref()?, self.loaded(now)?);
        if self.skipped_from.is_none() || rewind.key.is_some() {
            return Some(ended);
        }
        let skipping = Subscription { skipped_from: self.skipped_from, ..ended };
        Some(match (skipping.status, rewind.joins) {
            (Status::Active, false) => skipping.joining(now),
            (Status::Active, true) => {
                let reason = fault.map(|fault| format!("it cannot catch up: {fault}"));
                Subscription { status: Status::Disabled, status_reason: reason, resuming: false, ..skipping }
            }
            _ => skipping,
        })
    }

    /// True if events of this key may be delivered.
    pub fn delivers(&self, key: &LaneKey) -> bool {
        self.is_active() && !self.is_rewound(key)
    }

    /// True if a rewind of this very key is under way.
    pub fn is_rewound(&self, key: &LaneKey) -> bool {
        let rewound = self.rewind.as_ref().and_then(|rewind| rewind.key.as_ref());
        rewound.is_some() && rewound == key.partition_key()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{TopicId, TopicName};
    use crate::pack::Pack;
    use crate::sequence::PackSequence;
    use std::sync::Arc;

    #[test]
    fn where_a_replay_ends_does_not_depend_on_when_things_were_accepted() {
        // The clock of whoever accepted the later one was far behind.
        let entry = |at, number, accepted_at| LogEntry {
            position: LogPosition { at: Time(at), unique: at },
            sequence: PackSequence { era: 1, number },
            pack: Arc::new(Pack {
                topic: TopicName::new("orders").unwrap(),
                topic_id: TopicId::new("top_1").unwrap(),
                key: LaneKey::Ordered(PartitionKey::new("k").unwrap()),
                accepted_at: Time(accepted_at),
                events: vec![crate::event::samples::plain(), crate::event::samples::plain()],
            }),
        };
        let (earlier, later) = (entry(100, 1, 100), entry(200, 2, 40));
        let wanted = |until: Until| [until.wanted(&earlier), until.wanted(&later)];
        assert_eq!(wanted(Until::time(Time(99))), [0, 0]);
        assert_eq!(wanted(Until::time(Time(100))), [2, 0]);
        assert_eq!(wanted(Until::time(Time(200))), [2, 2]);
        let of_key = |sequence| ReplayId::accepted(&later.pack.key, Time(40), sequence);
        assert_eq!(wanted(Until::event(of_key(later.sequence.event(0)))), [2, 1]);
        assert_eq!(wanted(Until::event(of_key(earlier.sequence.event(0)))), [1, 0]);
    }
}
