//! Reading: a few connections of their own, used off the runtime's threads.

use crate::fault;
use crate::folder::OpenError;
use crate::schema::Opening;
use crate::sync::lock;
use relay_core::ports::PortError;
use rusqlite::{Connection, OptionalExtension, Params, Row};
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;

/// Number of connections: reads are short, and bounded by processor or disk.
const CONNECTIONS: usize = 4;

/// Connections that read.
#[derive(Clone)]
pub(crate) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(crate) fn open(opening: &Opening) -> Result<Readers, OpenError> {
        let idle: Result<Vec<_>, _> = (0..CONNECTIONS).map(|_| opening.reader()).collect();
        Ok(Readers { idle: Arc::new(Mutex::new(idle?)), permits: Arc::new(Semaphore::new(CONNECTIONS)) })
    }

    /// Reads in one snapshot, of all that is committed when it begins.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, PortError> + Send + 'static,
    ) -> Result<T, PortError> {
        let closed = || PortError::Unavailable("the store is closed".to_owned());
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| closed())?;
        let idle = self.idle.clone();
        let task = tokio::task::spawn_blocking(move || {
            // The permit goes with the work: whoever asked may stop waiting, the connection comes back all the same.
            let _permit = permit;
            let Some(connection) = lock(&idle).pop() else { return Err(closed()) };
            let answer = in_snapshot(&connection, read);
            lock(&idle).push(connection);
            answer
        });
        task.await.map_err(|error| PortError::Unavailable(error.to_string()))?
    }

    /// Closes the connections.
    pub(crate) fn close(&self) {
        self.permits.close();
        lock(&self.idle).clear();
    }
}

fn in_snapshot<T>(
    connection: &Connection,
    read: impl FnOnce(&Connection) -> Result<T, PortError>,
) -> Result<T, PortError> {
    let run = |sql| connection.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
    run("BEGIN").map_err(|error| fault::of_sqlite(&error))?;
    let answer = read(connection);
    run("COMMIT").map_err(|error| fault::of_sqlite(&error))?;
    answer
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
