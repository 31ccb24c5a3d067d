//! The log: the queue's rows, read by topic, and expiry.

mod expiry;

use crate::queue::Queue;
use crate::readers::{Readers, row};
use crate::registry::Mirror;
use crate::rows::decode_pack;
use crate::sync::lock;
use crate::writer::Writer;
use async_trait::async_trait;
use expiry::Expiry;
use relay_core::names::TopicId;
use relay_core::pack::Pack;
use relay_core::ports::{EventLog, Message, PortError};
use relay_core::replay_id::LogPosition;
use relay_core::sequence::PackSequence;
use relay_core::time::Time;
use rusqlite::Connection;
use std::sync::{Arc, Mutex};

/// [`EventLog`] over the rows that the queue wrote.
pub(crate) struct LogPort {
    pub(crate) queue: Arc<Queue>,
    pub(crate) writer: Arc<Writer>,
    pub(crate) readers: Readers,
    pub(crate) registry: Arc<Mirror>,
    pub(crate) expiry: Mutex<Expiry>,
    pub(crate) era: u64,
}

type Entry = (LogPosition, PackSequence, Arc<Pack>);

impl LogPort {
    pub(crate) fn new(
        queue: Arc<Queue>,
        writer: Arc<Writer>,
        readers: Readers,
        registry: Arc<Mirror>,
        era: u64,
    ) -> LogPort {
        LogPort { queue, writer, readers, registry, expiry: Mutex::default(), era }
    }
}

/// Entries of a topic, from a position backwards along the chain that its rows form.
fn walk(connection: &Connection, from: u64, limit: usize, era: u64) -> Result<Vec<Entry>, PortError> {
    let (mut entries, mut position) = (Vec::new(), from);
    while position > 0 && entries.len() < limit {
        let sql = "SELECT at, prev, pack FROM log WHERE position = ?1";
        let read = row(connection, sql, [position], |row| {
            Ok((row.get::<_, u64>(0)?, row.get::<_, u64>(1)?, row.get::<_, Vec<u8>>(2)?))
        })?;
        // Where the chain ends, the rest has expired.
        let Some((at, prev, pack)) = read else { break };
        let sequence = PackSequence { era, number: u128::from(position) };
        entries.push((LogPosition { at: Time(at), unique: position }, sequence, decode_pack(pack)?));
        position = prev;
    }
    Ok(entries)
}

/// The topic's entry before a position that is, or was, one of its entries.
fn before(connection: &Connection, position: u64) -> Result<u64, PortError> {
    let prev = row(connection, "SELECT prev FROM log WHERE position = ?1", [position], |row| row.get(0))?;
    Ok(prev.unwrap_or(0))
}

#[async_trait]
impl EventLog for LogPort {
    async fn append(&self, messages: &[Message]) -> Result<Vec<LogPosition>, PortError> {
        // The queue's row is the log's.
        let position = |message: &Message| message.position;
        let missing = || PortError::Invalid("a message of another queue".to_owned());
        messages.iter().map(position).collect::<Option<Vec<_>>>().ok_or_else(missing)
    }

    async fn newest(
        &self,
        topic: &TopicId,
        earlier_than: Option<LogPosition>,
        limit: usize,
    ) -> Result<Vec<Entry>, PortError> {
        let era = self.era;
        match earlier_than {
            Some(position) => {
                let read =
                    move |connection: &Connection| walk(connection, before(connection, position.unique)?, limit, era);
                self.readers.read(read).await
            }
            None => {
                let topic = topic.clone();
                let newest = self.writer.ask(move |intake| intake.newest_of(&topic)).await?;
                self.readers.read(move |connection| walk(connection, newest, limit, era)).await
            }
        }
    }

    async fn expire(&self, now: Time) -> Result<u64, PortError> {
        let (retentions, last) = (self.registry.retentions(), self.queue.last());
        let mut expiry = std::mem::take(&mut *lock(&self.expiry));
        expiry.look_again(&retentions, now);
        let result = self.expire_some(&mut expiry, now, last).await;
        *lock(&self.expiry) = expiry;
        result
    }
}
