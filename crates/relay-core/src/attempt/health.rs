//! What outcomes mean for a subscription: circuit, disabling, since when it fails.

use super::{Attempter, Failed, Job, Outcome};
use crate::circuit::probe_delay;
use crate::edit::edit;
use crate::names::SubscriptionId;
use crate::ports::{Expect, PortError, Ports, WakeUp};
use crate::subscription::{Change, Status, Subscription};
use crate::system_event::{self, SubscriptionEvent};
use std::sync::Arc;

/// What operators are told of endpoints is logged under this name, so that it can be filtered.
const LOG: &str = "relay::endpoint";
/// Failures in a row after which it is written down since when an endpoint fails: a blip costs no write.
const FAILURES_TO_NOTE: u32 = 5;

impl Attempter {
    /// Notes an outcome. Its writes are best effort: the next outcome makes up for a lost one.
    pub(super) async fn note(&self, job: &Job, outcome: &Outcome) {
        let subscription = &job.subscription;
        if let Outcome::Failed(failed) = outcome {
            self.tell(job, failed);
        }
        let result = match outcome {
            Outcome::Delivered => {
                self.endpoints.succeeded(&subscription.id);
                if subscription.failing_since.is_some() && subscription.status == Status::Active {
                    self.edit(&subscription.id, |now_stored| {
                        (now_stored.status == Status::Active && now_stored.failing_since.is_some()).then(|| {
                            Subscription { failing_since: None, version: now_stored.version + 1, ..now_stored.clone() }
                        })
                    })
                    .await
                } else {
                    Ok(())
                }
            }
            Outcome::Failed(failed) if failed.gone => {
                change(&self.ports, &subscription.id, Change::Disable, "gone").await.map(drop)
            }
            Outcome::Failed(failed) if failed.is_transient() => {
                let note = self.endpoints.failed(&subscription.id, job.lane);
                if note.opens {
                    change(&self.ports, &subscription.id, Change::Open, "failing").await.map(drop)
                } else if note.in_a_row >= FAILURES_TO_NOTE && subscription.failing_since.is_none() {
                    let now = self.ports.clock.now();
                    self.edit(&subscription.id, |now_stored| {
                        now_stored.failing_since.is_none().then(|| Subscription {
                            failing_since: Some(now),
                            version: now_stored.version + 1,
                            ..now_stored.clone()
                        })
                    })
                    .await
                } else {
                    Ok(())
                }
            }
            Outcome::Failed(_) => Ok(()),
        };
        if let Err(error) = result {
            tracing::warn!(%error, subscription = %subscription.id, "an endpoint's health is not written");
        }
    }

    /// Logs a failure: the first of a subscription, then one a minute; all of them for those who debug.
    fn tell(&self, job: &Job, failed: &Failed) {
        let (subscription, lane, attempt) = (&job.subscription.id, job.lane, job.number);
        let (status, error) = (failed.status, failed.error_word());
        if self.endpoints.is_news(subscription, self.ports.clock.now()) {
            tracing::warn!(
                target: LOG, %subscription, %lane, attempt, status, error,
                "an attempt failed; further ones within a minute are logged as debug"
            );
        } else {
            tracing::debug!(target: LOG, %subscription, %lane, attempt, status, error, "an attempt failed");
        }
    }

    async fn edit(
        &self,
        id: &SubscriptionId,
        edit: impl Fn(&Subscription) -> Option<Subscription>,
    ) -> Result<(), PortError> {
        let Some(stored) = self.ports.registry.subscription(id).await? else { return Ok(()) };
        match edit(&stored) {
            Some(next) => match self.ports.registry.put_subscription(next, Expect::Version(stored.version)).await {
                Err(PortError::Conflict) => Ok(()), // somebody else has; the next outcome looks again
                other => other,
            },
            None => Ok(()),
        }
    }
}

/// Changes a subscription's status, sends what follows from it (probe, system event), and answers the record as it is
/// then; none if the change means nothing any more.
///
/// # Errors
/// If the record cannot be read or written.
pub async fn change(
    ports: &Ports,
    id: &SubscriptionId,
    change: Change,
    reason: &str,
) -> Result<Option<Arc<Subscription>>, PortError> {
    let reason = match change {
        Change::Open | Change::Disable => Some(reason),
        Change::Pause | Change::Resume | Change::Close => None,
    };
    let changed = edit(ports, id, |stored| {
        if stored.deleted_at.is_some() { None } else { stored.after(change, reason, ports.clock.now()) }
    });
    let Some(next) = changed.await? else { return Ok(None) };
    match change {
        Change::Open => {
            tracing::warn!(target: LOG, subscription = %id, reason, "circuit opened: only probes are sent");
            let probe = (WakeUp::Probe(id.clone()), probe_delay(0));
            if let Err(error) = ports.wake_ups.send(vec![probe]).await {
                tracing::debug!(%error, "a probe is not sent"); // sweep makes up for it
            }
            system_event::subscription(ports, &next, SubscriptionEvent::Suspended).await;
        }
        Change::Close => {
            tracing::info!(target: LOG, subscription = %id, "circuit closed: what was held is delivered");
            system_event::subscription(ports, &next, SubscriptionEvent::Recovered).await;
        }
        Change::Disable => {
            tracing::warn!(target: LOG, subscription = %id, reason, "subscription disabled until it is resumed");
            system_event::subscription(ports, &next, SubscriptionEvent::Disabled).await;
        }
        Change::Pause | Change::Resume => {}
    }
    Ok(Some(Arc::new(next)))
}
