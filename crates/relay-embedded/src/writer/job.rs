//! Work in the writer's transaction.

use crate::fault;
use relay_core::ports::PortError;
use rusqlite::{Connection, Params, Row};
use std::cell::RefCell;
use tokio::sync::oneshot;

/// What is to happen in memory once it is known whether the transaction is committed.
type Hook = Box<dyn FnOnce(bool)>;

/// The transaction, as a piece of work sees it.
pub(crate) struct Tx<'c> {
    connection: &'c Connection,
    hooks: RefCell<Vec<Hook>>,
}

impl<'c> Tx<'c> {
    pub(super) fn new(connection: &'c Connection) -> Tx<'c> {
        Tx { connection, hooks: RefCell::new(Vec::new()) }
    }

    pub(crate) fn connection(&self) -> &'c Connection {
        self.connection
    }

    /// Executes a statement; answers how many rows it changed.
    pub(crate) fn execute(&self, sql: &str, params: impl Params) -> Result<usize, PortError> {
        let run = || self.connection.prepare_cached(sql)?.execute(params);
        run().map_err(|error| fault::of_sqlite(&error))
    }

    /// Reads one row, if there is one.
    pub(crate) fn row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, PortError> {
        crate::readers::row(self.connection, sql, params, read)
    }

    /// Calls `hook` once it is known whether the transaction is committed, before anybody is answered: in order if
    /// it is, in reverse if it is not.
    pub(crate) fn settle(&self, hook: impl FnOnce(bool) + 'static) {
        self.hooks.borrow_mut().push(Box::new(hook));
    }

    /// Number of hooks so far.
    pub(super) fn mark(&self) -> usize {
        self.hooks.borrow().len()
    }

    /// Nothing since the mark is done.
    pub(super) fn undo_since(&self, mark: usize) {
        let undone = self.hooks.borrow_mut().split_off(mark);
        undone.into_iter().rev().for_each(|hook| hook(false));
    }

    /// All of it is committed, or nothing.
    pub(super) fn finish(self, committed: bool) {
        if committed {
            self.hooks.into_inner().into_iter().for_each(|hook| hook(true));
        } else {
            self.undo_since(0);
        }
    }
}

/// A piece of work.
pub(crate) trait Job: Send {
    /// Does it; on an error the caller undoes what it did.
    fn run(&mut self, tx: &Tx<'_>) -> Result<(), PortError>;

    /// Tells whoever waits. An error is why the transaction was not committed.
    fn answer(self: Box<Self>, committed: Result<(), PortError>);
}

/// A closure, and whoever waits for what it answers.
pub(super) struct Work<F, T> {
    work: Option<F>,
    answer: Option<Result<T, PortError>>,
    reply: oneshot::Sender<Result<T, PortError>>,
}

impl<F, T> Work<F, T> {
    pub(super) fn new(work: F) -> (Work<F, T>, oneshot::Receiver<Result<T, PortError>>) {
        let (reply, answer) = oneshot::channel();
        (Work { work: Some(work), answer: None, reply }, answer)
    }
}

impl<F, T> Job for Work<F, T>
where
    F: FnOnce(&Tx<'_>) -> Result<T, PortError> + Send,
    T: Send,
{
    fn run(&mut self, tx: &Tx<'_>) -> Result<(), PortError> {
        let Some(work) = self.work.take() else { return Ok(()) };
        let answer = work(tx);
        let done = answer.as_ref().map(|_| ()).map_err(Clone::clone);
        self.answer = Some(answer);
        done
    }

    fn answer(self: Box<Self>, committed: Result<(), PortError>) {
        let answer = match (self.answer, committed) {
            (Some(Err(error)), _) | (_, Err(error)) => Err(error),
            (Some(Ok(answer)), Ok(())) => Ok(answer),
            (None, Ok(())) => Err(super::stopped()),
        };
        // Whoever waited may have gone.
        let _ = self.reply.send(answer);
    }
}
