//! Subscriptions.

use super::endpoint::{self, EndpointView};
use super::retry::{self, RetryDraft, RetryView};
use super::{At, start_from, word_for};
use crate::conditional::Tag;
use crate::document::{Faults, Object};
use crate::path::topic_name;
use crate::problem::Problem;
use crate::state::EndpointPolicy;
use relay_core::log::Start;
use relay_core::manage::SubscriptionSettings;
use relay_core::names::TopicName;
use relay_core::signing::Secret;
use relay_core::subscription::{Endpoint, Mode, Status, Subscription};
use relay_core::time::Time;
use relay_core::topic::Topic;
use serde::Serialize;
use serde_json::Value;

const STATUSES: &[(&str, Status)] = &[
    ("active", Status::Active),
    ("paused", Status::Paused),
    ("suspended", Status::Suspended),
    ("rewinding", Status::Rewinding),
    ("catchingUp", Status::CatchingUp),
    ("disabled", Status::Disabled),
];
/// Members that only the broker sets.
const FIXED: &[&str] = &["id", "secrets", "status", "statusReason", "replay", "createdAt", "updatedAt"];
/// Members of later work.
const LATER: &[&str] = &["channel", "pattern", "filter", "kind", "schema", "profile", "approval", "verification"];

/// A subscription as clients see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SubscriptionView<'a> {
    id: &'a str,
    topic: &'a str,
    endpoint: EndpointView<'a>,
    #[serde(flatten)]
    delivery: Option<DeliveryView<'a>>,
    status: &'static str,
    status_reason: Option<&'a str>,
    /// The replay that is under way, or was the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    replay: Option<&'a str>,
    created_at: At,
    updated_at: At,
}

/// How a webhook is delivered to; what is pulled is not delivered.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DeliveryView<'a> {
    retry: RetryView<'a>,
    rate_limit: Option<u32>,
    secrets: Vec<SecretView<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SecretView<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
    created_at: At,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<At>,
}

impl<'a> SubscriptionView<'a> {
    /// A subscription without the texts of its secrets.
    pub(crate) fn new(subscription: &'a Subscription, now: Time) -> Self {
        let delivery = (!subscription.is_pulled()).then(|| DeliveryView {
            retry: RetryView::from(&subscription.retry),
            rate_limit: subscription.rate_limit,
            secrets: subscription.live_secrets(now).map(secret_view).collect(),
        });
        let rewind = subscription.rewind.as_ref().map(|rewind| &rewind.job);
        let last = subscription.last_replay.as_ref().map(|replay| &replay.job);
        SubscriptionView {
            id: subscription.id.as_str(),
            topic: subscription.topic.as_str(),
            endpoint: EndpointView::from(&subscription.endpoint),
            delivery,
            status: word_for(STATUSES, &subscription.status),
            status_reason: subscription.status_reason.as_deref(),
            replay: rewind.or(last).map(String::as_str),
            created_at: At(subscription.created_at),
            updated_at: At(subscription.updated_at),
        }
    }

    /// With the text of the newest secret, which was just made.
    #[must_use]
    pub(crate) fn revealing(mut self, subscription: &'a Subscription) -> Self {
        let first = self.delivery.as_mut().and_then(|delivery| delivery.secrets.first_mut());
        if let (Some(view), Some(newest)) = (first, subscription.secrets.last()) {
            view.secret = Some(newest.reveal());
        }
        self
    }
}

fn secret_view(secret: &Secret) -> SecretView<'_> {
    SecretView {
        id: &secret.id,
        secret: None,
        created_at: At(secret.created_at),
        expires_at: secret.expires_at.map(At),
    }
}

/// The word for a status.
pub(crate) fn status_word(status: Status) -> &'static str {
    word_for(STATUSES, &status)
}

/// The entity tag of a subscription.
pub(crate) fn tag(subscription: &Subscription) -> Tag {
    Tag::new(subscription.id.as_str(), subscription.version)
}

