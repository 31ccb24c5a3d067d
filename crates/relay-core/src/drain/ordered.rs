//! Draining an ordered lane: a shell around [`crate::lane::drain`].

use super::{Drainer, Held, RECORDS, parked_reason};
use crate::attempt::{Failed, Job, Outcome, give_up};
use crate::delivery::{EventRef, Outgoing};
use crate::lane::drain::{Drain, LeaseTime, Outcome as Write, Readiness, Step};
use crate::lane::table::{ItemView, Reschedule};
use crate::lane::{BacklogItem, Lease, PutId, ResolveAction};
use crate::limits::{LEASE, STATUS_AGE};
use crate::ports::{HeadFailure, PortError};
use crate::retry::{DeadLetterReason, Verdict};
use crate::sequence::Sequence;
use crate::subscription::{Mode, Subscription};
use crate::time::Time;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Backlog items read at once.
const PAGE: usize = 64;

/// What the drain of a lane knows beside the machine.
struct Run {
    machine: Drain<Sequence, PutId>,
    subscription: Option<Arc<Subscription>>,
    status_read_at: Time,
    items: BTreeMap<Sequence, (BacklogItem, Arc<Outgoing>)>,
    next: Reschedule,
    delivered: Option<bool>,
}

impl Drainer {
    pub(super) async fn ordered(&self, held: &mut Held, probe: Option<u64>) -> Result<Option<bool>, PortError> {
        let lanes = &self.ports.lanes;
        let id = held.lane.id;
        let mut run = Run {
            machine: Drain::new(held.item.version),
            subscription: None,
            status_read_at: Time(0),
            items: BTreeMap::new(),
            next: as_it_is(held),
            delivered: None,
        };
        loop {
            match run.machine.step() {
                Step::ReadSubscription => {
                    run.status_read_at = self.ports.clock.now();
                    run.subscription = self.ports.registry.subscription(&held.lane.subscription).await?;
                    let last = run.subscription.as_ref().and_then(|known| known.last_replay.as_ref());
                    held.replay = last.map(|last| last.job.clone());
                    let ready = readiness(run.subscription.as_deref(), held, probe, run.delivered);
                    run.machine.subscription(ready);
                }
                Step::Park(version) => {
                    let reason = parked_reason(run.subscription.as_deref());
                    let outcome = lanes.park(&id, held.owner, version, reason).await?;
                    if let Write::Moved(_) = outcome
                        && let Some(item) = lanes.lane(&id).await?
                    {
                        held.item = item;
                    }
                    run.machine.parked(outcome);
                }
                Step::ReadBacklog => {
                    let read = lanes.backlog(&id, PAGE).await?;
                    let before = read.before.and_then(|item| {
                        let version = item.tenure().version_for(held.owner)?;
                        held.item = item;
                        Some(version)
                    });
                    let views: Vec<_> = read.items.iter().map(BacklogItem::view).collect();
                    run.items = read.items.into_iter().map(|item| (item.key, with_outgoing(item))).collect();
                    run.machine.backlog(before, views, read.after);
                }
                Step::ReadHead => {
                    let head = lanes.head(&id).await?;
                    run.machine.head(head);
                }
                Step::CheckLease => self.check_lease(held, &mut run),
                Step::RenewLease => {
                    let now = self.ports.clock.now();
                    let lease = Lease { owner: held.owner, until: now + LEASE };
                    let renewed = lanes.renew_lease(&id, lease, now).await?;
                    run.machine.renewed(renewed.as_ref().map(|item| item.version));
                    if let Some(item) = renewed {
                        held.item = item;
                    }
                }
                Step::Send(head) => self.send(held, &mut run, head).await?,
                Step::Progress(progress) => {
                    lanes.progress(&id, progress).await?;
                    if let Some((item, _)) = run.items.get_mut(&progress.key) {
                        match progress.next {
                            Some(next) => (item.next, item.attempts, item.first_failed_at) = (next, 0, None),
                            None => drop(run.items.remove(&progress.key)),
                        }
                    }
                    run.machine.progressed();
                    if held.attempts.len() >= RECORDS {
                        self.record(held).await;
                    }
                }
                Step::Reschedule => {
                    let item = lanes.reschedule(&id, held.owner, &run.next).await?;
                    self.wake(&held.lane, item.and_then(|item| item.due_at())).await;
                    run.machine.stop();
                }
                Step::Release(version) => {
                    let outcome = lanes.release(&id, held.owner, version).await?;
                    run.machine.released(outcome);
                }
                Step::Stop => return Ok(run.delivered),
            }
        }
    }

