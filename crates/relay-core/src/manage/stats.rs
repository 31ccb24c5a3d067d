//! How a topic fares.

use super::Refused;
use super::consumers::oldest_uncommitted;
use super::topics::topic;
use crate::names::{TopicId, TopicName};
use crate::ports::{AttemptOutcome, PortError, Ports, QueueLag};
use crate::subscription::Subscription;
use crate::time::Time;
use std::time::Duration;

/// Rates are taken over the last minute, or as much of it as what was looked at covers.
const WINDOW: Duration = Duration::from_secs(60);
/// Log entries looked at, and how many at once.
const LOG_ENTRIES: usize = 2_000;
const LOG_PAGE: usize = 200;
/// Attempts looked at, of each subscription.
const ATTEMPTS: usize = 500;
/// Subscriptions whose attempts, or consumers, are looked at.
const SUBSCRIPTIONS: usize = 50;

/// How a topic fares.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicStats {
    /// Number of subscriptions.
    pub subscriptions: u64,
    /// Events accepted a second.
    pub accepted_per_second: f64,
    /// Events delivered a second, all subscriptions together.
    pub delivered_per_second: f64,
    /// Failed attempts a second, all subscriptions together.
    pub failed_per_second: f64,
    /// Held lanes.
    pub held_lanes: u64,
    /// Undelivered events in their backlogs.
    pub held_events: u64,
    /// Since when the oldest of them is held.
    pub held_since: Option<Time>,
    /// How far dispatch is behind, all topics together.
    pub queue: QueueLag,
    /// How long the oldest undelivered event has waited, as far as it is known: in a held lane or in the queue.
    pub oldest_undelivered: Duration,
    /// How long the oldest event that a consumer of a pull subscription has not committed has waited.
    pub oldest_uncommitted: Duration,
}

/// How a topic fares. Rates are taken from the newest entries of the log and the newest attempts, so they cost the same
/// however busy the topic is.
///
/// # Errors
/// If there is no such topic, or a store cannot be read.
pub async fn topic_stats(ports: &Ports, name: &TopicName) -> Result<TopicStats, Refused> {
    let topic = topic(ports, name).await?;
    let now = ports.clock.now();
    let (held_lanes, held_since) = ports.lanes.held_count(&topic.id).await?;
    let queue = ports.queue.lag().await?;
    let list = ports.registry.topic_subscriptions(&topic.id).await?;
    let subscriptions = list.map(|list| list.subscriptions.clone()).unwrap_or_default();
    let (mut delivered, mut failed, mut uncommitted) = (0.0, 0.0, Duration::ZERO);
    for subscription in subscriptions.iter().take(SUBSCRIPTIONS) {
        if subscription.is_pulled() {
            let waited = oldest_uncommitted(ports, subscription, &topic).await?;
            uncommitted = uncommitted.max(waited.unwrap_or_default());
            continue;
        }
        let rates = attempt_rates(ports, subscription, now).await?;
        (delivered, failed) = (delivered + rates.0, failed + rates.1);
    }
    let held = held_since.map_or(Duration::ZERO, |since| now.since(since));
    Ok(TopicStats {
        subscriptions: subscriptions.len() as u64,
        accepted_per_second: accepted(ports, &topic.id, now).await?,
        delivered_per_second: delivered,
        failed_per_second: failed,
        held_lanes,
        held_events: ports.lanes.held_events(&topic.id).await?,
        held_since,
        queue,
        oldest_undelivered: held.max(queue.oldest),
        oldest_uncommitted: uncommitted,
    })
}

async fn accepted(ports: &Ports, topic: &TopicId, now: Time) -> Result<f64, PortError> {
    let (mut events, mut seen, mut before) = (0, 0, None);
    loop {
        let page = ports.log.newest(topic, before, LOG_PAGE).await?;
        for entry in &page {
            if now.since(entry.position.at) > WINDOW {
                return Ok(per_second(events, WINDOW));
            }
            events += entry.pack.events.len();
            before = Some(entry.position);
        }
        seen += page.len();
        match before {
            Some(oldest) if seen >= LOG_ENTRIES => return Ok(per_second(events, now.since(oldest.at))),
            // One that is short may have left out what was logged twice.
            _ if page.is_empty() => return Ok(per_second(events, WINDOW)),
            _ => {}
        }
    }
}

/// Deliveries and failed attempts a second.
async fn attempt_rates(ports: &Ports, subscription: &Subscription, now: Time) -> Result<(f64, f64), PortError> {
    let page = ports.attempts.list(&subscription.id, None, ATTEMPTS).await?;
    let recent = |at: Time| now.since(at) <= WINDOW;
    let (mut delivered, mut failed) = (0, 0);
    for attempt in page.attempts.iter().filter(|attempt| recent(attempt.started_at)) {
        match attempt.outcome {
            AttemptOutcome::Delivered => delivered += 1,
            AttemptOutcome::Failed | AttemptOutcome::Rejected => failed += 1,
        }
    }
    let oldest = page.attempts.last().filter(|oldest| page.next.is_some() && recent(oldest.started_at));
    let span = oldest.map_or(WINDOW, |oldest| now.since(oldest.started_at));
    Ok((per_second(delivered, span), per_second(failed, span)))
}

/// A rate, over at least a second: a burst within a few milliseconds says little about the rate.
fn per_second(count: usize, span: Duration) -> f64 {
    let rate = count as f64 / span.as_secs_f64().max(1.0);
    (rate * 1000.0).round() / 1000.0
}
