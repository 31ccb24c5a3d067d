//! The contract of [`crate::ports::EventQueue`].

use super::samples::{events_of_every_kind, ordered, pack, topic_id, topic_name};
use super::{Harness, run};
use crate::limits::{DEDUPLICATION_WINDOW, VISIBILITY};
use crate::pack::{LaneKey, Pack};
use crate::ports::{EventQueue, Message, PortError, Receipt, Sent};
use crate::time::Time;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// Runs all cases.
pub async fn run_all<H: Harness>(make: impl AsyncFn() -> H) {
    run!(make;
        an_empty_queue_answers_nothing,
        a_pack_comes_out_as_it_went_in,
        entries_are_answered_one_by_one_in_order,
        messages_of_a_group_come_in_the_order_they_were_sent,
        a_group_in_flight_gives_nothing_to_others,
        no_more_than_asked_for_is_received,
        two_receivers_never_get_the_same_message,
        a_waiting_receiver_is_woken_by_a_send,
        what_is_acknowledged_never_comes_again,
        what_is_not_acknowledged_comes_again_before_those_behind_it,
        what_is_given_back_comes_again_at_once_and_first,
        giving_back_a_part_keeps_the_order,
        a_stale_receipt_acknowledges_nothing,
        a_stale_receipt_gives_nothing_back,
        the_same_pack_within_five_minutes_is_queued_once,
        the_same_pack_twice_at_the_same_time_is_queued_once,
        after_five_minutes_the_same_pack_is_another,
        the_same_events_under_another_key_are_no_repeat,
        what_was_sent_survives_a_crash_in_order,
        a_repeat_is_recognised_after_a_crash,
        sequences_rise_across_crashes,
        receives_are_counted_across_a_crash,
        the_lag_is_what_is_not_acknowledged,
        a_queue_that_is_the_log_tells_what_is_acknowledged,
    );
}

/// Longer than a message stays hidden.
const HIDDEN: Duration = VISIBILITY.saturating_add(Duration::from_secs(1));

async fn send(queue: &dyn EventQueue, pack: Arc<Pack>) -> Sent {
    let answers = queue.send(vec![pack]).await;
    assert_eq!(answers.len(), 1, "one answer for each pack");
    answers.into_iter().next().unwrap().expect("the pack is accepted")
}

/// Receives until there are `count` messages; more are a failure.
async fn receive(queue: &dyn EventQueue, count: usize) -> Vec<Message> {
    let mut messages = Vec::new();
    for _ in 0..100 {
        messages.extend(queue.receive(10).await.unwrap());
        if messages.len() >= count {
            break;
        }
    }
    assert_eq!(ids(&messages).len(), count, "messages received: {:?}", ids(&messages));
    messages
}

async fn assert_nothing(queue: &dyn EventQueue) {
    for _ in 0..2 {
        assert_eq!(ids(&queue.receive(10).await.unwrap()), Vec::<String>::new());
    }
}

fn ids(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|message| message.pack.events[0].id.clone()).collect()
}

fn receipts(messages: &[Message]) -> Vec<Receipt> {
    messages.iter().map(|message| message.receipt.clone()).collect()
}

async fn acknowledge(queue: &dyn EventQueue, messages: &[Message]) {
    for answer in queue.delete(&receipts(messages)).await {
        assert_eq!(answer, Ok(()));
    }
}

/// Receives and acknowledges until nothing comes any more, and answers the ids in the order they came.
async fn drain(queue: &dyn EventQueue) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let messages = queue.receive(10).await.unwrap();
        if messages.is_empty() {
            return all;
        }
        all.extend(ids(&messages));
        acknowledge(queue, &messages).await;
    }
}

async fn an_empty_queue_answers_nothing<H: Harness>(harness: &H) {
    let queue = harness.ports().queue;
    assert_nothing(&*queue).await;
    assert!(queue.send(vec![]).await.is_empty());
    assert!(queue.delete(&[]).await.is_empty());
    assert_eq!(queue.lag().await.unwrap().messages, 0);
}

