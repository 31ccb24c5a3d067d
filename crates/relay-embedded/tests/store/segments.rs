//! The log as files: compaction, reading across it, damage, expiry.

use crate::world::{Folder, JumpingClock, drain, options, pack, ports, send};
use relay_core::lane::table::{Progress, PutRule};
use relay_core::lane::{BacklogItem, LaneRef, PutId, rest_key};
use relay_core::names::{PartitionKey, SubscriptionId, TopicId};
use relay_core::pack::LaneKey;
use relay_core::ports::{Clock, Expect, LogEntry, PortError, Ports};
use relay_core::replay_id::{LogPosition, LogShard};
use relay_core::time::Time;
use relay_core::topic::{Retention, Topic};
use relay_embedded::Store;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

fn topic() -> TopicId {
    pack("k", "e", 1).topic_id.clone()
}

/// Everything that is read of the topic, shard by shard, so many entries at a time.
async fn read_all(ports: &Ports, limit: usize) -> Result<Vec<LogEntry>, PortError> {
    let mut all = Vec::new();
    for shard in LogShard::ALL {
        let mut after = LogPosition::default();
        loop {
            let page = ports.log.read(&topic(), shard, after, limit).await?;
            assert!(page.entries.iter().all(|entry| entry.position > after && entry.position <= page.through));
            all.extend(page.entries);
            after = page.through;
            if !page.is_more {
                break;
            }
        }
    }
    Ok(all)
}

/// Everything, from the newest backwards.
async fn newest_all(ports: &Ports, limit: usize) -> Vec<LogEntry> {
    let (mut all, mut before) = (Vec::<LogEntry>::new(), None);
    loop {
        let page = ports.log.newest(&topic(), before, limit).await.unwrap();
        let is_end = page.len() < limit;
        before = page.last().map(|entry| entry.position).or(before);
        all.extend(page);
        if is_end {
            assert!(all.is_sorted_by(|one, next| one.position > next.position));
            return all;
        }
    }
}

async fn fill(ports: &Ports, from: usize, count: usize) {
    for at in from..from + count {
        send(ports, pack(&format!("k{}", at % 7), &format!("e{at:04}"), 900)).await.unwrap();
    }
    drain(ports).await;
}

async fn compact(ports: &Ports) -> u64 {
    let mut events = 0;
    loop {
        match ports.log.compact(ports.clock.now()).await.unwrap() {
            0 => return events,
            some => events += some,
        }
    }
}

async fn expire(ports: &Ports) -> u64 {
    let mut gone = 0;
    loop {
        match ports.log.expire(ports.clock.now()).await.unwrap() {
            0 => return gone,
            some => gone += some,
        }
    }
}

/// All files below `events/`, relative to the folder.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    fn walk(at: &Path, found: &mut BTreeSet<PathBuf>) {
        for entry in std::fs::read_dir(at).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, found) } else { found.insert(path).then_some(()).unwrap() }
        }
    }
    let mut found = BTreeSet::new();
    walk(&folder.join("events"), &mut found);
    found
}

fn sql(folder: &Folder, text: &str) {
    rusqlite::Connection::open(folder.path().join("relay.db")).unwrap().execute_batch(text).unwrap();
}

fn rows(folder: &Folder) -> u64 {
    let connection = rusqlite::Connection::open(folder.path().join("relay.db")).unwrap();
    connection.query_row("SELECT count(*) FROM log", [], |row| row.get(0)).unwrap()
}

async fn make_topic(ports: &Ports, retention: Retention) {
    let name = pack("k", "e", 1).topic.clone();
    let known = ports.registry.topic(&name).await.unwrap();
    let expect = known.as_ref().map_or(Expect::Absent, |known| Expect::Version(known.version));
    let version = known.as_ref().map_or(1, |known| known.version + 1);
    let topic = Topic { retention, version, ..Topic::new(topic(), name, Time(1)) };
    ports.registry.put_topic(topic, expect).await.unwrap();
}

