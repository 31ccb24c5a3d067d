//! One transaction of the writer: many pieces of work, each of which may fail alone.

use super::job::{Job, Tx};
use super::lazy::Batch;
use super::{Command, Send};
use crate::fault;
use crate::queue::Queue;
use crate::queue::intake::{Given, Intake};
use relay_core::ports::PortError;
use relay_core::time::Time;
use rusqlite::Connection;

/// A piece of work that was carried out, and how it is to be answered if the transaction is committed.
enum Carried {
    Send(Send, Vec<Result<Given, PortError>>),
    Job(Box<dyn Job>),
}

/// A transaction that is under way.
pub(super) struct Group<'e> {
    connection: &'e Connection,
    intake: &'e mut Intake,
    tx: Tx<'e>,
    now: Time,
    carried: Vec<Carried>,
    /// Why nothing of it can be done.
    failure: Option<PortError>,
    lost: bool,
    noted: bool,
}

/// How a transaction ended.
pub(super) struct Done {
    pub(super) outcome: Result<(), PortError>,
    /// Packs that were accepted.
    pub(super) packs: u64,
    /// The disk failed to flush.
    pub(super) lost: bool,
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}

impl<'e> Group<'e> {
    pub(super) fn begin(
        connection: &'e Connection,
        intake: &'e mut Intake,
        now: Time,
        broken: Option<&PortError>,
    ) -> Group<'e> {
        let failure = broken.cloned().or_else(|| {
            let begun = execute(connection, "BEGIN IMMEDIATE");
            begun.err().map(|error| fault::of_sqlite(&error))
        });
        let (tx, carried) = (Tx::new(connection), Vec::new());
        Group { connection, intake, tx, now, carried, failure, lost: false, noted: false }
    }

    /// Carries out a piece of work. If it fails, nothing of it is done, and the others go on.
    pub(super) fn carry_out(&mut self, command: Command) {
        match command {
            Command::Send(send) => {
                let given = send.packs.iter().map(|pack| self.take(pack)).collect();
                self.carried.push(Carried::Send(send, given));
            }
            Command::Job(mut job) => {
                self.run(job.as_mut());
                self.carried.push(Carried::Job(job));
            }
            // These are seen to when they come in.
            Command::Lazy | Command::Close(_) | Command::Abandon => {}
        }
    }

    fn take(&mut self, pack: &crate::queue::intake::Prepared) -> Result<Given, PortError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let taken = self.intake.take(self.connection, pack, self.now).map_err(|error| fault::of_sqlite(&error));
        if let Err(error) = &taken {
            self.check_alive(error);
        }
        taken
    }

    fn run(&mut self, job: &mut dyn Job) {
        if self.failure.is_some() {
            return;
        }
        let mark = self.tx.mark();
        let connection = self.connection;
        let mut run = || {
            execute(connection, "SAVEPOINT work").map_err(|error| fault::of_sqlite(&error))?;
            job.run(&self.tx)?;
            execute(connection, "RELEASE work").map_err(|error| fault::of_sqlite(&error))
        };
        if let Err(error) = run() {
            self.tx.undo_since(mark);
            self.undo_work(&error);
        }
    }

    fn undo_work(&mut self, error: &PortError) {
        self.check_alive(error);
        if self.failure.is_none() {
            let undo = || {
                execute(self.connection, "ROLLBACK TO work")?;
                execute(self.connection, "RELEASE work")
            };
            self.failure = undo().err().map(|error| fault::of_sqlite(&error));
        }
    }

    /// SQLite ends the whole transaction upon some errors.
    fn check_alive(&mut self, error: &PortError) {
        if self.connection.is_autocommit() {
            self.failure = Some(error.clone());
        }
    }

    /// Writes lazy work and the intake's notes; false if that failed, which harms nobody else.
    pub(super) fn write_lazy(&mut self, lazy: &Batch) -> bool {
        if self.failure.is_some() {
            return false;
        }
        let run = || {
            execute(self.connection, "SAVEPOINT work")?;
            lazy.write(self.connection)?;
            self.intake.write_notes(self.connection, self.now)?;
            execute(self.connection, "RELEASE work")
        };
        match run().map_err(|error| fault::of_sqlite(&error)) {
            Ok(()) => self.noted = true,
            Err(error) => self.undo_work(&error),
        }
        self.noted
    }

    /// Makes it durable.
    pub(super) fn commit(&mut self) {
        if self.failure.is_some() {
            return;
        }
        if let Err(error) = execute(self.connection, "COMMIT") {
            self.lost = fault::is_lost_flush(&error);
            self.failure = Some(fault::of_sqlite(&error));
        }
    }

    /// Tells everybody.
    pub(super) fn finish(self, queue: &Queue) -> Done {
        let Group { connection, intake, tx, now, carried, failure, lost, noted } = self;
        if failure.is_some() && !connection.is_autocommit() {
            // Should this fail, too, the next BEGIN will, and say so.
            let _ = execute(connection, "ROLLBACK");
        }
        tx.finish(failure.is_none());
        if failure.is_some() {
            intake.rolled_back();
        } else {
            queue.arrived(carried.iter().filter_map(Carried::given).flatten());
        }
        let mut packs = 0;
        for one in carried {
            match one {
                Carried::Send(send, given) => {
                    let given: Vec<_> = match &failure {
                        None => given,
                        Some(failure) => given.into_iter().map(|one| one.and(Err(failure.clone()))).collect(),
                    };
                    packs += given.iter().filter(|one| one.is_ok()).count() as u64;
                    // Whoever waited may have gone.
                    let _ = send.reply.send(given);
                }
                Carried::Job(job) => job.answer(failure.clone().map_or(Ok(()), Err)),
            }
        }
        if failure.is_none() {
            if noted {
                intake.noted();
            }
            intake.committed(now);
        }
        Done { outcome: failure.map_or(Ok(()), Err), packs, lost }
    }
}

impl Carried {
    /// Packs that are new, and where they are.
    fn given(&self) -> Option<impl Iterator<Item = (&crate::queue::intake::Prepared, Given)>> {
        let Carried::Send(send, given) = self else { return None };
        let pairs = send.packs.iter().zip(given);
        Some(pairs.filter_map(|(pack, given)| match given {
            Ok(given) if !given.repeated => Some((pack, *given)),
            _ => None,
        }))
    }
}
