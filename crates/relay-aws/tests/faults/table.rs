//! Faults of DynamoDB.

use crate::stub::{Answer, Stub};
use relay_core::lane::lane_id;
use relay_core::names::{PartitionKey, SubscriptionId, TopicId};
use relay_core::pack::{LaneId, LaneKey};
use relay_core::ports::{Attempt, AttemptOutcome, Expect, IdempotentAnswer, PortError};
use relay_core::time::Time;
use relay_core::topic::Topic;
use serde_json::{Value, json};

fn lane(key: &str) -> LaneId {
    let key = LaneKey::Ordered(PartitionKey::new(key).unwrap());
    lane_id(&SubscriptionId::new("sub").unwrap(), &TopicId::new("top").unwrap(), &key)
}

fn topic() -> Topic {
    Topic::new(TopicId::new("top").unwrap(), relay_core::names::TopicName::new("orders").unwrap(), Time(5))
}

fn keys_of(request: &Value) -> Vec<Value> {
    request["RequestItems"]["table"]["Keys"].as_array().unwrap().clone()
}

#[tokio::test]
async fn unprocessed_keys_are_asked_again_and_never_taken_for_absent() {
    // Only the first key of each call is answered: a held lane.
    let stub = Stub::new(|_, request| {
        let keys = keys_of(request);
        let mut left = json!({});
        if keys.len() > 1 {
            left = json!({ "table": { "Keys": &keys[1..] } });
        }
        Answer::Ok(json!({ "Responses": { "table": [keys[0].clone()] }, "UnprocessedKeys": left }))
    });
    let lanes = ["a", "b", "c"].map(lane);
    let state = stub.ports(1).lanes.read_state(&[], &lanes).await.unwrap();
    assert_eq!(state.held, [true, true, true]);
    let calls = stub.requests("BatchGetItem");
    assert_eq!(calls.iter().map(|call| keys_of(call).len()).collect::<Vec<_>>(), [3, 2, 1]);
    assert!(calls.iter().all(|call| call["RequestItems"]["table"]["ConsistentRead"] == json!(true)));
}

#[tokio::test]
async fn keys_that_stay_unprocessed_are_an_error() {
    let stub = Stub::new(|_, request| {
        Answer::Ok(json!({ "Responses": {}, "UnprocessedKeys": { "table": { "Keys": keys_of(request) } } }))
    });
    let state = stub.ports(1).lanes.read_state(&[], &[lane("a")]).await;
    assert_eq!(state, Err(PortError::Throttled));
}

#[tokio::test]
async fn more_than_a_hundred_keys_are_read_in_calls_of_a_hundred() {
    let stub = Stub::new(|_, _| Answer::Ok(json!({ "Responses": { "table": [] }, "UnprocessedKeys": {} })));
    let lanes: Vec<_> = (0..250).map(|at| lane(&at.to_string())).collect();
    let state = stub.ports(1).lanes.read_state(&[], &lanes).await.unwrap();
    assert!(state.held.iter().all(|held| !held));
    let mut sizes: Vec<_> = stub.requests("BatchGetItem").iter().map(|call| keys_of(call).len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [50, 100, 100]);
}

#[tokio::test]
async fn unprocessed_items_are_written_again() {
    let rows: Vec<Value> = (0..30).map(|at| json!({ "pk": {"S": "BACKLOG#x"}, "sk": {"S": at.to_string()} })).collect();
    let stub = Stub::new(move |name, request| match name {
        "Query" => Answer::Ok(json!({ "Items": rows, "Count": rows.len() })),
        "BatchWriteItem" => {
            let writes = request["RequestItems"]["table"].as_array().unwrap();
            let left = &writes[writes.len().min(10)..];
            let left = if left.is_empty() { json!({}) } else { json!({ "table": left }) };
            Answer::Ok(json!({ "UnprocessedItems": left }))
        }
        _ => Answer::Ok(json!({})),
    });
    assert!(stub.ports(1).lanes.remove(&lane("a")).await.unwrap());
    let sizes: Vec<_> = stub
        .requests("BatchWriteItem")
        .iter()
        .map(|call| call["RequestItems"]["table"].as_array().unwrap().len())
        .collect();
    assert_eq!(sizes, [25, 15, 5, 5], "at most 25 a call, and what was left of each");
}