#[tokio::test]
async fn what_is_compacted_is_read_as_it_was_before() {
    let (folder, clock) = (Folder::new(), JumpingClock::new());
    let store = Store::open(folder.path(), options(&clock)).unwrap();
    let first = ports(&store);
    fill(&first, 0, 400).await;
    assert_eq!(compact(&first).await, 0, "too young, and not much");
    clock.jump(16 * MINUTE);
    fill(&first, 400, 1).await;
    let before = read_all(&first, 1000).await.unwrap();
    let backward = newest_all(&first, 1000).await;
    assert_eq!((before.len(), backward.len()), (401, 401));
    assert_eq!(compact(&first).await, 401, "all that is there of a shard goes with what is due");
    assert_eq!(files(folder.path()).len(), 4, "one segment a shard");
    let lag = async || first.log.compaction_lag(clock.now()).await.unwrap().unwrap();
    assert_eq!(lag().await, Duration::ZERO);
    fill(&first, 401, 30).await;
    clock.jump(MINUTE);
    assert!(lag().await >= MINUTE);
    let mut latest = BTreeSet::new();
    for limit in [1, 7, 100, 1000] {
        let all = read_all(&first, limit).await.unwrap();
        assert_eq!(all.len(), 431);
        let ids: BTreeSet<_> = all.iter().map(|entry| entry.pack.events[0].id.clone()).collect();
        assert_eq!(ids.len(), 431, "each once, {limit} at a time");
        assert!(before.iter().all(|entry| all.contains(entry)));
        latest.extend(ids);
    }
    for limit in [3, 50, 1000] {
        let all = newest_all(&first, limit).await;
        assert_eq!((all.len(), &all[30..]), (431, &backward[..]), "{limit} at a time");
    }

    // Rows go an hour later, the last one excepted; what is read does not change.
    clock.jump(2 * HOUR);
    assert_eq!(rows(&folder), 431);
    assert!(expire(&first).await >= 400);
    assert!(rows(&folder) <= 31);
    store.close().await.unwrap();
    let store = Store::open(folder.path(), options(&clock)).unwrap();
    let second = ports(&store);
    let all = read_all(&second, 10).await.unwrap();
    assert!(all.len() == 431 && before.iter().all(|entry| all.contains(entry)));
    assert_eq!(newest_all(&second, 20).await[30..], backward);
    let some = &before[100];
    let shard = LogShard::of(&some.pack.key);
    let one = second.log.read(&topic(), shard, some.position.previous(), 1).await.unwrap();
    assert_eq!(one.entries, std::slice::from_ref(some));
}

/// Everything of a key, so many entries at a time.
async fn read_key(ports: &Ports, key: &LaneKey, limit: usize) -> Vec<LogEntry> {
    let (mut all, mut after) = (Vec::new(), LogPosition::default());
    loop {
        let page = ports.log.read_key(&topic(), key, after, limit).await.unwrap();
        assert!(page.entries.len() <= limit && (!page.is_more || page.through > after));
        assert!(page.entries.iter().all(|entry| entry.position > after && entry.position <= page.through));
        all.extend(page.entries);
        after = page.through;
        if !page.is_more {
            return all;
        }
    }
}

#[tokio::test]
async fn a_key_is_read_from_rows_and_segments_and_no_file_of_another_shard_is_touched() {
    let (folder, clock) = (Folder::new(), JumpingClock::new());
    let store = Store::open(folder.path(), options(&clock)).unwrap();
    let ports = ports(&store);
    for round in 0..3 {
        fill(&ports, round * 1_500, 1_500).await;
        clock.jump(16 * MINUTE);
        assert_eq!(compact(&ports).await, 1_500);
    }
    fill(&ports, 4_500, 700).await;
    let all = read_all(&ports, 1_000).await.unwrap();
    assert_eq!(all.len(), 5_200);
    let keys: BTreeSet<String> = (0..7).map(|at| format!("k{at}")).collect();
    let kept = folder.path().join("kept");
    for key in keys {
        let key = LaneKey::Ordered(PartitionKey::new(key).unwrap());
        let expected: Vec<_> = all.iter().filter(|entry| entry.pack.key == key).cloned().collect();
        assert!(expected.len() > 700);
        let of_shard = format!("-{}.jsonl.zst", LogShard::of(&key));
        let others: Vec<_> =
            files(folder.path()).into_iter().filter(|file| !file.to_str().unwrap().ends_with(&of_shard)).collect();
        assert!(others.len() >= 6);
        std::fs::create_dir_all(&kept).unwrap();
        let aside = |at: usize| kept.join(at.to_string());
        others.iter().enumerate().for_each(|(at, file)| std::fs::rename(file, aside(at)).unwrap());
        assert!(read_all(&ports, 1_000).await.is_err(), "they are gone");
        for limit in [1, 10, 1_000] {
            assert!(read_key(&ports, &key, limit).await == expected, "{key:?}, {limit} at a time");
        }
        others.iter().enumerate().for_each(|(at, file)| std::fs::rename(aside(at), file).unwrap());
    }
}

