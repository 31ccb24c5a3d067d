//! Appending to the hot log.

use super::item::{STAGING, encode, position};
use super::{HOT, LogPort, SETTLE, partition};
use crate::stamp::{Stamp, WITHIN};
use crate::table::Key;
use crate::table::attributes::{Row, binary, number, text};
use bytes::Bytes;
use futures_util::future::try_join_all;
use relay_core::ports::{Message, PortError};
use relay_core::replay_id::{LogPosition, LogShard};
use std::collections::BTreeMap;
use std::time::Duration;

/// Larger entries, compressed, lie in the bucket: a PUT costs as much as eight writes of 1 KiB.
const INLINE_BYTES: usize = 8 * 1024;
/// How much longer an item is there than readers go by it, since clocks differ.
const LONGER: Duration = Duration::from_secs(3_600);
/// Times that an append which took too long is repeated under a fresh position.
const REPEATS: usize = 3;

impl LogPort {
    /// Appends messages: those of a shard share items.
    pub(super) async fn append_all(&self, messages: &[Message]) -> Result<Vec<LogPosition>, PortError> {
        let mut items: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, message) in messages.iter().enumerate() {
            let shard = LogShard::of(&message.pack.key);
            items.entry(partition(&message.pack.topic_id, shard)).or_default().push(at);
        }
        let chunks: Vec<(String, Vec<usize>)> = items
            .into_iter()
            .flat_map(|(partition, places)| {
                let chunks: Vec<_> =
                    places.chunks(1 << WITHIN).map(|chunk| (partition.clone(), chunk.to_vec())).collect();
                chunks
            })
            .collect();
        let written = chunks.iter().map(|(partition, places)| async move {
            let of_item: Vec<&Message> = places.iter().map(|at| &messages[*at]).collect();
            self.append_item(partition, &of_item).await
        });
        let stamps = try_join_all(written).await?;
        let mut positions = vec![LogPosition::default(); messages.len()];
        for ((_, places), stamp) in chunks.iter().zip(stamps) {
            for (place, at) in places.iter().enumerate() {
                positions[*at] = position(stamp, place);
            }
        }
        Ok(positions)
    }

    /// Appends what shares an item. An append that took longer than readers wait for may have been passed by them: it
    /// is made again under a fresh position.
    async fn append_item(&self, partition: &str, messages: &[&Message]) -> Result<Stamp, PortError> {
        let packs: Vec<_> = messages.iter().map(|message| (message.sequence, &*message.pack)).collect();
        let encoded = Bytes::from(encode(&packs)?);
        for _ in 0..REPEATS {
            let stamp = self.stamps.next();
            let key = Key::new(partition, stamp.key());
            let row = Row::of(&key).with("expiresAt", number((stamp.at + HOT + LONGER).0.div_ceil(1000)));
            let row = if encoded.len() <= INLINE_BYTES {
                row.with("entries", binary(encoded.to_vec()))
            } else {
                let object = format!("{STAGING}/{}/{}", partition.replace('#', "/"), stamp.key());
                self.objects.put(&object, encoded.clone(), "application/zstd").await?;
                row.with("entriesObject", text(object))
            };
            self.table.put(row).await?;
            if self.clock.now().since(stamp.at) <= SETTLE / 2 {
                return Ok(stamp);
            }
        }
        Err(PortError::Unavailable("appending to the log takes longer than its readers wait".to_owned()))
    }
}
