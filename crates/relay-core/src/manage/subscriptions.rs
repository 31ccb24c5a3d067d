//! Subscriptions: created, changed, deleted.

use super::consumers;
use super::replays::first_rewind;
use super::secrets::new_secret;
use super::topics::topic;
use super::{Refused, WRITE_TRIES};
use crate::log::Start;
use crate::names::{SubscriptionId, TopicName};
use crate::ports::{Expect, PortError, Ports};
use crate::replay::LastReplay;
use crate::retry::RetryPolicy;
use crate::subscription::{Endpoint, Mode, Status, Subscription};
use crate::topic::Topic;
use std::sync::Arc;

/// What a subscription's owner decides.
#[derive(Clone, Debug, PartialEq)]
pub struct SubscriptionSettings {
    /// Where events go.
    pub endpoint: Endpoint,
    /// When failed events are attempted again.
    pub retry: RetryPolicy,
    /// Most requests a second.
    pub rate_limit: Option<u32>,
}

/// A subscription by id.
///
/// # Errors
/// If there is none, or it cannot be read.
pub async fn subscription(ports: &Ports, id: &SubscriptionId) -> Result<Arc<Subscription>, Refused> {
    let stored = ports.registry.subscription(id).await?.filter(|stored| stored.deleted_at.is_none());
    stored.ok_or_else(|| Refused::SubscriptionNotFound(id.clone()))
}

/// The topic of a subscription.
pub(super) async fn topic_of(ports: &Ports, subscription: &Subscription) -> Result<Arc<Topic>, Refused> {
    let gone = || Refused::SubscriptionNotFound(subscription.id.clone());
    match topic(ports, &subscription.topic).await {
        Ok(topic) if topic.id == subscription.topic_id => Ok(topic),
        // It was deleted, and the subscription is about to be.
        Ok(_) | Err(Refused::TopicNotFound(_)) => Err(gone()),
        Err(other) => Err(other),
    }
}

/// Subscriptions by id, after an id, those of one topic or all.
///
/// # Errors
/// If they cannot be read.
pub async fn list_subscriptions(
    ports: &Ports,
    topic: Option<&TopicName>,
    after: Option<&SubscriptionId>,
    limit: usize,
) -> Result<Vec<Arc<Subscription>>, PortError> {
    ports.registry.subscriptions(topic, after, limit).await
}

/// Creates a subscription to a topic. One with a webhook gets a fresh secret, and what is accepted from now on, before
/// that what is in the log from `start` on: if it is rewinding, the job that loads that is still to be run. Where one that
/// is pulled begins, `start` says.
///
/// # Errors
/// If there is no such topic; what `settings` refuses; if the topic's retention has passed the start; if it cannot be
/// written.
pub async fn create_subscription<E: From<Refused>>(
    ports: &Ports,
    name: &TopicName,
    start: Start,
    settings: impl FnOnce(&Topic) -> Result<SubscriptionSettings, E>,
) -> Result<Subscription, E> {
    let found = topic(ports, name).await?;
    let settings = settings(&found)?;
    let now = ports.clock.now();
    let id = SubscriptionId::new(format!("sub_{}", ports.ids.unique()))
        .map_err(|fault| Refused::Port(PortError::Invalid(fault.to_string())))?;
    let is_pulled = settings.endpoint.mode == Mode::Pull;
    let rewind = if is_pulled {
        consumers::begin(ports, &id, &found, start).await?;
        None
    } else {
        first_rewind(ports, &found, start, now).await?
    };
    let subscription = Subscription {
        id,
        topic_id: found.id.clone(),
        topic: name.clone(),
        endpoint: settings.endpoint,
        retry: settings.retry,
        rate_limit: settings.rate_limit,
        secrets: if is_pulled { Vec::new() } else { vec![new_secret(ports, now)] },
        status: if rewind.is_some() { Status::Rewinding } else { Status::Active },
        status_reason: None,
        revision: 1,
        resuming: false,
        resuming_key: None,
        last_replay: rewind.as_ref().map(|rewind| LastReplay { job: rewind.job.clone(), rate_limit: None }),
        rewind,
        skipped_from: None,
        told_of_expiry: false,
        status_at: now,
        failing_since: None,
        probes: 0,
        version: 1,
        created_at: now,
        updated_at: now,
        deleted_at: None,
    };
    ports.registry.put_subscription(subscription.clone(), Expect::Absent).await.map_err(Refused::from)?;
    let still = topic(ports, name).await;
    if still.is_ok_and(|topic| topic.id == subscription.topic_id) {
        return Ok(subscription);
    }
    // The topic was deleted meanwhile, and whoever did may have listed its subscriptions before this one was there.
    match bury::<Refused>(ports, &subscription.id, |_| Ok(())).await {
        Ok(()) | Err(Refused::SubscriptionNotFound(_)) => Err(Refused::TopicNotFound(name.clone()).into()),
        Err(other) => Err(other.into()),
    }
}

