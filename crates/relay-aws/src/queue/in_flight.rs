//! What this process has received and not acknowledged: how old it is.

use relay_core::limits::VISIBILITY;
use relay_core::ports::{PortError, Receipt};
use relay_core::time::Time;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

#[derive(Clone, Copy)]
struct Taken {
    sent_at: Time,
    hidden_until: Time,
}

#[derive(Default)]
struct State {
    taken: HashMap<String, Taken>,
    /// When the message received last had been sent.
    last: Option<Time>,
}

/// Messages in flight, by receipt.
#[derive(Default)]
pub(crate) struct InFlight(Mutex<State>);

impl InFlight {
    pub(crate) fn received(&self, receipt: &str, sent_at: Time, now: Time) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What was never settled here is no longer in flight here.
        state.taken.retain(|_, taken| taken.hidden_until > now);
        state.taken.insert(receipt.to_owned(), Taken { sent_at, hidden_until: now + VISIBILITY });
        state.last = Some(sent_at);
    }

    pub(crate) fn settled<'a>(&self, answers: impl Iterator<Item = (&'a Receipt, &'a Result<(), PortError>)>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (receipt, answer) in answers {
            if let (Receipt::Text(handle), Ok(()) | Err(PortError::Conflict)) = (receipt, answer) {
                state.taken.remove(handle);
            }
        }
    }

    /// True if these are all that is in flight here. Where Lambda receives, nothing is known to be.
    pub(crate) fn is_all(&self, receipts: &[Receipt], now: Time) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let alive = |receipt: &str| state.taken.get(receipt).is_some_and(|taken| taken.hidden_until > now);
        let known = receipts.iter().filter(|receipt| matches!(receipt, Receipt::Text(handle) if alive(handle))).count();
        known > 0 && known == state.taken.values().filter(|taken| taken.hidden_until > now).count()
    }

    /// When the oldest message had been sent, as far as it is known here.
    pub(crate) fn oldest(&self, now: Time) -> Option<Time> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let alive = state.taken.values().filter(|taken| taken.hidden_until > now).map(|taken| taken.sent_at).min();
        alive.or(state.last)
    }
}
