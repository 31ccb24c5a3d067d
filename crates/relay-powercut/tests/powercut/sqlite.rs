//! The disk under plain SQLite: it works, and it forgets exactly what was not synced.

use relay_powercut::{Disk, Keep, Moment};
use rusqlite::{Connection, ErrorCode, OpenFlags, Result};
use std::collections::BTreeSet;
use std::time::Duration;

const MOMENTS: [Moment; 3] = [Moment::Before, Moment::Half, Moment::After];

fn open(disk: &Disk) -> Result<Connection> {
    let connection = Connection::open_with_flags_and_vfs("/folder/x.db", OpenFlags::default(), disk.vfs_name())?;
    connection.busy_timeout(Duration::from_secs(30))?;
    Ok(connection)
}

/// A connection in WAL mode that commits durably, or as `synchronous` says.
fn connect(disk: &Disk, synchronous: &str) -> Result<Connection> {
    let connection = open(disk)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    assert_eq!(mode, "wal");
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.execute_batch("CREATE TABLE IF NOT EXISTS t (x INTEGER PRIMARY KEY, y BLOB)")?;
    Ok(connection)
}

fn insert(connection: &Connection, x: i64) -> Result<()> {
    // Some rows need pages of their own, so that a transaction is many writes.
    let y = vec![u8::try_from(x % 251).unwrap(); if x % 3 == 0 { 9_000 } else { 40 }];
    connection.prepare_cached("INSERT INTO t VALUES (?, ?)")?.execute((x, y)).map(|_| ())
}

fn checkpoint(connection: &Connection, mode: &str) -> Result<()> {
    let busy: i64 = connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get(0))?;
    assert!(busy == 0 || mode == "PASSIVE");
    Ok(())
}

/// What is found when the power is back: the rows, each of them whole, in a database that is sound.
fn rows(disk: &Disk) -> BTreeSet<i64> {
    let (rows, faults) = look(disk).unwrap();
    assert_eq!(faults, Vec::<String>::new());
    rows
}

fn look(disk: &Disk) -> Result<(BTreeSet<i64>, Vec<String>)> {
    let connection = open(disk)?;
    let mut faults: Vec<String> =
        connection.prepare("PRAGMA integrity_check")?.query_map([], |row| row.get(0))?.collect::<Result<_>>()?;
    faults.retain(|fault| fault != "ok");
    if connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok((BTreeSet::new(), faults));
    }
    let mut all = connection.prepare("SELECT x, y FROM t")?;
    let mut rows = BTreeSet::new();
    for row in all.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<Vec<u8>>>(1)?)))? {
        let (x, y) = row?;
        if !y.unwrap_or_default().iter().all(|byte| i64::from(*byte) == x % 251) {
            faults.push(format!("row {x} is torn"));
        }
        rows.insert(x);
    }
    Ok((rows, faults))
}

#[test]
fn a_reader_a_writer_and_a_checkpointing_connection_share_a_database_in_wal_mode() {
    let disk = Disk::new(1);
    let writer = connect(&disk, "FULL").unwrap();
    let (reader, keeper) = (open(&disk).unwrap(), open(&disk).unwrap());
    let count = |connection: &Connection| -> i64 {
        connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
    };
    insert(&writer, 1).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    assert_eq!(count(&reader), 1);
    insert(&writer, 2).unwrap();
    checkpoint(&keeper, "PASSIVE").unwrap();
    assert_eq!(count(&reader), 1, "a reader sees its snapshot");
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(count(&reader), 2);
    let before = disk.used();
    checkpoint(&keeper, "TRUNCATE").unwrap();
    assert!(disk.used() < before, "the WAL is gone into the database");
    insert(&writer, 3).unwrap();
    assert_eq!(count(&reader), 3);
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    keeper.busy_timeout(Duration::ZERO).unwrap();
    let refused = keeper.execute_batch("BEGIN IMMEDIATE").unwrap_err();
    assert_eq!(refused.sqlite_error_code(), Some(ErrorCode::DatabaseBusy));
}

#[test]
fn threads_write_read_and_checkpoint_at_once() {
    let disk = Disk::new(2);
    drop(connect(&disk, "FULL").unwrap());
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let disk = &disk;
            scope.spawn(move || {
                let connection = connect(disk, "FULL").unwrap();
                for x in 0..60 {
                    insert(&connection, writer * 1000 + x).unwrap();
                }
            });
        }
        scope.spawn(|| {
            let connection = open(&disk).unwrap();
            let mut last = 0;
            for _ in 0..200 {
                let now: i64 = connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
                assert!(now >= last, "rows that were seen do not go away");
                last = now;
            }
        });
        scope.spawn(|| {
            let connection = connect(&disk, "FULL").unwrap();
            for mode in ["PASSIVE", "FULL", "RESTART", "TRUNCATE"].iter().cycle().take(40) {
                checkpoint(&connection, mode).unwrap();
            }
        });
    });
    assert_eq!(rows(&disk).len(), 180);
}

