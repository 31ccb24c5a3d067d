//! Faults while the log is compacted, and read from segments.

use crate::stub::{Answer, Stub};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use relay_core::names::{TopicId, TopicName};
use relay_core::ports::PortError;
use relay_core::record;
use relay_core::replay_id::{LogPosition, LogShard};
use relay_core::time::Time;
use relay_core::topic::Topic;
use serde_json::{Value, json};
use std::time::Duration;

/// The stub's clock.
const NOW: Time = Time(1_795_000_000_000);
const MINUTE: Duration = Duration::from_secs(60);

fn topic() -> Topic {
    Topic::new(TopicId::new("top_1").unwrap(), TopicName::new("orders").unwrap(), Time(5))
}

/// What the table answers to a query: one topic, and in its first shard one item of the log that is due.
fn rows(request: &Value) -> Value {
    let row = match request["ExpressionAttributeValues"][":p"]["S"].as_str().unwrap() {
        "TOPICS" => json!({ "rec": {"S": record::encode(&topic()).unwrap()} }),
        "LOG#top_1#0" => {
            let at = (NOW - MINUTE * 20).0;
            let sk = format!("{at:013}-{:020}", 0);
            if request["ExpressionAttributeValues"][":a"]["S"].as_str().unwrap() > &*sk {
                return json!({ "Items": [] });
            }
            json!({ "sk": {"S": sk}, "entries": {"B": STANDARD.encode(include_bytes!("../golden/log.zst"))} })
        }
        _ => return json!({ "Items": [] }),
    };
    let mut row = row;
    row["v"] = json!({"N": "1"});
    json!({ "Items": [row] })
}

/// The row that an update of the shard would have made.
fn claimed(request: &Value) -> Value {
    let value = |name: &str| request["ExpressionAttributeValues"][name].clone();
    json!({ "v": {"N": "1"}, "compactedThrough": value(":c"), "pendingFirst": value(":f"),
            "pendingThrough": value(":t"), "pendingPath": value(":p") })
}

#[tokio::test]
async fn a_segment_that_somebody_else_is_writing_is_left_for_later() {
    let mut puts = 0;
    let stub = Stub::new(move |name, request| match name {
        "Query" => Answer::Ok(rows(request)),
        "Call" if std::mem::replace(&mut puts, 1) == 0 => Answer::Fault(409, "ConditionalRequestConflict", "wait"),
        "Call" => Answer::Fault(404, "NoSuchKey", "not yet"),
        _ => Answer::Ok(json!({})),
    });
    let answer = stub.ports(1).log.compact(NOW).await;
    assert!(matches!(&answer, Err(PortError::Unavailable(what)) if what.contains("being written")), "{answer:?}");
    assert_eq!(stub.requests("UpdateItem").len(), 1, "it is claimed");
    assert!(stub.requests("TransactWriteItems").is_empty(), "and not finished");
}

#[tokio::test]
async fn a_span_that_somebody_else_claimed_first_is_left_to_them() {
    let stub = Stub::new(|name, request| match name {
        "Query" => Answer::Ok(rows(request)),
        "UpdateItem" => {
            let mut other = claimed(request);
            other["pendingPath"] = json!({"S": "events/another"});
            Answer::Refused(json!({ "__type": "ConditionalCheckFailedException", "Item": other }))
        }
        _ => Answer::Ok(json!({})),
    });
    assert_eq!(stub.ports(1).log.compact(NOW).await, Ok(0));
    assert!(!stub.names().iter().any(|name| name == "Call"), "nothing is written: {:?}", stub.names());
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_recognised_and_finished() {
    let stub = Stub::new(|name, request| match name {
        "Query" => Answer::Ok(rows(request)),
        "UpdateItem" => {
            Answer::Refused(json!({ "__type": "ConditionalCheckFailedException", "Item": claimed(request) }))
        }
        _ => Answer::Ok(json!({})),
    });
    assert_eq!(stub.ports(1).log.compact(NOW).await, Ok(2));
    let written = &stub.requests("TransactWriteItems")[0]["TransactItems"];
    let condition = written[0]["Update"]["ConditionExpression"].as_str().unwrap();
    assert!(condition.contains("compactedThrough = :c") && condition.contains("pendingPath = :p"), "{condition}");
    let entry = &written[1]["Put"]["Item"];
    assert_eq!(entry["eventCount"], json!({"N": "2"}));
    let expires_at: u64 = entry["expiresAt"]["N"].as_str().unwrap().parse().unwrap();
    let last = (NOW - MINUTE * 20).0 / 1000;
    assert!((last..=last + 1).contains(&(expires_at - 7 * 86_400)), "with its class of retention");
}

#[tokio::test]
async fn a_segment_that_is_missing_or_too_short_is_named() {
    let read = async |fault: fn() -> Answer| {
        let stub = Stub::new(move |name, _| match name {
            "Query" => Answer::Ok(json!({ "Items": [{
                "v": {"N": "1"},
                "sk": {"S": format!("SEGMENT#{:013}-{:020}", NOW.0 - 8 * 86_400_000, 7)},
                "segmentPath": {"S": "events/retention=30d/the-segment"},
                "firstPosition": {"S": format!("{:013}-{:020}", NOW.0 - 8 * 86_400_000, 1)},
                "eventCount": {"N": "1"}, "byteCount": {"N": "500"}, "indexAt": {"N": "400"}, "sha256": {"S": ""},
            }] })),
            _ => fault(),
        });
        let log = stub.ports(1).log;
        log.read(&topic().id, LogShard::ALL[0], LogPosition::default(), 10).await.unwrap_err()
    };
    for damage in [
        read(|| Answer::Fault(404, "NoSuchKey", "gone")).await,
        read(|| Answer::Fault(416, "InvalidRange", "it ends before")).await,
        read(|| Answer::Ok(json!("short"))).await,
    ] {
        assert!(matches!(&damage, PortError::Corrupt(what) if what.contains("the-segment")), "{damage:?}");
    }
    for passing in [
        read(|| Answer::Fault(503, "SlowDown", "slow down")).await,
        read(|| Answer::Fault(500, "InternalError", "oh")).await,
        read(|| Answer::TimedOut).await,
    ] {
        assert!(passing.is_retryable() && !matches!(passing, PortError::Corrupt(_)), "{passing:?}");
    }
}
