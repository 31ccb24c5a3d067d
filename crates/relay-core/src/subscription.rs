//! Subscriptions: a topic, an endpoint, a policy, and a status that changes by rules.

use crate::names::{PartitionKey, SubscriptionId, TopicId, TopicName};
use crate::replay::{LastReplay, Rewind};
use crate::replay_id::LogPosition;
use crate::retry::RetryPolicy;
use crate::signing::Secret;
use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A subscription as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Subscription {
    /// Made at creation.
    pub id: SubscriptionId,
    /// The topic's identifier: a topic made later under the same name is another one.
    pub topic_id: TopicId,
    /// The topic's name.
    pub topic: TopicName,
    /// Where events go.
    pub endpoint: Endpoint,
    /// When failed events are attempted again.
    pub retry: RetryPolicy,
    /// Most requests a second; none means no limit.
    pub rate_limit: Option<u32>,
    /// Signing secrets; those whose grace is over are ignored.
    pub secrets: Vec<Secret>,
    /// Whether events are delivered.
    pub status: Status,
    /// Why, where somebody or something other than its owner decided.
    pub status_reason: Option<String>,
    /// Raised by every change of status: what a writer of a backlog item had read.
    pub revision: u64,
    /// A resume that is not finished: held lanes still have to be made due,
    pub resuming: bool,
    /// but only that of this key, where it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resuming_key: Option<PartitionKey>,
    /// A rewind that is not finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewind: Option<Rewind>,
    /// While it is not active for long: what was logged from here on is in no backlog, and is loaded when it is resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped_from: Option<LogPosition>,
    /// Its owner was told that retention comes near what it has skipped.
    #[serde(default, skip_serializing_if = "is_false")]
    pub told_of_expiry: bool,
    /// When its status changed last.
    #[serde(default)]
    pub status_at: Time,
    /// The replay that it had last, or has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_replay: Option<LastReplay>,
    /// When the endpoint began to fail without a success since, as far as it was noted.
    pub failing_since: Option<Time>,
    /// Probe of an open circuit: how many have failed in a row.
    pub probes: u32,
    /// Counts the changes of this record: the ETag, and the condition of every write.
    pub version: u64,
    /// When it was created.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
    /// When it was deleted; a job then removes its lanes.
    pub deleted_at: Option<Time>,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Where a subscription's events go, and in which form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Endpoint {
    /// `https` URL (or `http`, to an address that the operator has admitted); empty in [`Mode::Pull`].
    pub url: String,
    /// Headers sent with every request, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Bound on each attempt, in milliseconds.
    pub timeout_ms: u64,
    /// Form of the requests.
    pub mode: Mode,
    /// Most events in one request (1 but in [`Mode::Batch`]).
    pub max_batch: u16,
}

impl Endpoint {
    /// That of a subscription whose events are pulled.
    pub fn pulled() -> Endpoint {
        Endpoint { url: String::new(), headers: Vec::new(), timeout_ms: 0, mode: Mode::Pull, max_batch: 1 }
    }

    /// Bound on each attempt.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

/// Form in which a webhook receives events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// A CloudEvents JSON object.
    #[default]
    Structured,
    /// Attributes as `ce-*` headers, data as the body.
    Binary,
    /// A JSON array of CloudEvents JSON objects: consecutive events of one lane.
    Batch,
    /// Data as the body and no attributes.
    Raw,
    /// None: a consumer pulls them, and commits how far it is.
    Pull,
}

/// Whether a subscription's events are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    /// Delivered.
    Active,
    /// Held because somebody asked for it.
    Paused,
    /// Held because the endpoint keeps failing: the circuit is open, and a probe is sent now and then.
    Suspended,
    /// Held until a range of the log is loaded.
    Rewinding,
    /// Held until what it has skipped is loaded.
    CatchingUp,
    /// Held because the endpoint answered 410 or has failed for days.
    Disabled,
}

impl Status {
    /// True if nothing is delivered, and nobody is at work to change that.
    pub fn is_idle(self) -> bool {
        matches!(self, Status::Paused | Status::Suspended | Status::Disabled)
    }
}

/// What changes a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Somebody pauses.
    Pause,
    /// Somebody resumes: from a pause, an open circuit, or after it was disabled.
    Resume,
    /// The circuit opens.
    Open,
    /// A probe succeeded: the circuit closes.
    Close,
    /// The endpoint answered 410, or failed for too long.
    Disable,
}

impl Subscription {
    /// True if it is there and its events are delivered.
    pub fn is_active(&self) -> bool {
        self.status == Status::Active && self.deleted_at.is_none()
    }

    /// True if only drain delivers its events: dispatch puts them in the backlog without an attempt.
    pub fn is_drained_only(&self) -> bool {
        self.rate_limit.is_some()
    }

    /// True if a consumer pulls its events from the log: dispatch passes it over, and it never has a lane.
    pub fn is_pulled(&self) -> bool {
        self.endpoint.mode == Mode::Pull
    }

