//! From the errors of SQLite and of files to those of the ports.

use relay_core::ports::PortError;
use rusqlite::ErrorCode;
use rusqlite::ffi::{SQLITE_IOERR_CORRUPTFS, SQLITE_IOERR_DIR_FSYNC, SQLITE_IOERR_FSYNC, SQLITE_IOERR_TRUNCATE};

/// What a failed statement or commit means to the caller.
pub(crate) fn of_sqlite(error: &rusqlite::Error) -> PortError {
    match error {
        rusqlite::Error::QueryReturnedNoRows => PortError::NotFound,
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..) => PortError::Corrupt(error.to_string()),
        rusqlite::Error::ToSqlConversionFailure(_) => PortError::Invalid(error.to_string()),
        _ => match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => PortError::Full,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => PortError::Corrupt(error.to_string()),
            _ => PortError::Unavailable(error.to_string()),
        },
    }
}

/// True if the disk failed to make durable what it had taken. What it holds then is not known until it is read anew,
/// so nothing more may be promised.
pub(crate) fn is_lost_flush(error: &rusqlite::Error) -> bool {
    let lost = [SQLITE_IOERR_FSYNC, SQLITE_IOERR_DIR_FSYNC, SQLITE_IOERR_TRUNCATE, SQLITE_IOERR_CORRUPTFS];
    error.sqlite_error().is_some_and(|error| lost.contains(&error.extended_code))
}

/// What a failed file operation means to the caller.
pub(crate) fn of_io(error: &std::io::Error) -> PortError {
    match error.kind() {
        std::io::ErrorKind::NotFound => PortError::NotFound,
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => PortError::Full,
        _ => PortError::Unavailable(error.to_string()),
    }
}