#[test]
fn other_journal_modes_work_too() {
    for mode in ["DELETE", "TRUNCATE", "PERSIST"] {
        let disk = Disk::new(3);
        let (one, other) = (open(&disk).unwrap(), open(&disk).unwrap());
        one.pragma_update(None, "journal_mode", mode).unwrap();
        one.pragma_update(None, "synchronous", "EXTRA").unwrap();
        one.execute_batch("CREATE TABLE t (x INTEGER PRIMARY KEY, y BLOB)").unwrap();
        insert(&one, 1).unwrap();
        insert(&other, 2).unwrap();
        disk.cut_at_sync(2, Moment::Before, Keep::RandomSubset);
        insert(&one, 3).unwrap_err();
        disk.power_on();
        assert!(rows(&disk).is_superset(&BTreeSet::from([1])), "{mode}");
    }
}

#[test]
fn commits_with_full_synchronous_survive_a_cut_whatever_else_is_found() {
    for seed in 0..60 {
        for keep in [Keep::Nothing, Keep::RandomSubset] {
            let disk = Disk::new(seed);
            let connection = connect(&disk, "FULL").unwrap();
            for x in 0..20 {
                insert(&connection, x).unwrap();
            }
            connection.execute_batch("BEGIN; INSERT INTO t VALUES (1000, NULL)").unwrap();
            disk.power_cut(keep);
            assert!(connection.execute_batch("COMMIT").is_err());
            disk.power_on();
            assert!(connection.execute_batch("SELECT * FROM t WHERE x = 999").is_err(), "what was open stays dead");
            assert_eq!(rows(&disk), (0..20).collect(), "seed {seed}, {keep:?}");
        }
    }
}

#[test]
fn commits_without_a_sync_are_lost_by_a_cut() {
    let lost = |disk: &Disk, keep| {
        disk.power_cut(keep);
        disk.power_on();
        20 - rows(disk).len()
    };
    for (synchronous, ignore) in [("OFF", false), ("NORMAL", false), ("FULL", true)] {
        let disk = Disk::new(4);
        let connection = connect(&disk, "FULL").unwrap();
        checkpoint(&connection, "TRUNCATE").unwrap();
        connection.pragma_update(None, "synchronous", synchronous).unwrap();
        if ignore {
            disk.ignore_syncs();
        }
        for x in 0..20 {
            insert(&connection, x).unwrap();
        }
        assert_eq!(lost(&disk, Keep::Nothing), 20, "synchronous {synchronous}");
    }
    let mut some = BTreeSet::new();
    for seed in 0..30 {
        let disk = Disk::new(seed);
        drop(connect(&disk, "FULL").unwrap());
        let connection = connect(&disk, "NORMAL").unwrap();
        for x in 0..20 {
            insert(&connection, x).unwrap();
        }
        some.insert(lost(&disk, Keep::RandomSubset));
    }
    assert!(some.len() > 3, "how much is lost is up to the seed: {some:?}");
}

#[test]
fn what_a_killed_process_had_committed_without_a_sync_lasts_until_the_power_is_cut() {
    let disk = Disk::new(8);
    let connection = connect(&disk, "FULL").unwrap();
    insert(&connection, 1).unwrap();
    connection.pragma_update(None, "synchronous", "OFF").unwrap();
    insert(&connection, 2).unwrap();
    connection.execute_batch("BEGIN; INSERT INTO t VALUES (3, NULL)").unwrap();
    disk.power_cut(Keep::Everything);
    disk.power_on();
    assert!(connection.execute_batch("COMMIT").is_err());
    let next = open(&disk).unwrap();
    let found: i64 = next.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!(found, 2, "the locks of the dead are gone, and what they wrote is not");
    disk.power_cut(Keep::Nothing);
    disk.power_on();
    assert_eq!(rows(&disk), [1].into());
}

#[test]
fn a_cut_at_any_sync_loses_no_commit() {
    for (seed, moment) in (0..90).zip(MOMENTS.into_iter().cycle()) {
        let disk = Disk::new(seed);
        disk.cut_at_sync(1 + seed, moment, Keep::RandomSubset);
        let mut committed = BTreeSet::new();
        let mut work = || -> Result<()> {
            let connection = connect(&disk, "FULL")?;
            for x in 0.. {
                insert(&connection, x)?;
                committed.insert(x);
                if x % 7 == 6 {
                    checkpoint(&connection, if x % 2 == 0 { "TRUNCATE" } else { "PASSIVE" })?;
                }
            }
            Ok(())
        };
        work().unwrap_err();
        assert!(!disk.is_on(), "the power is off, and nothing else went wrong");
        disk.power_on();
        let found = rows(&disk);
        let surplus: Vec<_> = found.difference(&committed).collect();
        assert!(found.is_superset(&committed), "seed {seed}: {found:?} lacks some of {committed:?}");
        assert!(surplus.len() <= 1, "seed {seed}: only the commit in progress may be there besides: {surplus:?}");
    }
}