async fn a_pack_comes_out_as_it_went_in<H: Harness>(harness: &H) {
    let queue = harness.ports().queue;
    for (at, key) in [ordered("k\u{1F511}"), LaneKey::Unordered(255)].into_iter().enumerate() {
        let pack = Arc::new(Pack {
            topic: topic_name("orders"),
            topic_id: topic_id("orders"),
            key,
            accepted_at: Time(1_700_000_000_123 + at as u64),
            events: events_of_every_kind(),
        });
        let sent = send(&*queue, pack.clone()).await;
        let messages = receive(&*queue, 1).await;
        assert_eq!(*messages[0].pack, *pack);
        assert_eq!((messages[0].sequence, messages[0].receives), (sent.sequence, 1));
        assert_ne!(sent.repeated, Some(true));
        if sent.position.is_some() {
            assert_eq!(messages[0].position, sent.position);
        }
    }
}

async fn entries_are_answered_one_by_one_in_order<H: Harness>(harness: &H) {
    let queue = harness.ports().queue;
    let packs: Vec<_> = (0..20).map(|at| pack("orders", &format!("k{at}"), &[&format!("e{at}")])).collect();
    let mut sent = Vec::new();
    for answer in queue.send(packs.clone()).await {
        sent.push(answer.expect("accepted").sequence);
    }
    assert_eq!(sent.len(), packs.len());
    let messages = receive(&*queue, packs.len()).await;
    for (pack, sequence) in packs.iter().zip(sent) {
        let message = messages.iter().find(|message| message.pack == *pack).expect("all are received");
        assert_eq!(message.sequence, sequence, "the answer at the pack's place is the pack's");
    }
}

async fn messages_of_a_group_come_in_the_order_they_were_sent<H: Harness>(harness: &H) {
    let queue = harness.ports().queue;
    let mut last = None;
    for at in 0..25 {
        for key in ["a", "b"] {
            let sent = send(&*queue, pack("orders", key, &[&format!("{key}{at:02}")])).await;
            if key == "a" {
                assert!(last < Some(sent.sequence), "sequences of a group rise");
                last = Some(sent.sequence);
            }
        }
    }
    let all = drain(&*queue).await;
    for key in ["a", "b"] {
        let mine: Vec<_> = all.iter().filter(|id| id.starts_with(key)).cloned().collect();
        assert_eq!(mine, (0..25).map(|at| format!("{key}{at:02}")).collect::<Vec<_>>());
    }
}

async fn a_group_in_flight_gives_nothing_to_others<H: Harness>(harness: &H) {
    let queue = harness.ports().queue;
    send(&*queue, pack("orders", "a", &["a1"])).await;
    let first = receive(&*queue, 1).await;
    send(&*queue, pack("orders", "a", &["a2"])).await;
    send(&*queue, pack("orders", "b", &["b1"])).await;
    assert_eq!(ids(&receive(&*queue, 1).await), ["b1"]);
    assert_nothing(&*queue).await;
    acknowledge(&*queue, &first).await;
    assert_eq!(ids(&receive(&*queue, 1).await), ["a2"]);
}

async fn no_more_than_asked_for_is_received<H: Harness>(harness: &H) {
    let queue = harness.ports().queue;
    for at in 0..6 {
        send(&*queue, pack("orders", &format!("k{}", at % 3), &[&format!("e{at}")])).await;
    }
    let mut seen = 0;
    for _ in 0..100 {
        let messages = queue.receive(2).await.unwrap();
        assert!(messages.len() <= 2);
        seen += messages.len();
        acknowledge(&*queue, &messages).await;
        if seen == 6 {
            return;
        }
    }
    panic!("received only {seen} of 6");
}

async fn two_receivers_never_get_the_same_message<H: Harness>(harness: &H) {
    let queue = harness.ports().queue;
    for at in 0..30 {
        send(&*queue, pack("orders", &format!("k{at}"), &[&format!("e{at}")])).await;
    }
    let mut seen = HashSet::new();
    for _ in 0..100 {
        let (one, other) = futures_util::future::join(queue.receive(3), queue.receive(3)).await;
        for id in ids(&one.unwrap()).into_iter().chain(ids(&other.unwrap())) {
            assert!(seen.insert(id.clone()), "{id} was received twice");
        }
        if seen.len() == 30 {
            return;
        }
    }
    panic!("received only {} of 30", seen.len());
}

