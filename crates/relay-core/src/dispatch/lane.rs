//! One lane of a message: a shell around [`crate::lane::work`].

use super::Dispatcher;
use super::message::{LaneRun, MessageRun, holds};
use super::state::read_again;
use crate::attempt::{Answer, Attempter, Job, Outcome, give_up};
use crate::delivery::EventRef;
use crate::lane::table::{NewLane, Progress, Reschedule, Switched};
use crate::lane::work::{Detached, LaneWork, Step};
use crate::lane::{BacklogItem, HoldReason, LaneRef, Lease, OwnerId, PutId, rest_key};
use crate::limits::{DETACHED_WAIT, LEASE, PATIENCE};
use crate::ports::{Attempt, HeadFailure, PortError, Ports, WakeUp};
use crate::retry::Verdict;
use crate::sequence::Sequence;
use crate::subscription::{Mode, Status, Subscription};
use crate::time::Time;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either, select};
use std::sync::Arc;
use std::time::Duration;

/// What a lane leaves behind.
#[derive(Default)]
pub(super) struct LaneEnd {
    pub attempts: Vec<Attempt>,
    pub detached: Option<BoxFuture<'static, Vec<Attempt>>>,
    pub fault: Option<PortError>,
}

/// How a lane is held: what its lane item and the head of its backlog say.
pub(super) struct Hold {
    pub since: Time,
    pub reason: HoldReason,
    pub next_attempt_at: Time,
    pub attempts: u32,
    pub first_failed_at: Option<Time>,
    pub last_status: Option<u16>,
    pub last_error: Option<String>,
    pub lease: Option<Lease>,
    pub put_id: PutId,
}

/// A request whose lane is being held while it goes on.
struct InFlight {
    request: BoxFuture<'static, Answer>,
    started_at: Time,
    events: Vec<EventRef>,
}

impl Dispatcher {
    /// Delivers a message's events to a lane, or holds it, until the message is done there.
    pub(super) async fn lane(&self, lane: &mut LaneRun, message: &MessageRun, slow: bool) -> LaneEnd {
        let mut end = LaneEnd::default();
        if lane.state.subscription.skips(message.outgoing.position) {
            message.patience.done();
            return end; // it is in the log, and loaded when the subscription catches up
        }
        let result = if message.outgoing.pack.key.is_ordered() {
            self.ordered(lane, message, slow, &mut end).await
        } else {
            self.unordered(lane, message, slow, &mut end).await
        };
        end.fault = result.err();
        if !slow {
            message.patience.done();
        }
        end
    }

    async fn ordered(
        &self,
        lane: &mut LaneRun,
        message: &MessageRun,
        slow: bool,
        end: &mut LaneEnd,
    ) -> Result<(), PortError> {
        if lane.gone {
            return Ok(());
        }
        let events = message.outgoing.len();
        if message.suspect {
            lane.work.read_again(true);
        }
        lane.work.begin(events);
        let mut hold = self.untried(&lane.state.subscription, message.suspect);
        let mut in_flight: Option<InFlight> = None;
        loop {
            match lane.work.step() {
                Step::Deliver(index) => {
                    if self.ports.clock.now() > lane.state.deadline {
                        match read_again(&self.ports, &lane.state).await? {
                            Some(state) => {
                                lane.work.read_again(holds(&state, &message.outgoing.pack.key));
                                lane.state = state;
                                hold = self.untried(&lane.state.subscription, message.suspect);
                            }
                            None => {
                                lane.gone = true;
                                return Ok(());
                            }
                        }
                        continue;
                    }
                    let refs = self.next_events(&lane.state.subscription, message, index);
                    let (started_at, count) = (self.ports.clock.now(), refs.len() as u16);
                    let job = Job::first(lane.state.subscription.clone(), lane.state.id, refs.clone());
                    let request = self.attempter.clone().attempt(job).boxed();
                    match select(request, std::pin::pin!(message.patience.over(slow))).await {
                        Either::Left((answer, _)) => {
                            end.attempts.extend(answer.attempts);
                            match answer.outcome {
                                Outcome::Delivered => lane.work.accepted(count),
                                Outcome::Failed(failure) => {
                                    let now = self.ports.clock.now();
                                    let verdict =
                                        failure.verdict(&lane.state.subscription.retry, 1, now, &*self.ports.ids);
                                    match verdict {
                                        Verdict::RetryAt(at) => {
                                            hold = self.failed(&failure, at, now);
                                            lane.work.failed();
                                        }
                                        Verdict::DeadLetter(reason) => {
                                            let first = &refs[..1];
                                            give_up(
                                                &self.ports,
                                                &lane.state.subscription,
                                                lane.state.id,
                                                first,
                                                reason,
                                                1,
                                                &failure,
                                            )
                                            .await?;
                                            lane.work.accepted(1);
                                        }
                                    }
                                }
                            }
                        }
                        Either::Right(((), request)) => {
                            let now = self.ports.clock.now();
                            self.note_impatience(&lane.state.subscription, started_at, now);
                            let lease = Lease { owner: self.ports.ids.owner(), until: now + LEASE };
                            hold = Hold {
                                reason: HoldReason::Slow,
                                lease: Some(lease),
                                ..self.untried(&lane.state.subscription, false)
                            };
                            lane.work.patience_over();
                            in_flight = Some(InFlight { request, started_at, events: refs });
                        }
                    }
                }
                Step::Put(index) => {
                    let item = backlog_item(message, index, events, &lane.state.subscription, &hold);
                    let new = new_lane(&lane.state.subscription, message, &hold);
                    let switched = self.ports.lanes.append(vec![item], &new, false).await?;
                    lane.work.put();
                    lane.work.switched(switched == Switched::Created);
                }
                Step::Switch => {
                    let new = new_lane(&lane.state.subscription, message, &hold);
                    let switched = self.ports.lanes.switch(&new, false).await?;
                    lane.work.switched(switched == Switched::Created);
                }
                Step::WakeUp => {
                    wake(&self.ports, lane_ref(&lane.state.subscription, message), hold.next_attempt_at).await;
                    lane.work.woken();
                }
                Step::Done => break,
            }
        }
        if let Some(in_flight) = in_flight {
            let settle = Settle {
                ports: self.ports.clone(),
                attempter: self.attempter.clone(),
                subscription: lane.state.subscription.clone(),
                lane: lane_ref(&lane.state.subscription, message),
                work: lane.work,
                owner: hold.lease.map(|lease| lease.owner),
                put_id: hold.put_id,
                key: rest_key(message.outgoing.sequence),
                end: events,
            };
            end.detached = Some(settle.run(in_flight).boxed());
        }
        Ok(())
    }