#[tokio::test]
async fn a_rare_key_is_found_among_many_rows() {
    let (folder, clock) = (Folder::new(), JumpingClock::new());
    let store = Store::open(folder.path(), options(&clock)).unwrap();
    let ports = ports(&store);
    let key = LaneKey::Ordered(PartitionKey::new("rare").unwrap());
    let others = (0..).map(|at| format!("other-{at}")).filter(|other| {
        let other = LaneKey::Ordered(PartitionKey::new(other.as_str()).unwrap());
        LogShard::of(&other) == LogShard::of(&key)
    });
    let others: Vec<String> = others.take(90).collect();
    for round in 0..100 {
        let mut packs: Vec<_> = others.iter().map(|other| pack(other, &format!("e{round}-{other}"), 10)).collect();
        if round % 49 == 1 {
            packs.push(pack("rare", &format!("rare-{round}"), 10));
        }
        assert!(ports.queue.send(packs).await.iter().all(Result::is_ok));
    }
    let first = ports.log.read_key(&topic(), &key, LogPosition::default(), 2).await.unwrap();
    assert!(first.is_more, "a page is not as long as the log");
    for limit in [1, 2, 100] {
        let found = read_key(&ports, &key, limit).await;
        let ids: Vec<_> = found.iter().map(|entry| entry.pack.events[0].id.as_str()).collect();
        assert_eq!(ids, ["rare-1", "rare-50", "rare-99"]);
    }
}

#[tokio::test]
async fn much_is_compacted_at_once_in_several_segments() {
    let (folder, clock) = (Folder::new(), JumpingClock::new());
    let store = Store::open(folder.path(), options(&clock)).unwrap();
    let ports = ports(&store);
    for at in 0..70 {
        let packs = (0..10).map(|part| pack("k", &format!("e{at:03}-{part}"), 60_000)).collect();
        assert!(ports.queue.send(packs).await.iter().all(Result::is_ok));
    }
    assert_eq!(compact(&ports).await, 700);
    assert_eq!(files(folder.path()).len(), 2, "of 32 MiB each");
    let all = read_all(&ports, 50).await.unwrap();
    assert_eq!(all.len(), 700);
    let ids: Vec<_> = all.iter().map(|entry| entry.pack.events[0].id.as_str()).collect();
    assert!(ids.is_sorted(), "in the order of their key");
}

