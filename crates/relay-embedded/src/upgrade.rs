//! Stores that an earlier version wrote, brought to the present form when they are opened.

use crate::rows::decode_pack;
use relay_core::replay_id::LogShard;
use rusqlite::types::Type;
use rusqlite::{Connection, params};
use std::collections::HashMap;

/// Rows rewritten at a time.
const ROWS: usize = 1_000;

/// In form 1 a row named its topic alone, and the topic's row before it.
pub(crate) fn from_1(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE shards(
            number INTEGER PRIMARY KEY, topic TEXT NOT NULL, shard INTEGER NOT NULL,
            compacted INTEGER NOT NULL DEFAULT 0, pending INTEGER, pending_path TEXT, UNIQUE(topic, shard)) STRICT;
         CREATE TABLE segments(
            shard INTEGER NOT NULL, last_at INTEGER NOT NULL, last INTEGER NOT NULL, kept INTEGER NOT NULL,
            path TEXT NOT NULL, record TEXT NOT NULL, PRIMARY KEY(shard, last_at, last)) WITHOUT ROWID, STRICT;
         ALTER TABLE log RENAME COLUMN topic TO shard;",
    )?;
    let mut shards = HashMap::new();
    let mut insert = connection.prepare("INSERT INTO shards(topic, shard) VALUES(?1, ?2)")?;
    let mut read =
        connection.prepare("SELECT position, pack FROM log WHERE position > ?1 ORDER BY position LIMIT ?2")?;
    let mut write = connection.prepare("UPDATE log SET shard = ?2 WHERE position = ?1")?;
    let mut through = 0;
    loop {
        let rows =
            read.query_map(params![through, ROWS], |row| Ok((row.get::<_, u64>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
        let rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        for (position, pack) in &rows {
            let pack = decode_pack(pack.clone());
            let pack = pack.map_err(|fault| rusqlite::Error::FromSqlConversionFailure(1, Type::Blob, fault.into()))?;
            let shard = (pack.topic_id.clone(), LogShard::of(&pack.key));
            let number = match shards.get(&shard) {
                Some(known) => *known,
                None => insert.insert(params![shard.0.as_str(), shard.1.number()])?,
            };
            shards.insert(shard, number);
            write.execute(params![position, number])?;
        }
        match rows.last() {
            Some((last, _)) => through = *last,
            None => break,
        }
    }
    connection.execute_batch(
        "DROP TABLE topic_numbers;
         ALTER TABLE log DROP COLUMN prev;
         CREATE INDEX log_of_shard ON log(shard, position);",
    )
}