async fn a_waiting_receiver_is_woken_by_a_send<H: Harness>(harness: &H) {
    let queue = harness.ports().queue;
    let ((), messages) = futures_util::future::join(
        async {
            send(&*queue, pack("orders", "a", &["a1"])).await;
        },
        async {
            for _ in 0..100 {
                let messages = queue.receive(10).await.unwrap();
                if !messages.is_empty() {
                    return messages;
                }
            }
            vec![]
        },
    )
    .await;
    assert_eq!(ids(&messages), ["a1"]);
}

async fn what_is_acknowledged_never_comes_again<H: Harness>(harness: &H) {
    let queue = harness.ports().queue;
    send(&*queue, pack("orders", "a", &["a1"])).await;
    send(&*queue, pack("orders", "b", &["b1"])).await;
    acknowledge(&*queue, &receive(&*queue, 2).await).await;
    assert_nothing(&*queue).await;
    harness.advance(HIDDEN).await;
    assert_nothing(&*queue).await;
    assert_eq!(queue.lag().await.unwrap().messages, 0);
}

async fn what_is_not_acknowledged_comes_again_before_those_behind_it<H: Harness>(harness: &H) {
    let queue = harness.ports().queue;
    let sent = send(&*queue, pack("orders", "a", &["a1"])).await;
    receive(&*queue, 1).await;
    send(&*queue, pack("orders", "a", &["a2"])).await;
    harness.advance(VISIBILITY / 2).await;
    assert_nothing(&*queue).await;
    harness.advance(VISIBILITY / 2 + Duration::from_secs(1)).await;
    let mut again = Vec::new();
    for _ in 0..100 {
        again.extend(queue.receive(1).await.unwrap());
        if !again.is_empty() {
            break;
        }
    }
    assert_eq!(ids(&again), ["a1"]);
    assert_eq!((again[0].receives, again[0].sequence), (2, sent.sequence));
    acknowledge(&*queue, &again).await;
    assert_eq!(drain(&*queue).await, ["a2"]);
}

async fn what_is_given_back_comes_again_at_once_and_first<H: Harness>(harness: &H) {
    let queue = harness.ports().queue;
    send(&*queue, pack("orders", "a", &["a1"])).await;
    let first = receive(&*queue, 1).await;
    send(&*queue, pack("orders", "a", &["a2"])).await;
    assert_eq!(queue.give_back(&receipts(&first)).await, [Ok(())]);
    assert_eq!(drain(&*queue).await, ["a1", "a2"]);
}

async fn giving_back_a_part_keeps_the_order<H: Harness>(harness: &H) {
    let queue = harness.ports().queue;
    for id in ["a1", "a2", "a3", "a4"] {
        send(&*queue, pack("orders", "a", &[id])).await;
    }
    let taken = queue.receive(3).await.unwrap();
    assert!(!taken.is_empty());
    assert_eq!(ids(&taken), ["a1", "a2", "a3"][..taken.len()], "those of a group come in order");
    // The first is done, the rest is not: the group goes on at the second.
    acknowledge(&*queue, &taken[..1]).await;
    for answer in queue.give_back(&receipts(&taken[1..])).await {
        assert_eq!(answer, Ok(()));
    }
    assert_eq!(drain(&*queue).await, ["a2", "a3", "a4"]);
}

fn assert_refused(answers: &[Result<(), PortError>]) {
    for answer in answers {
        assert!(matches!(answer, Ok(()) | Err(PortError::Conflict)), "a stale receipt: {answer:?}");
    }
}

