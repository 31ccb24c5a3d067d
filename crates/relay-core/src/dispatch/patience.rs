//! Patience: how long one lane may keep the others of its message waiting.

use crate::limits::PATIENCE;
use crate::ports::Clock;
use crate::time::Time;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

/// Lag of the queue at which no patience is left.
const NO_PATIENCE_AT: Duration = Duration::from_secs(60);

/// The patience of one message.
pub(super) struct Patience {
    clock: Arc<dyn Clock>,
    until: Time,
    others: Mutex<Others>,
}

#[derive(Default)]
struct Others {
    undone: usize,
    waiting: Vec<Waker>,
}

impl Patience {
    /// Patience that begins now, for a message accepted at `accepted_at`, with so many lanes that are not known to be
    /// slow. The longer the message has waited, the less there is: a slow subscriber must not make a lag grow.
    pub fn new(clock: Arc<dyn Clock>, now: Time, accepted_at: Time, unslow: usize) -> Patience {
        let lag = now.since(accepted_at).as_secs_f64() / NO_PATIENCE_AT.as_secs_f64();
        let until = now + PATIENCE.mul_f64(1.0 - lag.clamp(0.0, 1.0));
        Patience { clock, until, others: Mutex::new(Others { undone: unslow, waiting: Vec::new() }) }
    }

    /// A lane that is not known to be slow is done.
    pub fn done(&self) {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        others.undone = others.undone.saturating_sub(1);
        if others.undone == 0 {
            others.waiting.drain(..).for_each(Waker::wake);
        }
    }

    /// Waits until a lane has kept the others waiting for too long: one known to be `slow` as soon as the others are
    /// done, any lane when the time is over.
    pub async fn over(&self, slow: bool) {
        let time = self.clock.sleep(self.until.since(self.clock.now()));
        if slow {
            futures_util::future::select(time, std::pin::pin!(self.others_done())).await;
        } else {
            time.await;
        }
    }

    async fn others_done(&self) {
        std::future::poll_fn(|context| {
            let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
            if others.undone == 0 {
                return Poll::Ready(());
            }
            others.waiting.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