#[tokio::test]
async fn a_query_is_read_to_its_last_page() {
    let stub = Stub::new(|_, request| {
        let page = request["ExclusiveStartKey"]["sk"]["S"].as_str().map_or(0, |page| page.parse::<u32>().unwrap());
        let mut answer = json!({ "Items": [{ "nextIndex": {"N": "1"}, "endIndex": {"N": "4"} }] });
        // A page may be empty and still not be the last one.
        if page == 1 {
            answer["Items"] = json!([]);
        }
        if page < 3 {
            answer["LastEvaluatedKey"] = json!({ "pk": {"S": "p"}, "sk": {"S": (page + 1).to_string()} });
        }
        Answer::Ok(answer)
    });
    let count = stub.ports(1).lanes.held_count(&TopicId::new("top").unwrap()).await;
    assert!(matches!(count, Err(PortError::Corrupt(_))), "rows without keys are no index: {count:?}");
    assert_eq!(stub.requests("Query").len() % 4, 0, "each shard was read to its end");
}

#[tokio::test]
async fn a_read_that_is_throttled_is_throttled() {
    let stub = Stub::new(|_, _| Answer::Fault(400, "ProvisionedThroughputExceededException", "slow down"));
    assert_eq!(stub.ports(1).lanes.lane(&lane("a")).await, Err(PortError::Throttled));
    let state = stub.ports(1).lanes.read_state(&[], &[lane("a")]).await;
    assert_eq!(state, Err(PortError::Throttled));
}

#[tokio::test]
async fn a_conditional_write_that_is_throttled_is_made_again_and_not_for_ever() {
    let throttled = |mut times: u32| {
        Stub::new(move |_, _| {
            times = times.saturating_sub(1);
            if times == 0 { Answer::Ok(json!({})) } else { Answer::Fault(400, "ThrottlingException", "slow down") }
        })
    };
    let answer =
        || IdempotentAnswer { request_hash: String::new(), status: 201, body: String::new(), at: Time(9_000_000_000) };
    let stub = throttled(4);
    assert_eq!(stub.ports(1).registry.put_idempotent_answer("key", answer()).await, Ok(()));
    assert_eq!(stub.names().len(), 4);
    let stub = throttled(u32::MAX);
    assert_eq!(stub.ports(1).registry.put_idempotent_answer("key", answer()).await, Err(PortError::Throttled));
    assert!(stub.names().len() < 20);
}

#[tokio::test]
async fn items_that_stay_unprocessed_are_an_error() {
    let rows: Vec<Value> = (0..3).map(|at| json!({ "pk": {"S": "BACKLOG#x"}, "sk": {"S": at.to_string()} })).collect();
    let stub = Stub::new(move |name, request| match name {
        "Query" => Answer::Ok(json!({ "Items": rows, "Count": rows.len() })),
        "BatchWriteItem" => Answer::Ok(json!({ "UnprocessedItems": request["RequestItems"] })),
        _ => Answer::Ok(json!({})),
    });
    assert_eq!(stub.ports(1).lanes.remove(&lane("a")).await, Err(PortError::Throttled));
    assert!(!stub.names().contains(&"DeleteItem".to_owned()), "the lane stays until its backlog is gone");
}

#[tokio::test]
async fn a_missing_table_is_unavailable_and_nothing_is_taken_for_absent() {
    let stub = Stub::new(|_, _| Answer::Fault(400, "ResourceNotFoundException", "no such table"));
    let read = stub.ports(1).lanes.lane(&lane("a")).await;
    assert!(matches!(read, Err(PortError::Unavailable(_))), "{read:?}");
}

#[tokio::test]
async fn a_read_whose_answer_never_comes_is_unavailable() {
    let stub = Stub::new(|_, _| Answer::TimedOut);
    let read = stub.ports(2).lanes.lane(&lane("a")).await;
    assert!(matches!(read, Err(PortError::Unavailable(_))), "{read:?}");
    assert_eq!(stub.names().len(), 2, "and was asked again");
}