async fn a_stale_receipt_acknowledges_nothing<H: Harness>(harness: &H) {
    let queue = harness.ports().queue;
    send(&*queue, pack("orders", "a", &["a1"])).await;
    let stale = receive(&*queue, 1).await;
    harness.advance(HIDDEN).await;
    let fresh = receive(&*queue, 1).await;
    assert_refused(&queue.delete(&receipts(&stale)).await);
    assert_eq!(queue.lag().await.unwrap().messages, 1);
    harness.advance(HIDDEN).await;
    let again = receive(&*queue, 1).await;
    assert_eq!((ids(&again), again[0].receives), (ids(&fresh), 3));
    acknowledge(&*queue, &again).await;
    assert_nothing(&*queue).await;
}

async fn a_stale_receipt_gives_nothing_back<H: Harness>(harness: &H) {
    let queue = harness.ports().queue;
    send(&*queue, pack("orders", "a", &["a1"])).await;
    let stale = receive(&*queue, 1).await;
    harness.advance(HIDDEN).await;
    let fresh = receive(&*queue, 1).await;
    assert_refused(&queue.give_back(&receipts(&stale)).await);
    assert_nothing(&*queue).await;
    acknowledge(&*queue, &fresh).await;
    assert_refused(&queue.give_back(&receipts(&fresh)).await);
    assert_refused(&queue.delete(&receipts(&fresh)).await);
    assert_nothing(&*queue).await;
}

async fn the_same_pack_within_five_minutes_is_queued_once<H: Harness>(harness: &H) {
    let queue = harness.ports().queue;
    let first = send(&*queue, pack("orders", "a", &["x", "y"])).await;
    let second = send(&*queue, pack("orders", "a", &["x", "y"])).await;
    assert_eq!(second.sequence, first.sequence);
    assert_ne!(second.repeated, Some(false));
    let other = send(&*queue, pack("orders", "a", &["xy", ""])).await;
    assert!(other.sequence > first.sequence);
    acknowledge(&*queue, &receive(&*queue, 2).await).await;
    // Acknowledged or not: a late repeat is a repeat.
    harness.advance(DEDUPLICATION_WINDOW - Duration::from_secs(10)).await;
    assert_eq!(send(&*queue, pack("orders", "a", &["x", "y"])).await.sequence, first.sequence);
    assert_nothing(&*queue).await;
}

async fn the_same_pack_twice_at_the_same_time_is_queued_once<H: Harness>(harness: &H) {
    let queue = harness.ports().queue;
    let one = pack("orders", "a", &["x"]);
    let sends = (0..8).map(|_| send(&*queue, one.clone()));
    let sent = futures_util::future::join_all(sends).await;
    assert!(sent.iter().all(|answer| answer.sequence == sent[0].sequence));
    assert_eq!(drain(&*queue).await, ["x"]);
}

async fn after_five_minutes_the_same_pack_is_another<H: Harness>(harness: &H) {
    let queue = harness.ports().queue;
    let first = send(&*queue, pack("orders", "a", &["x"])).await;
    harness.advance(DEDUPLICATION_WINDOW + Duration::from_secs(1)).await;
    let second = send(&*queue, pack("orders", "a", &["x"])).await;
    assert!(second.sequence > first.sequence);
    assert_ne!(second.repeated, Some(true));
    assert_eq!(drain(&*queue).await, ["x", "x"]);
}

async fn the_same_events_under_another_key_are_no_repeat<H: Harness>(harness: &H) {
    let queue = harness.ports().queue;
    for (topic, key) in [("orders", "a"), ("orders", "b"), ("bills", "a")] {
        send(&*queue, pack(topic, key, &["x"])).await;
    }
    assert_eq!(drain(&*queue).await, ["x", "x", "x"]);
}