    /// Patience with a request is over. Where it lasted less than [`PATIENCE`], that says nothing of the endpoint yet.
    pub(super) fn note_impatience(&self, subscription: &Subscription, started_at: Time, now: Time) {
        if now.since(started_at) >= PATIENCE {
            self.attempter.endpoints().was_slow(&subscription.id, now);
        }
    }

    /// The events that go into one request, from an index on.
    fn next_events(&self, subscription: &Subscription, message: &MessageRun, index: u16) -> Vec<EventRef> {
        let most = if subscription.endpoint.mode == Mode::Batch { subscription.endpoint.max_batch.max(1) } else { 1 };
        let end = index.saturating_add(most).min(message.outgoing.len());
        (index..end).map(|index| EventRef::new(message.outgoing.clone(), index)).collect()
    }

    /// A hold of events that were not attempted.
    pub(super) fn untried(&self, subscription: &Subscription, suspect: bool) -> Hold {
        let now = self.ports.clock.now();
        Hold {
            since: now,
            reason: hold_reason(subscription, suspect),
            next_attempt_at: now,
            attempts: 0,
            first_failed_at: None,
            last_status: None,
            last_error: None,
            lease: None,
            put_id: self.ports.ids.put_id(),
        }
    }

    /// A hold after a first attempt that failed.
    pub(super) fn failed(&self, failure: &crate::attempt::Failed, next_attempt_at: Time, now: Time) -> Hold {
        Hold {
            since: now,
            reason: HoldReason::Failing,
            next_attempt_at,
            attempts: 1,
            first_failed_at: Some(now),
            last_status: failure.status,
            last_error: failure.error_word(),
            lease: None,
            put_id: self.ports.ids.put_id(),
        }
    }
}

/// Why a lane is held that is not attempted.
fn hold_reason(subscription: &Subscription, suspect: bool) -> HoldReason {
    match subscription.status {
        Status::Paused => HoldReason::Paused,
        Status::Suspended => HoldReason::Suspended,
        Status::Disabled => HoldReason::Disabled,
        Status::Rewinding | Status::CatchingUp => HoldReason::Rewinding,
        Status::Active if suspect => HoldReason::Suspect,
        Status::Active if subscription.is_drained_only() => HoldReason::RateLimited,
        Status::Active => HoldReason::Failing,
    }
}

pub(super) fn lane_ref(subscription: &Subscription, message: &MessageRun) -> LaneRef {
    let pack = &message.outgoing.pack;
    LaneRef::new(&subscription.id, &pack.topic_id, &pack.topic, &pack.key)
}

pub(super) fn new_lane(subscription: &Subscription, message: &MessageRun, hold: &Hold) -> NewLane {
    NewLane {
        lane: lane_ref(subscription, message),
        reason: hold.reason,
        since: hold.since,
        next_attempt_at: Some(hold.next_attempt_at),
        lease: hold.lease,
        attempts: hold.attempts,
        last_status: hold.last_status,
        last_error: hold.last_error.clone(),
    }
}

