//! Pausing and resuming.

use super::Refused;
use super::subscriptions::rewrite;
use crate::names::SubscriptionId;
use crate::ports::Ports;
use crate::subscription::{Change, Status, Subscription};

/// Pauses or resumes a subscription, and answers it as it is then. Asking for the status that it has changes nothing.
/// If it is `resuming`, the job that makes its lanes due is still to be run.
///
/// # Errors
/// If there is no such subscription; if the change means nothing in its status, or has to wait for a replay of one key;
/// if it cannot be written.
pub async fn change_status(ports: &Ports, id: &SubscriptionId, change: Change) -> Result<Subscription, Refused> {
    rewrite(ports, id, |stored| {
        let asked_for = match change {
            Change::Pause => Some(Status::Paused),
            Change::Resume | Change::Close => Some(Status::Active),
            Change::Open => Some(Status::Suspended),
            Change::Disable => Some(Status::Disabled),
        };
        match stored.after(change, None, ports.clock.now()) {
            // The version is raised by the write itself.
            Some(next) => Ok(Subscription { version: stored.version, ..next }),
            None if asked_for == Some(stored.lasting_status()) => Ok(stored.clone()),
            None => Err(match &stored.rewind {
                Some(rewind) if asked_for == Some(Status::Active) => Refused::ReplayUnderWay(rewind.job.clone()),
                _ => Refused::WrongStatus(stored.status),
            }),
        }
    })
    .await
}
