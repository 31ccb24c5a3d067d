//! An attempt: one request to a webhook, its outcome, and what that means for its subscription.

pub mod health;
mod outcome;
mod prepared;

pub use prepared::Prepared;

pub use outcome::{Answer, Failed, Outcome};

use crate::delivery::{self, EventRef};
use crate::endpoints::Endpoints;
use crate::metrics;
use crate::pack::LaneId;
use crate::ports::webhook::{WebhookError, WebhookRequest, WebhookResponse};
use crate::ports::{Attempt, AttemptOutcome, DeadLetter, PortError, Ports};
use crate::retry::DeadLetterReason;
use crate::subscription::Subscription;
use crate::time::Time;
use prepared::PreparedCache;
use std::sync::Arc;
use std::time::Duration;

/// What is to be attempted.
#[derive(Clone, Debug)]
pub struct Job {
    /// For whom, as read not long ago.
    pub subscription: Arc<Subscription>,
    /// In which lane.
    pub lane: LaneId,
    /// Consecutive events of the lane, for one request. Not empty.
    pub events: Vec<EventRef>,
    /// 1 for the first attempt of the head.
    pub number: u32,
    /// They are delivered as a replay.
    pub replay: bool,
}

impl Job {
    /// A first attempt.
    pub fn first(subscription: Arc<Subscription>, lane: LaneId, events: Vec<EventRef>) -> Job {
        Job { subscription, lane, events, number: 1, replay: false }
    }
}

/// Makes attempts. One per process: it remembers endpoints' health and prepared signers.
pub struct Attempter {
    ports: Ports,
    prepared: PreparedCache,
    endpoints: Endpoints,
}

impl Attempter {
    /// An attempter over these ports.
    pub fn new(ports: Ports) -> Arc<Attempter> {
        Arc::new(Attempter { ports, prepared: PreparedCache::default(), endpoints: Endpoints::default() })
    }

    /// What this process knows of endpoints' health.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Sends one request, and notes what its outcome means for the subscription. Owns what it needs, so that it can go
    /// on after its lane was detached.
    pub async fn attempt(self: Arc<Self>, job: Job) -> Answer {
        let started_at = self.ports.clock.now();
        let prepared = self.prepared.get(&job.subscription);
        let request = delivery::request(&self.ports, &prepared, &job, started_at).await;
        match request.and_then(|request| in_time(request, self.ports.clock.now().since(started_at))) {
            Ok(request) => {
                let result = self.ports.webhooks.post(request).await;
                self.finish(&job, started_at, result).await
            }
            Err(error) => self.unreadable(&job, started_at, &error),
        }
    }

    /// The answer to a request that nobody waited for to the end: a time-out.
    pub async fn gave_up_waiting(&self, job: &Job, started_at: Time) -> Answer {
        self.finish(job, started_at, Err(WebhookError::Timeout)).await
    }

    async fn finish(&self, job: &Job, started_at: Time, result: Result<WebhookResponse, WebhookError>) -> Answer {
        let outcome = Outcome::of(&result);
        let now = self.ports.clock.now();
        let duration = now.since(started_at);
        self.endpoints.answered(&job.subscription.id, duration, now);
        metrics::answered(job.events.len(), matches!(outcome, Outcome::Delivered));
        let answer = Answer { attempts: records(job, started_at, duration, &outcome, result.ok()), outcome };
        self.note(job, &answer.outcome).await;
        answer
    }

    /// The payload cannot be read now: nothing was sent, and the endpoint is not to blame.
    fn unreadable(&self, job: &Job, started_at: Time, error: &PortError) -> Answer {
        tracing::error!(%error, subscription = %job.subscription.id, "an event's payload cannot be read");
        let outcome = Outcome::Failed(Failed::unreadable());
        let duration = self.ports.clock.now().since(started_at);
        Answer { attempts: records(job, started_at, duration, &outcome, None), outcome }
    }
}

