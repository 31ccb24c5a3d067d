//! Faults of SQS.

use crate::stub::{Answer, Stub};
use relay_core::event::{Event, EventData};
use relay_core::limits::MAX_WAKE_UP_DELAY;
use relay_core::names::{PartitionKey, SubscriptionId, TopicId, TopicName};
use relay_core::pack::{LaneKey, Pack};
use relay_core::ports::{PortError, Receipt, WakeUp};
use relay_core::time::Time;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

fn pack(key: &str, bytes: usize) -> Arc<Pack> {
    let event = Event {
        id: "1".to_owned(),
        source: "/test".to_owned(),
        kind: "test".to_owned(),
        subject: None,
        time: None,
        content_type: None,
        data_schema: None,
        extensions: vec![],
        data: EventData::Text("x".repeat(bytes)),
        made: false,
    };
    Arc::new(Pack {
        topic: TopicName::new("orders").unwrap(),
        topic_id: TopicId::new("top_orders").unwrap(),
        key: LaneKey::Ordered(PartitionKey::new(key).unwrap()),
        accepted_at: Time(1_795_000_000_000),
        events: vec![event],
    })
}

/// The era is known; sends go to `send`.
fn queue(mut send: impl FnMut(&Value) -> Answer + Send + 'static) -> Stub {
    Stub::new(move |name, request| match name {
        "GetItem" => Answer::Ok(json!({ "Item": {
            "pk": {"S": "QUEUE#events.fifo"}, "sk": {"S": "ERA"}, "v": {"N": "1"}, "era": {"N": "1790000000000"},
        }})),
        _ => send(request),
    })
}

