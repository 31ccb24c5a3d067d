//! Reading rows of the log.

use crate::readers::row;
use bytes::Bytes;
use relay_core::pack::{Pack, codec};
use relay_core::ports::PortError;
use rusqlite::Connection;
use std::sync::Arc;

/// Decodes a pack as it is stored.
pub(crate) fn decode_pack(bytes: Vec<u8>) -> Result<Arc<Pack>, PortError> {
    codec::decode(&Bytes::from(bytes)).map(Arc::new).map_err(|fault| PortError::Corrupt(fault.to_string()))
}

/// The pack at a position.
pub(crate) fn pack_at(connection: &Connection, position: u64) -> Result<Arc<Pack>, PortError> {
    let sql = "SELECT pack FROM log WHERE position = ?1";
    let bytes = row(connection, sql, [position], |row| row.get::<_, Vec<u8>>(0))?;
    let gone = || PortError::Corrupt(format!("there is no log entry {position}"));
    decode_pack(bytes.ok_or_else(gone)?)
}
