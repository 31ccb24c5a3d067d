//! Sending packs: no call carries two of one key, and what follows a failed pack of its key is not sent.

use super::{Needs, NotSent};
use crate::pack::Pack;
use crate::packing::Planned;
use crate::ports::{PortError, Sent};
use std::sync::Arc;
use std::time::Duration;

/// What became of each pack.
type Outcomes = Vec<(Arc<Pack>, Result<Sent, NotSent>)>;

/// Sends a request's packs in rounds: first the first pack of every key, then the second ones, and so on.
pub(super) async fn send(needs: Needs<'_>, planned: Vec<Planned>) -> Outcomes {
    let rounds = planned.iter().map(|planned| planned.round + 1).max().unwrap_or(0);
    let mut results: Vec<Result<Sent, NotSent>> = Vec::new();
    results.resize(planned.len(), Err(NotSent::Predecessor));
    for round in 0..rounds {
        let may_go = |planned: &Planned| match planned.previous {
            // Order is promised by key only: without one, a pack need not wait for its predecessor to succeed.
            Some(previous) => results[previous].is_ok() || !planned.pack.key.is_ordered(),
            None => true,
        };
        let indices = (0..planned.len()).filter(|index| planned[*index].round == round && may_go(&planned[*index]));
        let indices: Vec<usize> = indices.collect();
        send_round(needs, &planned, indices, &mut results).await;
    }
    planned.into_iter().map(|planned| planned.pack).zip(results).collect()
}

/// Sends packs of different keys, and those again whose failure may pass. A pack that was taken although its answer
/// was lost is recognised by the queue.
async fn send_round(
    needs: Needs<'_>,
    planned: &[Planned],
    mut indices: Vec<usize>,
    results: &mut [Result<Sent, NotSent>],
) {
    let mut backoff = Backoff::new();
    while !indices.is_empty() {
        let packs = indices.iter().map(|index| Arc::clone(&planned[*index].pack)).collect();
        let mut answers = needs.queue.send(packs).await.into_iter();
        indices.retain(|index| {
            let unanswered = || Err(PortError::Unavailable("the queue gave no answer for a pack".to_owned()));
            let answer = answers.next().unwrap_or_else(unanswered);
            let repeat = answer.as_ref().is_err_and(is_worth_repeating);
            results[*index] = answer.map_err(NotSent::Port);
            repeat
        });
        if indices.is_empty() || !backoff.wait(needs).await {
            return;
        }
    }
}

/// True if the same call may succeed within the time that a request can wait. A full disk does not empty so soon.
pub(super) fn is_worth_repeating(error: &PortError) -> bool {
    error.is_retryable() && *error != PortError::Full
}

/// Growing waits, of which there are few: the publisher is waiting too.
pub(super) struct Backoff {
    next: Duration,
    left: u32,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Backoff { next: Duration::from_millis(20), left: 3 }
    }

    /// Waits; false, at once, if it has waited often enough.
    pub(super) async fn wait(&mut self, needs: Needs<'_>) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        let span = self.next.mul_f64(0.5 + needs.ids.jitter());
        self.next *= 5;
        needs.clock.sleep(span).await;
        true
    }
}
