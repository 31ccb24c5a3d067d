//! Replays: begun, looked at, cancelled.

use super::Refused;
use super::subscriptions::{rewrite, topic_of};
use crate::log::{Start, begin};
use crate::names::{PartitionKey, SubscriptionId};
use crate::ports::Ports;
use crate::replay::{Replay, Rewind, Until, wait_before_load};
use crate::subscription::{Status, Subscription};
use crate::time::Time;
use crate::topic::Topic;

/// What is to be replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayOrder {
    /// Where to start.
    pub from: Start,
    /// The last event; none for all up to now.
    pub until: Option<Until>,
    /// Only events of this key.
    pub key: Option<PartitionKey>,
    /// Most requests a second that carry its events.
    pub rate_limit: Option<u32>,
}

/// Begins a replay; the job that loads it is still to be run.
///
/// # Errors
/// If there is no such subscription; if it is pulled, which moves by its cursor; if it has a replay under way, or is
/// disabled; if the topic no longer keeps events from the start; if it cannot be written.
pub async fn begin_replay(ports: &Ports, id: &SubscriptionId, order: ReplayOrder) -> Result<Replay, Refused> {
    let found = super::subscription(ports, id).await?;
    if found.is_pulled() {
        return Err(Refused::Pulled);
    }
    let of = topic_of(ports, &found).await?;
    let from = begin(ports, &of, order.from).await?;
    let now = ports.clock.now();
    let job = job_id(ports);
    let rewound = rewrite(ports, id, |stored| {
        let then = match stored.status {
            Status::Paused => Status::Paused,
            Status::Disabled => return Err(Refused::WrongStatus(stored.status)),
            Status::Active | Status::Suspended | Status::Rewinding | Status::CatchingUp => Status::Active,
        };
        let rewind = Rewind {
            until: order.until,
            key: order.key.clone(),
            loads_at: now + wait_before_load(stored, ports.log.settle()),
            then,
            ..Rewind::new(job.clone(), from, now)
        };
        if let Some(other) = &stored.rewind {
            return Err(Refused::ReplayUnderWay(other.job.clone()));
        }
        let next = stored.rewound(rewind, order.rate_limit, now).ok_or(Refused::WrongStatus(stored.status))?;
        // The version is raised by the write itself.
        Ok(Subscription { version: stored.version, ..next })
    })
    .await?;
    let rewind = rewound.rewind.ok_or(Refused::ReplayNotFound)?;
    Ok(Replay::of(id, &rewind))
}

/// How a new subscription begins that is to get what is in the log already: with a rewind, for which nobody has to be
/// waited for, since it was never active.
pub(super) async fn first_rewind(
    ports: &Ports,
    of: &Topic,
    start: Start,
    now: Time,
) -> Result<Option<Rewind>, Refused> {
    if start == Start::Latest {
        return Ok(None);
    }
    Ok(Some(Rewind::new(job_id(ports), begin(ports, of, start).await?, now)))
}

fn job_id(ports: &Ports) -> String {
    format!("rpl_{}", ports.ids.unique())
}

/// A subscription's replay, by its id.
///
/// # Errors
/// If there is none, or it cannot be read.
pub async fn replay(ports: &Ports, subscription: &Subscription, id: &str) -> Result<Replay, Refused> {
    if let Some(replay) = ports.replays.replay(&subscription.id, id).await? {
        return Ok(replay);
    }
    let begun = subscription.rewind.as_ref().filter(|rewind| rewind.job == id);
    begun.map(|rewind| Replay::of(&subscription.id, rewind)).ok_or(Refused::ReplayNotFound)
}

/// Ends the loading of a replay; what is loaded is delivered. The job that ends it is still to be run. Cancelling one
/// that was cancelled changes nothing.
///
/// # Errors
/// If there is no such replay, or it is over; if it catches up, without which events would be lost; if it cannot be
/// written.
pub async fn cancel_replay(ports: &Ports, subscription: &Subscription, id: &str) -> Result<(), Refused> {
    let cancelled = rewrite(ports, &subscription.id, |stored| {
        let mine = stored.rewind.as_ref().filter(|rewind| rewind.job == id).ok_or(Refused::ReplayOver)?;
        if mine.joins {
            return Err(Refused::WrongStatus(stored.status));
        }
        let rewind = Some(Rewind { is_cancelled: true, ..mine.clone() });
        Ok::<_, Refused>(Subscription { rewind, ..stored.clone() })
    })
    .await;
    match cancelled {
        Err(Refused::ReplayOver) => match ports.replays.replay(&subscription.id, id).await? {
            Some(_) => Err(Refused::ReplayOver),
            None => Err(Refused::ReplayNotFound),
        },
        other => other.map(drop),
    }
}
