//! What a data folder allows, survives and refuses.

use crate::world::{Folder, JumpingClock, drain, id, options, pack, ports, receive_and_acknowledge, send};
use relay_core::event::{StoredData, StoredForm};
use relay_core::log::{Committed, Cursor};
use relay_core::names::SubscriptionId;
use relay_core::replay_id::{LogPosition, LogShard};
use relay_embedded::{OpenError, Store};

#[test]
fn a_second_opener_is_refused_by_name() {
    let (folder, clock) = (Folder::new(), JumpingClock::new());
    let first = Store::open(folder.path(), options(&clock)).unwrap();
    let refused = Store::open(folder.path(), options(&clock)).unwrap_err();
    assert!(matches!(&refused, OpenError::InUse(path) if path == folder.path()), "{refused}");
    assert!(refused.to_string().contains(folder.path().to_str().unwrap()));
    drop(first);
    Store::open(folder.path(), options(&clock)).unwrap();
}

#[test]
fn a_file_in_place_of_the_folder_is_named_as_that() {
    let (folder, clock) = (Folder::new(), JumpingClock::new());
    let path = folder.path().join("file");
    std::fs::write(&path, b"").unwrap();
    let refused = Store::open(&path, options(&clock)).unwrap_err();
    assert_eq!(refused.to_string(), format!("{} is not a folder", path.display()));
}

/// Everything in a folder, and below, with its permissions.
#[cfg(unix)]
fn modes(folder: &std::path::Path) -> Vec<(std::path::PathBuf, u32)> {
    use std::os::unix::fs::PermissionsExt;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(modes(&path));
        }
        found.push((path.clone(), std::fs::metadata(&path).unwrap().permissions().mode() & 0o777));
    }
    found
}

#[cfg(unix)]
#[tokio::test]
async fn only_its_owner_may_read_what_a_data_folder_holds() {
    let (folder, clock) = (Folder::new(), JumpingClock::new());
    let store = Store::open(&folder.path().join("data"), options(&clock)).unwrap();
    let ports = ports(&store);
    send(&ports, pack("k", "1", 10)).await.unwrap();
    let payload = bytes::Bytes::from_static(b"large");
    let hash = relay_core::digest::hexadecimal(&relay_core::digest::sha256([&payload[..]]));
    let retention = Some(relay_core::topic::Retention::Days7);
    let stored = StoredData { hash: hash.clone(), bytes: 5, form: StoredForm::Text, retention };
    ports.payloads.put(&stored, payload).await.unwrap();
    let found = modes(folder.path());
    for name in ["data", "relay.db", "relay.db-wal", "relay.lock", "payloads", &hash] {
        assert!(found.iter().any(|(path, _)| path.ends_with(name)), "{name} in {found:?}");
    }
    assert!(found.iter().all(|(_, mode)| mode & 0o077 == 0), "{found:?}");
}

fn stamp(folder: &Folder, pragma: &str) {
    let connection = rusqlite::Connection::open(folder.path().join("relay.db")).unwrap();
    connection.execute_batch(pragma).unwrap();
}

#[tokio::test]
async fn a_newer_format_is_refused_and_left_alone() {
    let (folder, clock) = (Folder::new(), JumpingClock::new());
    Store::open(folder.path(), options(&clock)).unwrap().close().await.unwrap();
    stamp(&folder, "PRAGMA user_version = 3");
    let refused = Store::open(folder.path(), options(&clock)).unwrap_err();
    assert!(matches!(refused, OpenError::NewerFormat { found: 3, supported: 2, .. }), "{refused}");
    stamp(&folder, "PRAGMA user_version = 2");
    Store::open(folder.path(), options(&clock)).unwrap();
}

#[test]
fn a_file_that_is_no_store_is_refused() {
    let (folder, clock) = (Folder::new(), JumpingClock::new());
    std::fs::write(folder.path().join("relay.db"), b"certainly not a database, however long it may be").unwrap();
    let refused = Store::open(folder.path(), options(&clock)).unwrap_err();
    assert!(matches!(refused, OpenError::Foreign(_)), "{refused}");
    let foreign = Folder::new();
    stamp(&foreign, "CREATE TABLE t(x); PRAGMA user_version = 1");
    let refused = Store::open(foreign.path(), options(&clock)).unwrap_err();
    assert!(matches!(refused, OpenError::Foreign(_)), "{refused}");
}

#[tokio::test]
async fn what_was_acknowledged_before_an_orderly_end_does_not_come_again() {
    let (folder, clock) = (Folder::new(), JumpingClock::new());
    let store = Store::open(folder.path(), options(&clock)).unwrap();
    let before = ports(&store);
    for at in 0..10_000 {
        let packs = (0..10).map(|key| pack(&format!("k{key}"), &format!("{at}-{key}"), 10)).collect();
        assert!(before.queue.send(packs).await.iter().all(Result::is_ok));
        if at == 1_000 {
            break;
        }
    }
    assert_eq!(drain(&before).await.len(), 10_010);
    send(&before, pack("k", "left", 10)).await.unwrap();
    store.close().await.unwrap();
    assert!(send(&before, pack("k", "late", 10)).await.is_err(), "a closed store takes nothing");
    assert!(before.queue.receive(1).await.map_or(true, |messages| messages.is_empty() || id(&messages[0]) == "left"));
    drop(store);

    let store = Store::open(folder.path(), options(&clock)).unwrap();
    let after = ports(&store);
    let messages = after.queue.receive(10).await.unwrap();
    assert_eq!(messages.iter().map(id).collect::<Vec<_>>(), ["left"]);
    assert_eq!(messages[0].receives, 1, "an orderly end is no crash");
}

