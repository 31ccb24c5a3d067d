//! A message of events without a partition key: each is attempted at once, whatever waits in the lane; one that fails
//! becomes a backlog item of its own, with its own next attempt, and blocks nothing.

use super::Dispatcher;
use super::lane::{Hold, LaneEnd, lane_ref, new_lane, wake};
use super::message::{LaneRun, MessageRun};
use super::state::read_again;
use crate::attempt::{Answer, Failed, Job, Outcome, give_up};
use crate::delivery::EventRef;
use crate::lane::BacklogItem;
use crate::lane::table::Progress;
use crate::limits::DETACHED_WAIT;
use crate::pack::LaneId;
use crate::ports::{Attempt, HeadFailure, PortError, Ports};
use crate::retry::Verdict;
use crate::subscription::Subscription;
use crate::time::Time;
use futures_util::future::{BoxFuture, Either, select};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use std::sync::Arc;
use std::time::Duration;

/// Most requests at once for one message and lane.
const AT_ONCE: usize = 16;

type Request = BoxFuture<'static, (u16, Answer)>;

impl Dispatcher {
    pub(super) async fn unordered(
        &self,
        lane: &mut LaneRun,
        message: &MessageRun,
        slow: bool,
        end: &mut LaneEnd,
    ) -> Result<(), PortError> {
        if !lane.gone && self.ports.clock.now() > lane.state.deadline {
            match read_again(&self.ports, &lane.state).await? {
                Some(state) => lane.state = state,
                None => lane.gone = true,
            }
        }
        if lane.gone {
            return Ok(());
        }
        let subscription = lane.state.subscription.clone();
        let untried = || self.untried(&subscription, message.suspect);
        let mut waiting = 0..message.outgoing.len();
        let mut running: FuturesUnordered<Request> = FuturesUnordered::new();
        let mut underway: Vec<(u16, Time)> = Vec::new();
        let mut held: Vec<(u16, Hold)> = Vec::new();
        let may_attempt = subscription.is_active() && !subscription.is_drained_only() && !message.suspect;
        if !may_attempt {
            held.extend(waiting.by_ref().map(|index| (index, untried())));
        }
        let mut over = std::pin::pin!(message.patience.over(slow));
        loop {
            while running.len() < AT_ONCE && self.ports.clock.now() <= lane.state.deadline {
                let Some(index) = waiting.next() else { break };
                underway.push((index, self.ports.clock.now()));
                running.push(self.request(&subscription, lane.state.id, message, index));
            }
            if running.is_empty() {
                break;
            }
            match select(running.next(), over.as_mut()).await {
                Either::Left((Some((index, answer)), _)) => {
                    underway.retain(|(one, _)| *one != index);
                    end.attempts.extend(answer.attempts);
                    if let Outcome::Failed(failure) = answer.outcome
                        && let Some(hold) =
                            self.hold_one(&subscription, lane.state.id, message, index, &failure).await?
                    {
                        held.push((index, hold));
                    }
                }
                Either::Left((None, _)) => break,
                Either::Right(_) => {
                    if let Some((_, started_at)) = underway.first() {
                        self.note_impatience(&subscription, *started_at, self.ports.clock.now());
                    }
                    break;
                }
            }
        }
        held.extend(waiting.map(|index| (index, untried())));
        let in_flight: Vec<Request> = running.into_iter().collect();
        let mut put_ids = Vec::new();
        if !in_flight.is_empty() {
            // Which of them these are, only their answers tell: hold all that are neither answered nor held.
            let answered: Vec<u16> = end.attempts.iter().map(|attempt| attempt.sequence.index).collect();
            let due = self.ports.clock.now() + DETACHED_WAIT + Duration::from_secs(1);
            for index in 0..message.outgoing.len() {
                if !answered.contains(&index) && !held.iter().any(|(one, _)| *one == index) {
                    let hold = Hold { next_attempt_at: due, ..untried() };
                    put_ids.push((index, hold.put_id));
                    held.push((index, hold));
                }
            }
        }
        held.sort_unstable_by_key(|(index, _)| *index);
        let earliest = held.iter().map(|(_, hold)| hold.next_attempt_at).min();
        let first = held.iter().position(|(_, hold)| Some(hold.next_attempt_at) == earliest);
        if let Some((_, hold)) = first.and_then(|first| held.get(first)) {
            let new = new_lane(&subscription, message, hold);
            let items = held.iter().map(|(index, hold)| single(message, *index, &subscription, hold)).collect();
            self.ports.lanes.append(items, &new, true).await?;
            wake(&self.ports, lane_ref(&subscription, message), hold.next_attempt_at).await;
        }
        if !in_flight.is_empty() {
            let settle = Settle {
                ports: self.ports.clone(),
                subscription,
                lane: lane.state.id,
                put_ids,
                message: message.outgoing.clone(),
            };
            end.detached = Some(settle.run(in_flight).boxed());
        }
        Ok(())
    }

