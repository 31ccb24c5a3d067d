//! Publishes events over many connections, each of which has keys of its own: a key's events are sent one after
//! another, so their order is known.

use super::connection::{ANSWERS_WITHIN, Connection};
use super::ledger::histogram;
use super::marker::Marker;
use super::pacer::{Schedule, pace};
use super::published::Published;
use super::request::{PublishRequest, RequestShape};
use super::stopwatch::{Nanos, Stopwatch, Window};
use hdrhistogram::Histogram;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How much is published, and how fast.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// Closed loop: each connection sends its next request when it has the answer to the one before.
    Closed {
        /// No request begins after this time.
        until: Nanos,
        /// No more requests than this.
        requests: u64,
    },
    /// Open loop: requests are meant to be sent at fixed times, and latencies count from there.
    Open {
        /// Those times.
        schedule: Schedule,
        /// What could not be sent by then is given up.
        until: Nanos,
    },
}

/// A load to put on a broker.
#[derive(Clone, Debug)]
pub struct Load {
    /// What the requests look like.
    pub shape: RequestShape,
    /// Connections.
    pub connections: usize,
    /// How many keys the events of one batch are spread over.
    pub keys_per_batch: usize,
    /// How much, how fast.
    pub pace: Pace,
    /// What is measured.
    pub window: Window,
}

/// What publishing was like.
#[derive(Debug)]
pub struct Publishing {
    /// Events accepted within the window.
    pub accepted_in_window: u64,
    /// Microseconds from the time that a request was meant to be sent to its 202.
    pub latency: Histogram<u64>,
    /// Requests of an open loop that the connections did not come to send.
    pub unsent: u64,
}

/// The books, shared with whoever shows the progress.
pub type SharedPublished = Arc<Mutex<Published>>;

/// Puts the load on the broker, and returns when all of it was answered.
///
/// # Errors
/// If no connection can be made at the start.
pub async fn generate(load: Load, published: SharedPublished, stopwatch: Stopwatch) -> anyhow::Result<Publishing> {
    let keys = lock(&published).keys();
    let connections = load.connections.clamp(1, keys.max(1));
    let (mut inlets, budget) = match load.pace {
        Pace::Closed { requests, .. } => (Vec::new(), requests),
        Pace::Open { schedule, .. } => (pace(schedule, connections, stopwatch), 0),
    };
    let shared = Arc::new(Shared {
        published,
        stopwatch,
        window: load.window,
        keys_per_batch: load.keys_per_batch.max(1),
        budget: AtomicU64::new(budget),
        seen: Mutex::new(Publishing { accepted_in_window: 0, latency: histogram()?, unsent: 0 }),
    });
    let mut workers = JoinSet::new();
    for number in (0..connections).rev() {
        let connection = Connection::open(&load.shape.url).await?;
        let ticks = match load.pace {
            Pace::Closed { until, .. } => Ticks::Closed { until },
            Pace::Open { until, .. } => Ticks::Open { times: inlets.swap_remove(number), until },
        };
        let own = (number..keys).step_by(connections).filter_map(|key| u32::try_from(key).ok()).collect();
        workers.spawn(Worker::new(&load.shape, own, connection, Arc::clone(&shared)).run(ticks));
    }
    while let Some(ended) = workers.join_next().await {
        ended?;
    }
    let mut seen = shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
    let latency = std::mem::replace(&mut seen.latency, histogram()?);
    Ok(Publishing { latency, ..*seen })
}

/// Locks the books.
pub fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Shared {
    published: SharedPublished,
    stopwatch: Stopwatch,
    window: Window,
    keys_per_batch: usize,
    /// Requests of a closed loop that may still be sent.
    budget: AtomicU64,
    seen: Mutex<Publishing>,
}

enum Ticks {
    Closed { until: Nanos },
    Open { times: UnboundedReceiver<Nanos>, until: Nanos },
}

struct Worker {
    request: PublishRequest,
    batch: usize,
    run: u64,
    url: url::Url,
    /// None after a failure: the next request opens another.
    connection: Option<Connection>,
    keys: Vec<u32>,
    cursor: usize,
    sent: Vec<(u32, u32)>,
    shared: Arc<Shared>,
}

impl Worker {
    fn new(shape: &RequestShape, keys: Vec<u32>, connection: Connection, shared: Arc<Shared>) -> Worker {
        Worker {
            request: PublishRequest::new(shape),
            batch: shape.batch,
            run: shape.run,
            url: shape.url.clone(),
            connection: Some(connection),
            keys,
            cursor: 0,
            sent: Vec::with_capacity(shape.batch),
            shared,
        }
    }

    async fn run(mut self, mut ticks: Ticks) {
        while let Some(at) = self.next_time(&mut ticks).await {
            self.fill(at);
            match timeout(ANSWERS_WITHIN, self.exchange()).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            {
                Ok(None) => self.accepted(at),
                Ok(Some(refusal)) => self.refused(|| refusal).await,
                Err(error) => {
                    self.connection = None;
                    self.refused(|| error.to_string()).await;
                }
            }
        }
    }

    /// When the next request is meant to be sent, at that time; none at the end of the load.
    async fn next_time(&self, ticks: &mut Ticks) -> Option<Nanos> {
        match ticks {
            Ticks::Closed { until } => {
                let now = self.shared.stopwatch.now();
                let left = &self.shared.budget;
                let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
                (now < *until && taken.is_ok()).then_some(now)
            }
            Ticks::Open { times, until } => {
                let at = times.recv().await?;
                if self.shared.stopwatch.now() < *until {
                    return Some(at);
                }
                let mut unsent = 1;
                while times.recv().await.is_some() {
                    unsent += 1;
                }
                self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).unsent += unsent;
                None
            }
        }
    }

    fn fill(&mut self, at: Nanos) {
        self.sent.clear();
        let spread = self.shared.keys_per_batch.min(self.keys.len());
        let mut published = lock(&self.shared.published);
        for index in 0..self.batch {
            let key = self.keys[(self.cursor + index % spread) % self.keys.len()];
            let number = published.take(key);
            self.request.fill(index, &Marker { run: self.run, key, number, at });
            self.sent.push((key, number));
        }
        self.cursor = (self.cursor + spread.min(self.batch)) % self.keys.len();
    }

    /// Sends the request; none if it was accepted, else what was answered.
    async fn exchange(&mut self) -> io::Result<Option<String>> {
        let connection = match &mut self.connection {
            Some(open) => open,
            closed => closed.insert(Connection::open(&self.url).await?),
        };
        let answer = connection.exchange(self.request.bytes()).await?;
        let refusal = (answer.status != 202)
            .then(|| format!("{} {}", answer.status, String::from_utf8_lossy(answer.body).trim_end()));
        if !answer.keeps_alive {
            self.connection = None;
        }
        Ok(refusal)
    }

    fn accepted(&self, at: Nanos) {
        let now = self.shared.stopwatch.now();
        lock(&self.shared.published).accept(self.batch);
        let mut seen = lock(&self.shared.seen);
        if self.shared.window.contains(now) {
            seen.accepted_in_window += self.batch as u64;
        }
        if self.shared.window.contains(at) {
            seen.latency.saturating_record(now.saturating_sub(at) / 1000);
        }
    }

    /// A broker that refuses would otherwise be asked as fast as the machine can.
    async fn refused(&self, why: impl FnOnce() -> String) {
        lock(&self.shared.published).refuse(self.sent.iter().copied(), why);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
