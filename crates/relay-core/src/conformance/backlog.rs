//! The half of the contract of [`crate::ports::Lanes`] that is about backlogs.

use super::samples::{held_now, lane_of, logged, pack, rest_of, subscription_id, topic_id};
use super::{Harness, run};
use crate::lane::table::{Progress, PutRule, Switched};
use crate::lane::{BacklogItem, LaneRef, PutId};
use crate::pack::{LaneKey, Pack};
use crate::ports::{HeadFailure, LaneLoad, Message, Ports};
use crate::sequence::Sequence;
use crate::time::Time;
use std::sync::Arc;
use std::time::Duration;

pub(super) async fn run_all<H: Harness>(make: impl AsyncFn() -> H) {
    run!(make;
        a_backlog_is_read_as_it_was_put,
        a_backlog_is_in_order_and_of_its_lane_alone,
        a_put_lowers_the_index_and_never_raises_it,
        a_rewind_puts_anew_what_is_there_and_begins_no_later,
        a_join_leaves_what_is_there_as_it_is,
        what_is_loaded_is_in_its_lanes_which_are_held,
        progress_advances_or_deletes_the_put_it_read,
        a_failed_head_keeps_its_count_until_it_advances,
        single_events_sort_before_the_rest_of_their_pack,
        due_items_come_in_the_order_they_are_due,
        an_append_is_its_puts_and_then_the_switch,
        backlogs_survive_a_crash,
        a_lane_shows_its_depth_and_head,
        an_unordered_lane_shows_what_is_due_first,
    );
}

async fn publish(ports: &Ports, key: &str, ids: &[&str]) -> Message {
    let message = logged(ports, pack("orders", key, ids)).await;
    assert_eq!(ports.queue.delete(std::slice::from_ref(&message.receipt)).await, [Ok(())]);
    message
}

async fn items(ports: &Ports, lane: &LaneRef) -> Vec<BacklogItem> {
    ports.lanes.backlog(&lane.id, 100).await.unwrap().items
}

fn assert_same(read: &BacklogItem, put: &BacklogItem) {
    assert_eq!(format!("{read:?}"), format!("{put:?}"));
}

async fn hold(ports: &Ports, lane: &LaneRef) {
    ports.lanes.switch(&held_now(lane, ports.clock.now()), false).await.unwrap();
}

async fn a_backlog_is_read_as_it_was_put<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let message = publish(&ports, "k", &["a", "b", "c"]).await;
    let lane = lane_of("sub", &message.pack);
    let empty = ports.lanes.backlog(&lane.id, 10).await.unwrap();
    assert!(empty.before.is_none() && empty.items.is_empty() && empty.after.is_none());
    assert!(ports.lanes.head(&lane.id).await.unwrap().is_none());
    let item = BacklogItem {
        end: 2,
        revision: 9,
        attempts: 3,
        first_failed_at: Some(Time(1_700_000_000_001)),
        due_at: Some(Time(1_700_000_000_002)),
        replay: true,
        put_id: PutId(u64::MAX >> 1),
        ..rest_of(&message, 1, 0)
    };
    ports.lanes.put_backlog(&lane.id, item.clone()).await.unwrap();
    hold(&ports, &lane).await;
    let read = ports.lanes.backlog(&lane.id, 10).await.unwrap();
    assert_same(&read.items[0], &item);
    assert_eq!((read.items.len(), read.after), (1, Some(1)));
    assert_eq!(read.before, ports.lanes.lane(&lane.id).await.unwrap());
    assert_eq!(ports.lanes.head(&lane.id).await.unwrap(), Some((item.key, item.put_id, 1)));
    let one = ports.lanes.backlog_item(&lane.id, item.key).await.unwrap().expect("it is there");
    assert_same(&one, &item);
    assert!(ports.lanes.backlog_item(&lane.id, item.key.pack.event(0)).await.unwrap().is_none());
}

