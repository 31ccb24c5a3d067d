//! When what the write-ahead log holds is copied into the database.
//!
//! A thread copies most of it while the writer goes on. What was written meanwhile is little; the writer copies that
//! itself between two transactions, and the next one begins the log anew. So commits wait for little, and the log
//! stays small. If something keeps it from beginning anew (a long read), it is tried again each time.

use crate::fault;
use crate::sync::lock;
use crate::writer::CommitStats;
use rusqlite::Connection;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

/// Pages in the log that are worth a checkpoint: 16 MiB.
const PAGES: u64 = 4096;

/// The writer's side of checkpoints.
pub(crate) struct Checkpoints {
    /// Pages in the log, as of the last commit.
    pages: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
    begin: Option<mpsc::SyncSender<()>>,
    state: Arc<State>,
    /// Pages in the log that are worth the next one.
    worth: u64,
}

#[derive(Default)]
struct State {
    running: AtomicBool,
    /// The thread has copied what there was; the rest is the writer's.
    copied: AtomicBool,
    /// The disk failed to flush the database: what it holds is not known any more.
    lost: AtomicBool,
}

/// Copies what can be copied without anybody waiting.
fn copy(connection: &Connection, state: &State) {
    if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
        // It stays in the log, unless the disk did not keep its word.
        tracing::warn!(%error, "a checkpoint failed");
        state.lost.fetch_or(fault::is_lost_flush(&error), Ordering::AcqRel);
    }
}

impl Checkpoints {
    /// Starts the thread, with a connection of its own, and watches the writer's.
    pub(crate) fn start(writer: &mut Connection, own: Connection) -> rusqlite::Result<Checkpoints> {
        let pages = Arc::new(AtomicU64::new(0));
        let seen = pages.clone();
        writer.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: std::ffi::c_int| {
            seen.store(u64::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        let (begin, wanted) = mpsc::sync_channel::<()>(1);
        let state = Arc::new(State::default());
        let shared = state.clone();
        let run = move || {
            while wanted.recv().is_ok() {
                copy(&own, &shared);
                shared.copied.store(true, Ordering::Release);
                shared.running.store(false, Ordering::Release);
            }
        };
        let spawned = std::thread::Builder::new().name("relay-checkpoint".to_owned()).spawn(run);
        if let Err(error) = &spawned {
            tracing::warn!(%error, "no thread for checkpoints: the writer makes them");
        }
        let begin = spawned.is_ok().then_some(begin);
        Ok(Checkpoints { pages, thread: spawned.ok(), begin, state, worth: PAGES })
    }

    /// Looks after the log between two transactions.
    pub(crate) fn after_commit(&mut self, writer: &Connection, stats: &Mutex<CommitStats>) {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < PAGES {
            self.worth = PAGES;
        }
        if pages < self.worth || self.state.running.load(Ordering::Acquire) {
            return;
        }
        if self.begin.is_none() || self.state.copied.swap(false, Ordering::AcqRel) {
            let began = Instant::now();
            copy(writer, &self.state);
            // Should the log not begin anew now, another checkpoint is worth it once it has grown as much again.
            self.worth = pages + PAGES;
            let mut stats = lock(stats);
            stats.checkpoints.0 += 1;
            stats.checkpoints.1 += began.elapsed();
        } else if let Some(begin) = &self.begin {
            self.state.running.store(true, Ordering::Release);
            // It takes one wish at a time, and this is the only one.
            let _ = begin.try_send(());
        }
    }

    /// True if the disk failed to flush the database.
    pub(crate) fn lost(&self) -> bool {
        self.state.lost.load(Ordering::Acquire)
    }

    /// Copies everything and leaves the log empty.
    pub(crate) fn finish(&mut self, writer: &Connection) {
        self.stop();
        let emptied = writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = emptied {
            tracing::warn!(%error, "the last checkpoint failed");
        }
    }

    fn stop(&mut self) {
        self.begin = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the checkpoint thread has panicked");
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.stop();
    }
}
