//! JSON text, read in one pass and written without trees.
//!
//! An event's data is kept byte for byte as it was sent, so all that is needed of a reader is where values begin and
//! end, that they are valid, and how deep they are nested. `serde_json` answers that in three passes (a raw value has
//! no bound on its depth, and its errors name lines instead of members); [`read::Cursor`] does in one, and the tests
//! hold it to `serde_json`'s verdict.

pub(crate) mod read;
pub(crate) mod write;
