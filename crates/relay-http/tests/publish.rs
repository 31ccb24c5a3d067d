//! The publish route over the simulated ports.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic; helpers are not seen as tests by the lint")]

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use relay_core::digest::{hexadecimal, sha256};
use relay_core::event::EventData;
use relay_core::grants::{Action, ApiKey, Grant, TopicPattern};
use relay_core::names::{KeyId, TopicId, TopicName};
use relay_core::pack::{LaneKey, Pack};
use relay_core::ports::{EventQueue, Expect, Message, PortError, Ports, QueueLag, Receipt, Registry, Sent};
use relay_core::replay_id::ReplayId;
use relay_core::time::Time;
use relay_core::topic::Topic;
use relay_http::{AdminKey, AppState, Background, Job, Options, router};
use relay_sim::{ManualClock, Simulated};
use serde_json::{Value, json};
use std::sync::Arc;
use tower::ServiceExt;

const KEY: &str = "test-admin-key-0123456789";
const EVENT: &str = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"n":1}}"#;

type Headers<'a> = &'a [(&'a str, &'a str)];

struct NoJobs;

impl Background for NoJobs {
    fn start(&self, _: Job) {}
}

struct Broker {
    world: Simulated,
    routes: Router,
}

struct Answer {
    status: StatusCode,
    headers: http::HeaderMap,
    body: Value,
}

async fn broker() -> Broker {
    broker_with(|ports| ports).await
}

async fn broker_with(change: impl FnOnce(Ports) -> Ports) -> Broker {
    let world = Simulated::calm(Arc::new(ManualClock::new(Time(1_795_000_000_000))));
    let name = TopicName::new("orders").unwrap();
    let topic = Topic::new(TopicId::new("top_1").unwrap(), name, Time(1));
    world.put_topic(topic, Expect::Absent).await.unwrap();
    let mut options = Options::new(Arc::new(|_: &str| Ok(())), Arc::new(NoJobs));
    options.admin_key = Some(AdminKey::new(KEY).unwrap());
    let routes = router(AppState::new(change(world.ports()), options));
    Broker { world, routes }
}