    fn request(&self, subscription: &Arc<Subscription>, lane: LaneId, message: &MessageRun, index: u16) -> Request {
        let events = vec![EventRef::new(message.outgoing.clone(), index)];
        let job = Job::first(subscription.clone(), lane, events);
        self.attempter.clone().attempt(job).map(move |answer| (index, answer)).boxed()
    }

    /// What becomes of an event whose first attempt failed; none if it is a dead letter.
    async fn hold_one(
        &self,
        subscription: &Subscription,
        lane: LaneId,
        message: &MessageRun,
        index: u16,
        failure: &Failed,
    ) -> Result<Option<Hold>, PortError> {
        let now = self.ports.clock.now();
        match failure.verdict(&subscription.retry, 1, now, &*self.ports.ids) {
            Verdict::RetryAt(at) => Ok(Some(self.failed(failure, at, now))),
            Verdict::DeadLetter(reason) => {
                let event = [EventRef::new(message.outgoing.clone(), index)];
                give_up(&self.ports, subscription, lane, &event, reason, 1, failure).await?;
                Ok(None)
            }
        }
    }
}

fn single(message: &MessageRun, index: u16, subscription: &Subscription, hold: &Hold) -> BacklogItem {
    BacklogItem {
        key: message.outgoing.sequence.event(index),
        pack: message.outgoing.pack.clone(),
        position: message.outgoing.position,
        next: index,
        end: index + 1,
        put_id: hold.put_id,
        revision: subscription.revision,
        attempts: hold.attempts,
        first_failed_at: hold.first_failed_at,
        due_at: Some(hold.next_attempt_at),
        replay: false,
    }
}

/// Settles the requests that went on after patience was over.
struct Settle {
    ports: Ports,
    subscription: Arc<Subscription>,
    lane: LaneId,
    put_ids: Vec<(u16, crate::lane::PutId)>,
    message: Arc<crate::delivery::Outgoing>,
}

impl Settle {
    /// Waits a little longer; what is not answered by then is left to drain.
    async fn run(self, requests: Vec<Request>) -> Vec<Attempt> {
        let mut running: FuturesUnordered<Request> = requests.into_iter().collect();
        let mut time = self.ports.clock.sleep(DETACHED_WAIT);
        let mut attempts = Vec::new();
        loop {
            match select(running.next(), time).await {
                Either::Left((Some((index, answer)), rest)) => {
                    attempts.extend(answer.attempts);
                    if let Err(error) = self.settle(index, answer.outcome).await {
                        tracing::debug!(%error, "a detached request is not settled");
                    }
                    time = rest;
                }
                Either::Left((None, _)) | Either::Right(_) => return attempts,
            }
        }
    }

    async fn settle(&self, index: u16, outcome: Outcome) -> Result<(), PortError> {
        let Some((_, put_id)) = self.put_ids.iter().find(|(one, _)| *one == index) else { return Ok(()) };
        let (key, put_id) = (self.message.sequence.event(index), *put_id);
        match outcome {
            Outcome::Delivered => self.ports.lanes.progress(&self.lane, Progress { key, put_id, next: None }).await,
            Outcome::Failed(failure) => {
                let now = self.ports.clock.now();
                let due_at = match failure.verdict(&self.subscription.retry, 1, now, &*self.ports.ids) {
                    Verdict::RetryAt(at) => at,
                    Verdict::DeadLetter(_) => now,
                };
                let failure = HeadFailure { key, put_id, attempts: 1, first_failed_at: now, due_at: Some(due_at) };
                self.ports.lanes.fail_head(&self.lane, failure).await
            }
        }
    }
}