async fn a_backlog_is_in_order_and_of_its_lane_alone<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let mut messages = Vec::new();
    for at in 0..6 {
        messages.push(publish(&ports, "k", &[&format!("e{at}")]).await);
    }
    let (lane, other) = (lane_of("sub", &messages[0].pack), lane_of("other", &messages[0].pack));
    for at in [3, 0, 5, 1, 4] {
        ports.lanes.put_backlog(&lane.id, rest_of(&messages[at], 0, 1)).await.unwrap();
    }
    ports.lanes.put_backlog(&other.id, rest_of(&messages[2], 0, 1)).await.unwrap();
    let ids = |items: &[BacklogItem]| items.iter().map(|item| item.pack.events[0].id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&items(&ports, &lane).await), ["e0", "e1", "e3", "e4", "e5"]);
    assert_eq!(ids(&items(&ports, &other).await), ["e2"]);
    let first = ports.lanes.backlog(&lane.id, 2).await.unwrap().items;
    assert_eq!(ids(&first), ["e0", "e1"]);
}

async fn a_put_lowers_the_index_and_never_raises_it<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let message = publish(&ports, "k", &["a", "b", "c", "d"]).await;
    let lane = lane_of("sub", &message.pack);
    let head = async |next, put_id| {
        ports.lanes.put_backlog(&lane.id, rest_of(&message, next, put_id)).await.unwrap();
        let head = ports.lanes.head(&lane.id).await.unwrap().expect("there is an item");
        (head.2, head.1)
    };
    assert_eq!(head(2, 1).await, (2, PutId(1)));
    assert_eq!(head(3, 2).await, (2, PutId(1)));
    assert_eq!(head(2, 3).await, (2, PutId(1)));
    assert_eq!(head(0, 4).await, (0, PutId(4)));
    assert_eq!(items(&ports, &lane).await.len(), 1);
    assert_eq!(items(&ports, &lane).await[0].depth(), 4);
}

async fn a_rewind_puts_anew_what_is_there_and_begins_no_later<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let message = publish(&ports, "k", &["a", "b", "c", "d"]).await;
    let lane = lane_of("sub", &message.pack);
    let put = async |next, put_id, due_at| {
        let item = BacklogItem { due_at, replay: true, ..rest_of(&message, next, put_id) };
        ports.lanes.put_by(&lane.id, item, PutRule::Rewind).await.unwrap();
        let items = items(&ports, &lane).await;
        assert_eq!(items.len(), 1);
        (items[0].next, items[0].put_id.0, items[0].due_at, items[0].replay)
    };
    let (early, late) = (Some(Time(1_700_000_000_001)), Some(Time(1_700_000_000_002)));
    assert_eq!(put(2, 1, late).await, (2, 1, late, true));
    ports.lanes.put_backlog(&lane.id, BacklogItem { due_at: late, ..rest_of(&message, 1, 2) }).await.unwrap();
    assert_eq!(put(3, 3, early).await, (1, 3, early, true));
    assert_eq!(put(3, 3, early).await, (1, 3, early, true), "the same put again");
    assert_eq!(put(0, 4, late).await, (0, 4, late, true));
    let due = async |at| ports.lanes.due_items(&lane.id, Time(at), 10).await.unwrap();
    assert_eq!((due(1_700_000_000_001).await.0.len(), due(1_700_000_000_001).await.1), (0, late));
    assert_eq!((due(1_700_000_000_003).await.0.len(), due(1_700_000_000_003).await.1), (1, None));
    let late = Progress { key: rest_of(&message, 0, 3).key, put_id: PutId(3), next: None };
    ports.lanes.progress(&lane.id, late).await.unwrap();
    assert_eq!(items(&ports, &lane).await[0].depth(), 4, "progress of what was read before counts no more");
}

async fn a_join_leaves_what_is_there_as_it_is<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let message = publish(&ports, "k", &["a", "b", "c", "d"]).await;
    let lane = lane_of("sub", &message.pack);
    let put = async |next, put_id, due_at| {
        let item = BacklogItem { due_at, ..rest_of(&message, next, put_id) };
        ports.lanes.put_by(&lane.id, item, PutRule::Join).await.unwrap();
        let items = items(&ports, &lane).await;
        assert_eq!(items.len(), 1);
        (items[0].next, items[0].put_id.0)
    };
    assert_eq!(put(2, 1, None).await, (2, 1), "there was none");
    for due_at in [None, Some(Time(1_700_000_000_001))] {
        assert_eq!(put(0, 2, due_at).await, (2, 1), "what it says of earlier events stands");
        assert_eq!(put(3, 3, due_at).await, (2, 1));
    }
}

