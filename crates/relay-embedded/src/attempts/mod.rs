//! The record of attempts: lazily written, one row for each transaction and subscription.

pub(crate) mod packed;

use crate::readers::{Readers, rows};
use crate::writer::Writer;
use async_trait::async_trait;
use packed::Packed;
use relay_core::names::SubscriptionId;
use relay_core::ports::{Attempt, Attempts, AttemptsPage, PortError};
use relay_core::time::Time;
use rusqlite::{Connection, params};
use std::sync::Arc;

/// Rows removed in one transaction: others wait for it.
const REMOVE: usize = 64;

/// [`Attempts`] over a table of packed rows.
pub(crate) struct AttemptsPort {
    pub(crate) writer: Arc<Writer>,
    pub(crate) readers: Readers,
}

/// Where a page ends: the next attempt is the one before this index of this row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    row: i64,
    index: usize,
}

impl Cursor {
    fn parse(text: &str) -> Result<Cursor, PortError> {
        let parse = || {
            let (row, index) = text.split_once('.')?;
            let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            let is_cursor = digits(row) && digits(index);
            is_cursor.then_some(Cursor { row: row.parse().ok()?, index: index.parse().ok()? })
        };
        parse().ok_or_else(|| PortError::Invalid("not a cursor".to_owned()))
    }
}

/// Attempts by subscription, in their order.
fn pack(attempts: &[Attempt]) -> Vec<(SubscriptionId, Packed)> {
    let (mut packed, mut scratch) = (Vec::<(SubscriptionId, Packed)>::new(), Vec::new());
    for attempt in attempts {
        let known = packed.iter().position(|(subscription, _)| *subscription == attempt.subscription);
        let index = known.unwrap_or_else(|| {
            packed.push((attempt.subscription.clone(), Packed::new()));
            packed.len() - 1
        });
        packed[index].1.push(attempt, &mut scratch);
    }
    packed
}

fn read_page(
    connection: &Connection,
    subscription: &SubscriptionId,
    from: Cursor,
    limit: usize,
) -> Result<AttemptsPage, PortError> {
    let mut page = AttemptsPage::default();
    let mut from = from;
    loop {
        let sql = "SELECT number, packed FROM attempts WHERE subscription = ?1 AND number <= ?2
                   ORDER BY number DESC LIMIT 16";
        let found = rows(connection, sql, params![subscription.as_str(), from.row], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
        })?;
        let is_last = found.len() < 16;
        for (number, bytes) in found {
            let damaged = || PortError::Corrupt(format!("attempts {number} cannot be read"));
            let parts = packed::split(&bytes).ok_or_else(damaged)?;
            let end = if number == from.row { from.index.min(parts.len()) } else { parts.len() };
            for index in (0..end).rev() {
                if page.attempts.len() == limit {
                    page.next = Some(format!("{number}.{}", index + 1));
                    return Ok(page);
                }
                page.attempts.push(packed::decode(subscription, parts[index]).ok_or_else(damaged)?);
            }
            from = Cursor { row: number - 1, index: usize::MAX };
        }
        if is_last {
            return Ok(page);
        }
    }
}

#[async_trait]
impl Attempts for AttemptsPort {
    async fn record(&self, attempts: Vec<Attempt>) -> Result<(), PortError> {
        if !attempts.is_empty() {
            let packed = pack(&attempts);
            self.writer.later(|lazy| lazy.attempted(packed));
        }
        Ok(())
    }

    async fn list(
        &self,
        subscription: &SubscriptionId,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<AttemptsPage, PortError> {
        let from = cursor.map_or(Ok(Cursor { row: i64::MAX, index: usize::MAX }), Cursor::parse)?;
        self.writer.flush().await?;
        let subscription = subscription.clone();
        self.readers.read(move |connection| read_page(connection, &subscription, from, limit)).await
    }

    async fn expire(&self, before: Time) -> Result<u64, PortError> {
        // Rows lie in the order of time; one goes when its last attempt may.
        let remove = move |tx: &crate::writer::Tx<'_>| {
            let sql = "SELECT number, at, packed FROM attempts ORDER BY number LIMIT ?1";
            let oldest = rows(tx.connection(), sql, [REMOVE], |row| {
                let count = packed::split(row.get_ref(2)?.as_blob().unwrap_or_default()).map_or(1, |parts| parts.len());
                Ok((row.get::<_, i64>(0)?, Time(row.get(1)?), count as u64))
            })?;
            let old: Vec<_> = oldest.into_iter().take_while(|(_, at, _)| *at < before).collect();
            if let Some((last, ..)) = old.last() {
                tx.execute("DELETE FROM attempts WHERE number <= ?1", [last])?;
            }
            Ok(old.iter().map(|(_, _, count)| count.max(&1)).sum())
        };
        self.writer.write(remove).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_given_as_a_cursor_is_one() {
        assert_eq!(Cursor::parse("12.3"), Ok(Cursor { row: 12, index: 3 }));
        for bad in ["", ".", "1", "1.", "+1.2", "1.2.3", "-1.2", "x.y"] {
            assert!(Cursor::parse(bad).is_err(), "{bad}");
        }
    }
}
