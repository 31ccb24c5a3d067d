//! For tests only: a disk below SQLite that forgets, at a power cut, what was not synced.
//!
//! Killing a process proves little about durability, because the operating system still writes what the process had
//! handed over. A [`Disk`] is a file system for SQLite (a VFS), in memory, that knows of each file what is durable and
//! what has merely been written since. When its power is cut, every open file is dead, and what is found when it is
//! back is what was synced and, at will, a random part of the rest: any sectors of any writes, in any order.
//!
//! ```text
//!  connections ── WAL-index, locks ──▶ vfs ──▶ medium ── names ──▶ files: durable bytes + unsynced changes
//!                                                ▲
//!                        Disk: cut, plan a cut, fill, fail or ignore syncs
//! ```
//!
//! ```
//! use relay_powercut::{Disk, Keep};
//! use rusqlite::{Connection, OpenFlags};
//!
//! # fn main() -> rusqlite::Result<()> {
//! let disk = Disk::new(7);
//! let open = || Connection::open_with_flags_and_vfs("/x.db", OpenFlags::default(), disk.vfs_name());
//! let before = open()?;
//! before.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (x);")?;
//! before.execute("INSERT INTO t VALUES (1)", [])?;
//! before.execute_batch("PRAGMA synchronous = OFF; INSERT INTO t VALUES (2);")?;
//! disk.power_cut(Keep::Nothing);
//! assert!(before.execute("INSERT INTO t VALUES (3)", []).is_err());
//! disk.power_on();
//! let found: Vec<i64> = open()?.prepare("SELECT x FROM t")?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
//! assert_eq!(found, [1]);
//! # Ok(())
//! # }
//! ```
//!
//! It is harsher than most disks: a sync makes only its own file durable, and what one sync covers becomes durable in
//! no order. In three points it is as kind as what SQLite takes for granted: a write that is cut harms nothing beside
//! it; the names of files last as SQLite's `unix` VFS makes them last (the first sync of a journal or WAL syncs the
//! folder); and a database file's name lasts once the file was synced, which on a real disk its creator sees to.

mod disk;
mod locks;
mod medium;
mod shared_memory;
mod vfs;

pub use disk::Disk;
pub use medium::{Keep, Moment};