async fn what_is_loaded_is_in_its_lanes_which_are_held<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let mut loads = Vec::new();
    for key in ["j", "k"] {
        let messages = [publish(&ports, key, &["a", "b"]).await, publish(&ports, key, &["c"]).await];
        let lane = lane_of("sub", &messages[0].pack);
        let items = messages.iter().zip(1..).map(|(message, put_id)| rest_of(message, 0, put_id)).collect();
        loads.push(LaneLoad { new: held_now(&lane, ports.clock.now()), items });
    }
    for version in 1..3 {
        ports.lanes.load(loads.clone(), PutRule::Rewind).await.unwrap();
        for load in &loads {
            assert_eq!(items(&ports, &load.new.lane).await.len(), 2);
            let held = ports.lanes.lane(&load.new.lane.id).await.unwrap().expect("it is held");
            assert!(held.version >= version, "each load moves the version");
        }
    }
    ports.lanes.load(Vec::new(), PutRule::Rewind).await.unwrap();
}

async fn progress_advances_or_deletes_the_put_it_read<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let message = publish(&ports, "k", &["a", "b", "c"]).await;
    let lane = lane_of("sub", &message.pack);
    let item = rest_of(&message, 0, 1);
    ports.lanes.put_backlog(&lane.id, item.clone()).await.unwrap();
    let write = async |put_id, next| {
        let progress = Progress { key: item.key, put_id: PutId(put_id), next };
        ports.lanes.progress(&lane.id, progress).await.unwrap();
        items(&ports, &lane).await.first().map(|item| (item.next, item.put_id.0))
    };
    assert_eq!(write(2, Some(2)).await, Some((0, 1)), "another's put is left alone");
    assert_eq!(write(2, None).await, Some((0, 1)));
    assert_eq!(write(1, Some(2)).await, Some((2, 1)));
    ports.lanes.put_backlog(&lane.id, rest_of(&message, 1, 7)).await.unwrap();
    assert_eq!(write(1, None).await, Some((1, 7)), "what was put again is left alone");
    assert_eq!(write(7, None).await, None);
    assert_eq!(write(7, None).await, None, "a repeat is ignored");
    assert!(items(&ports, &lane).await.is_empty());
}

async fn a_failed_head_keeps_its_count_until_it_advances<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let message = publish(&ports, "k", &["a", "b", "c"]).await;
    let lane = lane_of("sub", &message.pack);
    let item = rest_of(&message, 0, 1);
    ports.lanes.put_backlog(&lane.id, item.clone()).await.unwrap();
    let failure = |put_id, attempts| HeadFailure {
        key: item.key,
        put_id: PutId(put_id),
        attempts,
        first_failed_at: Time(1_700_000_000_007),
        due_at: None,
    };
    ports.lanes.fail_head(&lane.id, failure(2, 8)).await.unwrap();
    assert_same(&items(&ports, &lane).await[0], &item);
    ports.lanes.fail_head(&lane.id, failure(1, 3)).await.unwrap();
    let failed = &items(&ports, &lane).await[0];
    assert_eq!((failed.attempts, failed.first_failed_at), (3, Some(Time(1_700_000_000_007))));
    assert_eq!((failed.next, failed.put_id), (0, PutId(1)));
    ports.lanes.progress(&lane.id, Progress { key: item.key, put_id: PutId(1), next: Some(1) }).await.unwrap();
    let advanced = &items(&ports, &lane).await[0];
    assert_eq!((advanced.next, advanced.attempts, advanced.first_failed_at), (1, 0, None), "its head is a new one");
    ports.lanes.progress(&lane.id, Progress { key: item.key, put_id: PutId(1), next: None }).await.unwrap();
    ports.lanes.fail_head(&lane.id, failure(1, 4)).await.unwrap();
    assert!(items(&ports, &lane).await.is_empty(), "a failure puts nothing back");
}

