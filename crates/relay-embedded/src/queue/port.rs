//! The queue's port.

use super::intake::Prepared;
use super::window::Taken;
use super::{LOAD, Load, Queue, Row};
use crate::readers::{Readers, rows};
use crate::rows::pack_at;
use crate::writer::Writer;
use async_trait::async_trait;
use relay_core::limits::VISIBILITY;
use relay_core::pack::{GroupId, Pack};
use relay_core::ports::{Clock, EventQueue, Message, PortError, QueueLag, Receipt, Sent};
use relay_core::replay_id::LogPosition;
use relay_core::sequence::PackSequence;
use relay_core::time::Time;
use std::sync::Arc;
use std::time::Duration;

/// [`EventQueue`] over the queue in memory and the log on disk.
pub(crate) struct QueuePort {
    pub(crate) queue: Arc<Queue>,
    pub(crate) writer: Arc<Writer>,
    pub(crate) readers: Readers,
    pub(crate) clock: Arc<dyn Clock>,
    /// How long a receive waits for the first message.
    pub(crate) wait: Duration,
    pub(crate) era: u64,
}

/// Messages that were taken: they are given back if nobody gets them.
struct Held<'a> {
    queue: &'a Queue,
    taken: Vec<Taken>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        for taken in self.taken.drain(..) {
            self.queue.give_back(taken.position, taken.flight);
            self.queue.wake();
        }
    }
}

impl QueuePort {
    fn message(&self, taken: &Taken, pack: Arc<Pack>) -> Message {
        Message {
            pack,
            sequence: PackSequence { era: self.era, number: u128::from(taken.position) },
            receives: taken.receives,
            receipt: Receipt::Number(taken.position, taken.flight),
            position: Some(LogPosition { at: taken.at, unique: taken.position }),
        }
    }

    /// Completes messages with what has to be read.
    async fn complete(&self, taken: Vec<Taken>) -> Result<Vec<Message>, PortError> {
        let mut held = Held { queue: &self.queue, taken };
        let missing = held.taken.iter().filter(|taken| taken.pack.is_none()).map(|taken| taken.position);
        let missing: Vec<u64> = missing.collect();
        if !missing.is_empty() {
            let read = move |connection: &rusqlite::Connection| {
                missing
                    .into_iter()
                    .map(|position| readable(pack_at(connection, position)))
                    .collect::<Result<Vec<_>, _>>()
            };
            let packs = self.readers.read(read).await?;
            for (taken, pack) in held.taken.iter_mut().filter(|taken| taken.pack.is_none()).zip(packs) {
                taken.pack = pack;
            }
        }
        // What cannot be read stays hidden for now, and its group behind it: order is kept.
        let mut messages = Vec::with_capacity(held.taken.len());
        for mut taken in std::mem::take(&mut held.taken) {
            messages.extend(taken.pack.take().map(|pack| self.message(&taken, pack)));
        }
        Ok(messages)
    }

    /// Loads what comes next, if it is time to.
    async fn load(&self) -> Result<(), PortError> {
        let Some(load) = self.queue.begin_load() else { return Ok(()) };
        let loading = Loading(Some(&self.queue));
        let read = move |connection: &rusqlite::Connection| read_rows(connection, load);
        let rows = self.readers.read(read).await?;
        loading.finish(load, &rows);
        Ok(())
    }

    fn each(receipts: &[Receipt], done: impl Fn(u64, u64) -> bool) -> Vec<Result<(), PortError>> {
        let one = |receipt: &Receipt| match receipt {
            Receipt::Number(position, flight) if done(*position, *flight) => Ok(()),
            Receipt::Number(..) => Err(PortError::Conflict),
            Receipt::Text(_) => Err(PortError::Invalid("a receipt of another queue".to_owned())),
        };
        receipts.iter().map(one).collect()
    }
}

/// A load under way. One that failed, or that nobody waited for, may be tried again.
struct Loading<'a>(Option<&'a Queue>);

impl Loading<'_> {
    fn finish(mut self, load: Load, rows: &[Row]) {
        if let Some(queue) = self.0.take() {
            queue.loaded(load, rows);
        }
    }
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        if let Some(queue) = self.0 {
            queue.load_failed();
        }
    }
}

/// A damaged pack is no reason not to read the others.
fn readable(pack: Result<Arc<Pack>, PortError>) -> Result<Option<Arc<Pack>>, PortError> {
    match pack {
        Ok(pack) => Ok(Some(pack)),
        Err(PortError::Corrupt(what)) => {
            tracing::error!(what, "a queued pack cannot be read");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn read_rows(connection: &rusqlite::Connection, load: Load) -> Result<Vec<Row>, PortError> {
    let sql = "SELECT position, at, grp FROM log WHERE position BETWEEN ?1 AND ?2 ORDER BY position LIMIT ?3";
    rows(connection, sql, (load.from, load.through, LOAD), |row| {
        Ok(Row { position: row.get(0)?, at: Time(row.get(1)?), group: GroupId(row.get(2)?) })
    })
}

#[async_trait]
impl EventQueue for QueuePort {
    async fn send(&self, packs: Vec<Arc<Pack>>) -> Vec<Result<Sent, PortError>> {
        if packs.is_empty() {
            return Vec::new();
        }
        let count = packs.len();
        match self.writer.send(packs.into_iter().map(Prepared::new).collect()).await {
            Err(error) => vec![Err(error); count],
            Ok(answers) => {
                let sent = |given: super::Given| Sent {
                    sequence: PackSequence { era: self.era, number: u128::from(given.position.unique) },
                    position: Some(given.position),
                    repeated: Some(given.repeated),
                };
                answers.into_iter().map(|answer| answer.map(sent)).collect()
            }
        }
    }

    async fn receive(&self, max: usize) -> Result<Vec<Message>, PortError> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let give_up = self.clock.now() + self.wait;
        loop {
            let arrived = self.queue.arrived.notified();
            self.load().await?;
            let now = self.clock.now();
            let (taken, next) = self.queue.receive(max, now, now + VISIBILITY);
            if !taken.is_empty() {
                return self.complete(taken).await;
            }
            if now >= give_up {
                return Ok(Vec::new());
            }
            let until = next.map_or(give_up, |next| next.min(give_up));
            tokio::select! {
                () = arrived => {}
                () = self.clock.sleep(until.since(now)) => {}
            }
        }
    }

    async fn delete(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        let answers = Self::each(receipts, |position, flight| self.queue.acknowledge(position, flight));
        let done = answers.iter().filter(|answer| answer.is_ok()).count();
        if done > 0 {
            self.writer.later(|lazy| lazy.acknowledged(done));
            self.queue.wake();
        }
        answers
    }

    async fn give_back(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        let answers = Self::each(receipts, |position, flight| self.queue.give_back(position, flight));
        self.queue.wake();
        answers
    }

    async fn lag(&self) -> Result<QueueLag, PortError> {
        let (messages, mut oldest) = self.queue.lag();
        if let (None, Some(first)) = (oldest, self.queue.first_unacknowledged()) {
            let read = move |connection: &rusqlite::Connection| {
                crate::readers::row(connection, "SELECT at FROM log WHERE position = ?1", [first], |row| row.get(0))
            };
            oldest = self.readers.read(read).await?.map(Time);
        }
        let now = self.clock.now();
        Ok(QueueLag { messages, oldest: oldest.map_or(Duration::ZERO, |oldest| now.since(oldest)) })
    }

    fn has_acknowledged(&self, position: LogPosition) -> bool {
        self.queue.has_acknowledged(position.unique)
    }
}
