//! What is the store's own about backlogs.

use crate::world::{Folder, JumpingClock, options, pack, ports};
use relay_core::lane::table::Progress;
use relay_core::lane::{BacklogItem, LaneRef, PutId, rest_key};
use relay_core::limits::BACKLOG_READ_BYTES;
use relay_core::names::SubscriptionId;
use relay_embedded::Store;

#[tokio::test]
async fn a_reading_of_a_backlog_is_bounded_in_bytes_but_never_empty() {
    let (folder, clock) = (Folder::new(), JumpingClock::new());
    let store = Store::open(folder.path(), options(&clock)).unwrap();
    let ports = ports(&store);
    let first = pack("k", "0", 1);
    let lane = LaneRef::new(&SubscriptionId::new("sub").unwrap(), &first.topic_id, &first.topic, &first.key).id;
    for at in 0..6 {
        let pack = pack("k", &at.to_string(), BACKLOG_READ_BYTES * 2 / 3);
        let sent = ports.queue.send(vec![pack.clone()]).await.remove(0).unwrap();
        let item = BacklogItem {
            key: rest_key(sent.sequence),
            pack,
            position: sent.position.unwrap(),
            next: 0,
            end: 1,
            put_id: PutId(1),
            revision: 1,
            attempts: 0,
            first_failed_at: None,
            due_at: None,
            replay: false,
        };
        ports.lanes.put_backlog(&lane, item).await.unwrap();
    }
    let mut read = 0;
    while let Some(first) = ports.lanes.backlog(&lane, 100).await.unwrap().items.first() {
        let items = ports.lanes.backlog(&lane, 100).await.unwrap().items.len();
        assert!((1..=2).contains(&items), "{items} items");
        let done = Progress { key: first.key, put_id: first.put_id, next: None };
        ports.lanes.progress(&lane, done).await.unwrap();
        read += 1;
    }
    assert_eq!(read, 6);
}
