//! Draining an unordered lane: every item that is due is attempted, each for itself.

use super::{Drainer, Held, RECORDS, parked_reason};
use crate::attempt::{Job, Outcome, give_up};
use crate::delivery::{EventRef, Outgoing};
use crate::lane::drain::Outcome as Write;
use crate::lane::table::{Progress, Reschedule};
use crate::lane::{BacklogItem, Lease, ResolveAction};
use crate::limits::LEASE;
use crate::ports::{HeadFailure, PortError};
use crate::retry::{DeadLetterReason, Verdict};
use crate::subscription::Subscription;
use crate::time::Time;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::sync::Arc;
use std::time::Duration;

/// Items attempted at once.
const AT_ONCE: usize = 16;

/// What one item came to.
struct Tried {
    attempts: Vec<crate::ports::Attempt>,
    delivered: Option<bool>,
    /// The rate limit is used up until then.
    wait_until: Option<Time>,
}

impl Drainer {
    pub(super) async fn unordered(&self, held: &mut Held, probe: Option<u64>) -> Result<Option<bool>, PortError> {
        let (lanes, id) = (&self.ports.lanes, held.lane.id);
        let mut delivered: Option<bool> = None;
        loop {
            let Some(item) = lanes.lane(&id).await? else { return Ok(delivered) };
            if item.lease.is_none_or(|lease| lease.owner != held.owner) {
                return Ok(delivered);
            }
            // Not before the version: a resume in between would move it, and then be parked all the same.
            let subscription = self.ports.registry.subscription(&held.lane.subscription).await?;
            let version = item.version;
            held.item = item;
            let last = subscription.as_ref().and_then(|known| known.last_replay.as_ref());
            held.replay = last.map(|last| last.job.clone());
            let probing = subscription.as_ref().is_some_and(|subscription| {
                probe == Some(subscription.revision) && delivered.is_none() && !subscription.is_active()
            });
            if held.item.resolution.is_some()
                && let Some(subscription) = &subscription
            {
                self.resolve_item(held, subscription).await?;
                continue;
            }
            let reason = parked_reason(subscription.as_deref());
            let ready = subscription.filter(|subscription| subscription.is_active() || probing);
            let Some(subscription) = ready else {
                match lanes.park(&id, held.owner, version, reason).await? {
                    Write::Moved(_) => continue,
                    Write::Done | Write::Lost => return Ok(delivered),
                }
            };
            let now = self.ports.clock.now();
            let horizon = if probing { Time(u64::MAX >> 1) } else { now };
            let most = if probing { 1 } else { AT_ONCE };
            let (items, next_due) = lanes.due_items(&id, horizon, most).await?;
            if items.is_empty() {
                match next_due {
                    Some(at) => return self.leave(held, version, at).await.map(|()| delivered),
                    None => match lanes.release(&id, held.owner, version).await? {
                        Write::Moved(_) => continue,
                        Write::Done | Write::Lost => return Ok(delivered),
                    },
                }
            }
            let mut running: FuturesUnordered<_> =
                items.into_iter().map(|item| self.try_item(held, subscription.clone(), item)).collect();
            let mut wait_until = None;
            let mut made = Vec::new();
            while let Some(tried) = running.next().await {
                let tried = tried?;
                made.extend(tried.attempts);
                delivered = if tried.delivered == Some(true) { tried.delivered } else { delivered.or(tried.delivered) };
                wait_until = wait_until.max(tried.wait_until);
            }
            drop(running);
            held.attempts.append(&mut made);
            if held.attempts.len() >= RECORDS {
                self.record(held).await;
            }
            if probing && delivered == Some(true) {
                self.close_circuit(&subscription).await?;
            }
            let now = self.ports.clock.now();
            if let Some(at) = wait_until {
                return self.leave(held, version, at).await.map(|()| delivered);
            }
            if now >= held.turn_ends {
                return self.leave(held, version, now).await.map(|()| delivered);
            }
            let lease = Lease { owner: held.owner, until: now + LEASE };
            if lanes.renew_lease(&id, lease, now).await?.is_none() {
                return Ok(delivered);
            }
        }
    }

