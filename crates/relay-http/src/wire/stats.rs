//! How a topic fares.

use super::At;
use relay_core::manage::TopicStats;
use relay_core::names::TopicName;
use serde::Serialize;
use std::time::Duration;

/// A topic's figures as clients see them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatsView<'a> {
    topic: &'a str,
    subscriptions: u64,
    rates: RatesView,
    held_lanes: u64,
    held_events: u64,
    held_since: Option<At>,
    oldest_undelivered_age_seconds: f64,
    oldest_uncommitted_age_seconds: f64,
    queue: QueueView,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RatesView {
    accepted_per_second: f64,
    delivered_per_second: f64,
    failed_per_second: f64,
}

/// The queue is one for all topics.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct QueueView {
    messages: u64,
    oldest_age_seconds: f64,
}

impl<'a> StatsView<'a> {
    pub(crate) fn new(topic: &'a TopicName, stats: &TopicStats) -> Self {
        StatsView {
            topic: topic.as_str(),
            subscriptions: stats.subscriptions,
            rates: RatesView {
                accepted_per_second: stats.accepted_per_second,
                delivered_per_second: stats.delivered_per_second,
                failed_per_second: stats.failed_per_second,
            },
            held_lanes: stats.held_lanes,
            held_events: stats.held_events,
            held_since: stats.held_since.map(At),
            oldest_undelivered_age_seconds: seconds(stats.oldest_undelivered),
            oldest_uncommitted_age_seconds: seconds(stats.oldest_uncommitted),
            queue: QueueView { messages: stats.queue.messages, oldest_age_seconds: seconds(stats.queue.oldest) },
        }
    }
}

fn seconds(span: Duration) -> f64 {
    span.as_millis() as f64 / 1000.0
}
