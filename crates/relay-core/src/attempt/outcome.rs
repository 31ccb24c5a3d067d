//! Outcomes of attempts.

use crate::ports::webhook::{WebhookError, WebhookResponse};
use crate::ports::{Attempt, Ids};
use crate::retry::{Failure, RetryPolicy, Verdict};
use crate::time::Time;
use std::time::Duration;

/// How an attempt ended, with its records.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Delivered or not.
    pub outcome: Outcome,
    /// One record an event.
    pub attempts: Vec<Attempt>,
}

/// Delivered or not.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// 2xx.
    Delivered,
    /// Anything else.
    Failed(Failed),
}

/// A failed attempt.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Failed {
    /// The answer's status, if there was one.
    pub status: Option<u16>,
    /// Why there was none.
    pub error: Option<WebhookError>,
    /// The answer says that the request is at fault: 4xx but 408, 410, 425, 429.
    pub rejected: bool,
    /// 410: the endpoint wants nothing any more.
    pub gone: bool,
    /// 429 or 503 with `Retry-After`.
    pub retry_after: Option<Duration>,
    /// Nothing was sent: the event's payload could not be read.
    pub unreadable: bool,
}

impl Outcome {
    /// Classifies an answer as the contract says: 2xx is accepted; 408, 425, 429, 5xx, redirects, time-outs and
    /// connection faults may pass; 410 disables; other 4xx are rejections.
    pub fn of(result: &Result<WebhookResponse, WebhookError>) -> Outcome {
        let response = match result {
            Ok(response) if (200..300).contains(&response.status) => return Outcome::Delivered,
            Ok(response) => response,
            Err(error) => return Outcome::Failed(Failed { error: Some(*error), ..Failed::default() }),
        };
        let status = response.status;
        let obeys = matches!(status, 429 | 503);
        Outcome::Failed(Failed {
            status: Some(status),
            error: None,
            rejected: (400..500).contains(&status) && !matches!(status, 408 | 410 | 425 | 429),
            gone: status == 410,
            retry_after: response.retry_after.filter(|_| obeys),
            unreadable: false,
        })
    }
}

impl Failed {
    /// A failure that is not the endpoint's.
    pub fn unreadable() -> Failed {
        Failed { unreadable: true, ..Failed::default() }
    }

    /// True if it counts towards the circuit.
    pub fn is_transient(&self) -> bool {
        !self.rejected && !self.gone && !self.unreadable
    }

    /// The stable word for why there was no answer.
    pub fn error_word(&self) -> Option<String> {
        if self.unreadable { Some("payloadUnreadable".to_owned()) } else { self.error.map(|error| error.to_string()) }
    }

    /// What the policy makes of it. An event of an endpoint that is gone, or that could not be read, is not given up.
    pub fn verdict(&self, policy: &RetryPolicy, attempts: u32, first_failed_at: Time, ids: &dyn Ids) -> Verdict {
        self.verdict_at(policy, attempts, first_failed_at, first_failed_at, ids)
    }

    /// As [`Failed::verdict`], for an event that failed before.
    pub fn verdict_at(
        &self,
        policy: &RetryPolicy,
        attempts: u32,
        first_failed_at: Time,
        now: Time,
        ids: &dyn Ids,
    ) -> Verdict {
        let failure = Failure { attempts, first_failed_at, rejected: self.rejected, retry_after: self.retry_after };
        match policy.after(failure, now, ids.jitter()) {
            Verdict::DeadLetter(_) if self.gone || self.unreadable => {
                let last = policy.schedule_ms.last().copied().unwrap_or(0);
                Verdict::RetryAt(now + Duration::from_millis(last.max(1000)))
            }
            verdict => verdict,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn answered(status: u16) -> Outcome {
        let retry_after = Some(Duration::from_secs(7));
        Outcome::of(&Ok(WebhookResponse { status, retry_after, body_start: Bytes::new() }))
    }

    #[test]
    fn answers_are_classified_as_the_contract_says() {
        assert_eq!(answered(200), Outcome::Delivered);
        assert_eq!(answered(299), Outcome::Delivered);
        for (status, transient, rejected, gone) in [
            (302, true, false, false),
            (400, false, true, false),
            (404, false, true, false),
            (408, true, false, false),
            (410, false, false, true),
            (425, true, false, false),
            (429, true, false, false),
            (500, true, false, false),
            (503, true, false, false),
        ] {
            let Outcome::Failed(failed) = answered(status) else { panic!("{status} is no success") };
            assert_eq!((failed.is_transient(), failed.rejected, failed.gone), (transient, rejected, gone), "{status}");
            assert_eq!(failed.retry_after.is_some(), matches!(status, 429 | 503), "{status}");
        }
    }
}
