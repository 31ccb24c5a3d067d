//! Attempts: `ATTEMPTS#subscription` / time and what makes it unique. Those of one invocation and subscription share an
//! item, compressed, which TTL removes after a week.

use crate::packs::{compress, decompress};
use crate::stamp::{Stamp, Stamps};
use crate::table::attributes::{Row, binary, number};
use crate::table::{Key, Query, Table};
use async_trait::async_trait;
use futures_util::future::try_join_all;
use relay_core::limits::ATTEMPTS_KEPT;
use relay_core::names::SubscriptionId;
use relay_core::ports::{Attempt, Attempts, AttemptsPage, Clock, PortError};
use relay_core::record;
use relay_core::time::Time;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Attempts in one item: the usual ones, with an answer's beginning of 1 KiB in each, are far from what it holds.
const PER_ITEM: usize = 128;
/// What an item's attempts may come to, compressed: an item holds 400 KB
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html>).
const MAX_ITEM_BYTES: usize = 380 * 1024;
/// Items read at a time.
const PAGE: usize = 16;

/// [`Attempts`] over the table.
pub(crate) struct AttemptsPort {
    table: Table,
    stamps: Arc<Stamps>,
    clock: Arc<dyn Clock>,
    /// What is older was given up by [`Attempts::expire`]; TTL removes it at its own time.
    expired_before: AtomicU64,
}

/// Where a page ends: an item, and how many of its first attempts are still to come.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Cursor {
    stamp: Stamp,
    index: usize,
}

impl Cursor {
    fn parse(text: &str) -> Result<Cursor, PortError> {
        let parse = || {
            let (stamp, index) = text.split_once('.')?;
            let digits = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
            Some(Cursor { stamp: Stamp::parse(stamp)?, index: digits.then(|| index.parse().ok())?? })
        };
        parse().ok_or_else(|| PortError::Invalid("not a cursor of attempts".to_owned()))
    }
}

fn partition(subscription: &SubscriptionId) -> String {
    format!("ATTEMPTS#{subscription}")
}

/// Encodes attempts that share an item.
pub(crate) fn encode(attempts: &[Attempt]) -> Result<Vec<u8>, PortError> {
    compress(record::encode(&attempts)?.as_bytes())
}

/// Decodes attempts that share an item.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<Attempt>, PortError> {
    let text = String::from_utf8(decompress(bytes)?).map_err(|error| PortError::Corrupt(error.to_string()))?;
    record::decode(&text)
}

impl AttemptsPort {
    pub(crate) fn new(table: Table, stamps: Arc<Stamps>, clock: Arc<dyn Clock>) -> AttemptsPort {
        AttemptsPort { table, stamps, clock, expired_before: AtomicU64::new(0) }
    }

    /// Writes attempts as one item, or as many as it takes.
    async fn write(&self, subscription: &SubscriptionId, attempts: &[Attempt]) -> Result<(), PortError> {
        let mut left = vec![attempts];
        while let Some(attempts) = left.pop() {
            let encoded = encode(attempts)?;
            if encoded.len() > MAX_ITEM_BYTES && attempts.len() > 1 {
                let (first, second) = attempts.split_at(attempts.len() / 2);
                left.extend([second, first]);
                continue;
            }
            let stamp = self.stamps.next();
            let row = Row::of(&Key::new(partition(subscription), stamp.key()))
                .with("attempts", binary(encoded))
                .with("expiresAt", number((stamp.at + ATTEMPTS_KEPT).0.div_ceil(1000)));
            self.table.put(row).await?;
        }
        Ok(())
    }

    /// The time from which attempts are shown.
    fn shown_from(&self) -> Time {
        Time(self.expired_before.load(Ordering::Relaxed)).max(self.clock.now() - ATTEMPTS_KEPT)
    }
}

#[async_trait]
impl Attempts for AttemptsPort {
    async fn record(&self, attempts: Vec<Attempt>) -> Result<(), PortError> {
        let mut by_subscription: BTreeMap<SubscriptionId, Vec<Attempt>> = BTreeMap::new();
        for attempt in attempts {
            by_subscription.entry(attempt.subscription.clone()).or_default().push(attempt);
        }
        let written = by_subscription.iter().map(|(subscription, attempts)| async move {
            for chunk in attempts.chunks(PER_ITEM) {
                self.write(subscription, chunk).await?;
            }
            Ok(())
        });
        try_join_all(written).await.map(drop)
    }

    async fn list(
        &self,
        subscription: &SubscriptionId,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<AttemptsPage, PortError> {
        let mut from = cursor.map(Cursor::parse).transpose()?;
        let first = Stamp { at: self.shown_from(), unique: 0 };
        let mut page = AttemptsPage::default();
        loop {
            let last = from.map_or(Stamp { at: Time(9_999_999_999_999), unique: u64::MAX }, |from| from.stamp);
            if first > last {
                return Ok(page);
            }
            let query = Query::of(partition(subscription)).between(first.key(), last.key()).backward();
            let rows = self.table.query(query.limit(PAGE)).await?;
            let is_last = rows.len() < PAGE;
            for row in rows {
                let corrupt = || PortError::Corrupt("an item of attempts cannot be read".to_owned());
                let stamp = Stamp::parse(row.text("sk")?).ok_or_else(corrupt)?;
                let attempts = decode(row.find_binary("attempts").ok_or_else(corrupt)?)?;
                let here = from.filter(|from| from.stamp == stamp).map(|from| from.index);
                let end = here.map_or(attempts.len(), |index| index.min(attempts.len()));
                for (index, attempt) in attempts.into_iter().enumerate().take(end).rev() {
                    if page.attempts.len() == limit {
                        page.next = Some(format!("{}.{}", stamp.key(), index + 1));
                        return Ok(page);
                    }
                    page.attempts.push(attempt);
                }
                from = Some(Cursor { stamp, index: 0 });
            }
            if is_last {
                return Ok(page);
            }
        }
    }

    /// Stops showing what is older, as far as this process goes; TTL removes it, for nothing. What is past
    /// [`ATTEMPTS_KEPT`] is shown by none.
    async fn expire(&self, before: Time) -> Result<u64, PortError> {
        self.expired_before.fetch_max(before.0, Ordering::Relaxed);
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_given_as_a_cursor_is_one() {
        let stamp = Stamp { at: Time(1_795_000_000_000), unique: 256 };
        let cursor = format!("{}.3", stamp.key());
        assert_eq!(Cursor::parse(&cursor), Ok(Cursor { stamp, index: 3 }));
        for bad in ["", ".", "1", "1.2", &stamp.key(), &format!("{cursor}.1"), &format!("{}.+1", stamp.key())] {
            assert!(Cursor::parse(bad).is_err(), "{bad}");
        }
    }
}