fn single(message: &Message, index: u16, put_id: u64) -> BacklogItem {
    BacklogItem { key: message.sequence.event(index), end: index + 1, ..rest_of(message, index, put_id) }
}

async fn single_events_sort_before_the_rest_of_their_pack<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let first = publish(&ports, "k", &["a", "b", "c"]).await;
    let second = publish(&ports, "k", &["d"]).await;
    let lane = lane_of("sub", &first.pack);
    let puts = [rest_of(&second, 0, 1), rest_of(&first, 2, 2), single(&first, 1, 3), single(&first, 0, 4)];
    for item in puts {
        ports.lanes.put_backlog(&lane.id, item).await.unwrap();
    }
    let order: Vec<_> = items(&ports, &lane).await.iter().map(|item| item.put_id.0).collect();
    assert_eq!(order, [4, 3, 2, 1]);
    let heads: Vec<Sequence> = items(&ports, &lane).await.iter().map(BacklogItem::head).collect();
    assert!(heads.is_sorted());
}

async fn unordered(ports: &Ports, id: &str) -> Message {
    let pack = Pack { key: LaneKey::Unordered(3), ..(*pack("orders", "k", &[id])).clone() };
    let message = logged(ports, Arc::new(pack)).await;
    assert_eq!(ports.queue.delete(std::slice::from_ref(&message.receipt)).await, [Ok(())]);
    message
}

async fn due_items_come_in_the_order_they_are_due<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let now = ports.clock.now();
    let at = |seconds| now + Duration::from_secs(seconds);
    let mut lane = None;
    for (id, seconds) in [("d", 40), ("b", 20), ("a", 10), ("c", 30)] {
        let message = unordered(&ports, id).await;
        let id = lane_of("sub", &message.pack).id;
        let item = BacklogItem { due_at: Some(at(seconds)), ..single(&message, 0, seconds) };
        ports.lanes.put_backlog(&id, item).await.unwrap();
        lane = Some(id);
    }
    let lane = lane.expect("something was put");
    let due = async |seconds, limit| {
        let (items, next) = ports.lanes.due_items(&lane, at(seconds), limit).await.unwrap();
        (items.iter().map(|item| item.pack.events[0].id.clone()).collect::<Vec<_>>().concat(), next)
    };
    assert_eq!(due(5, 10).await, (String::new(), Some(at(10))));
    assert_eq!(due(25, 10).await, ("ab".to_owned(), Some(at(30))));
    assert_eq!(due(60, 3).await, ("abc".to_owned(), Some(at(40))));
    assert_eq!(due(60, 10).await, ("abcd".to_owned(), None));
    // A failure moves an item to its own next time.
    let first = ports.lanes.due_items(&lane, at(10), 1).await.unwrap().0.remove(0);
    let failure =
        HeadFailure { key: first.key, put_id: first.put_id, attempts: 2, first_failed_at: now, due_at: Some(at(35)) };
    ports.lanes.fail_head(&lane, failure).await.unwrap();
    assert_eq!(due(60, 10).await, ("bcad".to_owned(), None));
}

async fn an_append_is_its_puts_and_then_the_switch<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let first = publish(&ports, "k", &["a", "b"]).await;
    let second = publish(&ports, "k", &["c"]).await;
    let lane = lane_of("sub", &first.pack);
    let new = held_now(&lane, ports.clock.now());
    let append = async |items: Vec<BacklogItem>| ports.lanes.append(items, &new, false).await.unwrap();
    assert_eq!(append(vec![rest_of(&first, 1, 1), rest_of(&second, 0, 2)]).await, Switched::Created);
    assert_eq!(append(vec![rest_of(&first, 0, 3), rest_of(&second, 0, 4)]).await, Switched::Bumped);
    assert_eq!(append(vec![]).await, Switched::Bumped);
    let read = ports.lanes.backlog(&lane.id, 10).await.unwrap();
    let found: Vec<_> = read.items.iter().map(|item| (item.next, item.put_id.0)).collect();
    assert_eq!(found, [(0, 3), (0, 2)], "the condition of a put holds for each");
    assert_eq!(read.after, Some(3));
    assert_eq!(ports.lanes.read_state(&[], &[lane.id]).await.unwrap().held, [true]);
}