#[tokio::test]
async fn who_dies_at_any_point_of_a_compaction_leaves_nothing_twice_and_nothing_out() {
    let (folder, clock) = (Folder::new(), JumpingClock::new());
    let store = Store::open(folder.path(), options(&clock)).unwrap();
    fill(&ports(&store), 0, 100).await;
    let before = read_all(&ports(&store), 1000).await.unwrap();
    clock.jump(16 * MINUTE);
    assert_eq!(compact(&ports(&store)).await, 100);
    let written = files(folder.path());
    store.close().await.unwrap();
    // The claim was made, and then: nothing more; a draft was begun; the file was written.
    let undo = "UPDATE shards SET pending = compacted, pending_path = (SELECT path FROM segments WHERE shard = number),
                compacted = 0; DELETE FROM segments;";
    let first = written.first().unwrap().clone();
    for (what, left) in [("nothing", 0), ("a draft", 1), ("a part of a file", 2), ("the files", 3)] {
        sql(&folder, undo);
        if left < 3 {
            written.iter().for_each(|file| std::fs::remove_file(file).unwrap());
        }
        match left {
            1 => std::fs::write(folder.path().join("events/0.draft"), b"begun").unwrap(),
            2 => std::fs::write(&first, b"cut").unwrap(),
            _ => {}
        }
        let store = Store::open(folder.path(), options(&clock)).unwrap();
        let ports = ports(&store);
        let there = read_all(&ports, 10).await.unwrap();
        let is_whole = before.iter().all(|entry| there.contains(entry)) && there.len() == 100 + left;
        assert!(is_whole, "before it goes on after {what}");
        // More has come since: the claim stays what it was.
        let more = format!("later-{left}");
        send(&ports, pack("k1", &more, 10)).await.unwrap();
        assert_eq!(compact(&ports).await, 100, "after {what}");
        let after = read_all(&ports, 10).await.unwrap();
        assert!(before.iter().all(|entry| after.contains(entry)) && after.len() == 101 + left, "after {what}");
        assert_eq!(files(folder.path()), written, "after {what}");
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn two_compactors_at_once_do_no_harm() {
    let (folder, clock) = (Folder::new(), JumpingClock::new());
    let store = Store::open(folder.path(), options(&clock)).unwrap();
    let ports = ports(&store);
    for round in 0..5 {
        fill(&ports, round * 60, 60).await;
        clock.jump(16 * MINUTE);
        let before = read_all(&ports, 1000).await.unwrap();
        let (one, other) = tokio::join!(compact(&ports), compact(&ports));
        assert!(one + other >= 60);
        assert!(read_all(&ports, 1000).await.unwrap() == before);
        assert_eq!(files(folder.path()).len(), 4 * (round + 1));
    }
}

#[tokio::test]
async fn damage_names_the_file_and_leaves_the_rest_readable() {
    let (folder, clock) = (Folder::new(), JumpingClock::new());
    let store = Store::open(folder.path(), options(&clock)).unwrap();
    let ports = ports(&store);
    fill(&ports, 0, 2_000).await;
    clock.jump(16 * MINUTE);
    compact(&ports).await;
    let later = ports.clock.now();
    fill(&ports, 2_000, 100).await;
    clock.jump(16 * MINUTE);
    compact(&ports).await;
    let all = files(folder.path());
    let oldest = all.first().unwrap();
    let name = oldest.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned();
    let good = std::fs::read(oldest).unwrap();
    let mut changed = good.clone();
    changed[good.len() / 2] ^= 0x55;
    for damage in [None, Some(&good[..good.len() / 3]), Some(&changed[..])] {
        match damage {
            None => std::fs::remove_file(oldest).unwrap(),
            Some(bytes) => std::fs::write(oldest, bytes).unwrap(),
        }
        let error = read_all(&ports, 100).await.unwrap_err();
        assert!(matches!(&error, PortError::Corrupt(what) if what.contains(&name)), "{error}");
        for shard in LogShard::ALL {
            let after = LogPosition::before(later);
            let page = ports.log.read(&topic(), shard, after, 1_000).await.unwrap();
            assert!(!page.entries.is_empty(), "what was written later is there");
        }
    }
    std::fs::write(oldest, &good).unwrap();
    assert_eq!(read_all(&ports, 100).await.unwrap().len(), 2_100);
}

#[tokio::test]
async fn a_shard_that_cannot_be_compacted_holds_up_no_other() {
    let (folder, clock) = (Folder::new(), JumpingClock::new());
    let store = Store::open(folder.path(), options(&clock)).unwrap();
    fill(&ports(&store), 0, 100).await;
    store.close().await.unwrap();
    let first = "(SELECT position FROM log WHERE shard = (SELECT min(number) FROM shards) ORDER BY position LIMIT 1)";
    sql(&folder, &format!("UPDATE log SET pack = x'00' WHERE position = {first}"));
    clock.jump(16 * MINUTE);
    let store = Store::open(folder.path(), options(&clock)).unwrap();
    let ports = ports(&store);
    let compacted = ports.log.compact(clock.now()).await.unwrap();
    assert!(compacted > 0 && compacted < 100, "{compacted}");
    assert_eq!(files(folder.path()).len(), 3);
    assert!(matches!(ports.log.compact(clock.now()).await, Err(PortError::Corrupt(_))), "and it is told");
}

#[tokio::test]
async fn a_segment_whose_time_is_over_is_not_looked_for_even_while_it_is_known() {
    let (folder, clock) = (Folder::new(), JumpingClock::new());
    let store = Store::open(folder.path(), options(&clock)).unwrap();
    let ports = ports(&store);
    make_topic(&ports, Retention::Days1).await;
    fill(&ports, 0, 100).await;
    clock.jump(16 * MINUTE);
    assert_eq!(compact(&ports).await, 100);
    // As far as its removal is when readers come: the files are gone first.
    files(folder.path()).iter().for_each(|file| std::fs::remove_file(file).unwrap());
    assert!(read_all(&ports, 10).await.is_err());
    clock.jump(DAY);
    assert!(read_all(&ports, 10).await.unwrap().is_empty() && newest_all(&ports, 10).await.is_empty());
}

#[tokio::test]
async fn a_changed_retention_counts_for_what_is_compacted_after_it() {
    let (folder, clock) = (Folder::new(), JumpingClock::new());
    let store = Store::open(folder.path(), options(&clock)).unwrap();
    let ports = ports(&store);
    let retentions = [Retention::Days7, Retention::Days1, Retention::Days7];
    for (round, retention) in retentions.into_iter().enumerate() {
        make_topic(&ports, retention).await;
        fill(&ports, round * 50, 50).await;
        clock.jump(16 * MINUTE);
        assert_eq!(compact(&ports).await, 50);
    }
    let of = |class: &str| {
        files(folder.path())
            .iter()
            .filter(|file| file.to_str().unwrap().contains(&format!("retention={class}/")))
            .count()
    };
    assert_eq!((of("7d"), of("1d")), (8, 4));
    clock.jump(2 * DAY);
    // The last row stays, and with it those that nothing told to go yet.
    expire(&ports).await;
    assert_eq!((of("7d"), of("1d")), (8, 0), "those of a day are past it");
    let ids = |entries: Vec<LogEntry>| -> BTreeSet<String> {
        entries.iter().map(|entry| entry.pack.events[0].id.clone()).collect()
    };
    let left = ids(read_all(&ports, 100).await.unwrap());
    assert!(left.contains("e0000") && !left.contains("e0050") && left.contains("e0100"));
    clock.jump(6 * DAY);
    expire(&ports).await;
    assert_eq!((of("7d"), of("1d")), (0, 0));
    assert!(read_all(&ports, 100).await.unwrap().is_empty(), "nothing is left");
}

#[tokio::test]
async fn what_only_a_segment_has_can_be_put_into_a_backlog() {
    let (folder, clock) = (Folder::new(), JumpingClock::new());
    let store = Store::open(folder.path(), options(&clock)).unwrap();
    let ports = ports(&store);
    make_topic(&ports, Retention::Days7).await;
    fill(&ports, 0, 40).await;
    clock.jump(HOUR);
    assert_eq!(compact(&ports).await, 40);
    clock.jump(HOUR * 2);
    assert_eq!((expire(&ports).await, rows(&folder)), (39, 1), "the last row stays");
    let (all, newest) = (read_all(&ports, 100).await.unwrap(), newest_all(&ports, 100).await);
    let subscription = SubscriptionId::new("sub").unwrap();
    for entry in &all {
        let lane = LaneRef::new(&subscription, &topic(), &entry.pack.topic, &entry.pack.key);
        let item = BacklogItem {
            key: rest_key(entry.sequence),
            pack: entry.pack.clone(),
            position: entry.position,
            next: 0,
            end: 1,
            put_id: PutId(7),
            revision: 1,
            attempts: 0,
            first_failed_at: None,
            due_at: None,
            replay: true,
        };
        ports.lanes.put_by(&lane.id, item, PutRule::Rewind).await.unwrap();
        let found = ports.lanes.backlog_item(&lane.id, rest_key(entry.sequence)).await.unwrap().expect("it is there");
        assert_eq!((found.pack, found.position), (entry.pack.clone(), entry.position));
    }
    assert_eq!(rows(&folder), 40);
    assert_eq!(read_all(&ports, 7).await.unwrap(), all, "readers see each entry once");
    assert_eq!(newest_all(&ports, 7).await, newest);
    assert_eq!(compact(&ports).await, 0, "and nothing is compacted twice");
    assert_eq!(drain(&ports).await, [""; 0], "nor received again");
    for entry in &all {
        let lane = LaneRef::new(&subscription, &topic(), &entry.pack.topic, &entry.pack.key);
        let progress = Progress { key: rest_key(entry.sequence), put_id: PutId(7), next: None };
        ports.lanes.progress(&lane.id, progress).await.unwrap();
    }
    clock.jump(DAY);
    assert_eq!((expire(&ports).await, rows(&folder)), (39, 1), "what nothing refers to any more goes again");
    store.close().await.unwrap();
    let store = Store::open(folder.path(), options(&clock)).unwrap();
    assert_eq!(read_all(&crate::world::ports(&store), 100).await.unwrap(), all);
}