impl Broker {
    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.routes.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn publish(&self, headers: Headers<'_>, body: impl Into<Body>) -> Answer {
        let mut request = Request::post("/v1/topics/orders/events").header("authorization", format!("Bearer {KEY}"));
        for (name, value) in headers {
            request = request.header(*name, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    fn packs(&self) -> Vec<Arc<Pack>> {
        self.world.queued().into_iter().map(|queued| queued.pack).collect()
    }
}

impl Answer {
    /// Checks that this is a problem document, and tells its kind.
    fn problem(&self) -> (u16, &str) {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{}", self.body);
        assert_eq!(self.body["status"], self.status.as_u16());
        let kind = self.body["type"].as_str().unwrap().strip_prefix("/problems/").unwrap();
        (self.status.as_u16(), kind)
    }

    fn pointers(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().unwrap();
        errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect()
    }
}

#[tokio::test]
async fn a_plain_event_is_accepted_with_its_place() {
    let broker = broker().await;
    let headers = [("content-type", "application/json"), ("PartitionKey", "customer 7 ü"), ("x-request-id", "r-1")];
    let answer = broker.publish(&headers, r#"{"total":5}"#).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["x-request-id"], "r-1");
    let event = &answer.body["events"][0];
    assert_eq!(event["partitionKey"], "customer 7 ü");
    assert_eq!(event["sequence"].as_str().unwrap().len(), 36);
    let replay_id: ReplayId = event["replayId"].as_str().unwrap().parse().unwrap();
    assert_eq!(replay_id.sequence.to_string(), event["sequence"].as_str().unwrap());
    let packs = broker.packs();
    assert_eq!(packs[0].events[0].id, event["id"].as_str().unwrap());
    assert_eq!(packs[0].events[0].data, EventData::Json(Bytes::from_static(b"{\"total\":5}")));
    assert_eq!(packs[0].key.partition_key().unwrap().as_str(), "customer 7 ü");
}

#[tokio::test]
async fn binary_structured_and_batch_mode_are_accepted() {
    let broker = broker().await;
    let binary = [
        ("ce-specversion", "1.0"),
        ("ce-id", "b"),
        ("ce-source", "/s"),
        ("ce-type", "t"),
        ("content-type", "text/plain"),
    ];
    assert_eq!(broker.publish(&binary, "hello").await.body["events"][0]["id"], "b");
    let structured = [("content-type", "application/cloudevents+json; charset=utf-8")];
    assert_eq!(broker.publish(&structured, EVENT).await.body["events"][0]["partitionKey"], Value::Null);
    let batch = [("content-type", "application/cloudevents-batch+json"), ("partitionkey", "k")];
    let second = EVENT.replace(r#""id":"1""#, r#""id":"2""#);
    let answer = broker.publish(&batch, format!("[{EVENT},{second},{EVENT}]")).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let events = answer.body["events"].as_array().unwrap();
    assert_eq!(events.iter().map(|event| event["id"].as_str().unwrap()).collect::<Vec<_>>(), ["1", "2", "1"]);
    assert_eq!(events[0], events[2]);
    let packs = broker.packs();
    assert_eq!(packs.iter().map(|pack| pack.events.len()).collect::<Vec<_>>(), [1, 1, 2]);
    assert_eq!(packs[0].events[0].data, EventData::Text("hello".into()));
    assert!(matches!(packs[1].key, LaneKey::Unordered(_)));
}

#[tokio::test]
async fn the_same_request_again_gets_the_first_answer_and_is_queued_once() {
    let broker = broker().await;
    let structured = [("content-type", "application/cloudevents+json")];
    let first = broker.publish(&structured, EVENT).await;
    assert_eq!(broker.publish(&structured, EVENT).await.body, first.body);
    let plain = [("content-type", "application/json"), ("idempotency-key", "once")];
    let first = broker.publish(&plain, "1").await;
    assert_eq!(broker.publish(&plain, "1").await.body, first.body);
    assert_eq!(broker.packs().len(), 2);
    assert_ne!(broker.publish(&plain, "2").await.body["events"][0]["id"], first.body["events"][0]["id"]);
}

#[tokio::test]
async fn what_is_no_event_is_refused_with_a_pointer_and_nothing_is_accepted() {
    let broker = broker().await;
    let batch = [("content-type", "application/cloudevents-batch+json")];
    let bad = EVENT.replace(r#""type":"t""#, r#""type":"","time":"now""#);
    let answer = broker.publish(&batch, format!("[{EVENT},{bad}]")).await;
    assert_eq!(answer.problem(), (400, "invalid-event"));
    assert_eq!(answer.pointers(), ["/1/type", "/1/time"]);
    assert_eq!(answer.body["instance"], "/v1/topics/orders/events");
    let structured = [("content-type", "application/cloudevents+json")];
    let cases: [(Headers<'_>, Vec<u8>, (u16, &str)); 12] = [
        (&batch, b"[]".to_vec(), (400, "invalid-event")),
        (&batch, b"{}".to_vec(), (400, "invalid-event")),
        (&batch, b"[{\"id\":".to_vec(), (400, "malformed-json")),
        (&structured, b"\xff".to_vec(), (400, "malformed-json")),
        (&structured, Vec::new(), (400, "malformed-json")),
        (&structured, EVENT.replace("1}", &"[".repeat(100_000)).into(), (400, "nesting-too-deep")),
        (&[("content-type", "application/json")], Vec::new(), (400, "invalid-event")),
        (&[("content-type", "application/json")], b"{,}".to_vec(), (400, "malformed-json")),
        (&[("content-type", "application/json"), ("partitionkey", "")], b"1".to_vec(), (400, "invalid-header")),
        (&[("content-type", "text/plain")], b"1".to_vec(), (415, "unsupported-media-type")),
        (&[], b"1".to_vec(), (415, "unsupported-media-type")),
        (
            &[("content-type", "application/json"), ("content-encoding", "gzip")],
            b"1".to_vec(),
            (415, "unsupported-media-type"),
        ),
    ];
    for (headers, body, expected) in cases {
        let answer = broker.publish(headers, body).await;
        assert_eq!(answer.problem(), expected, "{}", answer.body);
    }
    assert_eq!(broker.packs().len(), 0);
}

#[tokio::test]
async fn limits_are_answered_with_413() {
    let broker = broker().await;
    let json = [("content-type", "application/json")];
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    assert_eq!(broker.publish(&json, text(1 << 20)).await.status, StatusCode::ACCEPTED);
    assert_eq!(broker.publish(&json, text((1 << 20) + 1)).await.problem(), (413, "event-too-large"));
    assert_eq!(broker.publish(&json, text((4 << 20) + 1)).await.problem(), (413, "request-too-large"));
    let batch = [("content-type", "application/cloudevents-batch+json")];
    let many = |count: usize| {
        let events: Vec<_> = (0..count).map(|id| EVENT.replace("\"1\"", &format!("\"{id}\""))).collect();
        format!("[{}]", events.join(","))
    };
    assert_eq!(broker.publish(&batch, many(1_000)).await.status, StatusCode::ACCEPTED);
    assert_eq!(broker.publish(&batch, many(1_001)).await.problem(), (413, "too-many-events"));
    let large = EVENT.replace("{\"n\":1}", &text((1 << 20) + 1));
    let answer = broker.publish(&batch, format!("[{EVENT},{large}]")).await;
    assert_eq!((answer.problem(), answer.pointers()), ((413, "event-too-large"), vec!["/1"]));
}

#[tokio::test]
async fn only_who_may_publish_to_the_topic_does() {
    let broker = broker().await;
    let hash = hexadecimal(&sha256([&b"other"[..]]));
    let grant = |action, topics| Grant { action, topics: TopicPattern::new(topics).unwrap() };
    let key = ApiKey {
        id: KeyId::new("key_1").unwrap(),
        name: "other".into(),
        hash,
        grants: vec![grant(Action::Publish, "invoices.>"), grant(Action::Subscribe, "orders")],
        expires_at: None,
        created_at: Time(1),
    };
    broker.world.put_key(key).await.unwrap();
    let ask = async |path: &str, key: Option<&str>| {
        let mut request = Request::post(path).header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let answer = broker.send(request.body(Body::from("1")).unwrap()).await;
        let (status, kind) = answer.problem();
        (status, kind.to_owned())
    };
    let problem = |status: u16, kind: &str| (status, kind.to_owned());
    assert_eq!(ask("/v1/topics/orders/events", None).await, problem(401, "unauthorized"));
    assert_eq!(ask("/v1/topics/orders/events", Some("other")).await, problem(403, "forbidden"));
    assert_eq!(ask("/v1/topics/invoices.a/events", Some("other")).await, problem(404, "topic-not-found"));
    assert_eq!(ask("/v1/topics/none/events", Some(KEY)).await, problem(404, "topic-not-found"));
    assert_eq!(ask("/v1/topics/UPPER/events", Some(KEY)).await, problem(400, "invalid-name"));
    assert_eq!(ask("/v1/topics/relay.system/events", Some(KEY)).await, problem(403, "reserved-name"));
    assert_eq!(ask("/v1/topics/orders/events?sync=true", Some(KEY)).await, problem(400, "invalid-query"));
}

/// A queue that takes no pack whose first event has one of these ids.
struct Faulty {
    inner: Arc<dyn EventQueue>,
    refused: &'static [&'static str],
    error: PortError,
}

#[async_trait]
impl EventQueue for Faulty {
    async fn send(&self, packs: Vec<Arc<Pack>>) -> Vec<Result<Sent, PortError>> {
        let mut answers = Vec::new();
        for pack in packs {
            if self.refused.contains(&pack.events[0].id.as_str()) {
                answers.push(Err(self.error.clone()));
            } else {
                answers.extend(self.inner.send(vec![pack]).await);
            }
        }
        answers
    }
    async fn receive(&self, max: usize) -> Result<Vec<Message>, PortError> {
        self.inner.receive(max).await
    }
    async fn delete(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        self.inner.delete(receipts).await
    }
    async fn give_back(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        self.inner.give_back(receipts).await
    }
    async fn lag(&self) -> Result<QueueLag, PortError> {
        self.inner.lag().await
    }
}

#[tokio::test]
async fn when_the_queue_takes_only_part_each_event_is_answered() {
    let broker = broker_with(|ports| {
        let queue = Arc::new(Faulty { inner: ports.queue.clone(), refused: &["2"], error: PortError::Full });
        Ports { queue, ..ports }
    })
    .await;
    let event = |id: &str, key: &str| EVENT.replace("\"1\"", &format!("\"{id}\",\"partitionkey\":\"{key}\""));
    let batch = [("content-type", "application/cloudevents-batch+json")];
    let body = format!("[{},{},{}]", event("1", "a"), event("2", "b"), event("3", "a"));
    let answer = broker.publish(&batch, body).await;
    assert_eq!(answer.problem(), (503, "storage-full"));
    assert_eq!(answer.headers["retry-after"], "1");
    let events = answer.body["events"].as_array().unwrap();
    assert_eq!(events[1], json!({"id": "2", "partitionKey": "b", "error": "there is no room left to store anything"}));
    for (index, id) in [(0, "1"), (2, "3")] {
        assert_eq!(events[index]["id"], id);
        assert!(events[index]["sequence"].is_string() && events[index].get("error").is_none());
    }
    let single = broker.publish(&batch, format!("[{}]", event("2", "b"))).await;
    assert_eq!(single.problem(), (503, "storage-full"));
}

/// The next of a fixed series of numbers that look random (SplitMix64).
fn draw(state: &mut u64, below: usize) -> usize {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut bits = *state;
    bits = (bits ^ bits >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((bits ^ bits >> 31) % below as u64) as usize
}

#[tokio::test]
async fn ten_thousand_mutations_of_valid_requests_are_accepted_or_refused_with_a_problem() {
    let broker = broker().await;
    let batch = format!("[{EVENT},{}]", EVENT.replace("\"1\"", "\"2\",\"partitionkey\":\"k\""));
    let binary = [("ce-specversion", "1.0"), ("ce-id", "b"), ("ce-source", "/s"), ("ce-type", "t")];
    let valid: [(Vec<(&str, &str)>, &str); 4] = [
        (vec![("content-type", "application/json"), ("idempotency-key", "i")], "{\"a\":[1,2,{\"b\":null}]}"),
        (vec![("content-type", "application/cloudevents+json")], EVENT),
        (vec![("content-type", "application/cloudevents-batch+json")], &batch),
        ([&binary[..], &[("content-type", "application/json")]].concat(), "{\"a\":1}"),
    ];
    let seed = &mut 1;
    let mut seen = std::collections::BTreeMap::new();
    for round in 0..10_000 {
        let (headers, body) = &valid[draw(seed, valid.len())];
        let (mut body, mut path) = (body.as_bytes().to_vec(), b"/v1/topics/orders/events".to_vec());
        let mut headers: Vec<(&str, Vec<u8>)> =
            headers.iter().map(|(name, value)| (*name, value.as_bytes().to_vec())).collect();
        headers.push(("partitionkey", b"key".to_vec()));
        headers.push(("authorization", format!("Bearer {KEY}").into_bytes()));
        for _ in 0..=draw(seed, 3) {
            let byte = draw(seed, 256) as u8;
            let header = draw(seed, headers.len());
            let target = match draw(seed, 8) {
                0 => &mut path,
                1..=2 => &mut headers[header].1,
                _ => &mut body,
            };
            let at = draw(seed, target.len().max(1));
            match draw(seed, 3) {
                _ if target.is_empty() => target.push(byte),
                0 => target[at] = byte,
                1 => target.insert(at, byte),
                _ => {
                    target.remove(at);
                }
            }
        }
        let mut request = Request::builder().method("POST").uri(path.as_slice());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        // What HTTP itself refuses does not come so far.
        let Ok(request) = request.body(Body::from(body)) else { continue };
        let answer = broker.send(request).await;
        *seen.entry(answer.status.as_u16()).or_insert(0) += 1;
        match answer.status.as_u16() {
            202 => assert!(!answer.body["events"].as_array().unwrap().is_empty()),
            400..=499 => assert_eq!(answer.problem().0, answer.status.as_u16()),
            other => panic!("round {round}: {other} {}", answer.body),
        }
    }
    for status in [202, 400, 401, 404, 415] {
        assert!(seen.get(&status).is_some_and(|count| *count > 20), "{seen:?}");
    }
}
