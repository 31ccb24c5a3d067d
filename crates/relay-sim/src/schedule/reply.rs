//! A value handed from one task to another; none comes if the first one is killed.

use crate::locked;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

struct Slot<T> {
    value: Option<T>,
    closed: bool,
    abandoned: bool,
    waker: Option<Waker>,
}

/// The end that gives the value.
pub struct Replier<T>(Arc<Mutex<Slot<T>>>);

/// The end that waits for it: the value, or none if the other end was dropped.
pub struct Reply<T>(Arc<Mutex<Slot<T>>>);

/// Makes both ends.
pub fn reply<T>() -> (Replier<T>, Reply<T>) {
    let slot = Arc::new(Mutex::new(Slot { value: None, closed: false, abandoned: false, waker: None }));
    (Replier(Arc::clone(&slot)), Reply(slot))
}

impl<T> Replier<T> {
    /// Gives the value.
    pub fn send(self, value: T) {
        locked(&self.0).value = Some(value);
    }

    /// True if nobody waits any more.
    pub fn is_abandoned(&self) -> bool {
        locked(&self.0).abandoned
    }
}

impl<T> Drop for Replier<T> {
    fn drop(&mut self) {
        let mut slot = locked(&self.0);
        slot.closed = true;
        if let Some(waker) = slot.waker.take() {
            waker.wake();
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        locked(&self.0).abandoned = true;
    }
}

impl<T> Future for Reply<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut slot = locked(&self.0);
        if slot.closed {
            return Poll::Ready(slot.value.take());
        }
        slot.waker = Some(context.waker().clone());
        Poll::Pending
    }
}