    /// Leaves the lane until its next item is due. An append that came in between may be due earlier.
    async fn leave(&self, held: &Held, version: u64, at: Time) -> Result<(), PortError> {
        let to = Reschedule {
            next_attempt_at: Some(at),
            reason: None,
            attempts: held.item.attempts,
            last_status: held.item.last_status,
            last_error: held.item.last_error.clone(),
        };
        let Some(mut item) = self.ports.lanes.reschedule(&held.lane.id, held.owner, &to).await? else { return Ok(()) };
        if item.version != version
            && let Some(due) = self.ports.lanes.make_due(&held.lane.id, self.ports.clock.now()).await?
        {
            item = due;
        }
        self.wake(&held.lane, item.due_at()).await;
        Ok(())
    }

    async fn try_item(
        &self,
        held: &Held,
        subscription: Arc<Subscription>,
        item: BacklogItem,
    ) -> Result<Tried, PortError> {
        let now = self.ports.clock.now();
        if let Some(limit) = subscription.rate_limit_of(item.replay)
            && let Err(at) = self.attempter.endpoints().permit(&subscription.id, limit, now)
        {
            return Ok(Tried { attempts: Vec::new(), delivered: None, wait_until: Some(at) });
        }
        let (lanes, id) = (&self.ports.lanes, held.lane.id);
        let outgoing = Arc::new(Outgoing::new(item.pack.clone(), item.key.pack, item.position));
        let event = EventRef::new(outgoing, item.next);
        let job = Job {
            subscription: subscription.clone(),
            lane: id,
            events: vec![event.clone()],
            number: item.attempts + 1,
            replay: item.replay,
        };
        let answer = self.attempter.clone().attempt(job).await;
        let done = Progress { key: item.key, put_id: item.put_id, next: None };
        let delivered = match answer.outcome {
            Outcome::Delivered => {
                lanes.progress(&id, done).await?;
                true
            }
            Outcome::Failed(failure) => {
                let now = self.ports.clock.now();
                let attempts = item.attempts + 1;
                let first_failed_at = item.first_failed_at.unwrap_or(now);
                match failure.verdict_at(&subscription.retry, attempts, first_failed_at, now, &*self.ports.ids) {
                    Verdict::RetryAt(at) => {
                        let (key, put_id, due_at) = (item.key, item.put_id, Some(at));
                        let failure = HeadFailure { key, put_id, attempts, first_failed_at, due_at };
                        lanes.fail_head(&id, failure).await?;
                    }
                    Verdict::DeadLetter(reason) => {
                        give_up(&self.ports, &subscription, id, &[event], reason, attempts, &failure).await?;
                        lanes.progress(&id, done).await?;
                    }
                }
                false
            }
        };
        Ok(Tried { attempts: answer.attempts, delivered: Some(delivered), wait_until: None })
    }

    /// Carries out a resolution of one item, whichever the operator named: nothing blocks it.
    async fn resolve_item(&self, held: &Held, subscription: &Arc<Subscription>) -> Result<(), PortError> {
        let Some(resolution) = held.item.resolution else { return Ok(()) };
        let (lanes, id) = (&self.ports.lanes, held.lane.id);
        let item = lanes.backlog_item(&id, resolution.sequence).await?;
        tracing::info!(
            lane = %id, subscription = %subscription.id, sequence = %resolution.sequence,
            action = ?resolution.action, carried_out = item.is_some(), "a held event is resolved"
        );
        if let Some(item) = item {
            let done = Progress { key: item.key, put_id: item.put_id, next: None };
            match resolution.action {
                ResolveAction::Retry => {
                    let failure = HeadFailure {
                        key: item.key,
                        put_id: item.put_id,
                        attempts: item.attempts,
                        first_failed_at: item.first_failed_at.unwrap_or(resolution.at),
                        due_at: Some(resolution.at - Duration::from_millis(1)),
                    };
                    lanes.fail_head(&id, failure).await?;
                }
                ResolveAction::Skip => lanes.progress(&id, done).await?,
                ResolveAction::DeadLetter => {
                    let outgoing = Arc::new(Outgoing::new(item.pack.clone(), item.key.pack, item.position));
                    let event = [EventRef::new(outgoing, item.next)];
                    let failure = crate::attempt::Failed { status: held.item.last_status, ..Default::default() };
                    let reason = DeadLetterReason::Resolved;
                    give_up(&self.ports, subscription, id, &event, reason, item.attempts, &failure).await?;
                    lanes.progress(&id, done).await?;
                }
            }
        }
        lanes.resolved(&id, held.owner, resolution).await
    }
}
