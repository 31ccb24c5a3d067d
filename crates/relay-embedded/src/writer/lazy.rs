//! Work that nobody waits for.

use crate::attempts::packed::Packed;
use crate::queue::Queue;
use crate::queue::acks::Unwritten;
use crate::sync::lock;
use relay_core::names::{KeyId, SubscriptionId};
use relay_core::time::Time;
use rusqlite::{Connection, params};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// So many pieces of lazy work are worth a commit.
pub(crate) const MUCH: usize = 512;
/// Attempts that could not be written and take more than this are dropped.
const KEPT_BYTES: usize = 8 * 1024 * 1024;

#[derive(Debug, Default)]
struct Notes {
    attempts: HashMap<SubscriptionId, Packed>,
    key_uses: HashMap<KeyId, Time>,
}

/// Lazy work that waits for the writer.
pub(crate) struct Lazy {
    queue: Arc<Queue>,
    notes: Mutex<Notes>,
    count: AtomicUsize,
    told: AtomicBool,
    told_much: AtomicBool,
}

/// Lazy work that is being written.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    acks: Unwritten,
    notes: Notes,
}

impl Lazy {
    pub(crate) fn new(queue: Arc<Queue>) -> Lazy {
        let told = AtomicBool::new(false);
        Lazy { queue, notes: Mutex::default(), count: AtomicUsize::new(0), told, told_much: AtomicBool::new(false) }
    }

    /// Some messages were acknowledged: the queue knows which.
    pub(crate) fn acknowledged(&self, messages: usize) {
        self.count.fetch_add(messages, Ordering::Relaxed);
    }

    /// Attempts to record.
    pub(crate) fn attempted(&self, attempts: Vec<(SubscriptionId, Packed)>) {
        let mut notes = lock(&self.notes);
        for (subscription, packed) in attempts {
            self.count.fetch_add(packed.count(), Ordering::Relaxed);
            match notes.attempts.get_mut(&subscription) {
                Some(waiting) => waiting.append(&packed),
                None => {
                    notes.attempts.insert(subscription, packed);
                }
            }
        }
    }

    /// A key was used.
    pub(crate) fn key_used(&self, key: KeyId, at: Time) {
        lock(&self.notes).key_uses.insert(key, at);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// True if the writer has to be told: that there is something, or that there is much.
    pub(crate) fn needs_telling(&self) -> bool {
        let told = |flag: &AtomicBool| flag.swap(true, Ordering::AcqRel);
        match self.count.load(Ordering::Relaxed) {
            0 => false,
            count if count >= MUCH && !told(&self.told_much) => true,
            _ => !self.told.load(Ordering::Acquire) && !told(&self.told),
        }
    }

    /// True if there is enough for a commit of its own.
    pub(crate) fn is_much(&self) -> bool {
        self.count.load(Ordering::Relaxed) >= MUCH
    }

    /// Takes what waits.
    pub(crate) fn take(&self) -> Batch {
        // In this order: what is added from here on tells the writer again.
        self.count.store(0, Ordering::Relaxed);
        self.told.store(false, Ordering::Release);
        self.told_much.store(false, Ordering::Release);
        Batch { acks: self.queue.take_unwritten_acks(), notes: std::mem::take(&mut *lock(&self.notes)) }
    }

    /// What was taken is not committed.
    pub(crate) fn put_back(&self, batch: Batch) {
        self.queue.put_back_unwritten_acks(&batch.acks);
        let mut notes = lock(&self.notes);
        for (key, at) in batch.notes.key_uses {
            notes.key_uses.entry(key).or_insert(at);
        }
        let bytes: usize = batch.notes.attempts.values().map(Packed::bytes).sum();
        if bytes > KEPT_BYTES {
            tracing::warn!(bytes, "attempts could not be recorded");
            return;
        }
        for (subscription, mut packed) in batch.notes.attempts {
            if let Some(newer) = notes.attempts.remove(&subscription) {
                packed.append(&newer);
            }
            notes.attempts.insert(subscription, packed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.acks.is_empty() && self.notes.attempts.is_empty() && self.notes.key_uses.is_empty()
    }

    /// Writes it.
    pub(crate) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        for (chunk, bits) in &self.acks.chunks {
            let sql = "INSERT INTO acks(chunk, bits) VALUES(?1, ?2) ON CONFLICT DO UPDATE SET bits = excluded.bits";
            connection.prepare_cached(sql)?.execute(params![chunk, bits])?;
        }
        if let Some(low) = self.acks.low {
            connection.prepare_cached("DELETE FROM acks WHERE chunk < ?1")?.execute([low])?;
            let sql = "INSERT INTO meta(name, value) VALUES('acked', ?1)
                       ON CONFLICT DO UPDATE SET value = excluded.value";
            connection.prepare_cached(sql)?.execute([low])?;
        }
        for (subscription, packed) in &self.notes.attempts {
            let sql = "INSERT INTO attempts(subscription, at, packed) VALUES(?1, ?2, ?3)";
            let row = params![subscription.as_str(), packed.latest().0, packed.as_bytes()];
            connection.prepare_cached(sql)?.execute(row)?;
        }
        for (key, at) in &self.notes.key_uses {
            let sql = "INSERT INTO key_uses(id, at) VALUES(?1, ?2) ON CONFLICT DO UPDATE SET at = excluded.at";
            connection.prepare_cached(sql)?.execute(params![key.as_str(), at.0])?;
        }
        Ok(())
    }
}
