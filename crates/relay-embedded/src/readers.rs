//! Reading: a few connections, each on a thread of its own. What they read is allocated by these few threads alone: an
//! allocator keeps what it has for each thread.

use crate::fault;
use crate::folder::OpenError;
use crate::schema::Opening;
use crate::sync::lock;
use relay_core::ports::PortError;
use rusqlite::{Connection, OptionalExtension, Params, Row};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use tokio::sync::oneshot;

/// Number of connections: reads are short, and bounded by processor or disk.
const CONNECTIONS: usize = 4;

type Job = Box<dyn FnOnce(&Connection) + Send>;

/// Connections that read.
#[derive(Clone)]
pub(crate) struct Readers {
    /// None once they are closed.
    jobs: Arc<Mutex<Option<Sender<Job>>>>,
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

/// Does jobs until nobody can send any more.
fn work(connection: &Connection, jobs: &Mutex<Receiver<Job>>) {
    loop {
        // Whoever has the lock waits for the next job, and the others for the lock.
        let Ok(job) = lock(jobs).recv() else { return };
        job(connection);
    }
}

impl Readers {
    pub(crate) fn open(opening: &Opening) -> Result<Readers, OpenError> {
        let (jobs, queued) = channel();
        let queued = Arc::new(Mutex::new(queued));
        let start = |_| {
            let (connection, queued) = (opening.reader()?, queued.clone());
            let thread = thread::Builder::new().name("store-reader".to_owned());
            let path = || opening.folder.path().to_owned();
            let failed = |source| OpenError::File { path: path(), source };
            thread.spawn(move || work(&connection, &queued)).map_err(failed)
        };
        let threads = (0..CONNECTIONS).map(start).collect::<Result<Vec<_>, _>>()?;
        Ok(Readers { jobs: Arc::new(Mutex::new(Some(jobs))), threads: Arc::new(Mutex::new(threads)) })
    }

    /// Reads in one snapshot, of all that is committed when it begins. Whoever asked may stop waiting.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, PortError> + Send + 'static,
    ) -> Result<T, PortError> {
        let closed = || PortError::Unavailable("the store is closed".to_owned());
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let _ = answer.send(in_snapshot(connection, read));
        });
        let sent = lock(&self.jobs).as_ref().map(|jobs| jobs.send(job));
        sent.and_then(Result::ok).ok_or_else(closed)?;
        answered.await.map_err(|_| closed())?
    }

    /// Closes the connections, once the reads that were asked for have been answered.
    pub(crate) fn close(&self) {
        drop(lock(&self.jobs).take());
        for thread in lock(&self.threads).drain(..) {
            // It has told of a panic itself.
            let _ = thread.join();
        }
    }
}

fn in_snapshot<T>(
    connection: &Connection,
    read: impl FnOnce(&Connection) -> Result<T, PortError>,
) -> Result<T, PortError> {
    let run = |sql| connection.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
    run("BEGIN").map_err(|error| fault::of_sqlite(&error))?;
    let answer = catch_unwind(AssertUnwindSafe(|| read(connection)));
    run("COMMIT").map_err(|error| fault::of_sqlite(&error))?;
    answer.unwrap_or_else(|_| Err(PortError::Unavailable("a read was cut off".to_owned())))
}

/// Reads one row, if there is one.
pub(crate) fn row<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>, PortError> {
    let run = || connection.prepare_cached(sql)?.query_row(params, read).optional();
    run().map_err(|error| fault::of_sqlite(&error))
}

/// Reads rows one by one, for as long as `each` says to go on; true if there was no row that it refused.
pub(crate) fn visit(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    mut each: impl FnMut(&Row<'_>) -> Result<bool, PortError>,
) -> Result<bool, PortError> {
    let fault = |error: rusqlite::Error| fault::of_sqlite(&error);
    let mut statement = connection.prepare_cached(sql).map_err(fault)?;
    let mut rows = statement.query(params).map_err(fault)?;
    while let Some(row) = rows.next().map_err(fault)? {
        if !each(row)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads rows.
pub(crate) fn rows<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, PortError> {
    let run = || connection.prepare_cached(sql)?.query_map(params, read)?.collect::<rusqlite::Result<Vec<T>>>();
    run().map_err(|error| fault::of_sqlite(&error))
}
