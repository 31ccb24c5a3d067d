//! What owners and operators do: topics, subscriptions, keys, held lanes, dead letters, and looking into all of them.
//!
//! Every write is a conditional one on the record's version, repeated when somebody else was faster; whoever wants to
//! be told of that instead compares the version in the closure that makes the new record. Work that goes on after the
//! answer is named by what the functions return, never started here.

mod consumers;
mod dead_letters;
mod health;
mod keys;
mod lanes;
mod redrive;
mod replays;
mod sample;
mod secrets;
mod stats;
mod status;
mod subscriptions;
mod topics;
mod whereabouts;

pub use consumers::{Batch, commit, move_consumer, pull_events};
pub use dead_letters::{DeadLetterView, delete_dead_letter, list_dead_letters};
pub use health::{Check, check_health};
pub use keys::{NewKey, create_key, delete_key, ensure_admin_key, key, list_keys};
pub use lanes::resolve_head;
pub use redrive::{Selection, redrive};
pub use replays::{ReplayOrder, begin_replay, cancel_replay, replay};
pub use sample::send_sample;
pub use secrets::{MAX_GRACE, MAX_LIVE_SECRETS, rotate_secret};
pub use stats::{TopicStats, topic_stats};
pub use status::change_status;
pub use subscriptions::{
    SubscriptionSettings, create_subscription, delete_subscription, edit_subscription, list_subscriptions, subscription,
};
pub use topics::{TopicSettings, delete_topic, ensure_system_topic, list_topics, topic, write_topic};
pub use whereabouts::{LaneState, State, Whereabouts, whereabouts};

use crate::log::ReadRefused;
use crate::names::{KeyId, SubscriptionId, TopicName};
use crate::ports::PortError;
use crate::sequence::Sequence;
use crate::subscription::Status;
use crate::time::Time;

/// How often a write is repeated that others are always faster with.
const WRITE_TRIES: usize = 20;

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refused {
    /// No topic has this name.
    #[error("there is no topic {0}")]
    TopicNotFound(TopicName),
    /// No subscription has this id.
    #[error("there is no subscription {0}")]
    SubscriptionNotFound(SubscriptionId),
    /// No key has this id.
    #[error("there is no key {0}")]
    KeyNotFound(KeyId),
    /// The subscription has no such lane, or it is not held.
    #[error("the subscription has no such lane that is held")]
    LaneNotFound,
    /// The subscription has no such dead letter.
    #[error("the subscription has no such dead letter")]
    DeadLetterNotFound,
    /// Nothing is known of such an event.
    #[error("no event of that id is known")]
    EventNotFound,
    /// The name is the broker's own.
    #[error("names that begin with 'relay.' are the broker's own")]
    ReservedName,
    /// A topic of this name was deleted not long ago; the name is free at this time.
    #[error("a topic of this name was deleted; the name is free again at {0}")]
    NameInUse(Time),
    /// The topic has subscriptions.
    #[error("the topic has subscriptions")]
    HasSubscriptions,
    /// The change means nothing in this status.
    #[error("that means nothing while the subscription is {}", status_word(*.0))]
    WrongStatus(Status),
    /// A replay is under way, this one: there is one at a time.
    #[error("the replay {0} of this subscription is under way")]
    ReplayUnderWay(String),
    /// The subscription has no such replay.
    #[error("the subscription has no such replay")]
    ReplayNotFound,
    /// The replay is over.
    #[error("the replay is over")]
    ReplayOver,
    /// It is about webhooks, and the subscription is pulled.
    #[error("that means nothing for a pull subscription: it has no webhook")]
    Pulled,
    /// It is about pull subscriptions, and the subscription has a webhook.
    #[error("the subscription is not a pull subscription: its events go to its webhook")]
    NotPulled,
    /// More is committed already, or the subscription was moved since.
    #[error("the committed cursor is ahead of this one, or the subscription was moved: pull again")]
    StaleCursor,
    /// Too many secrets are in their grace.
    #[error("too many secrets are still in their grace")]
    TooManySecrets,
    /// The event is not, or no longer, the head of its lane; this one is.
    #[error("that event is no longer the head of its lane")]
    HeadMoved(Option<Sequence>),
    /// The log cannot be read from there.
    #[error(transparent)]
    Read(#[from] ReadRefused),
    /// A port failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

fn status_word(status: Status) -> &'static str {
    match status {
        Status::Active => "active",
        Status::Paused => "paused",
        Status::Suspended => "suspended",
        Status::Rewinding => "rewinding",
        Status::CatchingUp => "catchingUp",
        Status::Disabled => "disabled",
    }
}