async fn backlogs_survive_a_crash<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let first = publish(&ports, "k", &["a", "b"]).await;
    let second = publish(&ports, "k", &["c"]).await;
    let third = publish(&ports, "k", &["d"]).await;
    let lane = lane_of("sub", &first.pack);
    for (message, put_id) in [(&first, 1), (&second, 2), (&third, 3)] {
        ports.lanes.put_backlog(&lane.id, rest_of(message, 0, put_id)).await.unwrap();
    }
    let key = rest_of(&first, 0, 1).key;
    ports.lanes.progress(&lane.id, Progress { key, put_id: PutId(1), next: Some(1) }).await.unwrap();
    let key = rest_of(&second, 0, 2).key;
    ports.lanes.progress(&lane.id, Progress { key, put_id: PutId(2), next: None }).await.unwrap();
    let before = items(&ports, &lane).await;
    harness.crash().await;
    let after = items(&harness.ports(), &lane).await;
    assert_eq!(after.iter().map(|item| item.put_id.0).collect::<Vec<_>>(), [1, 3]);
    for (after, before) in after.iter().zip(&before) {
        assert_same(after, before);
    }
}

async fn a_lane_shows_its_depth_and_head<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let first = publish(&ports, "k", &["a", "b", "c"]).await;
    let second = publish(&ports, "k", &["d", "e"]).await;
    let lane = lane_of("sub", &first.pack);
    let item = rest_of(&first, 1, 1);
    ports.lanes.put_backlog(&lane.id, item.clone()).await.unwrap();
    ports.lanes.put_backlog(&lane.id, rest_of(&second, 0, 2)).await.unwrap();
    hold(&ports, &lane).await;
    let shown = async |ports: &Ports| {
        let mut page = ports.lanes.held(&subscription_id("sub"), None, 10).await.unwrap();
        assert_eq!((page.lanes.len(), page.next), (1, None));
        page.lanes.remove(0)
    };
    let held = shown(&ports).await;
    assert_eq!(held.depth, 4);
    assert_same(&held.head.expect("it has a head"), &item);
    assert_eq!(held.item, ports.lanes.lane(&lane.id).await.unwrap().unwrap());
    ports.lanes.progress(&lane.id, Progress { key: item.key, put_id: PutId(1), next: Some(2) }).await.unwrap();
    assert_eq!(shown(&ports).await.depth, 3);
    ports.lanes.progress(&lane.id, Progress { key: item.key, put_id: PutId(1), next: None }).await.unwrap();
    let held = shown(&ports).await;
    assert_eq!((held.depth, held.head.map(|item| item.put_id)), (2, Some(PutId(2))));
    assert_eq!(ports.lanes.held_events(&topic_id("orders")).await.unwrap(), 2);
    harness.crash().await;
    assert_eq!(shown(&harness.ports()).await.depth, 2);
}

async fn an_unordered_lane_shows_what_is_due_first<H: Harness>(harness: &H) {
    let ports = harness.ports();
    let now = ports.clock.now();
    for (id, seconds) in [("late", 50), ("early", 10)] {
        let message = unordered(&ports, id).await;
        let lane = lane_of("sub", &message.pack);
        let item = BacklogItem { due_at: Some(now + Duration::from_secs(seconds)), ..single(&message, 0, seconds) };
        ports.lanes.put_backlog(&lane.id, item).await.unwrap();
        hold(&ports, &lane).await;
    }
    let page = ports.lanes.held(&subscription_id("sub"), None, 10).await.unwrap();
    let head = page.lanes[0].head.as_ref().expect("it has a head");
    assert_eq!((head.pack.events[0].id.as_str(), page.lanes[0].depth), ("early", 2));
}