    /// Looks at the lease, at the age of the status, and whether it is another lane's turn.
    fn check_lease(&self, held: &Held, run: &mut Run) {
        let now = self.ports.clock.now();
        if now.since(run.status_read_at) > STATUS_AGE {
            return run.machine.status_is_old();
        }
        if now >= held.turn_ends {
            run.next = as_it_is(held);
            run.next.next_attempt_at = Some(now);
            return run.machine.failed();
        }
        let timeout = run.subscription.as_ref().map_or(LEASE / 2, |subscription| subscription.endpoint.timeout());
        let until = held.item.lease.map_or(Time(0), |lease| lease.until);
        run.machine.lease(match until.since(now) {
            Duration::ZERO => LeaseTime::Over,
            left if left <= timeout + Duration::from_secs(1) => LeaseTime::Short,
            _ => LeaseTime::Enough,
        });
    }

    /// Carries out a resolution of the head, or attempts it.
    async fn send(&self, held: &mut Held, run: &mut Run, head: ItemView<Sequence, PutId>) -> Result<(), PortError> {
        let Some(subscription) = run.subscription.clone() else {
            run.machine.stop();
            return Ok(());
        };
        let Some((item, outgoing)) = run.items.get(&head.key).cloned() else {
            return Err(PortError::Corrupt("a backlog item that was just read is missing".to_owned()));
        };
        if let Some(resolution) = held.item.resolution {
            let is_head = resolution.sequence == item.head();
            let event = [EventRef::new(outgoing.clone(), head.next)];
            if is_head && resolution.action == ResolveAction::DeadLetter {
                let failure = Failed { status: held.item.last_status, ..Failed::default() };
                let reason = DeadLetterReason::Resolved;
                give_up(&self.ports, &subscription, held.lane.id, &event, reason, item.attempts, &failure).await?;
            }
            tracing::info!(
                lane = %held.lane.id, subscription = %subscription.id, sequence = %resolution.sequence,
                action = ?resolution.action, carried_out = is_head, "a held head is resolved"
            );
            self.ports.lanes.resolved(&held.lane.id, held.owner, resolution).await?;
            held.item.resolution = None;
            if is_head && resolution.action != ResolveAction::Retry {
                (run.next.attempts, run.next.last_status, run.next.last_error) = (0, None, None);
                run.machine.sent(1);
                return Ok(());
            }
            if !subscription.delivers(&held.lane.key) {
                run.machine.status_is_old(); // nothing to attempt: park
                return Ok(());
            }
        }
        let now = self.ports.clock.now();
        if let Some(limit) = subscription.rate_limit_of(item.replay)
            && let Err(at) = self.attempter.endpoints().permit(&subscription.id, limit, now)
        {
            run.next = Reschedule { next_attempt_at: Some(at), ..as_it_is(held) };
            run.machine.failed();
            return Ok(());
        }
        let events = events_of(run, &subscription);
        let job = Job {
            subscription: subscription.clone(),
            lane: held.lane.id,
            events: events.clone(),
            number: item.attempts + 1,
            replay: item.replay,
        };
        let answer = self.attempter.clone().attempt(job).await;
        held.attempts.extend(answer.attempts);
        match answer.outcome {
            Outcome::Delivered => {
                run.delivered = Some(true);
                (run.next.attempts, run.next.last_status, run.next.last_error) = (0, None, None);
                (held.item.attempts, held.item.last_status, held.item.last_error) = (0, None, None);
                if run.machine.is_probing() {
                    self.close_circuit(&subscription).await?;
                }
                run.machine.sent(u16::try_from(events.len()).unwrap_or(u16::MAX));
            }
            Outcome::Failed(failure) => {
                run.delivered = run.delivered.or(Some(false));
                self.failed(held, run, &subscription, &item, &outgoing, &failure).await?;
            }
        }
        Ok(())
    }

