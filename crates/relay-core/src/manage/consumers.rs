//! Pull subscriptions: a consumer pulls what follows its committed cursor, and commits when it is done with that.
//!
//! Nothing is in flight for a consumer: until it commits, every pull answers the same events again. So a consumer that
//! dies loses nothing, and of two consumers of one subscription each gets all events.

use super::subscriptions::{subscription, topic_of};
use super::{Refused, WRITE_TRIES};
use crate::delivery::EventRef;
use crate::limits::STATUS_AGE;
use crate::log::{self, Committed, Cursor, Pulled, Start, Wanted};
use crate::names::SubscriptionId;
use crate::ports::{PortError, Ports};
use crate::subscription::Subscription;
use crate::topic::Topic;
use std::time::Duration;

/// A consumer that asks, and gets nothing that he could commit, is moved on whenever that is so far: the retention is
/// not to pass him by.
const MOVED_ON_AFTER: Duration = Duration::from_secs(3_600);

/// Events for a consumer.
#[derive(Debug)]
pub struct Batch {
    /// The events, those of a key in its order.
    pub events: Vec<EventRef>,
    /// To be committed when they are done with.
    pub cursor: Committed,
}

/// Writes where the consumer of a new subscription begins: before the subscription itself, so that none is without.
pub(super) async fn begin(ports: &Ports, id: &SubscriptionId, topic: &Topic, start: Start) -> Result<(), Refused> {
    let cursor = log::begin(ports, topic, start).await?;
    Ok(ports.cursors.commit(id, Committed { moves: 0, cursor }, None).await?)
}

/// What follows the committed cursor, up to so many events. If that is nothing, waits for something to come, up to a
/// span.
///
/// # Errors
/// If the subscription is not one that is pulled, is paused or gone; if the topic's retention has passed the committed
/// cursor; if the log cannot be read.
pub async fn pull_events(ports: &Ports, of: &Subscription, limit: usize, wait: Duration) -> Result<Batch, Refused> {
    let began = ports.clock.now();
    check(of)?;
    check_active(of)?;
    let topic = topic_of(ports, of).await?;
    let committed = committed(ports, &of.id).await?;
    let Pulled { events, next } =
        log::pull(ports, &topic, committed.cursor, &Wanted { key: None, limit }, wait).await?;
    if ports.clock.now().since(began) > STATUS_AGE {
        check_active(&*subscription(ports, &of.id).await?)?;
    }
    let cursor = Committed { cursor: next, ..committed };
    if events.is_empty() && next.oldest().since(committed.cursor.oldest()) > MOVED_ON_AFTER {
        move_on(ports, &of.id, cursor, committed).await;
    }
    Ok(Batch { events, cursor })
}

/// There is nothing between the two. Whoever else writes at the same moment knows better.
async fn move_on(ports: &Ports, id: &SubscriptionId, cursor: Committed, from: Committed) {
    match ports.cursors.commit(id, cursor, Some(from)).await {
        Ok(()) | Err(PortError::Conflict) => {}
        Err(error) => tracing::debug!(%error, "a consumer without events is not moved on"),
    }
}

/// Commits what a pull answered: the next pull starts there. It never goes back, whoever else commits.
///
/// # Errors
/// [`Refused::StaleCursor`] if more is committed already, or the subscription was moved since that pull; if the
/// subscription is not one that is pulled, or it cannot be written.
pub async fn commit(ports: &Ports, of: &Subscription, cursor: Committed) -> Result<Committed, Refused> {
    rewrite(ports, of, |stored| {
        let is_stale = cursor.moves != stored.moves || cursor.cursor.is_behind(&stored.cursor);
        if is_stale { Err(Refused::StaleCursor) } else { Ok(cursor) }
    })
    .await
}

/// Moves the consumer to another place, back or ahead. What was pulled before that can no longer be committed.
///
/// # Errors
/// If the topic's retention has passed that place; if the subscription is not one that is pulled, or it cannot be
/// written.
pub async fn move_consumer(ports: &Ports, of: &Subscription, start: Start) -> Result<Committed, Refused> {
    check(of)?;
    let cursor = log::begin(ports, &*topic_of(ports, of).await?, start).await?;
    rewrite(ports, of, |stored| Ok(Committed { moves: stored.moves.wrapping_add(1), cursor })).await
}

/// Writes what `edit` makes of what is committed, until nobody was faster.
async fn rewrite(
    ports: &Ports,
    of: &Subscription,
    edit: impl Fn(&Committed) -> Result<Committed, Refused>,
) -> Result<Committed, Refused> {
    check(of)?;
    for _ in 0..WRITE_TRIES {
        let stored = committed(ports, &of.id).await?;
        let next = edit(&stored)?;
        if next == stored {
            return Ok(next);
        }
        match ports.cursors.commit(&of.id, next, Some(stored)).await {
            Ok(()) => return Ok(next),
            Err(PortError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(PortError::Conflict.into())
}

/// The cursor that a subscription's consumer has committed.
pub(super) async fn committed(ports: &Ports, id: &SubscriptionId) -> Result<Committed, Refused> {
    let stored = ports.cursors.committed(id).await?;
    stored.ok_or_else(|| PortError::Corrupt(format!("the cursor of {id} is missing")).into())
}

/// The subscription has to be one that is pulled.
fn check(subscription: &Subscription) -> Result<(), Refused> {
    if subscription.is_pulled() { Ok(()) } else { Err(Refused::NotPulled) }
}

fn check_active(subscription: &Subscription) -> Result<(), Refused> {
    if subscription.is_active() { Ok(()) } else { Err(Refused::WrongStatus(subscription.status)) }
}

/// How long the oldest event that is kept and not committed has waited since it was accepted; none if there is none.
pub(super) async fn oldest_uncommitted(
    ports: &Ports,
    subscription: &Subscription,
    topic: &Topic,
) -> Result<Option<Duration>, Refused> {
    let from: Cursor = committed(ports, &subscription.id).await?.cursor;
    let wanted = Wanted { key: None, limit: 1 };
    let pulled = match log::pull(ports, topic, from, &wanted, Duration::ZERO).await {
        Err(log::ReadRefused::Expired(_)) => {
            let kept = log::begin(ports, topic, Start::Earliest).await?;
            log::pull(ports, topic, kept, &wanted, Duration::ZERO).await?
        }
        other => other?,
    };
    let first = pulled.events.first().map(|event| event.outgoing.pack.accepted_at);
    Ok(first.map(|at| ports.clock.now().since(at)))
}