/// Changes a subscription's settings, as `edit` makes them of the subscription as it is. Settings that change nothing
/// write nothing.
///
/// # Errors
/// If there is no such subscription; what `edit` refuses; if it cannot be written.
pub async fn edit_subscription<E: From<Refused>>(
    ports: &Ports,
    id: &SubscriptionId,
    edit: impl Fn(&Subscription, &Topic) -> Result<SubscriptionSettings, E>,
) -> Result<Subscription, E> {
    let found = subscription(ports, id).await?;
    let of = topic_of(ports, &found).await?;
    rewrite(ports, id, |stored| {
        let SubscriptionSettings { endpoint, retry, rate_limit } = edit(stored, &of)?;
        Ok(Subscription { endpoint, retry, rate_limit, ..stored.clone() })
    })
    .await
}

/// Deletes a subscription; `check` may refuse it as it is. What is undelivered goes with it: removing its lanes is a
/// job that is still to be run.
///
/// # Errors
/// If there is no such subscription; what `check` refuses; if it cannot be written.
pub async fn delete_subscription<E: From<Refused>>(
    ports: &Ports,
    id: &SubscriptionId,
    check: impl Fn(&Subscription) -> Result<(), E>,
) -> Result<(), E> {
    bury(ports, id, check).await
}

/// Marks a subscription as deleted.
pub(super) async fn bury<E: From<Refused>>(
    ports: &Ports,
    id: &SubscriptionId,
    check: impl Fn(&Subscription) -> Result<(), E>,
) -> Result<(), E> {
    rewrite(ports, id, |stored| {
        check(stored)?;
        // A change of status in all but name: backlog items written from now on are told apart.
        let revision = stored.revision + 1;
        Ok(Subscription {
            deleted_at: Some(ports.clock.now()),
            revision,
            resuming: false,
            resuming_key: None,
            ..stored.clone()
        })
    })
    .await
    .map(drop)
}

/// Writes what `edit` makes of the stored record, on condition of its version, until nobody was faster. `edit` leaves
/// version and time of the change to this.
pub(super) async fn rewrite<E: From<Refused>>(
    ports: &Ports,
    id: &SubscriptionId,
    edit: impl Fn(&Subscription) -> Result<Subscription, E>,
) -> Result<Subscription, E> {
    for _ in 0..WRITE_TRIES {
        let stored = subscription(ports, id).await?;
        let edited = edit(&stored)?;
        if edited == *stored {
            return Ok(edited);
        }
        let next = Subscription { version: stored.version + 1, updated_at: ports.clock.now(), ..edited };
        match ports.registry.put_subscription(next.clone(), Expect::Version(stored.version)).await {
            Ok(()) => return Ok(next),
            Err(PortError::Conflict) => {}
            Err(error) => return Err(Refused::from(error).into()),
        }
    }
    Err(Refused::from(PortError::Conflict).into())
}