#[tokio::test]
async fn a_queue_longer_than_memory_holds_comes_whole_and_in_order() {
    let (folder, clock) = (Folder::new(), JumpingClock::new());
    let store = Store::open(folder.path(), options(&clock)).unwrap();
    let before = ports(&store);
    const ROUNDS: usize = 1_400;
    const KEYS: usize = 50;
    for at in 0..ROUNDS {
        let packs = (0..KEYS).map(|key| pack(&format!("k{key}"), &format!("{key}:{at}"), 10)).collect();
        assert!(before.queue.send(packs).await.iter().all(Result::is_ok));
    }
    assert_eq!(before.queue.lag().await.unwrap().messages, (ROUNDS * KEYS) as u64);
    let mut next = [0; KEYS];
    let mut check = |ids: &[String]| {
        for id in ids {
            let (key, at) = id.split_once(':').unwrap();
            let key: usize = key.parse().unwrap();
            assert_eq!(at.parse(), Ok(next[key]), "of key {key}");
            next[key] += 1;
        }
        ids.len()
    };
    // Half of it as it was sent, where the front is in memory; the rest from a start, where nothing is.
    let mut received = 0;
    while received < ROUNDS * KEYS / 2 {
        received += check(&receive_and_acknowledge(&before).await);
    }
    store.close().await.unwrap();
    let store = Store::open(folder.path(), options(&clock)).unwrap();
    received += check(&drain(&ports(&store)).await);
    assert_eq!(received, ROUNDS * KEYS);
    assert_eq!(ports(&store).queue.lag().await.unwrap().messages, 0);
}

#[tokio::test]
async fn a_store_of_the_first_format_is_brought_to_the_present_one() {
    let (folder, clock) = (Folder::new(), JumpingClock::new());
    let store = Store::open(folder.path(), options(&clock)).unwrap();
    for at in 0..20 {
        send(&ports(&store), pack(&format!("k{}", at % 7), &format!("e{at:02}"), 10)).await.unwrap();
    }
    let entries = async |store: &Store| {
        let ports = ports(store);
        let topic = pack("k", "e", 10).topic_id.clone();
        let mut entries = ports.log.newest(&topic, None, 100).await.unwrap();
        for shard in LogShard::ALL {
            let page = ports.log.read(&topic, shard, LogPosition::default(), 100).await.unwrap();
            entries.extend(page.entries);
        }
        entries
    };
    let before = entries(&store).await;
    assert_eq!(before.len(), 40);
    store.close().await.unwrap();
    // What differed then.
    stamp(
        &folder,
        "DROP TABLE cursors; DROP INDEX log_of_shard; DROP TABLE shards; DROP TABLE segments; ALTER TABLE log RENAME COLUMN shard TO topic;
         ALTER TABLE log ADD COLUMN prev INTEGER NOT NULL DEFAULT 0; UPDATE log SET topic = 1, prev = position - 1;
         CREATE TABLE topic_numbers(number INTEGER PRIMARY KEY, topic TEXT NOT NULL UNIQUE, last INTEGER NOT NULL) STRICT;
         INSERT INTO topic_numbers VALUES(1, 'top_orders', 20); PRAGMA user_version = 1;",
    );
    let store = Store::open(folder.path(), options(&clock)).unwrap();
    assert_eq!(entries(&store).await, before);
    send(&ports(&store), pack("k3", "later", 10)).await.unwrap();
    assert_eq!(entries(&store).await.len(), 42);
    assert_eq!(drain(&ports(&store)).await.len(), 21);
    assert_eq!(ports(&store).cursors.committed(&SubscriptionId::new("sub_1").unwrap()).await, Ok(None));
}

#[tokio::test]
async fn a_store_from_before_there_were_consumers_gets_room_for_them() {
    let (folder, clock) = (Folder::new(), JumpingClock::new());
    Store::open(folder.path(), options(&clock)).unwrap().close().await.unwrap();
    stamp(&folder, "DROP TABLE cursors");
    let (id, committed) = (SubscriptionId::new("sub_1").unwrap(), Committed { moves: 1, cursor: Cursor::default() });
    for stored in [None, Some(committed)] {
        let store = Store::open(folder.path(), options(&clock)).unwrap();
        assert_eq!(ports(&store).cursors.committed(&id).await, Ok(stored));
        ports(&store).cursors.commit(&id, committed, stored).await.unwrap();
        store.close().await.unwrap();
    }
}