fn backlog_item(message: &MessageRun, next: u16, end: u16, subscription: &Subscription, hold: &Hold) -> BacklogItem {
    BacklogItem {
        key: rest_key(message.outgoing.sequence),
        pack: message.outgoing.pack.clone(),
        position: message.outgoing.position,
        next,
        end,
        put_id: hold.put_id,
        revision: subscription.revision,
        attempts: hold.attempts,
        first_failed_at: hold.first_failed_at,
        due_at: None,
        replay: false,
    }
}

/// Sends a lane's wake-up; a lost one is made up for by sweep.
pub(crate) async fn wake(ports: &Ports, lane: LaneRef, at: Time) {
    let delay = at.since(ports.clock.now());
    if delay > crate::limits::MAX_WAKE_UP_DELAY {
        return; // sweep sends it when it is due
    }
    if let Err(error) = ports.wake_ups.send(vec![(WakeUp::Lane(lane), delay)]).await {
        tracing::debug!(%error, "a wake-up is not sent");
    }
}

/// Settles a detached request: waits for its answer, writes progress, drops the lease.
struct Settle {
    ports: Ports,
    attempter: Arc<Attempter>,
    subscription: Arc<Subscription>,
    lane: LaneRef,
    work: LaneWork,
    owner: Option<OwnerId>,
    put_id: PutId,
    key: Sequence,
    end: u16,
}

impl Settle {
    async fn run(mut self, in_flight: InFlight) -> Vec<Attempt> {
        let InFlight { request, started_at, events } = in_flight;
        let mut answer = match select(request, self.ports.clock.sleep(DETACHED_WAIT)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(((), request)) => {
                drop(request);
                let job = Job::first(self.subscription.clone(), self.lane.id, events.clone());
                self.attempter.gave_up_waiting(&job, started_at).await
            }
        };
        let attempts = std::mem::take(&mut answer.attempts);
        if let Err(error) = self.settle(answer.outcome, &events).await {
            // The lease ends by itself, and drain delivers what is left.
            tracing::debug!(%error, "a detached request is not settled");
        }
        attempts
    }

    async fn settle(&mut self, outcome: Outcome, events: &[EventRef]) -> Result<(), PortError> {
        self.work.detached_answered(matches!(outcome, Outcome::Delivered));
        let mut to = Reschedule {
            next_attempt_at: Some(self.ports.clock.now()),
            reason: None,
            attempts: 0,
            last_status: None,
            last_error: None,
        };
        loop {
            match self.work.detached() {
                Detached::Progress => {
                    let next = events.last().map_or(self.end, |event| event.index + 1);
                    let next = (next < self.end).then_some(next);
                    self.ports
                        .lanes
                        .progress(&self.lane.id, Progress { key: self.key, put_id: self.put_id, next })
                        .await?;
                    self.work.detached_progressed();
                }
                Detached::DropLease(_) => {
                    if let Outcome::Failed(failure) = &outcome {
                        to = self.note_failure(failure, events).await?;
                    }
                    let dropped = match self.owner {
                        Some(owner) => self.ports.lanes.reschedule(&self.lane.id, owner, &to).await?,
                        None => None,
                    };
                    self.work.detached_dropped(dropped.is_some());
                }
                Detached::WakeUp => {
                    let at = to.next_attempt_at.unwrap_or_else(|| self.ports.clock.now());
                    wake(&self.ports, self.lane.clone(), at).await;
                    self.work.detached_woken();
                }
                Detached::None | Detached::InFlight => return Ok(()),
            }
        }
    }

    /// Writes a failed first attempt on the head. One that the policy gives up at once is left to drain, which
    /// attempts it once more: rare, and never wrong.
    async fn note_failure(
        &self,
        failure: &crate::attempt::Failed,
        events: &[EventRef],
    ) -> Result<Reschedule, PortError> {
        let now = self.ports.clock.now();
        let next_attempt_at = match failure.verdict(&self.subscription.retry, 1, now, &*self.ports.ids) {
            Verdict::RetryAt(at) => at,
            Verdict::DeadLetter(_) => now + Duration::from_millis(1),
        };
        if !events.is_empty() {
            let head =
                HeadFailure { key: self.key, put_id: self.put_id, attempts: 1, first_failed_at: now, due_at: None };
            self.ports.lanes.fail_head(&self.lane.id, head).await?;
        }
        Ok(Reschedule {
            next_attempt_at: Some(next_attempt_at),
            reason: None,
            attempts: 1,
            last_status: failure.status,
            last_error: failure.error_word(),
        })
    }
}