fn cancelled(codes: &[&str]) -> Value {
    let reasons: Vec<_> = codes.iter().map(|code| json!({ "Code": code })).collect();
    json!({ "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "Message": "cancelled", "CancellationReasons": reasons })
}

#[tokio::test]
async fn a_transaction_in_conflict_with_another_is_made_again() {
    let mut left = 3;
    let stub = Stub::new(move |_, _| {
        left -= 1;
        if left > 0 { Answer::Refused(cancelled(&["TransactionConflict", "None"])) } else { Answer::Ok(json!({})) }
    });
    assert_eq!(stub.ports(1).registry.put_topic(topic(), Expect::Absent).await, Ok(()));
    assert_eq!(stub.names().len(), 3);
}

#[tokio::test]
async fn a_transaction_whose_condition_does_not_hold_is_a_conflict_at_once() {
    let stub = Stub::new(|_, _| Answer::Refused(cancelled(&["ConditionalCheckFailed", "TransactionConflict"])));
    assert_eq!(stub.ports(1).registry.put_topic(topic(), Expect::Absent).await, Err(PortError::Conflict));
    assert_eq!(stub.names().len(), 1);
}

#[tokio::test]
async fn a_transaction_whose_answer_is_lost_is_repeated_under_the_same_token() {
    let mut lost = false;
    let stub = Stub::new(
        move |_, _| {
            if std::mem::replace(&mut lost, true) { Answer::Ok(json!({})) } else { Answer::TimedOut }
        },
    );
    assert_eq!(stub.ports(2).registry.put_topic(topic(), Expect::Absent).await, Ok(()));
    let calls = stub.requests("TransactWriteItems");
    assert_eq!(calls.len(), 2);
    assert!(calls[0]["ClientRequestToken"].is_string());
    assert_eq!(calls[0]["ClientRequestToken"], calls[1]["ClientRequestToken"]);
}

#[tokio::test]
async fn a_transaction_that_may_be_under_way_keeps_its_token_and_a_cancelled_one_gets_another() {
    let mut answers = vec![
        Answer::Ok(json!({})),
        Answer::Refused(cancelled(&["TransactionConflict", "None"])),
        Answer::Fault(400, "TransactionInProgressException", "the first try goes on"),
        Answer::TimedOut,
    ];
    let stub = Stub::new(move |_, _| answers.pop().unwrap());
    assert_eq!(stub.ports(2).registry.put_topic(topic(), Expect::Absent).await, Ok(()));
    let calls = stub.requests("TransactWriteItems");
    let tokens: Vec<_> = calls.iter().map(|call| call["ClientRequestToken"].as_str().unwrap()).collect();
    assert_eq!(tokens.len(), 4);
    assert!(tokens[0] == tokens[1] && tokens[1] == tokens[2], "{tokens:?}");
    assert!(tokens[2] != tokens[3], "{tokens:?}");
}

#[tokio::test]
async fn attempts_that_do_not_fit_one_item_are_written_as_several() {
    // Answers that cannot be compressed, and are escaped besides.
    let mut state = 1u64;
    let mut noise = || {
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from_u32(0x4e00 + u32::try_from((state >> 33) % 20_000).unwrap()).unwrap()
        };
        (0..1800).map(|_| next()).collect::<String>()
    };
    let attempt = |response| Attempt {
        subscription: SubscriptionId::new("sub").unwrap(),
        event_id: "1".to_owned(),
        topic: topic().name,
        key: LaneKey::Ordered(PartitionKey::new("k").unwrap()),
        sequence: relay_core::sequence::PackSequence { era: 1, number: 2 }.event(0),
        number: 1,
        started_at: Time(5),
        duration_ms: 1,
        outcome: AttemptOutcome::Failed,
        status: Some(500),
        error: None,
        response,
        replay: false,
    };
    let stub = Stub::new(|_, _| Answer::Ok(json!({})));
    let attempts: Vec<_> = (0..128).map(|_| attempt(noise())).collect();
    stub.ports(1).attempts.record(attempts).await.unwrap();
    let items = stub.requests("PutItem");
    assert!(items.len() > 1, "they fitted one item: the test has too few of them");
    for item in items {
        let bytes = item["Item"]["attempts"]["B"].as_str().unwrap().len() / 4 * 3;
        assert!(bytes < 400_000 - 1000, "an item of {bytes} bytes");
    }
}

#[tokio::test]
async fn a_conditional_put_refused_by_its_own_effect_has_succeeded() {
    let mut stored: Option<Value> = None;
    let stub = Stub::new(move |_, request| match stored.take() {
        None => {
            stored = Some(request["Item"].clone());
            Answer::TimedOut
        }
        Some(item) => Answer::Refused(json!({
            "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
            "message": "The conditional request failed", "Item": item,
        })),
    });
    let answer =
        IdempotentAnswer { request_hash: "ab".to_owned(), status: 201, body: "{}".to_owned(), at: Time(9_000_000_000) };
    assert_eq!(stub.ports(2).registry.put_idempotent_answer("key", answer).await, Ok(()));
}

#[tokio::test]
async fn a_row_of_a_later_version_is_refused() {
    let stub = Stub::new(|_, _| {
        Answer::Ok(json!({ "Item": { "pk": {"S": "LANE#x"}, "sk": {"S": "LANE"}, "v": {"N": "2"} } }))
    });
    let read = stub.ports(1).lanes.lane(&lane("a")).await;
    assert!(matches!(read, Err(PortError::Corrupt(_))), "{read:?}");
}
