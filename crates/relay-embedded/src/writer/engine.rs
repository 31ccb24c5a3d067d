//! The writer's loop: gather, carry out, commit, answer.

use super::group::Group;
use super::lazy::Lazy;
use super::{Command, stats::CommitStats};
use crate::checkpoint::Checkpoints;
use crate::fault;
use crate::folder::Folder;
use crate::queue::Queue;
use crate::queue::intake::Intake;
use crate::sync::lock;
use relay_core::ports::{Clock, PortError};
use rusqlite::Connection;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Lazy work that no commit came by for is written after so long.
pub(crate) const IDLE_FLUSH: Duration = Duration::from_millis(200);
/// Most pieces of work in one transaction,
const MOST: usize = 1024;
/// and most bytes of packs.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// All that the writer's thread works with.
pub(crate) struct Engine {
    pub(crate) connection: Connection,
    pub(crate) intake: Intake,
    pub(crate) queue: Arc<Queue>,
    pub(crate) lazy: Arc<Lazy>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) stats: Arc<Mutex<CommitStats>>,
    /// Set when the disk has lost something that it was told to keep: nothing more is promised then.
    pub(crate) broken: Option<PortError>,
    /// Keeps others out of the folder until the thread has stopped.
    pub(crate) _folder: Folder,
}

/// What came in for one transaction.
#[derive(Default)]
struct Gathered {
    work: Vec<Command>,
    bytes: usize,
    lazy: bool,
    close: Option<oneshot::Sender<Result<(), PortError>>>,
    abandon: bool,
}

impl Gathered {
    fn add(&mut self, command: Command) {
        match command {
            Command::Lazy => self.lazy = true,
            Command::Close(reply) => self.close = Some(reply),
            Command::Abandon => self.abandon = true,
            Command::Send(send) => {
                self.bytes += send.packs.iter().map(|pack| pack.encoded.len()).sum::<usize>();
                self.work.push(Command::Send(send));
            }
            Command::Job(job) => self.work.push(Command::Job(job)),
        }
    }

    fn is_over(&self) -> bool {
        self.close.is_some() || self.abandon
    }

    fn has_room(&self) -> bool {
        self.work.len() < MOST && self.bytes < MOST_BYTES && !self.is_over()
    }
}

impl Engine {
    /// Runs until the store is closed or abandoned.
    pub(crate) fn run(mut self, commands: &Receiver<Command>) {
        let mut flush_at: Option<Instant> = None;
        loop {
            let mut gathered = Gathered::default();
            let first = match flush_at {
                None => commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => commands.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match first {
                Ok(command) => gathered.add(command),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while gathered.has_room()
                && let Ok(command) = commands.try_recv()
            {
                gathered.add(command);
            }
            if gathered.abandon {
                return;
            }
            let is_due = flush_at.is_some_and(|at| at <= Instant::now()) || self.lazy.is_much();
            if gathered.work.is_empty() && !is_due && gathered.close.is_none() {
                if gathered.lazy {
                    flush_at.get_or_insert_with(|| Instant::now() + IDLE_FLUSH);
                }
                continue;
            }
            let committed = self.group(gathered.work);
            flush_at = committed.is_err().then(|| Instant::now() + IDLE_FLUSH);
            if let Some(reply) = gathered.close {
                // Whoever closes may have gone.
                let _ = reply.send(self.close());
                return;
            }
            self.checkpoints.after_commit(&self.connection, &self.stats);
        }
    }

    /// Carries out a group in one transaction, and answers it. An error is why nothing of it is done.
    fn group(&mut self, work: Vec<Command>) -> Result<(), PortError> {
        let began = Instant::now();
        let lazy = self.lazy.take();
        if work.is_empty() && lazy.is_empty() && !self.intake.has_notes() {
            return Ok(());
        }
        let (urgent, now) = (work.len() as u64, self.clock.now());
        let mut group = Group::begin(&self.connection, &mut self.intake, now, self.broken.as_ref());
        for command in work {
            group.carry_out(command);
        }
        let is_written = group.write_lazy(&lazy);
        let writing = began.elapsed();
        let commit_began = Instant::now();
        group.commit();
        let committing = commit_began.elapsed();
        let done = group.finish(&self.queue);
        if !is_written || done.outcome.is_err() {
            self.lazy.put_back(lazy);
        }
        if self.broken.is_none() && (done.lost || self.checkpoints.lost()) {
            tracing::error!("the disk failed to flush: nothing more is accepted until a restart");
            self.broken = Some(PortError::Unavailable("the disk failed to flush; restart".to_owned()));
        }
        lock(&self.stats).add(writing, committing, urgent, done.packs, done.outcome.is_ok());
        done.outcome
    }

    /// Notes that nothing is left to find out, and leaves one tidy file behind.
    fn close(&mut self) -> Result<(), PortError> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let sql = "INSERT INTO meta(name, value) VALUES('clean', 1) ON CONFLICT DO UPDATE SET value = 1";
        self.connection.execute(sql, []).map_err(|error| fault::of_sqlite(&error))?;
        self.checkpoints.finish(&self.connection);
        Ok(())
    }
}