    async fn failed(
        &self,
        held: &Held,
        run: &mut Run,
        subscription: &Subscription,
        item: &BacklogItem,
        outgoing: &Arc<Outgoing>,
        failure: &Failed,
    ) -> Result<(), PortError> {
        let now = self.ports.clock.now();
        let attempts = item.attempts + 1;
        let first_failed_at = item.first_failed_at.unwrap_or(now);
        match failure.verdict_at(&subscription.retry, attempts, first_failed_at, now, &*self.ports.ids) {
            Verdict::RetryAt(at) => {
                let failure_of_head =
                    HeadFailure { key: item.key, put_id: item.put_id, attempts, first_failed_at, due_at: None };
                self.ports.lanes.fail_head(&held.lane.id, failure_of_head).await?;
                run.next = Reschedule {
                    next_attempt_at: Some(at),
                    reason: Some(crate::lane::HoldReason::Failing),
                    attempts,
                    last_status: failure.status,
                    last_error: failure.error_word(),
                };
                run.machine.failed();
            }
            Verdict::DeadLetter(reason) => {
                let event = [EventRef::new(outgoing.clone(), item.next)];
                give_up(&self.ports, subscription, held.lane.id, &event, reason, attempts, failure).await?;
                run.machine.sent(1);
            }
        }
        Ok(())
    }
}

fn with_outgoing(item: BacklogItem) -> (BacklogItem, Arc<Outgoing>) {
    let outgoing = Arc::new(Outgoing::new(item.pack.clone(), item.key.pack, item.position));
    (item, outgoing)
}

/// What a reschedule leaves that changes nothing.
fn as_it_is(held: &Held) -> Reschedule {
    Reschedule {
        next_attempt_at: held.item.next_attempt_at,
        reason: None,
        attempts: held.item.attempts,
        last_status: held.item.last_status,
        last_error: held.item.last_error.clone(),
    }
}

/// Whether the lane's events may be attempted, or its head resolved: that is done even while paused.
fn readiness(
    subscription: Option<&Subscription>,
    held: &Held,
    probe: Option<u64>,
    delivered: Option<bool>,
) -> Readiness {
    let Some(subscription) = subscription else { return Readiness::Inactive };
    if subscription.delivers(&held.lane.key) {
        return Readiness::Active(subscription.revision);
    }
    let resolves = held.item.resolution.is_some_and(|resolution| resolution.action != ResolveAction::Retry);
    let probes = probe == Some(subscription.revision) && delivered.is_none();
    let probes = probes && !subscription.is_rewound(&held.lane.key);
    if subscription.deleted_at.is_none() && (resolves || probes) {
        return Readiness::Probe(subscription.revision);
    }
    Readiness::Inactive
}

/// The consecutive events that go into one request, from the head on: more than one only in batch mode, and only
/// fresh ones, so that an event that failed is counted alone.
fn events_of(run: &Run, subscription: &Subscription) -> Vec<EventRef> {
    let batch = subscription.endpoint.mode == Mode::Batch && !run.machine.is_probing();
    let most = if batch { usize::from(subscription.endpoint.max_batch.max(1)) } else { 1 };
    let mut events = Vec::with_capacity(most.min(PAGE));
    for view in run.machine.view() {
        let Some((item, outgoing)) = run.items.get(&view.key) else { break };
        let other_replay =
            !events.is_empty() && run.items.values().next().map(|(first, _)| first.replay) != Some(item.replay);
        if view.revision > subscription.revision || other_replay {
            break;
        }
        for index in view.next..view.end {
            if events.len() == most {
                return events;
            }
            events.push(EventRef::new(outgoing.clone(), index));
        }
        if events.len() == most {
            break;
        }
    }
    events
}
