//! What is durable, proved below SQLite: first that the disk forgets what it should, then that the broker's store
//! loses nothing that it has acknowledged.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

mod sqlite;
