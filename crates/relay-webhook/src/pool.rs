//! Connections that wait for their next request, and the bound on all connections together.

use crate::connection::Connection;
use crate::directory::Endpoint;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

pub(crate) struct Pool {
    idle: Mutex<Idle>,
    live: Arc<AtomicUsize>,
    max_total: usize,
    idle_timeout: Duration,
    max_age: Duration,
}

/// Counts a connection for as long as it, or the attempt to make it, lives.
pub(crate) struct Slot(Arc<AtomicUsize>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[derive(Default)]
struct Idle {
    /// By the number that each got when it was parked, so the first has idled longest.
    parked: BTreeMap<u64, Parked>,
    /// Those numbers, ascending, by endpoint.
    of_endpoint: HashMap<u64, VecDeque<u64>>,
    next: u64,
}

struct Parked {
    connection: Connection,
    /// Held so that the endpoint outlives its connections: recreated, it would not find them.
    endpoint: Arc<Endpoint>,
    since: Instant,
}

impl Pool {
    pub(crate) fn new(max_total: usize, idle_timeout: Duration, max_age: Duration) -> Self {
        Self { idle: Mutex::default(), live: Arc::default(), max_total, idle_timeout, max_age }
    }

    /// The connection to `endpoint` that was parked last: the likeliest to be alive, and the rest can grow old and go.
    pub(crate) fn take(&self, endpoint: &Endpoint) -> Option<Connection> {
        let now = Instant::now();
        let (taken, expired) = {
            let mut idle = self.lock();
            let expired = idle.remove_parked_before(now, self.idle_timeout);
            (idle.remove_newest(endpoint.id), expired)
        };
        // Closing sockets takes system calls, better made without the lock.
        drop(expired);
        taken.map(|parked| parked.connection)
    }

    /// Keeps a connection for the next request, unless it is too old.
    pub(crate) fn park(&self, endpoint: &Arc<Endpoint>, connection: Connection) {
        let now = Instant::now();
        if now.duration_since(connection.opened) < self.max_age {
            self.lock().insert(Parked { connection, endpoint: Arc::clone(endpoint), since: now });
            endpoint.parked.notify_one();
        }
    }

    /// Room for one more connection, made by closing those that have idled longest.
    ///
    /// Each request in progress has one slot at most and there are no more than `max_total` of them, so the bound holds
    /// once nothing idles.
    pub(crate) fn reserve(&self) -> Slot {
        self.live.fetch_add(1, Ordering::AcqRel);
        while self.live.load(Ordering::Acquire) > self.max_total {
            let oldest = self.lock().remove_oldest();
            if oldest.is_none() {
                break;
            }
        }
        Slot(Arc::clone(&self.live))
    }

    /// Closes connections that have idled for too long. Taking one does so too; this is for when nothing is posted.
    pub(crate) fn close_expired(&self) {
        let expired = self.lock().remove_parked_before(Instant::now(), self.idle_timeout);
        drop(expired);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    fn insert(&mut self, parked: Parked) {
        let number = self.next;
        self.next += 1;
        self.of_endpoint.entry(parked.endpoint.id).or_default().push_back(number);
        self.parked.insert(number, parked);
    }

    fn remove_newest(&mut self, endpoint: u64) -> Option<Parked> {
        let number = self.remove_number(endpoint, VecDeque::pop_back)?;
        self.parked.remove(&number)
    }

    fn remove_oldest(&mut self) -> Option<Parked> {
        let (_, parked) = self.parked.pop_first()?;
        self.remove_number(parked.endpoint.id, VecDeque::pop_front);
        Some(parked)
    }

    fn remove_number(&mut self, endpoint: u64, pop: fn(&mut VecDeque<u64>) -> Option<u64>) -> Option<u64> {
        let numbers = self.of_endpoint.get_mut(&endpoint)?;
        let number = pop(numbers);
        if numbers.is_empty() {
            self.of_endpoint.remove(&endpoint);
        }
        number
    }

    fn remove_parked_before(&mut self, now: Instant, idle_timeout: Duration) -> Vec<Parked> {
        let mut removed = Vec::new();
        while self.parked.first_key_value().is_some_and(|(_, first)| now.duration_since(first.since) >= idle_timeout) {
            removed.extend(self.remove_oldest());
        }
        removed
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