fn accepted(request: &Value) -> Answer {
    let entries = request["Entries"].as_array().unwrap();
    let done = entries.iter().enumerate().map(|(at, entry)| {
        json!({ "Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "", "SequenceNumber": format!("{at:020}") })
    });
    Answer::Ok(json!({ "Successful": done.collect::<Vec<_>>(), "Failed": [] }))
}

#[tokio::test]
async fn entries_of_a_send_fail_one_by_one() {
    let stub = queue(|_| {
        Answer::Ok(json!({
            "Successful": [{ "Id": "1", "MessageId": "m", "MD5OfMessageBody": "", "SequenceNumber": "00000000000000000007" }],
            "Failed": [
                { "Id": "0", "Code": "RequestThrottled", "SenderFault": true },
                { "Id": "2", "Code": "InternalError", "SenderFault": false },
            ],
        }))
    });
    let answers = stub.ports(1).queue.send(["a", "b", "c", "d"].map(|key| pack(key, 10)).to_vec()).await;
    assert_eq!(answers[0], Err(PortError::Throttled));
    let sent = answers[1].clone().unwrap();
    assert_eq!((sent.sequence.era, sent.sequence.number), (1_790_000_000_000, 7));
    assert!(matches!(answers[2], Err(PortError::Unavailable(_))));
    assert!(matches!(answers[3], Err(PortError::Unavailable(_))), "an entry that was not answered");
}

#[tokio::test]
async fn a_send_is_cut_at_ten_entries_and_a_mebibyte() {
    let stub = queue(accepted);
    let many = (0..12).map(|at| pack(&format!("k{at}"), 10)).collect();
    assert!(stub.ports(1).queue.send(many).await.iter().all(Result::is_ok));
    let sizes = |stub: &Stub| -> Vec<usize> {
        stub.requests("SendMessageBatch").iter().map(|call| call["Entries"].as_array().unwrap().len()).collect()
    };
    assert_eq!(sizes(&stub), [10, 2]);
    let stub = queue(accepted);
    let large = (0..6).map(|at| pack(&format!("k{at}"), 192 * 1024)).collect();
    assert!(stub.ports(1).queue.send(large).await.iter().all(Result::is_ok));
    assert_eq!(sizes(&stub), [5, 1]);
}

#[tokio::test]
async fn a_pack_that_cannot_be_a_message_is_refused_by_itself() {
    let stub = queue(accepted);
    let with = |data| {
        let mut pack = Pack::clone(&pack("bad", 1));
        pack.events[0].data = data;
        Arc::new(pack)
    };
    let no_text = with(EventData::Json(bytes::Bytes::from_static(b"\"\xff\"")));
    let too_large = with(EventData::Text("x".repeat(1024 * 1024)));
    let answers = stub.ports(1).queue.send(vec![pack("a", 1), no_text, pack("b", 1), too_large]).await;
    assert_eq!(answers.len(), 4, "one answer for each pack");
    assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
    for bad in [1, 3] {
        assert!(matches!(&answers[bad], Err(PortError::Invalid(_))), "{:?}", answers[bad]);
    }
    assert_eq!(stub.requests("SendMessageBatch")[0]["Entries"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_send_that_is_throttled_says_so_for_each_entry() {
    let stub = queue(|_| Answer::Fault(400, "RequestThrottled", "slow down"));
    let answers = stub.ports(1).queue.send(vec![pack("a", 1), pack("b", 1)]).await;
    assert!(answers.iter().all(|answer| *answer == Err(PortError::Throttled)), "{answers:?}");
}

#[tokio::test]
async fn a_send_whose_answer_is_lost_is_sent_again_with_the_same_ids() {
    let mut lost = false;
    let stub =
        queue(move |request| if std::mem::replace(&mut lost, true) { accepted(request) } else { Answer::TimedOut });
    assert!(stub.ports(2).queue.send(vec![pack("a", 1)]).await[0].is_ok());
    let calls = stub.requests("SendMessageBatch");
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0], calls[1], "SQS recognises the repeat by its deduplication id");
    let entry = &calls[0]["Entries"][0];
    assert_eq!(entry["MessageGroupId"], json!(pack("a", 1).group().to_string()));
    assert_eq!(entry["MessageDeduplicationId"], json!(pack("a", 1).dedup().to_string()));
}

#[tokio::test]
async fn a_send_whose_answer_never_comes_may_have_taken_effect() {
    let stub = queue(|_| Answer::TimedOut);
    let answers = stub.ports(2).queue.send(vec![pack("a", 1)]).await;
    assert!(matches!(&answers[0], Err(PortError::Unavailable(_))), "{answers:?}");
}

#[tokio::test]
async fn a_receipt_that_has_expired_is_a_conflict_of_its_entry_alone() {
    let stub = queue(|_| {
        Answer::Ok(json!({
            "Successful": [{ "Id": "0" }],
            "Failed": [{ "Id": "1", "Code": "ReceiptHandleIsInvalid", "SenderFault": true }],
        }))
    });
    let receipts = ["a", "b"].map(|handle| Receipt::Text(handle.to_owned()));
    let ports = stub.ports(1);
    assert_eq!(ports.queue.delete(&receipts).await, [Ok(()), Err(PortError::Conflict)]);
    assert_eq!(ports.queue.give_back(&receipts).await, [Ok(()), Err(PortError::Conflict)]);
}

#[tokio::test]
async fn a_message_that_cannot_be_read_goes_to_quarantine_and_the_rest_is_received() {
    let message = |body: String, number: &str| {
        json!({ "MessageId": "m", "ReceiptHandle": number, "Body": body, "Attributes": {
            "SequenceNumber": number, "ApproximateReceiveCount": "2", "SentTimestamp": "1794999999000" } })
    };
    let good = String::from_utf8(relay_core::pack::codec::encode(&pack("a", 3))).unwrap();
    let stub = Stub::new(move |name, _| match name {
        "GetItem" => Answer::Ok(json!({ "Item": {
            "pk": {"S": "q"}, "sk": {"S": "ERA"}, "v": {"N": "1"}, "era": {"N": "1790000000000"} }})),
        "ReceiveMessage" => {
            Answer::Ok(json!({ "Messages": [message("{\"w\":1}".to_owned(), "1"), message(good.clone(), "2")] }))
        }
        _ => Answer::Ok(json!({})),
    });
    let messages = stub.ports(1).queue.receive(10).await.unwrap();
    assert_eq!(messages.len(), 1);
    assert_eq!((messages[0].receives, messages[0].sequence.number), (2, 2));
    let names = stub.names();
    let at = |name: &str| names.iter().position(|called| called == name).expect("it is called");
    assert!(at("Call") < at("DeleteMessage"), "it is stored before it is deleted: {names:?}");
    assert_eq!(stub.requests("DeleteMessage")[0]["ReceiptHandle"], json!("1"));
}

#[tokio::test]
async fn a_message_of_a_later_version_blocks_its_group_and_no_other() {
    let message = |body: &str, group: &str, number: &str| {
        json!({ "MessageId": "m", "ReceiptHandle": number, "Body": body, "Attributes": {
            "MessageGroupId": group, "SequenceNumber": number, "ApproximateReceiveCount": "1",
            "SentTimestamp": "1794999999000" } })
    };
    let good = String::from_utf8(relay_core::pack::codec::encode(&pack("a", 3))).unwrap();
    let later = r#"{"v":1000000}"#;
    let mixed = [
        message(&good, "one", "1"),
        message(later, "one", "2"),
        message(&good, "one", "3"),
        message(&good, "two", "4"),
    ];
    let mut batches = vec![json!({ "Messages": [message(later, "one", "2")] }), json!({ "Messages": mixed })];
    let stub = queue(move |_| Answer::Ok(batches.pop().unwrap()));
    let queue = stub.ports(1).queue;
    let messages = queue.receive(10).await.unwrap();
    let numbers: Vec<_> = messages.iter().map(|message| message.sequence.number).collect();
    assert_eq!(numbers, [1, 4], "what is before it in its group, and other groups");
    let alone = queue.receive(10).await;
    assert!(matches!(&alone, Err(PortError::Unavailable(_))), "{alone:?}");
    assert!(stub.requests("DeleteMessage").is_empty(), "it stays in the queue for a process of that version");
}

#[tokio::test]
async fn wake_ups_carry_their_delay_in_seconds_rounded_up_and_at_most_the_longest() {
    let stub = Stub::new(|_, request| accepted(request));
    let probe = WakeUp::Probe(SubscriptionId::new("sub").unwrap());
    let delays = [Duration::ZERO, Duration::from_millis(1500), MAX_WAKE_UP_DELAY, MAX_WAKE_UP_DELAY * 2];
    stub.ports(1).wake_ups.send(delays.map(|delay| (probe.clone(), delay)).to_vec()).await.unwrap();
    let call = &stub.requests("SendMessageBatch")[0];
    let sent: Vec<_> = call["Entries"].as_array().unwrap().iter().map(|entry| entry["DelaySeconds"].clone()).collect();
    assert_eq!(sent, [json!(0), json!(2), json!(900), json!(900)]);
}

#[tokio::test]
async fn many_wake_ups_are_sent_ten_at_a_time_though_a_call_fails() {
    let mut calls = 0;
    let stub = Stub::new(move |_, request| {
        calls += 1;
        if calls == 2 { Answer::Fault(500, "InternalError", "oh") } else { accepted(request) }
    });
    let probe = WakeUp::Probe(SubscriptionId::new("sub").unwrap());
    let answer = stub.ports(1).wake_ups.send(vec![(probe, Duration::ZERO); 95]).await;
    assert!(matches!(answer, Err(PortError::Unavailable(_))), "{answer:?}");
    assert_eq!(stub.requests("SendMessageBatch").len(), 10, "the others are sent all the same");
}

#[tokio::test]
async fn wake_ups_of_which_one_was_refused_are_an_error() {
    let stub = Stub::new(|_, _| {
        Answer::Ok(json!({ "Successful": [],
            "Failed": [{ "Id": "0", "Code": "InternalError", "SenderFault": false }] }))
    });
    let probe = WakeUp::Probe(SubscriptionId::new("sub").unwrap());
    let answer = stub.ports(1).wake_ups.send(vec![(probe, Duration::ZERO)]).await;
    assert!(matches!(answer, Err(PortError::Unavailable(_))), "{answer:?}");
}
