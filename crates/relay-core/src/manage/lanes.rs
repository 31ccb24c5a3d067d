//! Held lanes: found by id or partition key, their heads resolved by hand.

use super::Refused;
use crate::lane::{LaneItem, Resolution, ResolveAction, lane_id};
use crate::names::PartitionKey;
use crate::pack::{LaneId, LaneKey};
use crate::ports::{PortError, Ports, WakeUp};
use crate::sequence::Sequence;
use crate::subscription::Subscription;
use crate::time::Time;
use std::time::Duration;

/// Writes down what is to be done with the head of a held lane and wakes the lane; drain carries it out, even while
/// the subscription is paused. The lane is named by its id or by its partition key. Without a `sequence` the head is
/// what heads the lane now. Answers the sequence of the event that will be resolved.
///
/// # Errors
/// If the lane is not held; if `sequence` is given and no longer the head; if it cannot be written.
pub async fn resolve_head(
    ports: &Ports,
    subscription: &Subscription,
    lane: &str,
    action: ResolveAction,
    sequence: Option<Sequence>,
) -> Result<Sequence, Refused> {
    let gone = || sequence.map_or(Refused::LaneNotFound, |_| Refused::HeadMoved(None));
    let item = held_lane(ports, subscription, lane).await?.ok_or_else(gone)?;
    let id = item.lane.id;
    let head = if item.lane.key.is_ordered() {
        ports.lanes.head(&id).await?.map(|(key, _, next)| key.pack.event(next))
    } else {
        unordered_head(ports, &id, sequence).await?
    };
    let Some(head) = head else { return Err(gone()) };
    if sequence.is_some_and(|named| named != head) {
        return Err(Refused::HeadMoved(Some(head)));
    }
    let resolution = Resolution { action, sequence: head, at: ports.clock.now() };
    let Some(item) = ports.lanes.resolve(&id, resolution).await? else { return Err(gone()) };
    if let Err(error) = ports.wake_ups.send(vec![(WakeUp::Lane(item.lane), Duration::ZERO)]).await {
        tracing::debug!(%error, "a wake-up is not sent"); // the lane is due: sweep sends it
    }
    Ok(head)
}

/// Nothing blocks an unordered lane, so any of its events may be named; unnamed, the one that is due first is meant.
async fn unordered_head(
    ports: &Ports,
    lane: &LaneId,
    sequence: Option<Sequence>,
) -> Result<Option<Sequence>, PortError> {
    let item = match sequence {
        Some(named) => ports.lanes.backlog_item(lane, named).await?,
        None => ports.lanes.due_items(lane, Time(u64::MAX >> 1), 1).await?.0.into_iter().next(),
    };
    Ok(item.map(|item| item.head()))
}

/// The held lane of a subscription that a text names: by its id, or by its partition key.
async fn held_lane(ports: &Ports, subscription: &Subscription, text: &str) -> Result<Option<LaneItem>, PortError> {
    if let Ok(id) = text.parse::<LaneId>()
        && let Some(item) = ports.lanes.lane(&id).await?
        && item.lane.subscription == subscription.id
    {
        return Ok(Some(item));
    }
    let Ok(key) = PartitionKey::new(text) else { return Ok(None) };
    let id = lane_id(&subscription.id, &subscription.topic_id, &LaneKey::Ordered(key));
    ports.lanes.lane(&id).await
}
