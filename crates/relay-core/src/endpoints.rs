//! What this process knows of endpoints' health: circuits, slowness, permits.
//!
//! It is a memory, not a record: a restart forgets it, and each process has its own. What others must know (an open
//! circuit, since when an endpoint fails) is written to the subscription.

use crate::circuit::Circuit;
use crate::limits::PATIENCE;
use crate::names::SubscriptionId;
use crate::pack::LaneId;
use crate::slowness::Slowness;
use crate::time::Time;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[derive(Default)]
struct Health {
    circuit: Circuit,
    slowness: Slowness,
    /// When a failure was last told to operators.
    told_at: Option<Time>,
    second: u64,
    requests: u32,
}

/// Of a subscription's failures one in so long is news; all of them would drown the log.
const NEWS_EVERY: Duration = Duration::from_secs(60);

/// Health of all endpoints, by subscription.
#[derive(Default)]
pub struct Endpoints(Mutex<HashMap<SubscriptionId, Health>>);

/// What a failure means for its subscription.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FailureNote {
    /// The circuit is to be opened.
    pub opens: bool,
    /// Failures in a row so far.
    pub in_a_row: u32,
}

impl Endpoints {
    fn map(&self) -> MutexGuard<'_, HashMap<SubscriptionId, Health>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was delivered.
    pub fn succeeded(&self, subscription: &SubscriptionId) {
        if let Some(health) = self.map().get_mut(subscription) {
            health.circuit.reset();
        }
    }

    /// An attempt failed in a way that may pass.
    pub fn failed(&self, subscription: &SubscriptionId, lane: LaneId) -> FailureNote {
        let mut map = self.map();
        let circuit = &mut map.entry(subscription.clone()).or_default().circuit;
        let opens = circuit.failed(lane);
        let in_a_row = circuit.failures();
        if opens {
            circuit.reset();
        }
        FailureNote { opens, in_a_row }
    }

    /// True if operators should be told of a failure: of the first, and then of one a minute.
    pub fn is_news(&self, subscription: &SubscriptionId, now: Time) -> bool {
        let mut map = self.map();
        let told_at = &mut map.entry(subscription.clone()).or_default().told_at;
        let is_news = told_at.is_none_or(|told| now.since(told) >= NEWS_EVERY);
        if is_news {
            *told_at = Some(now);
        }
        is_news
    }

    /// The endpoint has let others wait for as long as they may.
    pub fn was_slow(&self, subscription: &SubscriptionId, now: Time) {
        self.map().entry(subscription.clone()).or_default().slowness.was_slow(now);
    }

    /// An attempt took so long, however it ended.
    pub fn answered(&self, subscription: &SubscriptionId, after: Duration, now: Time) {
        let mut map = self.map();
        match map.get_mut(subscription) {
            Some(health) => health.slowness.answered(after, now),
            None if after >= PATIENCE => map.entry(subscription.clone()).or_default().slowness.was_slow(now),
            None => {}
        }
    }

    /// True if nobody should wait for it: see [`Slowness`].
    pub fn is_slow(&self, subscription: &SubscriptionId, now: Time) -> bool {
        self.map().get(subscription).is_some_and(|health| health.slowness.is_slow(now))
    }

    /// Takes one of `limit` permits of the present second; else the time at which to ask again.
    ///
    /// # Errors
    /// The beginning of the next second.
    pub fn permit(&self, subscription: &SubscriptionId, limit: u32, now: Time) -> Result<(), Time> {
        let second = now.0 / 1000;
        let mut map = self.map();
        let health = map.entry(subscription.clone()).or_default();
        if health.second != second {
            (health.second, health.requests) = (second, 0);
        }
        if health.requests >= limit {
            return Err(Time((second + 1) * 1000));
        }
        health.requests += 1;
        Ok(())
    }

    /// Forgets a subscription.
    pub fn forget(&self, subscription: &SubscriptionId) {
        self.map().remove(subscription);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_subscription_s_failures_one_a_minute_is_news() {
        let endpoints = Endpoints::default();
        let (one, other) = (SubscriptionId::new("one").unwrap(), SubscriptionId::new("other").unwrap());
        let told = [1_000, 1_001, 60_999, 61_000, 61_001].map(|now| endpoints.is_news(&one, Time(now)));
        assert_eq!(told, [true, false, false, true, false]);
        assert!(endpoints.is_news(&other, Time(1_001)));
    }

    #[test]
    fn permits_are_counted_by_the_second() {
        let endpoints = Endpoints::default();
        let sub = SubscriptionId::new("sub").unwrap();
        assert!(endpoints.permit(&sub, 2, Time(1000)).is_ok());
        assert!(endpoints.permit(&sub, 2, Time(1500)).is_ok());
        assert_eq!(endpoints.permit(&sub, 2, Time(1999)), Err(Time(2000)));
        assert!(endpoints.permit(&sub, 2, Time(2000)).is_ok());
    }
}