#[test]
fn a_checkpoint_that_is_interrupted_anywhere_loses_no_commit() {
    let mut interrupted = 0;
    for mode in ["PASSIVE", "RESTART", "TRUNCATE"] {
        for step in 1.. {
            let disk = Disk::new(step);
            let connection = connect(&disk, "FULL").unwrap();
            for x in 0..15 {
                insert(&connection, x).unwrap();
            }
            // A second round, so that the checkpoint overwrites what an earlier one has written.
            checkpoint(&connection, "PASSIVE").unwrap();
            for x in 15..30 {
                insert(&connection, x).unwrap();
            }
            disk.cut_at_step(step, Keep::RandomSubset);
            let outcome = checkpoint(&connection, mode);
            let finished = disk.is_on();
            assert_eq!(outcome.is_ok(), finished, "{mode}, step {step}");
            disk.power_cut(Keep::RandomSubset);
            disk.power_on();
            assert_eq!(rows(&disk), (0..30).collect(), "{mode}, step {step}");
            if finished {
                break;
            }
            interrupted += 1;
        }
    }
    assert!(interrupted > 30, "every step of the checkpoints was interrupted: {interrupted}");
}

#[test]
fn a_checkpoint_without_syncs_ruins_a_database() {
    let ruined = (0..40).filter(|seed| {
        let disk = Disk::new(*seed);
        let connection = connect(&disk, "FULL").unwrap();
        (0..15).for_each(|x| insert(&connection, x).unwrap());
        checkpoint(&connection, "TRUNCATE").unwrap();
        disk.ignore_syncs();
        (15..30).for_each(|x| insert(&connection, x).unwrap());
        checkpoint(&connection, "PASSIVE").unwrap();
        disk.power_cut(Keep::RandomSubset);
        disk.honour_syncs();
        disk.power_on();
        look(&disk).is_err() || look(&disk).is_ok_and(|(_, faults)| !faults.is_empty())
    });
    assert!(ruined.count() > 5, "the disk is harsh enough to ruin what is not written with care");
}

#[test]
fn a_folder_of_files_survives_closing_and_reopening_between_cuts() {
    for seed in 0..40 {
        let disk = Disk::new(seed);
        let mut committed = BTreeSet::new();
        for round in 0..4 {
            let mut work = || -> Result<()> {
                // The last connection to close checkpoints, and removes the WAL without syncing the folder.
                for part in 0..3 {
                    let connection = connect(&disk, "FULL")?;
                    for x in 0..4 {
                        let x = round * 100 + part * 10 + x;
                        insert(&connection, x)?;
                        committed.insert(x);
                    }
                }
                Ok(())
            };
            disk.cut_at_step(5 + (seed * 31 + 7 * round.unsigned_abs()) % 120, Keep::RandomSubset);
            let _ = work();
            disk.power_cut(Keep::RandomSubset);
            disk.power_on();
            let found = rows(&disk);
            assert!(found.is_superset(&committed), "seed {seed}, round {round}: {found:?} lacks some of {committed:?}");
            committed = found;
        }
    }
}

#[test]
fn a_full_disk_is_reported_and_harms_nothing() {
    let disk = Disk::new(5);
    let connection = connect(&disk, "FULL").unwrap();
    insert(&connection, 1).unwrap();
    disk.fill_at(disk.used() + 20_000);
    let mut next = 2;
    let refused = loop {
        match insert(&connection, next) {
            Ok(()) => next += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.sqlite_error_code(), Some(ErrorCode::DiskFull));
    assert!(next > 2 && disk.used() <= 40_000 + 20_000);
    disk.make_room();
    insert(&connection, next).unwrap();
    disk.power_cut(Keep::RandomSubset);
    disk.power_on();
    assert_eq!(rows(&disk), (1..=next).collect());
}

#[test]
fn a_sync_that_fails_is_reported() {
    let disk = Disk::new(6);
    let connection = connect(&disk, "FULL").unwrap();
    disk.fail_syncs();
    assert!(insert(&connection, 1).is_err());
    disk.honour_syncs();
    insert(&connection, 2).unwrap();
    disk.power_cut(Keep::Nothing);
    disk.power_on();
    assert!(rows(&disk).contains(&2));
}

#[test]
fn without_power_nothing_opens_and_a_disk_that_is_gone_is_not_found() {
    let disk = Disk::new(7);
    let name = disk.vfs_name().to_owned();
    let (syncs, steps) = (disk.syncs(), disk.steps());
    let connection = connect(&disk, "FULL").unwrap();
    assert!(disk.syncs() > syncs && disk.steps() - steps > disk.syncs() - syncs);
    disk.power_cut(Keep::Nothing);
    assert!(open(&disk).is_err() || connect(&disk, "FULL").is_err());
    drop(connection);
    drop(disk);
    assert!(Connection::open_with_flags_and_vfs("/x.db", OpenFlags::default(), name.as_str()).is_err());
}
