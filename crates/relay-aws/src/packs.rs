//! Packs within rows: small ones inside, compressed; large ones as objects that the row refers to, since an item holds
//! 400 KB at most (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html>) and every
//! write of it costs by its size.

use crate::objects::Objects;
use crate::table::attributes::{Row, binary, number, text};
use bytes::Bytes;
use relay_core::pack::{Pack, codec};
use relay_core::ports::PortError;
use std::sync::Arc;

/// Larger packs, compressed, are referred to: every write of progress would cost their size again.
const INLINE_BYTES: usize = 4 * 1024;
/// What a decompressed row or object may come to; a pack has 192 KiB of events, each with attributes, escaped at worst.
const MAX_BYTES: usize = 64 * 1024 * 1024;
const LEVEL: i32 = 1;

/// Compresses.
pub(crate) fn compress(bytes: &[u8]) -> Result<Vec<u8>, PortError> {
    zstd::bulk::compress(bytes, LEVEL).map_err(|error| PortError::Invalid(format!("cannot be compressed: {error}")))
}

/// Decompresses, within bounds.
pub(crate) fn decompress(bytes: &[u8]) -> Result<Vec<u8>, PortError> {
    let corrupt = |error: std::io::Error| PortError::Corrupt(format!("cannot be decompressed: {error}"));
    let told = zstd::zstd_safe::get_frame_content_size(bytes).ok().flatten();
    let size = told.and_then(|size| usize::try_from(size).ok()).unwrap_or(MAX_BYTES).min(MAX_BYTES);
    zstd::bulk::decompress(bytes, size).map_err(corrupt)
}

/// Decodes a compressed pack.
pub(crate) fn decode(compressed: &[u8]) -> Result<Arc<Pack>, PortError> {
    let source = Bytes::from(decompress(compressed)?);
    codec::decode(&source).map(Arc::new).map_err(|error| PortError::Corrupt(error.to_string()))
}

/// Adds a pack to a row; a large one is first written as the object of that key.
pub(crate) async fn store(objects: &Objects, row: Row, pack: &Pack, key: &str) -> Result<Row, PortError> {
    let encoded = codec::encode(pack);
    let row = row.with("packBytes", number(encoded.len()));
    let compressed = compress(&encoded)?;
    if compressed.len() <= INLINE_BYTES {
        return Ok(row.with("pack", binary(compressed)));
    }
    objects.put(key, Bytes::from(compressed), "application/zstd").await?;
    Ok(row.with("packObject", text(key)))
}

/// Reads the pack of a row. `NotFound` if its object is gone: then the row has been written again, or is gone too.
pub(crate) async fn load(objects: &Objects, row: &Row) -> Result<Arc<Pack>, PortError> {
    match (row.find_binary("pack"), object_of(row)) {
        (Some(inline), _) => decode(inline),
        (None, Some(key)) => decode(&objects.get(key).await?),
        (None, None) => Err(PortError::Corrupt("a row has no pack".to_owned())),
    }
}

/// The object that a row's pack lies in.
pub(crate) fn object_of(row: &Row) -> Option<&str> {
    row.find_text("packObject")
}

/// Bytes that the pack of a row has, uncompressed.
pub(crate) fn bytes_of(row: &Row) -> usize {
    row.find_number("packBytes").unwrap_or(0)
}

/// Deletes the object of a row that is gone. What stays for a fault is found by nobody and costs a little.
pub(crate) async fn discard(objects: &Objects, row: Option<&Row>) {
    if let Some(key) = row.and_then(object_of)
        && let Err(error) = objects.delete(key).await
    {
        tracing::warn!(%error, key, "an object that nothing refers to was not deleted");
    }
}