async fn what_was_sent_survives_a_crash_in_order<H: Harness>(harness: &H) {
    let queue = harness.ports().queue;
    let mut sequences = Vec::new();
    for at in 0..12 {
        sequences.push(send(&*queue, pack("orders", "a", &[&format!("a{at:02}")])).await.sequence);
        send(&*queue, pack("orders", "b", &[&format!("b{at:02}")])).await;
    }
    let taken = receive_some(&*queue).await;
    harness.crash().await;
    harness.advance(HIDDEN).await;
    let queue = harness.ports().queue;
    let mut received = Vec::new();
    loop {
        let messages = queue.receive(10).await.unwrap();
        if messages.is_empty() {
            break;
        }
        acknowledge(&*queue, &messages).await;
        received.extend(messages);
    }
    assert!(received.len() == 24, "{} of 24 came after the crash, {} were in flight", received.len(), taken.len());
    let of_a: Vec<_> = received.iter().filter(|message| message.pack.key == ordered("a")).collect();
    assert_eq!(of_a.iter().map(|message| message.sequence).collect::<Vec<_>>(), sequences);
    assert_eq!(of_a.iter().map(|message| message.pack.events[0].id.clone()).collect::<Vec<_>>()[11], "a11");
}

async fn receive_some(queue: &dyn EventQueue) -> Vec<Message> {
    for _ in 0..100 {
        let messages = queue.receive(5).await.unwrap();
        if !messages.is_empty() {
            return messages;
        }
    }
    panic!("nothing was received");
}

async fn a_repeat_is_recognised_after_a_crash<H: Harness>(harness: &H) {
    let queue = harness.ports().queue;
    let first = send(&*queue, pack("orders", "a", &["x"])).await;
    acknowledge(&*queue, &receive(&*queue, 1).await).await;
    harness.crash().await;
    let queue = harness.ports().queue;
    assert_eq!(send(&*queue, pack("orders", "a", &["x"])).await.sequence, first.sequence);
    harness.advance(DEDUPLICATION_WINDOW + Duration::from_secs(1)).await;
    assert!(send(&*queue, pack("orders", "a", &["x"])).await.sequence > first.sequence);
}

async fn sequences_rise_across_crashes<H: Harness>(harness: &H) {
    let mut last = None;
    for round in 0..3 {
        let queue = harness.ports().queue;
        for at in 0..3 {
            let sent = send(&*queue, pack("orders", "a", &[&format!("e{round}{at}")])).await;
            assert!(Some(sent.sequence) > last);
            last = Some(sent.sequence);
        }
        if round == 1 {
            harness.advance(HIDDEN).await;
            drain(&*queue).await;
        }
        harness.crash().await;
    }
}

async fn receives_are_counted_across_a_crash<H: Harness>(harness: &H) {
    let queue = harness.ports().queue;
    send(&*queue, pack("orders", "a", &["a1"])).await;
    receive(&*queue, 1).await;
    harness.crash().await;
    harness.advance(HIDDEN).await;
    let again = receive(&*harness.ports().queue, 1).await;
    assert_eq!(again[0].receives, 2, "a message that crashes its receiver is known by its count");
}

async fn the_lag_is_what_is_not_acknowledged<H: Harness>(harness: &H) {
    let queue = harness.ports().queue;
    send(&*queue, pack("orders", "a", &["a1"])).await;
    harness.advance(Duration::from_secs(20)).await;
    send(&*queue, pack("orders", "a", &["a2"])).await;
    send(&*queue, pack("orders", "b", &["b1"])).await;
    let taken = receive_some(&*queue).await;
    let lag = queue.lag().await.unwrap();
    assert_eq!(lag.messages, 3);
    let oldest = lag.oldest.as_secs();
    assert!((19..=40).contains(&oldest), "the oldest is 20 s old, not {oldest}");
    acknowledge(&*queue, &taken).await;
    drain(&*queue).await;
    assert_eq!(queue.lag().await.unwrap().messages, 0);
}

async fn a_queue_that_is_the_log_tells_what_is_acknowledged<H: Harness>(harness: &H) {
    let queue = harness.ports().queue;
    for key in ["a", "b"] {
        send(&*queue, pack("orders", key, &[key])).await;
    }
    let messages = receive(&*queue, 2).await;
    let told = |of: usize| messages[of].position.map(|position| queue.has_acknowledged(position));
    assert_ne!(told(0), Some(true), "it may come again");
    acknowledge(&*queue, &messages[..1]).await;
    assert_ne!(told(0), Some(false), "it is done");
    assert_ne!(told(1), Some(true), "the other one is not");
}
