//! What a start has to know of the store.

use crate::fault;
use crate::lanes::mirror::LaneMirror;
use crate::queue::acks::Acks;
use crate::queue::intake::Intake;
use crate::readers::{row, rows};
use crate::registry::Mirror;
use crate::replays::forget_leases;
use relay_core::names::TopicId;
use relay_core::pack::LaneId;
use relay_core::ports::PortError;
use relay_core::time::Time;
use rusqlite::{Connection, params};

/// Of the messages that are not acknowledged at a crash, so many may have been in flight.
const IN_FLIGHT: u64 = 4_096;

/// What is in memory while the store is open.
pub(crate) struct Recovered {
    /// When the store was made: what its sequences begin with.
    pub(crate) era: u64,
    pub(crate) intake: Intake,
    pub(crate) acks: Acks,
    pub(crate) crashes: Vec<u64>,
    pub(crate) lanes: LaneMirror,
    pub(crate) registry: Mirror,
}

impl Recovered {
    /// Reads it, on the writer's connection, and notes that the store is open.
    pub(crate) fn read(connection: &Connection, now: Time, seed: u64) -> Result<Recovered, PortError> {
        let run = |sql| connection.execute_batch(sql).map_err(|error| fault::of_sqlite(&error));
        run("BEGIN IMMEDIATE")?;
        let recovered = read(connection, now, seed >> 1);
        run(if recovered.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
        recovered
    }
}

fn read(connection: &Connection, now: Time, seed: u64) -> Result<Recovered, PortError> {
    let era = meta_or_set(connection, "era", now.0)?;
    let seed = meta_or_set(connection, "seed", seed)?;
    let was_closed = meta_or_set(connection, "clean", 1)? == 1;
    let intake = Intake::load(connection, seed, now)?;
    let acks = read_acks(connection)?;
    let crashes = read_crashes(connection, &acks, intake.last(), was_closed)?;
    let execute = |sql| connection.execute(sql, []).map_err(|error| fault::of_sqlite(&error));
    execute("UPDATE meta SET value = 0 WHERE name = 'clean'")?;
    // A process that was killed may have left commits that are not durable, and what is read here will be acted upon.
    // The next commit syncs them, too, but only if it writes something: this always does.
    meta_or_set(connection, "starts", 0)?;
    execute("UPDATE meta SET value = value + 1 WHERE name = 'starts'")?;
    forget_leases(connection).map_err(|error| fault::of_sqlite(&error))?;
    let (lanes, registry) = (read_lanes(connection)?, Mirror::load(connection)?);
    Ok(Recovered { era, intake, acks, crashes, lanes, registry })
}

fn meta(connection: &Connection, name: &str) -> Result<Option<u64>, PortError> {
    row(connection, "SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0))
}

/// A number that is set once in a store's life.
fn meta_or_set(connection: &Connection, name: &str, value: u64) -> Result<u64, PortError> {
    if let Some(known) = meta(connection, name)? {
        return Ok(known);
    }
    let insert = connection.execute("INSERT INTO meta(name, value) VALUES(?1, ?2)", params![name, value]);
    insert.map(|_| value).map_err(|error| fault::of_sqlite(&error))
}

fn read_acks(connection: &Connection) -> Result<Acks, PortError> {
    let low = meta(connection, "acked")?.unwrap_or(0);
    let chunks = rows(connection, "SELECT chunk, bits FROM acks WHERE chunk >= ?1", [low], |row| {
        Ok((row.get::<_, u64>(0)?, row.get::<_, Vec<u8>>(1)?))
    })?;
    let damaged = || PortError::Corrupt("the acknowledgements cannot be read".to_owned());
    Acks::restore(low, chunks).ok_or_else(damaged)
}

/// Which messages may have been received before crashes: what crashes its receiver is known by its count only if the
/// count outlives the crash.
fn read_crashes(connection: &Connection, acks: &Acks, last: u64, was_closed: bool) -> Result<Vec<u64>, PortError> {
    let first = acks.first_unset(1);
    let execute = |sql, value: u64| connection.execute(sql, [value]).map_err(|error| fault::of_sqlite(&error));
    execute("DELETE FROM starts WHERE through < ?1", first)?;
    if !was_closed && first <= last {
        execute("INSERT INTO starts(through) VALUES(?1)", last.min(first + IN_FLIGHT))?;
    }
    rows(connection, "SELECT through FROM starts", [], |row| row.get(0))
}

fn read_lanes(connection: &Connection) -> Result<LaneMirror, PortError> {
    let mirror = LaneMirror::default();
    let topic = |text: String| TopicId::new(text).map_err(|fault| PortError::Corrupt(fault.to_string()));
    let held = rows(connection, "SELECT lane, topic FROM lanes", [], |row| {
        Ok((LaneId(row.get(0)?), row.get::<_, String>(1)?))
    })?;
    for (lane, id) in held {
        mirror.restore_lane(lane, &topic(id)?);
    }
    let sql = "SELECT b.lane, b.depth, t.topic
               FROM (SELECT lane, sum(past - next) AS depth, min(position) AS first FROM backlog GROUP BY lane) b
               JOIN log l ON l.position = b.first JOIN shards t ON t.number = l.shard";
    let backlogs =
        rows(connection, sql, [], |row| Ok((LaneId(row.get(0)?), row.get::<_, u64>(1)?, row.get::<_, String>(2)?)))?;
    for (lane, depth, id) in backlogs {
        mirror.restore_backlog(lane, &topic(id)?, depth);
    }
    Ok(mirror)
}
