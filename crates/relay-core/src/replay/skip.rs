//! Skip and catch up: a subscription that is not active for long costs nothing.
//!
//! Once it has been paused, suspended or disabled for some minutes, it *skips*: dispatch passes over every event whose
//! entry in the log lies at or after a position that is written with the subscription, and holds the others. When it is
//! resumed it *joins*: dispatch holds again, the log is loaded from the position on, and then it is active. Model-checked
//! (the `skip` runs of the lane model).

use super::Rewind;
use crate::edit::edit;
use crate::log::Cursor;
use crate::names::SubscriptionId;
use crate::ports::{Expect, PortError, Ports};
use crate::replay_id::LogPosition;
use crate::subscription::{Change, Status, Subscription};
use crate::system_event::{self, SubscriptionEvent};
use crate::time::Time;
use crate::topic::Topic;
use std::time::Duration;

/// The least time before retention at which the owner of what is skipped is told.
const TOLD_BEFORE: Duration = Duration::from_secs(6 * 3_600);

impl Subscription {
    /// True if dispatch passes over an event whose entry in the log is this one: its own, since clocks differ.
    pub fn skips(&self, entry: LogPosition) -> bool {
        self.status.is_idle() && self.skipped_from.is_some_and(|from| entry >= from)
    }

    /// The record that skips from now on; none if it does so, or its status does not go with it.
    pub fn skipping(&self, now: Time) -> Option<Subscription> {
        let is_free = self.rewind.is_none() && self.skipped_from.is_none() && self.deleted_at.is_none();
        (self.status.is_idle() && is_free && !self.is_pulled()).then(|| Subscription {
            skipped_from: Some(LogPosition::before(now)),
            told_of_expiry: false,
            revision: self.revision + 1,
            version: self.version + 1,
            ..self.clone()
        })
    }

    /// The record that is to become active, and first loads what it has skipped.
    pub(crate) fn joining(self, now: Time) -> Subscription {
        let Some(from) = self.skipped_from else { return self };
        let (job, from) = (format!("cup_{}", self.revision), Cursor::after(from.previous()));
        let rewind = Rewind { joins: true, ..Rewind::new(job, from, now) };
        Subscription { status: Status::CatchingUp, resuming: false, rewind: Some(rewind), ..self }
    }
}

/// Lets a subscription skip that is not active, and answers whether it does so from now on.
///
/// # Errors
/// If a store fails.
pub async fn skip(ports: &Ports, id: &SubscriptionId) -> Result<bool, PortError> {
    edit(ports, id, |stored| stored.skipping(ports.clock.now())).await.map(|written| written.is_some())
}

/// What sweep does about a subscription that is not active: lets it skip after a while, tells its owner before what it
/// has skipped expires, and closes a circuit that no lane is left to probe for.
///
/// # Errors
/// If a store fails; the next sweep does it.
pub(crate) async fn watch(ports: &Ports, subscription: &Subscription, skip_after: Duration) -> Result<(), PortError> {
    let now = ports.clock.now();
    let Some(from) = subscription.skipped_from else {
        if now.since(subscription.status_at) > skip_after && subscription.skipping(now).is_some() {
            skip(ports, &subscription.id).await?;
        }
        return Ok(());
    };
    let topic = ports.registry.topic(&subscription.topic).await?;
    if let Some(topic) = topic.filter(|topic| topic.id == subscription.topic_id && !subscription.told_of_expiry)
        && expires_soon(&topic, from, now)
    {
        let next = Subscription { told_of_expiry: true, version: subscription.version + 1, ..subscription.clone() };
        match ports.registry.put_subscription(next, Expect::Version(subscription.version)).await {
            Ok(()) => system_event::subscription(ports, subscription, SubscriptionEvent::Expiring).await,
            Err(PortError::Conflict) => {}
            Err(error) => return Err(error),
        }
    }
    if subscription.status == Status::Suspended && ports.lanes.held_items(&subscription.id, None, 1).await?.is_empty() {
        crate::attempt::health::change(ports, &subscription.id, Change::Close, "").await?;
    }
    Ok(())
}

/// True if a topic keeps what was logged then for less than a quarter of its retention, or some hours.
fn expires_soon(topic: &Topic, from: LogPosition, now: Time) -> bool {
    let retention = topic.retention.duration();
    let left = (from.at + retention).since(now);
    left < TOLD_BEFORE.max(retention / 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subscription::tests::sample;

    #[test]
    fn what_is_not_active_skips_from_a_position_on_and_joins_when_it_is_resumed() {
        let active = sample();
        assert_eq!(active.skipping(Time(9)), None);
        let paused = active.after(Change::Pause, None, Time(5)).unwrap();
        let skipping = paused.skipping(Time(9)).unwrap();
        assert_eq!((skipping.status, skipping.revision), (Status::Paused, paused.revision + 1));
        let entry = |at| LogPosition { at: Time(at), unique: 3 };
        assert!(skipping.skips(entry(9)) && !skipping.skips(entry(8)) && !paused.skips(entry(9)));
        assert_eq!(skipping.skipping(Time(10)), None, "the position stays");
        let joining = skipping.after(Change::Resume, None, Time(20)).unwrap();
        assert_eq!((joining.status, joining.resuming), (Status::CatchingUp, false));
        assert!(!joining.skips(entry(9)), "dispatch holds while it joins");
        let joined = joining.loaded(Time(21)).unwrap();
        assert_eq!((joined.status, joined.resuming, joined.skipped_from), (Status::Active, true, None));
        let unreadable = joining.given_up(Some("a segment is damaged"), Time(21)).unwrap();
        assert_eq!(
            (unreadable.status, unreadable.resuming, unreadable.rewind.is_some()),
            (Status::Disabled, false, false)
        );
        assert_eq!(unreadable.skipped_from, skipping.skipped_from, "nothing is given up");
        assert!(unreadable.status_reason.as_ref().is_some_and(|reason| reason.ends_with("a segment is damaged")));
        assert_eq!(unreadable.after(Change::Resume, None, Time(22)).unwrap().status, Status::CatchingUp);
        let paused_again = joining.after(Change::Pause, None, Time(21)).unwrap();
        assert_eq!((paused_again.status, paused_again.lasting_status()), (Status::CatchingUp, Status::Paused));
        assert_eq!(paused_again.loaded(Time(22)).unwrap().status, Status::Paused);
    }
}
