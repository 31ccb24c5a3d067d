//! The head of a topic's list of subscriptions: `TOPIC#topic id` / `LIST`, with the version that every change of a
//! subscription moves. It sorts before the subscriptions, so one query reads it first.

use crate::table::attributes::Row;
use crate::table::{Key, Table};
use relay_core::names::TopicId;
use relay_core::ports::PortError;
use std::time::Duration;

/// What a read of many heads needs of each.
pub(crate) const PROJECTION: &str = "pk, sk, topicName, isGone, listVersion";

/// Partition of a topic and its subscriptions.
pub(crate) fn partition(topic: &TopicId) -> String {
    format!("TOPIC#{topic}")
}

/// Key of the head.
pub(crate) fn key_of(topic: &TopicId) -> Key {
    Key::new(partition(topic), "LIST")
}

/// The list's version; none if the topic is unknown or deleted.
pub(crate) fn version_of(head: &Row) -> Option<u64> {
    let is_there = head.find_text("topicName").is_some() && !head.is_true("isGone");
    is_there.then(|| head.find_number("listVersion"))?
}

/// How long the topic's events are kept, if it is known.
pub(crate) async fn retention(table: &Table, topic: &TopicId) -> Result<Option<Duration>, PortError> {
    let head = table.get(&key_of(topic)).await?;
    Ok(head.and_then(|head| head.find_number("retentionSeconds")).map(Duration::from_secs))
}
