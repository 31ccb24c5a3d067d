//! The one writer: a thread with the only connection that writes. It carries out whatever waits in one transaction,
//! so that one fsync serves all of it, and answers after the commit.
//!
//! Work comes in two kinds. Somebody waits for *urgent* work. *Lazy* work (acknowledgements, attempts, uses of keys)
//! never causes a commit of its own right away: it joins the next one, or goes after [`engine::IDLE_FLUSH`], or once
//! there is [much](lazy::MUCH) of it.

mod engine;
mod group;
mod job;
pub(crate) mod lazy;
mod stats;

pub(crate) use engine::Engine;
pub(crate) use job::Tx;
pub use stats::CommitStats;

use crate::queue::intake::{Given, Prepared};
use job::{Job, Work};
use lazy::Lazy;
use relay_core::ports::PortError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// Bytes of packs that may wait for the writer; more are throttled.
const WAITING_BYTES: usize = 32 * 1024 * 1024;

/// What the writer is told.
pub(crate) enum Command {
    /// Accept packs.
    Send(Send),
    /// Do something in the transaction.
    Job(Box<dyn Job>),
    /// There is lazy work now.
    Lazy,
    /// Finish, note that it was finished, and stop.
    Close(oneshot::Sender<Result<(), PortError>>),
    /// Stop at once.
    Abandon,
}

/// Packs to accept.
pub(crate) struct Send {
    pub(crate) packs: Vec<Prepared>,
    pub(crate) reply: oneshot::Sender<Vec<Result<Given, PortError>>>,
    _room: Room,
}

/// Bytes that wait for the writer.
struct Room {
    waiting: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Where work for the writer is handed in.
pub(crate) struct Writer {
    sender: mpsc::Sender<Command>,
    waiting: Arc<AtomicUsize>,
    lazy: Arc<Lazy>,
    stats: Arc<Mutex<CommitStats>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

pub(crate) fn stopped() -> PortError {
    PortError::Unavailable("the store is closed".to_owned())
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(engine: Engine, lazy: Arc<Lazy>, stats: Arc<Mutex<CommitStats>>) -> std::io::Result<Writer> {
        let (sender, receiver) = mpsc::channel();
        let run = move || engine.run(&receiver);
        let thread = std::thread::Builder::new().name("relay-writer".to_owned()).spawn(run)?;
        let thread = Mutex::new(Some(thread));
        Ok(Writer { sender, waiting: Arc::new(AtomicUsize::new(0)), lazy, stats, thread })
    }

    fn tell(&self, command: Command) -> Result<(), PortError> {
        self.sender.send(command).map_err(|_| stopped())
    }

    /// Accepts packs; the answers come after the commit.
    pub(crate) async fn send(&self, packs: Vec<Prepared>) -> Result<Vec<Result<Given, PortError>>, PortError> {
        let bytes = packs.iter().map(|pack| pack.encoded.len()).sum();
        let room = Room { waiting: self.waiting.clone(), bytes };
        if self.waiting.fetch_add(bytes, Ordering::Relaxed) > WAITING_BYTES {
            return Err(PortError::Throttled);
        }
        let (reply, answer) = oneshot::channel();
        self.tell(Command::Send(Send { packs, reply, _room: room }))?;
        answer.await.map_err(|_| stopped())
    }

    /// Does something in the next transaction. The answer comes after the commit; if the work fails, nothing of it is
    /// done, and the rest of the transaction goes on.
    pub(crate) async fn write<T: std::marker::Send + 'static>(
        &self,
        work: impl FnOnce(&Tx<'_>) -> Result<T, PortError> + std::marker::Send + 'static,
    ) -> Result<T, PortError> {
        let (job, answer) = Work::new(work);
        self.tell(Command::Job(Box::new(job)))?;
        answer.await.map_err(|_| stopped())?
    }

    /// Waits until all lazy work handed in so far is committed.
    pub(crate) async fn flush(&self) -> Result<(), PortError> {
        self.write(|_| Ok(())).await
    }

    /// Hands in lazy work.
    pub(crate) fn later(&self, add: impl FnOnce(&Lazy)) {
        add(&self.lazy);
        if self.lazy.needs_telling() {
            // A writer that has stopped loses it, as a crash would.
            let _ = self.tell(Command::Lazy);
        }
    }

    /// Finishes everything and stops.
    pub(crate) async fn close(&self) -> Result<(), PortError> {
        let (reply, answer) = oneshot::channel();
        self.tell(Command::Close(reply))?;
        let closed = answer.await.map_err(|_| stopped())?;
        self.join();
        closed
    }

    /// Stops at once, as a crash would.
    pub(crate) fn abandon(&self) {
        // If it has stopped already, all the better.
        let _ = self.tell(Command::Abandon);
        self.join();
    }

    fn join(&self) {
        if let Some(thread) = crate::sync::lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the writer has panicked");
        }
    }

    pub(crate) fn stats(&self) -> CommitStats {
        crate::sync::lock(&self.stats).clone()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.abandon();
    }
}
