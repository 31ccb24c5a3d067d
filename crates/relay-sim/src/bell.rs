//! Wakes those who wait for something to arrive.

use crate::locked;
use std::future::poll_fn;
use std::sync::Mutex;
use std::task::{Poll, Waker};

#[derive(Debug, Default)]
pub(crate) struct Bell(Mutex<(u64, Vec<Waker>)>);

impl Bell {
    pub fn ring(&self) {
        let mut state = locked(&self.0);
        state.0 += 1;
        state.1.drain(..).for_each(Waker::wake);
    }

    /// How often it has rung: take it before looking whether there is something.
    pub fn rung(&self) -> u64 {
        locked(&self.0).0
    }

    /// Waits until it has rung more often than that.
    pub async fn rings_after(&self, rung: u64) {
        poll_fn(|context| {
            let mut state = locked(&self.0);
            if state.0 > rung {
                return Poll::Ready(());
            }
            if !state.1.iter().any(|waker| waker.will_wake(context.waker())) {
                state.1.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}