    /// The record after a change of status; none if the change means nothing in its present one.
    ///
    /// A change raises `revision` and `version`; one that makes it active starts the resume job with the same write.
    pub fn after(&self, change: Change, reason: Option<&str>, now: Time) -> Option<Subscription> {
        use Status::{Active, CatchingUp, Disabled, Paused, Rewinding, Suspended};
        if matches!(self.status, Rewinding | CatchingUp) {
            return self.after_rewind(change, reason, now);
        }
        let status = match (self.status, change) {
            (Active | Suspended, Change::Pause) => Paused,
            (Paused | Suspended | Disabled, Change::Resume) | (Suspended, Change::Close) => Active,
            (Active, Change::Open) => Suspended,
            (Active | Paused | Suspended, Change::Disable) => Disabled,
            _ => return None,
        };
        if status == Active && self.skipped_from.is_some() && self.rewind.is_some() {
            return None; // one key is rewound, and catching up would take its place
        }
        let mut next = self.clone();
        next.status = status;
        next.status_reason = reason.map(str::to_owned);
        next.revision += 1;
        next.version += 1;
        next.updated_at = now;
        next.status_at = now;
        next.resuming = status == Active;
        next.resuming_key = None;
        next.probes = 0;
        match change {
            Change::Resume | Change::Close => next.failing_since = None,
            Change::Open => next.failing_since = self.failing_since.or(Some(now)),
            Change::Pause | Change::Disable => {}
        }
        Some(if status == Active { next.joining(now) } else { next })
    }

    /// A change while it is rewinding takes effect at the end of that.
    fn after_rewind(&self, change: Change, reason: Option<&str>, now: Time) -> Option<Subscription> {
        let rewind = self.rewind.as_ref()?;
        let then = match change {
            Change::Pause => Status::Paused,
            Change::Resume => Status::Active,
            Change::Disable => Status::Disabled,
            Change::Open | Change::Close => return None,
        };
        (rewind.then != then).then(|| Subscription {
            rewind: Some(Rewind { then, ..rewind.clone() }),
            status_reason: reason.map(str::to_owned),
            version: self.version + 1,
            updated_at: now,
            ..self.clone()
        })
    }

    /// The status it has, or will have when it is rewound.
    pub fn lasting_status(&self) -> Status {
        match &self.rewind {
            Some(rewind) if matches!(self.status, Status::Rewinding | Status::CatchingUp) => rewind.then,
            _ => self.status,
        }
    }

    /// True if sweep has to look at it: something is to be finished, or to be watched.
    pub fn is_unsettled(&self) -> bool {
        self.resuming
            || self.rewind.is_some()
            || self.status != Status::Active
            || self.failing_since.is_some()
            || self.deleted_at.is_some()
    }

    /// Most requests a second, for events of a replay or others.
    pub fn rate_limit_of(&self, replay: bool) -> Option<u32> {
        let of_replay = self.last_replay.as_ref().filter(|_| replay).and_then(|last| last.rate_limit);
        [self.rate_limit, of_replay].into_iter().flatten().min()
    }

    /// Secrets that sign at this time, newest first.
    pub fn live_secrets(&self, now: Time) -> impl Iterator<Item = &Secret> {
        self.secrets.iter().rev().filter(move |secret| secret.expires_at.is_none_or(|end| now < end))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample() -> Subscription {
        Subscription {
            id: SubscriptionId::new("sub_1").unwrap(),
            topic_id: TopicId::new("top_1").unwrap(),
            topic: TopicName::new("orders").unwrap(),
            endpoint: Endpoint {
                url: "https://example.com/hook".into(),
                headers: vec![],
                timeout_ms: 10_000,
                mode: Mode::Structured,
                max_batch: 1,
            },
            retry: RetryPolicy::default(),
            rate_limit: None,
            secrets: vec![],
            status: Status::Active,
            status_reason: None,
            revision: 1,
            resuming: false,
            resuming_key: None,
            rewind: None,
            skipped_from: None,
            told_of_expiry: false,
            status_at: Time(1),
            last_replay: None,
            failing_since: None,
            probes: 0,
            version: 1,
            created_at: Time(1),
            updated_at: Time(1),
            deleted_at: None,
        }
    }

    #[test]
    fn every_change_of_status_raises_the_revision_and_resuming_starts_the_job() {
        let active = sample();
        let paused = active.after(Change::Pause, None, Time(5)).unwrap();
        assert_eq!((paused.status, paused.revision, paused.version, paused.resuming), (Status::Paused, 2, 2, false));
        let resumed = paused.after(Change::Resume, None, Time(6)).unwrap();
        assert_eq!((resumed.status, resumed.revision, resumed.resuming), (Status::Active, 3, true));
        assert!(!resumed.after(Change::Pause, None, Time(7)).unwrap().resuming);
    }

    #[test]
    fn a_change_that_means_nothing_is_none() {
        let active = sample();
        assert_eq!(active.after(Change::Resume, None, Time(5)), None);
        assert_eq!(active.after(Change::Close, None, Time(5)), None);
        let paused = active.after(Change::Pause, None, Time(5)).unwrap();
        assert_eq!(paused.after(Change::Open, None, Time(5)), None);
        assert_eq!(paused.after(Change::Close, None, Time(5)), None);
    }

    #[test]
    fn stored_form_round_trips() {
        let text = serde_json::to_string(&sample()).unwrap();
        assert_eq!(serde_json::from_str::<Subscription>(&text).unwrap(), sample());
    }
}