/// A request, some time after its attempt began: to read a payload is part of it. Whoever rewinds a subscription counts on
/// an attempt's end.
fn in_time(request: WebhookRequest, elapsed: Duration) -> Result<WebhookRequest, PortError> {
    match request.timeout.checked_sub(elapsed) {
        Some(timeout) if !timeout.is_zero() => Ok(WebhookRequest { timeout, ..request }),
        _ => Err(PortError::Unavailable("it took as long as the whole attempt may".to_owned())),
    }
}

/// Sends one event now, outside of any lane, and reports the attempt: it changes no circuit and is not retried.
pub async fn test(ports: &Ports, subscription: Arc<Subscription>, event: EventRef) -> Option<Attempt> {
    let attempter = Attempter::new(ports.clone());
    let lane = crate::lane::lane_id(&subscription.id, &subscription.topic_id, &event.outgoing.pack.key);
    let job = Job::first(subscription, lane, vec![event]);
    let started_at = ports.clock.now();
    let prepared = attempter.prepared.get(&job.subscription);
    let request = delivery::request(ports, &prepared, &job, started_at).await.ok()?;
    let result = ports.webhooks.post(request).await;
    let outcome = Outcome::of(&result);
    let duration = ports.clock.now().since(started_at);
    records(&job, started_at, duration, &outcome, result.ok()).pop()
}

/// Puts events among the dead letters.
///
/// # Errors
/// If one of them may not be durable.
pub async fn give_up(
    ports: &Ports,
    subscription: &Subscription,
    lane: LaneId,
    events: &[EventRef],
    reason: DeadLetterReason,
    attempts: u32,
    failure: &Failed,
) -> Result<(), PortError> {
    for event in events {
        let sequence = event.sequence();
        let dead_letter = DeadLetter {
            id: DeadLetter::id_of(&lane, sequence),
            subscription: subscription.id.clone(),
            topic_id: subscription.topic_id.clone(),
            pack: event.outgoing.pack.clone(),
            sequence,
            position: event.outgoing.position,
            reason,
            at: ports.clock.now(),
            attempts,
            last_status: failure.status,
            last_error: failure.error_word(),
            put_id: ports.ids.put_id(),
        };
        let id = dead_letter.id.clone();
        ports.dead_letters.put(dead_letter).await?;
        crate::system_event::dead_letter_created(ports, subscription, &id, event, reason).await;
    }
    Ok(())
}

fn records(
    job: &Job,
    started_at: Time,
    duration: std::time::Duration,
    outcome: &Outcome,
    response: Option<WebhookResponse>,
) -> Vec<Attempt> {
    let (kind, status, error) = match outcome {
        Outcome::Delivered => (AttemptOutcome::Delivered, response.as_ref().map(|response| response.status), None),
        Outcome::Failed(failed) if failed.rejected => (AttemptOutcome::Rejected, failed.status, failed.error_word()),
        Outcome::Failed(failed) => (AttemptOutcome::Failed, failed.status, failed.error_word()),
    };
    let body = response.map(|response| response.body_start).unwrap_or_default();
    let response = String::from_utf8_lossy(&body).into_owned();
    let record = |event: &EventRef| Attempt {
        subscription: job.subscription.id.clone(),
        event_id: event.event().id.clone(),
        topic: event.outgoing.pack.topic.clone(),
        key: event.outgoing.pack.key.clone(),
        sequence: event.sequence(),
        number: job.number,
        started_at,
        duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        outcome: kind,
        status,
        error: error.clone(),
        response: response.clone(),
        replay: job.replay,
    };
    job.events.iter().map(record).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_what_is_left_of_its_attempt() {
        let of = |elapsed| {
            let timeout = Duration::from_millis(1_000);
            let request =
                WebhookRequest { url: "https://a.example/".into(), headers: vec![], body: "".into(), timeout };
            in_time(request, Duration::from_millis(elapsed)).map(|request| request.timeout.as_millis())
        };
        assert_eq!((of(0), of(990)), (Ok(1_000), Ok(10)));
        assert!(matches!((of(1_000), of(5_000)), (Err(PortError::Unavailable(_)), Err(PortError::Unavailable(_)))));
    }
}
