//! Items of the hot log: what the messages of a batch and shard share. Small ones hold their packs, compressed; large
//! ones refer to `staging/`.

use crate::log::LogPort;
use crate::packs::{compress, decompress};
use crate::stamp::{Stamp, WITHIN};
use crate::table::attributes::Row;
use bytes::Bytes;
use relay_core::pack::{Pack, codec};
use relay_core::ports::{LogEntry, PortError};
use relay_core::replay_id::LogPosition;
use relay_core::sequence::{PackSequence, Sequence};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;

/// The bucket's folder of what is too large for an item.
pub(super) const STAGING: &str = "staging";

/// An entry as it is stored: `{"v":1,"entries":[{"sequence":"…","pack":{…}}]}`, compressed.
#[derive(Serialize, Deserialize)]
struct StoredBatch<'a> {
    v: u32,
    #[serde(borrow)]
    entries: Vec<StoredEntry<'a>>,
}

#[derive(Serialize, Deserialize)]
struct StoredEntry<'a> {
    sequence: Sequence,
    #[serde(borrow)]
    pack: &'a RawValue,
}

/// Encodes the packs that share an item.
pub(crate) fn encode(packs: &[(PackSequence, &Pack)]) -> Result<Vec<u8>, PortError> {
    let invalid = |error: &dyn std::fmt::Display| PortError::Invalid(error.to_string());
    let mut texts = Vec::with_capacity(packs.len());
    for (sequence, pack) in packs {
        let encoded = String::from_utf8(codec::encode(pack)).map_err(|error| invalid(&error))?;
        texts.push((sequence.event(0), RawValue::from_string(encoded).map_err(|error| invalid(&error))?));
    }
    let entries = texts.iter().map(|(sequence, pack)| StoredEntry { sequence: *sequence, pack }).collect();
    let encoded = serde_json::to_vec(&StoredBatch { v: relay_core::record::VERSION, entries });
    compress(&encoded.map_err(|error| invalid(&error))?)
}

/// Decodes the packs that share an item.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<(PackSequence, Arc<Pack>)>, PortError> {
    let corrupt = |error: &dyn std::fmt::Display| PortError::Corrupt(error.to_string());
    let bytes = decompress(bytes)?;
    let stored: StoredBatch<'_> = serde_json::from_slice(&bytes).map_err(|error| corrupt(&error))?;
    if stored.v != relay_core::record::VERSION {
        return Err(PortError::Corrupt(format!("a log item has version {}", stored.v)));
    }
    let pack = |entry: &StoredEntry<'_>| {
        let source = Bytes::copy_from_slice(entry.pack.get().as_bytes());
        Ok((entry.sequence.pack, Arc::new(codec::decode(&source).map_err(|error| corrupt(&error))?)))
    };
    stored.entries.iter().map(pack).collect()
}

/// The position of an entry, by its place within its item.
pub(super) fn position(stamp: Stamp, place: usize) -> LogPosition {
    LogPosition { at: stamp.at, unique: stamp.unique | place as u64 }
}

/// The end of an item: no entry of it lies later.
pub(super) fn end_of_item(stamp: Stamp) -> LogPosition {
    position(stamp, (1 << WITHIN) - 1)
}

/// When an item was written.
pub(super) fn stamp_of(row: &Row) -> Result<Stamp, PortError> {
    Stamp::parse(row.text("sk")?).ok_or_else(|| PortError::Corrupt("a log item has no position".to_owned()))
}

impl LogPort {
    /// The entries of an item. None if its object is gone: item and object expire at about the same time, not at the
    /// same moment.
    pub(super) async fn entries_of(&self, row: &Row) -> Result<Vec<LogEntry>, PortError> {
        let stamp = stamp_of(row)?;
        let packs = match (row.find_binary("entries"), row.find_text("entriesObject")) {
            (Some(inline), _) => decode(inline)?,
            (None, Some(object)) => match self.objects.get(object).await {
                Ok(bytes) => decode(&bytes)?,
                Err(PortError::NotFound) => Vec::new(),
                Err(error) => return Err(error),
            },
            (None, None) => return Err(PortError::Corrupt("a log item has no entries".to_owned())),
        };
        let placed = packs.into_iter().enumerate();
        let entry = |(place, (sequence, pack))| LogEntry { position: position(stamp, place), sequence, pack };
        Ok(placed.map(entry).collect())
    }
}
