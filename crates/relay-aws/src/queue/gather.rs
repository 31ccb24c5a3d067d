//! Acknowledgements that come within a moment of each other, gathered into one call: webhooks answer one after another,
//! and a call for each message of a batch would be most of what the batch costs.

use relay_core::ports::{PortError, Receipt};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long an acknowledgement waits for others: what is behind it in its group waits as long.
pub(crate) const MOMENT: Duration = Duration::from_millis(50);

type Answer = Result<(), PortError>;

/// An acknowledgement, and who waits for its answer.
struct Waiting {
    receipt: Receipt,
    answer: oneshot::Sender<Answer>,
}

/// Acknowledgements that wait for others. Whose moment is over first takes all of them along, so that nothing hangs on
/// one that is cut off; what it had taken is then answered as unavailable, and its messages come again.
#[derive(Default)]
pub(crate) struct Gather(Mutex<Vec<Waiting>>);

/// Acknowledgements to be made now.
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) receipts: Vec<Receipt>,
    waiting: Vec<oneshot::Sender<Answer>>,
}

impl Gather {
    /// Adds acknowledgements; answers where their answers come, and how many wait now.
    pub(crate) fn add(&self, receipts: &[Receipt]) -> (Vec<oneshot::Receiver<Answer>>, usize) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = receipts.iter().map(|receipt| {
            let (answer, comes) = oneshot::channel();
            waiting.push(Waiting { receipt: receipt.clone(), answer });
            comes
        });
        (answers.collect(), waiting.len())
    }

    /// Takes all that wait.
    pub(crate) fn take(&self) -> Taken {
        let waiting = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut taken = Taken::default();
        for Waiting { receipt, answer } in waiting {
            taken.receipts.push(receipt);
            taken.waiting.push(answer);
        }
        taken
    }
}

impl Taken {
    /// Hands out the answers, which are in the order of the receipts.
    pub(crate) fn answer(self, answers: Vec<Answer>) {
        for (waiting, answer) in self.waiting.into_iter().zip(answers) {
            // Nobody waits any more where the caller was cut off.
            let _ = waiting.send(answer);
        }
    }
}

/// Waits for answers; one that never comes is unavailable.
pub(crate) async fn all(answers: Vec<oneshot::Receiver<Answer>>) -> Vec<Answer> {
    let mut all = Vec::with_capacity(answers.len());
    for answer in answers {
        let lost = |_| Err(PortError::Unavailable("DeleteMessageBatch: who made the call was cut off".to_owned()));
        all.push(answer.await.unwrap_or_else(lost));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipts(names: &[&str]) -> Vec<Receipt> {
        names.iter().map(|name| Receipt::Text((*name).to_owned())).collect()
    }

    #[tokio::test]
    async fn everybody_gets_the_answer_of_what_is_theirs() {
        let gather = Gather::default();
        let (first, _) = gather.add(&receipts(&["a", "b"]));
        let (second, waiting) = gather.add(&receipts(&["c"]));
        assert_eq!(waiting, 3);
        let taken = gather.take();
        assert_eq!(taken.receipts, receipts(&["a", "b", "c"]));
        assert!(gather.take().receipts.is_empty(), "nothing is taken twice");
        taken.answer(vec![Ok(()), Err(PortError::Conflict), Err(PortError::Throttled)]);
        assert_eq!(all(second).await, [Err(PortError::Throttled)]);
        assert_eq!(all(first).await, [Ok(()), Err(PortError::Conflict)]);
    }

    #[tokio::test]
    async fn what_was_taken_by_one_that_is_cut_off_is_unavailable_and_the_rest_goes_on() {
        let gather = Gather::default();
        let (lost, _) = gather.add(&receipts(&["a"]));
        drop(gather.take());
        let (kept, _) = gather.add(&receipts(&["b"]));
        assert!(matches!(all(lost).await[..], [Err(PortError::Unavailable(_))]));
        gather.take().answer(vec![Ok(())]);
        assert_eq!(all(kept).await, [Ok(())]);
    }
}
