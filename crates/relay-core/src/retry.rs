//! Retry policies: when a failed event is attempted again, and when it is given up.

use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A subscription's retry policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetryPolicy {
    /// Delay before each retry, in milliseconds; the last one repeats. Not empty.
    pub schedule_ms: Vec<u64>,
    /// How long after an event's first failed attempt it is still attempted.
    pub max_age_ms: u64,
    /// What happens to an event that is exhausted.
    pub on_exhausted: OnExhausted,
    /// What happens to an event that the endpoint rejected (a 4xx that says the request is at fault).
    pub on_rejected: OnRejected,
}

/// What happens to an event whose retries are exhausted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnExhausted {
    /// It becomes a dead letter and its lane goes on.
    #[default]
    DeadLetter,
    /// It is tried on at the schedule's last interval until an operator resolves it.
    Block,
}

/// What happens to an event that the endpoint rejected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnRejected {
    /// As after any other failure.
    #[default]
    Retry,
    /// It becomes a dead letter at once.
    DeadLetter,
    /// It is kept at the head, tried at the schedule's last interval, whatever its age.
    Block,
}

/// Longest `Retry-After` that is obeyed.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(86_400);
/// Jitter: each delay is drawn from ±20 %.
const JITTER: f64 = 0.2;

impl Default for RetryPolicy {
    fn default() -> Self {
        let seconds = [5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800];
        RetryPolicy {
            schedule_ms: seconds.iter().map(|seconds| seconds * 1000).collect(),
            max_age_ms: 72 * 3_600_000,
            on_exhausted: OnExhausted::default(),
            on_rejected: OnRejected::default(),
        }
    }
}

/// A failed attempt, as the policy sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Attempts of the event so far, this one included.
    pub attempts: u32,
    /// When its first attempt failed (now, if this was it).
    pub first_failed_at: Time,
    /// The endpoint rejected the request.
    pub rejected: bool,
    /// The endpoint asked to wait.
    pub retry_after: Option<Duration>,
}

/// What the policy makes of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Attempt again at this time.
    RetryAt(Time),
    /// Put the event among the dead letters and go on with its lane.
    DeadLetter(DeadLetterReason),
}

/// Why an event became a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DeadLetterReason {
    /// Its retries were used up.
    Exhausted,
    /// The endpoint rejected it and the policy says so.
    Rejected,
    /// An operator asked for it.
    Resolved,
}

impl RetryPolicy {
    /// Decides after a failed attempt. `jitter` is drawn evenly from 0 to 1.
    pub fn after(&self, failure: Failure, now: Time, jitter: f64) -> Verdict {
        let retries = usize::try_from(failure.attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        let last = self.schedule_ms.last().copied().unwrap_or(0);
        let base = self.schedule_ms.get(retries).copied().unwrap_or(last);
        let at = |base: u64| {
            let jittered = Duration::from_millis(base).mul_f64(1.0 + JITTER * (2.0 * jitter.clamp(0.0, 1.0) - 1.0));
            let asked = failure.retry_after.unwrap_or_default().min(MAX_RETRY_AFTER);
            now + jittered.max(asked)
        };
        if failure.rejected {
            match self.on_rejected {
                OnRejected::DeadLetter => return Verdict::DeadLetter(DeadLetterReason::Rejected),
                OnRejected::Block => return Verdict::RetryAt(at(last)),
                OnRejected::Retry => {}
            }
        }
        let next = at(base);
        if next.since(failure.first_failed_at) <= Duration::from_millis(self.max_age_ms) {
            return Verdict::RetryAt(next);
        }
        match self.on_exhausted {
            OnExhausted::DeadLetter => Verdict::DeadLetter(DeadLetterReason::Exhausted),
            OnExhausted::Block => Verdict::RetryAt(at(last)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_000_000_000);

    fn failure(attempts: u32) -> Failure {
        Failure { attempts, first_failed_at: NOW, rejected: false, retry_after: None }
    }

    #[test]
    fn the_schedule_is_followed_and_its_last_entry_repeats() {
        let policy = RetryPolicy { schedule_ms: vec![100, 2000], ..RetryPolicy::default() };
        let delays = [1, 2, 3, 9].map(|attempts| match policy.after(failure(attempts), NOW, 0.5) {
            Verdict::RetryAt(at) => at.since(NOW).as_millis(),
            Verdict::DeadLetter(_) => 0,
        });
        assert_eq!(delays, [100, 2000, 2000, 2000]);
    }

    #[test]
    fn jitter_stays_within_a_fifth_and_never_undercuts_retry_after() {
        let policy = RetryPolicy { schedule_ms: vec![1000], ..RetryPolicy::default() };
        for (jitter, expected) in [(0.0, 800), (1.0, 1200), (7.0, 1200)] {
            assert_eq!(policy.after(failure(1), NOW, jitter), Verdict::RetryAt(Time(NOW.0 + expected)));
        }
        let asked = |seconds| Failure { retry_after: Some(Duration::from_secs(seconds)), ..failure(1) };
        assert_eq!(policy.after(asked(30), NOW, 0.0), Verdict::RetryAt(NOW + Duration::from_secs(30)));
        assert_eq!(policy.after(asked(999_999), NOW, 0.0), Verdict::RetryAt(NOW + MAX_RETRY_AFTER));
    }

    #[test]
    fn an_event_is_exhausted_when_its_next_attempt_would_start_too_late() {
        let policy = RetryPolicy { schedule_ms: vec![1000], max_age_ms: 5000, ..RetryPolicy::default() };
        let later = |millis| Time(NOW.0 + millis);
        assert_eq!(policy.after(failure(5), later(4000), 0.5), Verdict::RetryAt(later(5000)));
        assert_eq!(policy.after(failure(5), later(4001), 0.5), Verdict::DeadLetter(DeadLetterReason::Exhausted));
        let block = RetryPolicy { on_exhausted: OnExhausted::Block, ..policy };
        assert_eq!(block.after(failure(5), later(9000), 0.5), Verdict::RetryAt(later(10_000)));
    }

    #[test]
    fn a_rejection_may_be_treated_apart() {
        let rejected = Failure { rejected: true, ..failure(1) };
        let policy = |on_rejected| RetryPolicy { schedule_ms: vec![1000, 9000], on_rejected, ..RetryPolicy::default() };
        assert_eq!(policy(OnRejected::Retry).after(rejected, NOW, 0.5), Verdict::RetryAt(Time(NOW.0 + 1000)));
        assert_eq!(policy(OnRejected::Block).after(rejected, NOW, 0.5), Verdict::RetryAt(Time(NOW.0 + 9000)));
        let dead = policy(OnRejected::DeadLetter).after(rejected, NOW, 0.5);
        assert_eq!(dead, Verdict::DeadLetter(DeadLetterReason::Rejected));
    }
}