/// A subscription as a client wrote it, checked as far as can be without its topic.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) topic: Option<TopicName>,
    endpoint: Endpoint,
    retry: RetryDraft,
    rate_limit: Option<u32>,
    /// Where a new one begins.
    pub(crate) start: Start,
}

/// Reads a whole document; `present` is the subscription as it is and as clients see it, if there is one.
pub(crate) fn read(
    mut document: Object,
    present: Option<(&Subscription, &Value)>,
    policy: &dyn EndpointPolicy,
    faults: &mut Faults,
) -> Draft {
    let (subscription, view) = present.unzip();
    let topic = topic(&mut document, subscription, faults);
    let endpoint = document.object("endpoint", faults);
    let endpoint = document.require("endpoint", endpoint, faults);
    let endpoint =
        endpoint.map(|object| endpoint::read(object, subscription.map(|present| &present.endpoint), policy, faults));
    let is_pulled = endpoint.as_ref().is_some_and(|endpoint| endpoint.mode == Mode::Pull);
    if is_pulled {
        document.refuse(&["retry", "rateLimit"], "means nothing with the endpoint's mode `pull`", faults);
    }
    let retry = document.object("retry", faults).map(|object| retry::read(object, faults)).unwrap_or_default();
    let rate_limit = document.integer("rateLimit", 1..=u64::from(u32::MAX), faults);
    let start = start(&mut document, subscription.is_some(), faults);
    document.fixed(FIXED, view, faults);
    document.later(LATER, faults);
    document.finish(faults);
    Draft {
        topic,
        endpoint: endpoint.unwrap_or_else(nowhere),
        retry,
        rate_limit: rate_limit.and_then(|limit| u32::try_from(limit).ok()),
        start,
    }
}

/// Stands in for an endpoint that was found at fault: it is never stored.
fn nowhere() -> Endpoint {
    Endpoint { url: String::new(), headers: Vec::new(), timeout_ms: 0, mode: Mode::default(), max_batch: 1 }
}

fn topic(document: &mut Object, present: Option<&Subscription>, faults: &mut Faults) -> Option<TopicName> {
    let instead = ["channel", "pattern"].iter().any(|name| document.has(name));
    let pointer = document.pointer_to("topic");
    let text = document.text("topic", 1..=128, faults);
    if text.is_none() && instead {
        return None; // the other member is refused by name
    }
    let text = document.require("topic", text, faults)?;
    match topic_name(&text) {
        Ok(name) if present.is_none_or(|present| present.topic == name) => Some(name),
        Ok(_) => {
            faults.invalid(pointer, "the topic of a subscription does not change: create another one");
            None
        }
        Err(problem) => {
            faults.invalid(pointer, problem.detail());
            None
        }
    }
}

/// `startFrom`: at a subscription's creation, `latest`.
fn start(document: &mut Object, exists: bool, faults: &mut Faults) -> Start {
    if exists {
        document.refuse(&["startFrom"], "is said when a subscription is created", faults);
    }
    start_from::read(document, "startFrom", faults).unwrap_or(Start::Latest)
}

impl Draft {
    /// The settings, given the topic: events are tried for as long as it keeps them, at most. An age that stays as it
    /// is stays valid when the topic's retention becomes shorter.
    pub(crate) fn settle(self, topic: &Topic, present: Option<&Subscription>) -> Result<SubscriptionSettings, Problem> {
        let mut retry = self.retry.policy;
        let longest = u64::try_from(topic.retention.duration().as_millis()).unwrap_or(u64::MAX);
        let unchanged = present.is_some_and(|present| present.retry.max_age_ms == retry.max_age_ms);
        if retry.max_age_ms > longest && !unchanged {
            if self.retry.has_age {
                let mut faults = Faults::default();
                let detail = "must not be longer than the topic's retention";
                faults.invalid("/retry/maxAge".to_owned(), detail);
                faults.none()?;
            }
            retry.max_age_ms = longest;
        }
        Ok(SubscriptionSettings { endpoint: self.endpoint, retry, rate_limit: self.rate_limit })
    }
}
